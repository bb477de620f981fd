"""Known answers: what a provider must get right before it is used.

Cites: FIPS 197 Appendix C; the GCM specification's test case 16; GB/T 32907-2016 A.1; RFC 8998 A.1;
FIPS 180-4; GB/T 32905-2016 A.1 and A.2.
"""

from itertools import pairwise

import numpy as np

from pingyao.kernel.errors import IntegrityBroken
from pingyao.platform.crypto.ports import TAG_BYTES, Aead, Blocks, Provider

_SM4_KEY = "0123456789abcdeffedcba9876543210"
_AES_KEY = bytes(range(32)).hex()
_AES_TEXT = "00112233445566778899aabbccddeeff"
_AAD = "feedfacedeadbeeffeedfacedeadbeefabaddad2"

# algorithm, key, clear block, encrypted block
BLOCKS = (
    ("aes", _AES_KEY[:32], _AES_TEXT, "69c4e0d86a7b0430d8cdb78070b4c55a"),
    ("aes", _AES_KEY[:48], _AES_TEXT, "dda97ca4864cdfe06eaf70a0ec0d7191"),
    ("aes", _AES_KEY, _AES_TEXT, "8ea2b7ca516745bfeafc49904b496089"),
    ("sm4", _SM4_KEY, _SM4_KEY, "681edf34d206965e86b3e94f536e4246"),
)
# algorithm, key, nonce, additional data, clear text, text and tag
AEADS = (
    (
        "aes-256-gcm",
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        "cafebabefacedbaddecaf888",
        _AAD,
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
    ),
    (
        "sm4-gcm",
        _SM4_KEY,
        "00001234567800000000abcd",
        _AAD,
        "".join(c * 16 for c in "abcdefea"),
        "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
        "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
        "83de3541e4c2b58177e065a9bf7b62ec",
    ),
)
# algorithm, data, digest
DIGESTS = (
    ("sha256", "616263", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ("sm3", "616263", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
    ("sm3", "61626364" * 16, "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"),
)


def check(provider: Provider) -> list[str]:
    """Returns the algorithms whose known answers a provider misses."""
    missed: list[str] = []
    for algorithm, key, clear, sealed in BLOCKS:
        if algorithm in provider.blocks and not _block(
            provider.blocks[algorithm](_of(key)), _of(clear), _of(sealed)
        ):
            missed.append(algorithm)
    for algorithm, key, *rest in AEADS:
        if algorithm in provider.aeads and not _aead(
            provider.aeads[algorithm](_of(key)), *map(_of, rest)
        ):
            missed.append(algorithm)
    for algorithm, data, wanted in DIGESTS:
        if algorithm in provider.digests and provider.digests[algorithm](_of(data)) != _of(wanted):
            missed.append(algorithm)
    return missed


def _of(text: str) -> bytes:
    return bytes.fromhex(text)


def _block(encrypt: Blocks, clear: bytes, sealed: bytes) -> bool:
    """Looks at one block and at many: libraries take other ways for many."""
    return all(
        _encrypted(encrypt, clear * count) == sealed * count for count in (1, 2, 15, 16, 17, 64)
    )


def _encrypted(encrypt: Blocks, text: bytes) -> bytes:
    target = np.empty(len(text) + 16, np.uint8)
    encrypt(np.frombuffer(text, np.uint8), target)
    return target[: len(text)].tobytes()


def _aead(cipher: Aead, nonce: bytes, aad: bytes, clear: bytes, sealed: bytes) -> bool:
    out = bytearray(len(sealed))
    cipher.encrypt(nonce, clear, aad, memoryview(out))
    if bytes(out) != sealed:
        return False
    cipher.decrypt(nonce, sealed, aad, memoryview(out))
    if bytes(out[:-TAG_BYTES]) != clear:
        return False
    altered = bytes([sealed[0] ^ 1]) + sealed[1:]
    try:
        cipher.decrypt(nonce, altered, aad, memoryview(out))
    except IntegrityBroken:
        return True
    return False


def agree(providers: list[Provider], algorithm: str) -> bool:
    """Tells whether providers give the same for a text long enough to take their fast ways."""
    text = np.arange(1 << 16, dtype=np.uint32).astype(np.uint8)
    given: list[bytes] = []
    for each in providers:
        if algorithm in each.blocks:
            given.append(_encrypted(each.blocks[algorithm](bytes(range(16))), text.tobytes()))
        elif algorithm in each.aeads:
            cipher = each.aeads[algorithm](bytes(range(32 if "256" in algorithm else 16)))
            out = bytearray(len(text) + TAG_BYTES)
            cipher.encrypt(bytes(12), text.data, b"", memoryview(out))
            given.append(bytes(out))
        else:
            given.append(each.digests[algorithm](text.data))
    return all(a == b for a, b in pairwise(given))
