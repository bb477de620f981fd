"""Keys from passphrases and from other keys."""

import os
import unicodedata

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256, SM3
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pingyao.kernel.errors import IntegrityBroken

_SALT_BYTES = 16
_HASHES = {"sha256": SHA256, "sm3": SM3}
# A hostile file must not make us fill the memory or wait for ever.
_MOST_MEMORY_KIB = 1 << 20
_MOST_ITERATIONS = 64
_MOST_LANES = 64


class Stretch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a passphrase becomes a key: Argon2id, 64 MiB thrice by default.

    Cites: RFC 9106, 4 (second recommended option).
    """

    salt: bytes
    iterations: int = 3
    lanes: int = 4
    memory_kib: int = 1 << 16


def stretch() -> Stretch:
    """Returns the default with fresh salt."""
    return Stretch(os.urandom(_SALT_BYTES))


def from_passphrase(passphrase: str, how: Stretch, length: int = 32) -> bytes:
    """Derives a key; the passphrase is normalised (NFKC), so that every keyboard types the same.

    Raises:
        IntegrityBroken: the parameters are out of all bounds.
    """
    bounded = (
        len(how.salt) == _SALT_BYTES
        and 1 <= how.iterations <= _MOST_ITERATIONS
        and 1 <= how.lanes <= _MOST_LANES
        and 8 * how.lanes <= how.memory_kib <= _MOST_MEMORY_KIB
    )
    if not bounded:
        raise IntegrityBroken(
            "crypto.bad_stretch", "口令派生参数超出合理范围", "文件已损坏或被改动，请从备份恢复"
        )
    return Argon2id(
        salt=how.salt,
        length=length,
        iterations=how.iterations,
        lanes=how.lanes,
        memory_cost=how.memory_kib,
    ).derive(unicodedata.normalize("NFKC", passphrase).encode())


def from_key(
    key: bytes, purpose: str, salt: bytes = b"", length: int = 32, hashed_by: str = "sha256"
) -> bytes:
    """Derives a key for one purpose from a key: HKDF over ``sha256`` or ``sm3``.

    Cites: RFC 5869.
    """
    return HKDF(_HASHES[hashed_by](), length, salt or None, f"pingyao/{purpose}".encode()).derive(
        key
    )


def mac(key: bytes, data: bytes, hashed_by: str = "sha256") -> bytes:
    """Returns the HMAC of data over ``sha256`` or ``sm3`` (Cites: RFC 2104)."""
    state = HMAC(key, _HASHES[hashed_by]())
    state.update(data)
    return state.finalize()
