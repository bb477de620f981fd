"""FF1 over numbers, batch by batch: format-preserving encryption of ``a·radix^v + b``.

The pseudo-random function of a round reads only one half and constants, and its constants fill whole
blocks before the last one; so each value costs one block call a round whatever the tweak is. The
rounds are compiled integer work over a tile that stays in the cache, with one call of the block
cipher for all of the tile.

Cites: NIST SP 800-38G (2016), 6.2 and Algorithms 7 and 8; the least domain of one million is that
of the second draft of its revision 1 (2025).
"""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pingyao.kernel.errors import Unsupported
from pingyao.platform.crypto.ports import BLOCK_BYTES, Blocks

LEAST_DOMAIN = 1_000_000
_MOST_HALF = 1 << 63
_ROUNDS = 10
_TILE = 2048
# A number that goes with each row into the tweak takes seven bytes.
KEPT_BYTES = 7

Numbers = NDArray[np.uint64]


def encryptable(radix: int, length: int) -> bool:
    """Tells whether strings of a radix and length are many enough, and short enough."""
    return radix**length >= LEAST_DOMAIN and radix ** (length - length // 2) < _MOST_HALF


class Feistel:
    """FF1 with one key, tweak, radix and length.

    Args:
        encrypt: a block cipher with its key.
        radix: 2–65536.
        length: of the strings, in characters of the radix.
        tweak: of the column; a number kept beside each row can be bound in, see `apply`.
        bound: whether there is such a number. The tweak of a row is then the column's tweak,
            zeros, the number in seven bytes and zeros, so long that it fills its blocks.

    Raises:
        Unsupported: the domain is under one million, or a half of it over 2^63.
    """

    def __init__(
        self, encrypt: Blocks, radix: int, length: int, tweak: bytes, *, bound: bool = False
    ) -> None:
        if length < 2 or not 2 <= radix <= 1 << 16 or radix**length < LEAST_DOMAIN:
            raise Unsupported(
                "protect.small_domain",
                f"可加密部分只有 {radix}^{length} 种取值，少于一百万，保格式加密不足以保密",
                "请改用令牌、屏蔽或删除",
            )
        u = length // 2
        v = length - u
        if radix**v >= _MOST_HALF:
            raise Unsupported(
                "protect.long_value", f"{radix} 进制下 {length} 位过长", "请改用令牌或整体加密"
            )
        self._encrypt = encrypt
        self.halves = (radix**u, radix**v)
        self._width = ((radix**v - 1).bit_length() + 7) // 8
        if bound:
            # The number comes to stand first in the last block, before the round and the half.
            tweak += bytes(-len(tweak) % BLOCK_BYTES + KEPT_BYTES + 8 - self._width)
        head = bytes([1, 2, 1, *radix.to_bytes(3, "big"), 10, u % 256])
        head += length.to_bytes(4, "big") + len(tweak).to_bytes(4, "big")
        rest = tweak + bytes(-(len(tweak) + self._width + 1) % BLOCK_BYTES)
        tail = rest[len(rest) // BLOCK_BYTES * BLOCK_BYTES :]
        chain = self._chain(head + rest[: len(rest) - len(tail)])
        last = bytes(x ^ y for x, y in zip(chain, tail.ljust(BLOCK_BYTES, b"\0"), strict=True))
        # The constant part of the last block, as two numbers; round and half are put in over it.
        self._high = np.uint64(int.from_bytes(last[:8], "big"))
        self._low = np.uint64(int.from_bytes(last[8:], "big"))

    def _chain(self, blocks: bytes) -> bytes:
        """CBC-MAC of the constant blocks."""
        state = np.zeros(BLOCK_BYTES, np.uint8)
        out = np.zeros(2 * BLOCK_BYTES, np.uint8)
        for block in np.frombuffer(blocks, np.uint8).reshape(-1, BLOCK_BYTES):
            self._encrypt(state ^ block, out)
            state = out[:BLOCK_BYTES].copy()
        return state.tobytes()

    def apply(self, a: Numbers, b: Numbers, kept: Numbers, *, decrypt: bool = False) -> None:
        """Encrypts or decrypts pairs of halves in place.

        Args:
            a: first halves, less than ``halves[0]``.
            b: second halves, less than ``halves[1]``.
            kept: a number under 2^56 bound to each row; empty where nothing is bound.
        """
        text = np.empty(_TILE * BLOCK_BYTES, np.uint8)
        out = np.empty((_TILE + 1) * BLOCK_BYTES, np.uint8)
        for start in range(0, len(a), _TILE):
            end = min(start + _TILE, len(a))
            self._tile((a[start:end], b[start:end]), kept[start:end], text, out, decrypt=decrypt)

    def _tile(self, pair, kept, text, out, *, decrypt: bool) -> None:
        size = len(pair[0]) * BLOCK_BYTES
        words, out_words = text[:size].view(np.uint64), out[:size].view(np.uint64)
        constant = (kept, self._high, self._low, self._width)
        order = range(_ROUNDS - 1, -1, -1) if decrypt else range(_ROUNDS)
        _fill(pair[1 - order[0] % 2], words, *constant, order[0])
        for i in order:
            self._encrypt(text[:size], out)
            following = i - 1 if decrypt else i + 1
            half = np.uint64(self.halves[i % 2])
            _turn(pair[i % 2], out_words, words, *constant, half, decrypt, following)


@njit(cache=True, nogil=True, inline="always")
def _swap(x):
    """Reverses the bytes of a word: blocks are big-endian."""
    x = ((x >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)) | (
        (x & np.uint64(0x00FF00FF00FF00FF)) << np.uint64(8)
    )
    x = ((x >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)) | (
        (x & np.uint64(0x0000FFFF0000FFFF)) << np.uint64(16)
    )
    return (x >> np.uint64(32)) | (x << np.uint64(32))


@njit(cache=True, nogil=True, inline="always")
def _round_words(high, low, width, i):
    """Puts the number of the round before the half."""
    if width == 8:
        return high ^ np.uint64(i & 255), low
    return high, low ^ (np.uint64(i & 255) << np.uint64(8 * width))


@njit(cache=True, nogil=True)
def _fill(half, words, kept, high, low, width, i):
    """Writes the blocks of a round from the half it reads."""
    high, low = _round_words(high, low, width, i)
    bound = len(kept) > 0
    for k in range(len(half)):
        first = high ^ (kept[k] << np.uint64(8)) if bound else high
        words[2 * k] = _swap(first)
        words[2 * k + 1] = _swap(low ^ half[k])


@njit(cache=True, nogil=True, error_model="numpy")
def _turn(half, out, words, kept, high, low, width, modulus, decrypt, following):
    """Adds what the cipher gave to a half, or takes it away, and writes the next round's blocks."""
    high, low = _round_words(high, low, width, following)
    bound = len(kept) > 0
    wide = width > 4  # twelve bytes of output count instead of eight
    step = np.uint64(32)
    while modulus > np.uint64(1) << (np.uint64(64) - step):
        step >>= np.uint64(1)
    mask = (np.uint64(1) << step) - np.uint64(1)
    for k in range(len(half)):
        y = _swap(out[2 * k]) % modulus
        if wide:
            rest = _swap(out[2 * k + 1]) >> np.uint64(32)
            left = np.uint64(32)
            while left > np.uint64(0):
                left -= step
                y = ((y << step) | ((rest >> left) & mask)) % modulus
        x = half[k]
        if decrypt:
            x = x - y if x >= y else x + modulus - y
        else:
            x += y
            if x >= modulus:
                x -= modulus
        half[k] = x
        first = high ^ (kept[k] << np.uint64(8)) if bound else high
        words[2 * k] = _swap(first)
        words[2 * k + 1] = _swap(low ^ x)
