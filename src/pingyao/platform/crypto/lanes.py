"""Many messages hashed at once: sixteen side by side, one in each lane of a vector.

A library hashes one message per call. With short ones the call costs more than the hash; with long
ones it works on one word where a vector holds sixteen, unless the processor knows the hash. There
is no secret-dependent branch or table here: the additions, rotations and choices are the same for
every key.

Cites: RFC 2104; FIPS 180-4 for SHA-256; GB/T 32905-2016 for SM3.
"""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import time
from functools import cache

import numpy as np
from numba import njit

from pingyao.platform.crypto import choose

LANES = 16
_BLOCK = 64
_WORDS = 16 * LANES  # where the message begins in the work


def _rotated(value: int, by: int) -> int:
    return (value << by | value >> (32 - by)) & 0xFFFFFFFF if by else value


# The constants of rounds: cube roots of primes for SHA-256, rotated words for SM3.
_SHA256_K = np.array(
    [
        *(0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4),
        *(0xAB1C5ED5, 0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE),
        *(0x9BDC06A7, 0xC19BF174, 0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F),
        *(0x4A7484AA, 0x5CB0A9DC, 0x76F988DA, 0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7),
        *(0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967, 0x27B70A85, 0x2E1B2138, 0x4D2C6DFC),
        *(0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85, 0xA2BFE8A1, 0xA81A664B),
        *(0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070, 0x19A4C116),
        *(0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3),
        *(0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7),
        0xC67178F2,
    ],
    np.uint32,
)
_SM3_T = np.array(
    [_rotated(0x79CC4519 if j < 16 else 0x7A879D8A, j % 32) for j in range(64)], np.uint32
)
_START = {
    "sha256": (
        *(0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A),
        *(0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19),
    ),
    "sm3": (
        *(0x7380166F, 0x4914B2B9, 0x172442D7, 0xDA8A0600),
        *(0xA96F30BC, 0x163138AA, 0xE38DEE4D, 0xB0FB0E4E),
    ),
}


def hmac_many(algorithm: str, key: bytes, data, offsets, rows):
    """Returns the HMAC of cells as rows of 32 bytes.

    Args:
        algorithm: ``sha256`` or ``sm3``.
        data: bytes of all cells.
        offsets: where each cell begins; one more than there are cells.
        rows: the cells wanted.
    """
    if len(key) > _BLOCK:
        key = choose.digest(algorithm)(key)
    padded = np.frombuffer(key.ljust(_BLOCK, b"\0"), np.uint8)
    sm3 = algorithm == "sm3"
    states = [_keyed(algorithm, padded ^ np.uint8(pad)) for pad in (0x36, 0x5C)]
    given = np.zeros((len(rows), 32), np.uint8)
    sizes = (offsets[rows + 1] - offsets[rows] + 8) // _BLOCK + 1
    for blocks in np.unique(sizes):
        some = np.flatnonzero(sizes == blocks)
        _hmac(sm3, data, offsets, rows[some], some, blocks, states[0], states[1], given, LANES)
    return given


def digest_rows(algorithm: str, rows, size: int) -> list[bytes]:
    """Returns the hashes of sixteen messages of one length.

    Args:
        algorithm: ``sha256`` or ``sm3``.
        rows: sixteen rows of bytes, each as long as `row_bytes` says; what is behind the messages is
            written over.
        size: of a message, in bytes.
    """
    rows[:, size:] = 0
    rows[:, size] = 0x80
    rows[:, -8:] = np.frombuffer((size * 8).to_bytes(8, "big"), np.uint8)
    work = np.zeros(_WORDS + 68 * LANES, np.uint32)
    work[:_WORDS] = np.repeat(np.array(_START[algorithm] * 2, np.uint32), LANES)
    _rows(algorithm == "sm3", rows.view(np.uint32), work, LANES)
    made = np.ascontiguousarray(work[: 8 * LANES].reshape(8, LANES).T).astype(">u4")
    return [row.tobytes() for row in made]


def row_bytes(size: int) -> int:
    """Returns how long the row of a message is, with its padding."""
    return (size + 8) // _BLOCK * _BLOCK + _BLOCK


