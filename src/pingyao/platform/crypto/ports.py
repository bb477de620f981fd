"""What a provider of cryptography offers: authenticated ciphers, block ciphers and hashes by name."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

Buffer: TypeAlias = bytes | bytearray | memoryview
Octets: TypeAlias = NDArray[np.uint8]

NONCE_BYTES = 12
TAG_BYTES = 16
BLOCK_BYTES = 16
KEY_BYTES: Mapping[str, tuple[int, ...]] = {
    "aes": (16, 24, 32),
    "sm4": (16,),
    "aes-256-gcm": (32,),
    "sm4-gcm": (16,),
}


class Aead(Protocol):
    """One key of an authenticated cipher in GCM; not to be shared by threads.

    The tag of 16 bytes follows the text. ``out`` is 16 bytes longer than the clear text in both
    directions.

    Cites: NIST SP 800-38D; RFC 8998 for SM4.
    """

    def encrypt(self, nonce: bytes, text: Buffer, aad: bytes, out: memoryview) -> None:
        """Writes text and tag to ``out``."""
        ...

    def decrypt(self, nonce: bytes, sealed: Buffer, aad: bytes, out: memoryview) -> None:
        """Writes the clear text to the front of ``out``, which holds nothing of use on failure.

        Raises:
            IntegrityBroken: wrong key, or something was altered.
        """
        ...


# Encrypts whole blocks, each for itself; the target has room for one block more than the source.
Blocks: TypeAlias = Callable[[Octets, Octets], None]
Digest: TypeAlias = Callable[[Buffer], bytes]


class Provider(msgspec.Struct, frozen=True):
    """One library's implementations, by algorithm.

    Attributes:
        version: of the library that does the work.
        aeads: ``aes-256-gcm``, ``sm4-gcm``.
        blocks: ``aes``, ``sm4``; AES by the length of the key.
        digests: ``sha256``, ``sm3``.
    """

    name: str
    version: str
    aeads: Mapping[str, Callable[[bytes], Aead]]
    blocks: Mapping[str, Callable[[bytes], Blocks]]
    digests: Mapping[str, Digest]


class BlockCipher(msgspec.Struct, frozen=True):
    """A block cipher of a provider, waiting for a key.

    Attributes:
        algorithm: ``aes`` or ``sm4``.
        provider: whose implementation it is.
        keyed: makes the cipher of one key.
    """

    algorithm: str
    provider: str
    keyed: Callable[[bytes], Blocks]
