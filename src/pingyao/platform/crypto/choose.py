"""Which provider does what: those that give the known answers and agree, then the fastest measured."""

import time
from collections.abc import Callable
from functools import cache

import msgspec
import numpy as np

from pingyao.kernel.errors import IntegrityBroken, Unsupported
from pingyao.platform.crypto import gcrypt, known, plain
from pingyao.platform.crypto.ports import (
    KEY_BYTES,
    NONCE_BYTES,
    TAG_BYTES,
    Aead,
    BlockCipher,
    Digest,
    Provider,
)

ALGORITHMS = ("aes-256-gcm", "sm4-gcm", "aes", "sm4", "sha256", "sm3")
# Long enough to tell providers apart, short enough that nobody notices: two milliseconds at most.
_MEASURED_BYTES = 1 << 16
_ROUNDS = 3


class Choice(msgspec.Struct, frozen=True):
    """Which provider an algorithm is left to, and why.

    Attributes:
        provider: the one in use.
        rates: bytes per second of each provider fit for use, as measured in this process.
        unfit: providers that missed a known answer and are not used.
    """

    algorithm: str
    provider: str
    rates: dict[str, float]
    unfit: tuple[str, ...] = ()


@cache
def providers() -> tuple[Provider, ...]:
    """Returns the providers of this machine, the plain one first."""
    fast = gcrypt.load()
    return (plain.provider(), fast) if fast else (plain.provider(),)


@cache
def _missed(name: str) -> frozenset[str]:
    return frozenset(known.check(next(p for p in providers() if p.name == name)))


@cache
def choice(algorithm: str) -> Choice:
    """Returns which provider does an algorithm: known answers first, then speed.

    Raises:
        Unsupported: no provider has it.
        IntegrityBroken: no provider does it right, or two that should agree do not.
    """
    able = [p for p in providers() if algorithm in (*p.aeads, *p.blocks, *p.digests)]
    if not able:
        raise Unsupported(
            "crypto.unknown_algorithm", f"没有算法“{algorithm}”", f"可用：{'、'.join(ALGORITHMS)}"
        )
    fit = [p for p in able if algorithm not in _missed(p.name)]
    if not fit or not known.agree(fit, algorithm):
        raise IntegrityBroken(
            "crypto.self_test",
            f"密码算法 {algorithm} 自检未通过，已停止使用",
            "请核对 libgcrypt 与 cryptography 的安装来源与版本，重新安装后再试",
        )
    rates = {p.name: _rate(_work(p, algorithm)) for p in fit}
    best = max(rates, key=lambda name: rates[name])
    return Choice(algorithm, best, rates, tuple(p.name for p in able if p not in fit))


def _chosen(algorithm: str, provider: str | None) -> Provider:
    name = provider or choice(algorithm).provider
    return next(p for p in providers() if p.name == name)


def _keyed(algorithm: str, key: bytes) -> None:
    if len(key) not in KEY_BYTES[algorithm]:
        raise Unsupported(
            "crypto.key_length",
            f"{algorithm} 的密钥应为 {' 或 '.join(map(str, KEY_BYTES[algorithm]))} 字节",
            "请核对密钥的种类",
        )


def aead(algorithm: str, key: bytes, provider: str | None = None) -> Aead:
    """Returns an authenticated cipher with its key; one for each thread.

    Raises:
        Unsupported: unknown algorithm, or a key of another length.
    """
    found = _chosen(algorithm, provider).aeads[algorithm]
    _keyed(algorithm, key)
    return found(key)


def block_cipher(algorithm: str, provider: str | None = None) -> BlockCipher:
    """Returns ``aes`` or ``sm4``, waiting for a key."""
    chosen = _chosen(algorithm, provider)

    def keyed(key: bytes):
        _keyed(algorithm, key)
        return chosen.blocks[algorithm](key)

    return BlockCipher(algorithm, chosen.name, keyed)


def digest(algorithm: str, provider: str | None = None) -> Digest:
    """Returns ``sha256`` or ``sm3``."""
    return _chosen(algorithm, provider).digests[algorithm]


def seal(algorithm: str, key: bytes, nonce: bytes, text: bytes, aad: bytes = b"") -> bytes:
    """Encrypts something short; the tag follows it."""
    out = bytearray(len(text) + TAG_BYTES)
    aead(algorithm, key).encrypt(nonce, text, aad, memoryview(out))
    return bytes(out)


def unseal(algorithm: str, key: bytes, nonce: bytes, sealed: bytes, aad: bytes = b"") -> bytes:
    """Decrypts something short.

    Raises:
        IntegrityBroken: wrong key, or something was altered.
    """
    out = bytearray(max(len(sealed), TAG_BYTES))
    aead(algorithm, key).decrypt(nonce, sealed, aad, memoryview(out))
    return bytes(out[: len(sealed) - TAG_BYTES])


def _work(provider: Provider, algorithm: str) -> Callable[[], object]:
    text = np.zeros(_MEASURED_BYTES, np.uint8)
    out = np.empty(_MEASURED_BYTES + TAG_BYTES, np.uint8)
    if algorithm in provider.aeads:
        cipher = provider.aeads[algorithm](bytes(KEY_BYTES[algorithm][-1]))
        return lambda: cipher.encrypt(bytes(NONCE_BYTES), text.data, b"", out.data)
    if algorithm in provider.blocks:
        encrypt = provider.blocks[algorithm](bytes(KEY_BYTES[algorithm][-1]))
        return lambda: encrypt(text, out)
    return lambda: provider.digests[algorithm](text.data)


def _rate(work: Callable[[], object]) -> float:
    work()
    best = float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return _MEASURED_BYTES / best
