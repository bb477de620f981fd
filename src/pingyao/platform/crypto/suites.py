"""The two suites institutions deal with each other in: one of them for each member, never a mixture."""

import hashlib
from collections.abc import Mapping

import msgspec

from pingyao.kernel.errors import Unsupported
from pingyao.platform.crypto.signers import Algorithm


class Suite(msgspec.Struct, frozen=True):
    """Algorithms that belong together.

    Attributes:
        name: ``international`` or ``national``.
        signature: what messages are signed with.
        alg: how HTTP Message Signatures call it; that of SM2 is not in IANA's registry.
        digest: how `hashlib` calls the hash.
        digest_field: how Content-Digest calls it; that of SM3 is not in IANA's registry.
        sealing: kind of the key that envelopes are closed for.
    """

    name: str
    signature: Algorithm
    alg: str
    digest: str
    digest_field: str
    sealing: str


SUITES: Mapping[str, Suite] = {
    "international": Suite(
        "international", Algorithm.ED25519, "ed25519", "sha256", "sha-256", "x25519"
    ),
    "national": Suite("national", Algorithm.SM2, "sm2-sm3", "sm3", "sm3", "sm2"),
}


def suite_of(name: str) -> Suite:
    """Returns a suite by its name.

    Raises:
        Unsupported: there is none of this name.
    """
    if name not in SUITES:
        raise Unsupported(
            "crypto.no_suite", f"没有密码套件“{name[:20]}”", f"可用：{'、'.join(SUITES)}"
        )
    return SUITES[name]


def public_half(kind: str, secret: bytes) -> bytes:
    """Returns the public key of a secret one: raw for Ed25519 and X25519, the point for SM2."""
    if kind == "x25519":
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    from pingyao.platform.crypto.signers import open_signer

    return open_signer(Algorithm(kind), secret).public_key


def key_id(kind: str, public_key: bytes) -> str:
    """Returns the name of a key, made of the key itself: 32 hexadecimal digits."""
    return hashlib.sha256(f"pingyao-key-1 {kind} ".encode() + public_key).hexdigest()[:32]