@cache
def beats_provider(algorithm: str) -> bool:
    """Measures whether sixteen lanes hash more in a second than the provider; both must agree."""
    size = 1 << 14
    rows = np.arange(LANES * row_bytes(size), dtype=np.uint32).astype(np.uint8).reshape(LANES, -1)
    messages = [row[:size].tobytes() for row in rows]
    plain = choose.digest(algorithm)
    spent: list[float] = []
    for work in (lambda: [plain(m) for m in messages], lambda: digest_rows(algorithm, rows, size)):
        made, best = work(), float("inf")
        for _ in range(3):
            started = time.perf_counter()
            if work() != made:
                return False
            best = min(best, time.perf_counter() - started)
        spent.append(best)
    return spent[1] < spent[0] and digest_rows(algorithm, rows, size) == [
        plain(m) for m in messages
    ]


def _keyed(algorithm: str, block):
    """The states of all lanes after the block of the key."""
    work = np.zeros(_WORDS + 68 * LANES, np.uint32)
    work[:_WORDS] = np.repeat(np.array(_START[algorithm] * 2, np.uint32), LANES)
    work[_WORDS : _WORDS + 16 * LANES] = np.repeat(block.view(">u4").astype(np.uint32), LANES)
    _compress(algorithm == "sm3", work, LANES)
    return work[: 8 * LANES].copy()


@njit(cache=True, nogil=True, inline="always")
def _turn(x, n):
    x = np.uint32(x)
    return np.uint32(np.uint32(x << np.uint32(n)) | np.uint32(x >> np.uint32(32 - n)))


# Work lies in one array: eight rows of state, eight rows of the state before, then the rows of the
# message, a row holding one word of every lane. The number of lanes is an argument so that the
# compiler vectorises the loops over lanes instead of unrolling them.
@njit(cache=True, nogil=True)
def _compress(sm3, x, n):
    for i in range(8 * n):
        x[8 * n + i] = x[i]
    if sm3:
        _sm3(x, n)
        for i in range(8 * n):
            x[i] ^= x[8 * n + i]
    else:
        _sha256(x, n)
        for i in range(8 * n):
            x[i] += x[8 * n + i]


@njit(cache=True, nogil=True)
def _sm3(x, n):
    for j in range(16, 68):
        p = _WORDS + j * LANES
        for i in range(n):
            t = x[p - 256 + i] ^ x[p - 144 + i] ^ _turn(x[p - 48 + i], 15)
            t = t ^ _turn(t, 15) ^ _turn(t, 23)
            x[p + i] = t ^ _turn(x[p - 208 + i], 7) ^ x[p - 96 + i]
    for j in range(64):
        p = _WORDS + j * LANES
        t = _SM3_T[j]
        early = j < 16
        for i in range(n):
            a, b, c = x[i], x[16 + i], x[32 + i]
            e, f, g = x[64 + i], x[80 + i], x[96 + i]
            turned = _turn(a, 12)
            first = _turn(np.uint32(turned + e + t), 7)
            ff = a ^ b ^ c if early else (a & b) | (a & c) | (b & c)
            gg = e ^ f ^ g if early else (e & f) | (~e & g)
            w = x[p + i]
            one = np.uint32(ff + x[48 + i] + (first ^ turned) + (w ^ x[p + 64 + i]))
            two = np.uint32(gg + x[112 + i] + first + w)
            x[48 + i], x[32 + i], x[16 + i], x[i] = c, _turn(b, 9), a, one
            x[112 + i], x[96 + i], x[80 + i] = g, _turn(f, 19), e
            x[64 + i] = two ^ _turn(two, 9) ^ _turn(two, 17)


