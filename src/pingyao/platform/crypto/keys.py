"""Keys, what is said about them, and the wrapping of data keys under them."""

import os
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from pingyao.kernel.errors import Unsupported
from pingyao.platform.crypto import choose
from pingyao.platform.crypto.plain import bad_tag
from pingyao.platform.crypto.ports import NONCE_BYTES

State = Literal["active", "retired", "destroyed"]
_SM2_ORDER = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123

# What a store can generate: the length of the secret in bytes. Seeds and scalars of signing keys are
# what the scheme calls the private key.
KINDS: Mapping[str, int] = {
    "aes-256": 32,
    "sm4": 16,
    "hmac-sha256": 32,
    "hmac-sm3": 32,
    "ed25519": 32,
    "ml-dsa-44": 32,
    "sm2": 32,
    "x25519": 32,
}
_WRAPPING = {"aes-256": "aes-256-gcm", "sm4": "sm4-gcm"}

# Passphrases of persons who approve, by their names.
Approvals = Mapping[str, str]


class KeyInfo(msgspec.Struct, frozen=True):
    """What may be known of a key without holding it.

    Attributes:
        kind: one of `KINDS`, or ``opaque`` for a secret brought from elsewhere.
        state: ``active`` for the version in use, ``retired`` for one that only opens what it
            closed, ``destroyed`` for one whose secret is gone.
        persons: who holds a part of it, where it takes two to use it; otherwise empty.
    """

    name: str
    version: int
    kind: str
    purpose: str
    created_at: datetime
    state: State = "active"
    persons: tuple[str, ...] = ()


class Key(msgspec.Struct, frozen=True):
    """A key in hand. Its secret never shows in what is printed."""

    info: KeyInfo
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.info.name!r}, {self.info.version}, {self.info.kind!r})"


class Wrapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A data key closed under a key of a store or device.

    Attributes:
        key: name of the key that wraps.
        version: its version.
    """

    key: str
    version: int
    cipher: str
    nonce: bytes
    sealed: bytes


class KeyHolder(Protocol):
    """A store or device that wraps data keys with keys it does not need to give away."""

    def wrap(
        self, name: str, data_key: bytes, context: bytes, approvals: Approvals | None = None
    ) -> Wrapped:
        """Closes a data key under the active version of a key, bound to a context."""
        ...

    def unwrap(self, wrapped: Wrapped, context: bytes, approvals: Approvals | None = None) -> bytes:
        """Opens a data key.

        Raises:
            NotFound: there is no such key, or it was destroyed.
            NotYet: it takes two persons.
            IntegrityBroken: the wrapped key was altered, or belongs to another context.
        """
        ...


def generate(kind: str) -> bytes:
    """Returns a new secret.

    Raises:
        Unsupported: an unknown kind.
    """
    if kind not in KINDS:
        raise Unsupported("keys.unknown_kind", f"没有“{kind}”这种密钥", f"可用：{'、'.join(KINDS)}")
    if kind == "sm2":  # a scalar in [1, n - 2]; Cites: GB/T 32918.1-2016
        return (1 + secrets.randbelow(_SM2_ORDER - 2)).to_bytes(32, "big")
    return os.urandom(KINDS[kind])


def wrap_with(key: Key, data_key: bytes, context: bytes) -> Wrapped:
    """Closes a data key under a key in hand.

    Raises:
        Unsupported: the key is not of a kind that wraps.
    """
    info = key.info
    if info.kind not in _WRAPPING:
        raise Unsupported(
            "keys.cannot_wrap",
            f"密钥 {info.name} 属 {info.kind}，不能用来加密数据密钥",
            f"请改用 {' 或 '.join(_WRAPPING)} 密钥",
        )
    cipher, nonce = _WRAPPING[info.kind], os.urandom(NONCE_BYTES)
    aad = bound(info.name, info.version, context)
    sealed = choose.seal(cipher, key.secret, nonce, data_key, aad)
    return Wrapped(info.name, info.version, cipher, nonce, sealed)


def unwrap_with(key: Key, wrapped: Wrapped, context: bytes) -> bytes:
    """Opens a data key with a key in hand.

    Raises:
        IntegrityBroken: it was altered, or belongs to another key or context.
    """
    cipher = _WRAPPING.get(key.info.kind)
    if cipher is None or cipher != wrapped.cipher:
        raise bad_tag()
    aad = bound(key.info.name, key.info.version, context)
    return choose.unseal(cipher, key.secret, wrapped.nonce, wrapped.sealed, aad)


def bound(name: str, version: int, context: bytes) -> bytes:
    """Returns what a wrapped key is bound to."""
    return msgspec.json.encode(("pingyao/wrap", name, version)) + context
