"""Sealed events: the log says that something happened; only who is entitled can read what.

An entry of the log holds a salted commitment and the hash of a ciphertext. The ciphertext is kept
outside the log under a key of its own, which is wrapped by a key of the batch, which is wrapped for
every entitled member and the regulator: with HPKE, or with SM2 for who has such a key. To erase an event,
its own key is destroyed.

Cites: RFC 9180 (HPKE), GB/T 32918.4-2016 (SM2 encryption), GB/T 35276-2017 (its DER form), RFC 3394 (AES
key wrap), NIST SP 800-38D (AES-GCM).
"""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)

from pingyao.kernel.errors import IntegrityBroken, NotPermitted
from pingyao.platform.crypto.sm2 import Sm2PrivateKey, Sm2PublicKey

_SALT = 32
_NONCE = bytes(12)  # every key encrypts once
_HPKE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_INFO = b"pingyao evidence batch key v1\n"
_BATCH_KEY = 32
PublicKey = X25519PublicKey | Sm2PublicKey
PrivateKey = X25519PrivateKey | Sm2PrivateKey
SCHEMA = "pingyao.evidence/1"


class Commitment(msgspec.Struct, frozen=True):
    """What the salted event hashes to, in hexadecimal.

    Attributes:
        sha256, sm3: hash of the salt followed by the event's JSON.
    """

    sha256: str
    sm3: str