@njit(cache=True, nogil=True)
def _sha256(x, n):
    for j in range(16, 64):
        p = _WORDS + j * LANES
        for i in range(n):
            u, v = x[p - 240 + i], x[p - 32 + i]
            u = _turn(u, 25) ^ _turn(u, 14) ^ np.uint32(u >> np.uint32(3))
            v = _turn(v, 15) ^ _turn(v, 13) ^ np.uint32(v >> np.uint32(10))
            x[p + i] = np.uint32(x[p - 256 + i] + u + x[p - 112 + i] + v)
    for j in range(64):
        p = _WORDS + j * LANES
        t = _SHA256_K[j]
        for i in range(n):
            a, b, c = x[i], x[16 + i], x[32 + i]
            e, f, g = x[64 + i], x[80 + i], x[96 + i]
            high = _turn(e, 26) ^ _turn(e, 21) ^ _turn(e, 7)
            one = np.uint32(x[112 + i] + high + ((e & f) ^ (~e & g)) + t + x[p + i])
            low = _turn(a, 30) ^ _turn(a, 19) ^ _turn(a, 10)
            two = np.uint32(low + ((a & b) ^ (a & c) ^ (b & c)))
            x[112 + i], x[96 + i], x[80 + i] = g, f, e
            x[64 + i] = np.uint32(x[48 + i] + one)
            x[48 + i], x[32 + i], x[16 + i], x[i] = c, b, a, np.uint32(one + two)


@njit(cache=True, nogil=True)
def _rows(sm3, words, x, n):
    """Hashes the rows, whose words are little-endian as the machine has them."""
    for at in range(0, words.shape[1], 16):
        for i in range(16):
            for lane in range(n):
                v = words[lane, at + i]
                high = (v << np.uint32(24)) | ((v & np.uint32(0xFF00)) << np.uint32(8))
                low = ((v >> np.uint32(8)) & np.uint32(0xFF00)) | (v >> np.uint32(24))
                x[_WORDS + i * LANES + lane] = high | low
        _compress(sm3, x, n)


@njit(cache=True, nogil=True)
def _hmac(sm3, data, offsets, rows, places, blocks, inner, outer, given, n):
    """Works on sixteen cells at a time, all of the same number of blocks."""
    x = np.zeros(_WORDS + 68 * LANES, np.uint32)
    for begin in range(0, len(rows), LANES):
        count = min(LANES, len(rows) - begin)
        x[: 8 * LANES] = inner
        for block in range(blocks):
            for lane in range(count):
                row = rows[begin + lane]
                _fill(x, lane, data, offsets[row], offsets[row + 1], block, block == blocks - 1)
            _compress(sm3, x, n)
        for i in range(8 * LANES):
            x[_WORDS + i] = x[i]
        x[_WORDS + 8 * LANES : _WORDS + 16 * LANES] = 0
        for lane in range(LANES):
            x[_WORDS + 8 * LANES + lane] = np.uint32(0x80000000)
            x[_WORDS + 15 * LANES + lane] = np.uint32((_BLOCK + 32) * 8)
        x[: 8 * LANES] = outer
        _compress(sm3, x, n)
        for lane in range(count):
            out = given[places[begin + lane]]
            for i in range(8):
                word = x[i * LANES + lane]
                for k in range(4):
                    out[4 * i + k] = np.uint8(word >> np.uint32(24 - 8 * k))


@njit(cache=True, nogil=True)
def _fill(x, lane, data, start, end, block, last):
    """Puts a block of a cell, padded where it ends, into its lane."""
    at = start + block * _BLOCK
    for i in range(16):
        word = np.uint32(0)
        here = at + 4 * i
        if here + 4 <= end:
            word = (
                np.uint32(data[here]) << np.uint32(24)
                | np.uint32(data[here + 1]) << np.uint32(16)
                | np.uint32(data[here + 2]) << np.uint32(8)
                | np.uint32(data[here + 3])
            )
        elif here <= end:
            for k in range(4):
                octet = np.uint32(0)
                if here + k < end:
                    octet = np.uint32(data[here + k])
                elif here + k == end:
                    octet = np.uint32(0x80)
                word |= octet << np.uint32(24 - 8 * k)
        x[_WORDS + i * LANES + lane] = word
    if last:
        bits = (end - start + _BLOCK) * 8
        x[_WORDS + 14 * LANES + lane] = np.uint32(bits >> 32)
        x[_WORDS + 15 * LANES + lane] = np.uint32(bits & 0xFFFFFFFF)