class Cipher(msgspec.Struct, frozen=True):
    """How the event is kept.

    Attributes:
        alg: ``A256GCM``, with the event's key as associated data.
        sha256: hash of the ciphertext, by which it is found.
        size: its length in bytes.
        wrapped, readers: hashes of the event's wrapped key and of the batch key as wrapped for each reader:
            what is kept beside the log can be checked without any key.
    """

    alg: str
    sha256: str
    size: int
    wrapped: str
    readers: str


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry of the log, as its canonical JSON says it: members in order, no spaces, no fractions.

    Attributes:
        schema: what the entry is.
        key: the event's own name; an event is recorded once.
        member: who submits it.
        submitted_at: when it was sealed, by the submitter's clock.
        cipher: None where nothing is kept, and whoever holds the opening is all who can show it.

    Cites: RFC 8785 (of which this is the part without fractions).
    """

    schema: str
    key: str
    member: str
    submitted_at: datetime
    commitment: Commitment
    cipher: Cipher | None = None


class Sealed(msgspec.Struct, frozen=True):
    """A sealed event.

    Attributes:
        entry: bytes to be logged.
        cipher: the ciphertext.
        wrapped: the event's key, wrapped by the batch key.
    """

    entry: bytes
    cipher: bytes
    wrapped: bytes


class Opening(msgspec.Struct, frozen=True):
    """What shows that an entry stands for an event: whoever holds it can check it without any key.

    Attributes:
        salt: what the commitment was salted with.
        event: the event as JSON.
    """

    salt: bytes
    event: bytes


def seal(
    event: bytes, key: str, member: str, at: datetime, batch_key: bytes, readers: str
) -> Sealed:
    """Seals an event under a fresh key and salt; the readers are told by their digest."""
    salt, own = secrets.token_bytes(_SALT), AESGCM.generate_key(256)
    cipher = AESGCM(own).encrypt(_NONCE, salt + event, key.encode())
    wrapped = aes_key_wrap(batch_key, own)
    entry = Entry(
        SCHEMA,
        key,
        member,
        at,
        commit(salt, event),
        Cipher("A256GCM", _sha256(cipher), len(cipher), _sha256(wrapped), readers),
    )
    return Sealed(_canonical(entry), cipher, wrapped)


def commit_to(event: bytes, member: str, at: datetime) -> tuple[bytes, Opening]:
    """Makes an entry that only commits to an event; without the opening nobody can ever show it."""
    opening = Opening(secrets.token_bytes(_SALT), event)
    committed = commit(opening.salt, event)
    return _canonical(Entry(SCHEMA, secrets.token_hex(16), member, at, committed)), opening


def commit(salt: bytes, event: bytes) -> Commitment:
    """Returns the salted hashes of an event."""
    return Commitment(_sha256(salt + event), hashlib.new("sm3", salt + event).hexdigest())


def unseal(entry: bytes, cipher: bytes, wrapped: bytes, batch_key: bytes) -> Opening:
    """Opens a sealed event and checks it against its entry.

    Raises:
        IntegrityBroken: ciphertext, key or entry do not belong together.
    """
    told = read_entry(entry)
    if told.cipher is None or told.cipher.sha256 != _sha256(cipher):
        raise _broken("密文与存证条目不符")
    try:
        own = aes_key_unwrap(batch_key, wrapped)
        plain = AESGCM(own).decrypt(_NONCE, cipher, told.key.encode())
    except (InvalidUnwrap, InvalidTag, ValueError):
        raise _broken("密钥或密文已损坏") from None
    opening = Opening(plain[:_SALT], plain[_SALT:])
    check_opening(entry, opening)
    return opening


def check_opening(entry: bytes, opening: Opening) -> None:
    """Checks that an entry commits to the event shown.

    Raises:
        IntegrityBroken: it commits to another.
    """
    committed = commit(opening.salt, opening.event)
    if len(opening.salt) != _SALT or read_entry(entry).commitment != committed:
        raise _broken("所示事件与存证条目的承诺值不符")


def read_entry(entry: bytes) -> Entry:
    """Parses an entry of the log.

    Raises:
        IntegrityBroken: it is no sealed event.
    """
    try:
        told = msgspec.json.decode(entry, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _broken("该条目不是存证事件") from None
    if told.schema != SCHEMA or _canonical(told) != entry:
        raise _broken("该条目不是存证事件")
    return told


def wrap_for(recipients: Mapping[str, PublicKey], batch_key: bytes) -> dict[str, bytes]:
    """Wraps a batch key for each recipient by name."""
    return {
        name: public.encrypt(batch_key)
        if isinstance(public, Sm2PublicKey)
        else _HPKE.encrypt(batch_key, public, _INFO + name.encode())
        for name, public in recipients.items()
    }


def digest_readers(wrapped: Mapping[str, bytes]) -> str:
    """Returns the hash of a batch key as it is wrapped for each reader."""
    lines = (f"{name} {key.hex()}\n" for name, key in sorted(wrapped.items()))
    return _sha256("".join(lines).encode())


def check_kept(entry: Entry, cipher: bytes, wrapped: bytes | None, readers: str) -> None:
    """Checks that what is kept of an event is what its entry says; an erased one has no wrapped key.

    Raises:
        IntegrityBroken: something else is kept.
    """
    said = entry.cipher
    if said is None or (said.sha256, said.size) != (_sha256(cipher), len(cipher)):
        raise _broken("密文与存证条目不符")
    if said.readers != readers or (wrapped is not None and said.wrapped != _sha256(wrapped)):
        raise _broken("包裹的密钥与存证条目不符")


def unwrap(name: str, private: PrivateKey, wrapped: bytes) -> bytes:
    """Returns the batch key wrapped for a recipient.

    Raises:
        NotPermitted: it was wrapped for another key.
    """
    try:
        if isinstance(private, Sm2PrivateKey):
            key = private.decrypt(wrapped)
            if len(key) != _BATCH_KEY:
                raise ValueError("no batch key")
            return key
        return _HPKE.decrypt(wrapped, private, _INFO + name.encode())
    except (InvalidTag, ValueError):
        raise NotPermitted(
            "ledger.not_entitled", f"{name} 的密钥打不开这份存证", "请用封存时所列成员的密钥"
        ) from None


def _canonical(entry: Entry) -> bytes:
    return msgspec.json.encode(entry, order="sorted")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _broken(detail: str) -> IntegrityBroken:
    return IntegrityBroken("ledger.sealed_broken", detail, "请从备份或其他成员处取得原件后再核验")
