"""The one pass over a column's bytes: what each cell looks like, and what stands inside it."""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pingyao.classify.rules.values.shapes import (
    BITS,
    ENDING,
    KNOWN,
    MASKED,
    of_decimal,
    of_digits,
    of_letters,
    of_marks,
    of_mixed,
    of_name,
)
from pingyao.platform import checks
from pingyao.platform.lanes import (
    WIDTH,
    byte,
    first_one,
    folded,
    low,
    ones,
    other,
    plain,
    word,
)
from pingyao.platform.spans import find, worth

WHOLES = ("id", "card_ok", "uscc_ok", "mobile", "email", "landline", "plate", "lei_ok")
"""Counters of cells that are an identifier of `SPANS`, in its order."""
_WHOLE_BITS = np.array([BITS[name] for name in WHOLES], np.uint64)
_IDENTIFIERS = np.bitwise_or.reduce(_WHOLE_BITS)
SKETCH = 256
FIRST = 10
# A distinct cell is told by its beginning.
_HASHED = 4096
_K1, _K2, _K3 = (np.uint64(k) for k in (0x9E3779B97F4A7C15, 0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3))


def _packed(text: str) -> int:
    return int.from_bytes(text.encode(), "big")


_NOTHING = tuple(
    _packed(w) for w in ("-", "--", "/", "无", "空", "n/a", "na", "null", "none", "nan", "\\n")
)


@njit(cache=True, nogil=True)
def _hash(data: int, brim: int, start: int, end: int) -> np.uint64:
    """Hashes a cell, sixteen bytes at a time; its end is read twice where it is no sixteen."""
    size = min(end - start, _HASHED)
    value = np.uint64(size) * _K1
    at, stop = start, start + size
    while at + 16 < stop:
        value = folded(word(data, at) ^ _K2, word(data, at + 8) ^ value)
        at += 16
    if size >= 16:
        one, two = word(data, stop - 16), word(data, stop - 8)
    elif size >= 8:
        one, two = word(data, start), word(data, stop - 8)
    else:
        one = two = np.uint64(0)
        if start <= brim:
            one = word(data, start) & low(8 * size)
        else:
            for i in range(size):
                one |= np.uint64(byte(data, start + i)) << np.uint64(8 * i)
    return folded(folded(one ^ _K2, two ^ value) ^ _K1, _K3)


@njit(cache=True, nogil=True)
def _keep(sketch: NDArray[np.uint64], filled: int, value: np.uint64) -> int:
    """Inserts a hash into the sorted smallest ones; returns how many are kept."""
    at = np.searchsorted(sketch[:filled], value)
    if at < filled and sketch[at] == value:
        return filled
    if filled < len(sketch):
        filled += 1
    for i in range(filled - 1, at, -1):
        sketch[i] = sketch[i - 1]
    sketch[at] = value
    return filled


@njit(cache=True, nogil=True)
def _says_nothing(data: int, start: int, size: int) -> bool:
    r"""Tells a word for nothing: - -- / 无 空 N/A NA NULL None nan and ``\N``."""
    packed = 0
    for i in range(size):
        char = byte(data, start + i)
        packed = packed << 8 | (char | 32 if 65 <= char <= 90 else char)
    return packed in _NOTHING


@njit(cache=True, nogil=True)
def _scale(data: int, start: int, end: int) -> int:
    """Returns a whole number as its length in bits and its eight highest: order without value."""
    value = checks.number(data, start, end)
    shift = 0
    while value >> shift > 255:
        shift += 1
    return shift << 8 | value >> shift


@njit(cache=True, nogil=True)
def scan(
    data: int,
    brim: int,
    tail: int,
    offsets: NDArray[np.int64],
    validity: int,
    first_bit: int,
    first_row: int,
    table: int,
    endings: NDArray[np.int64],
    counts: NDArray[np.int64],
    inside: NDArray[np.int64],
    firsts: NDArray[np.int64],
    wholes: NDArray[np.int64],
    told: NDArray[np.int64],
    sketch: NDArray[np.uint64],
) -> tuple[int, int, int, int, int, int, int, int]:
    """Scans all cells of a column.

    Args:
        data, offsets: address of the bytes, and where in them cells begin and end, as in Arrow.
        brim, tail: 64 bytes can be read at ``data`` up to ``brim``, and beyond it at ``tail``.
        validity: address of Arrow's bits from ``first_bit`` on; 0 when no cell is null.
        table: address of the bits of Han characters by code point; ``endings`` the sorted last six
            bytes of organisations' names.
        counts: one counter per `COUNTERS`, added to.
        inside: per `SPANS` type, inside cells: found, passed, rows; ``firsts`` its first rows.
        wholes: per `WHOLES` counter, the first rows of cells that are nothing else; ``told`` how
            many.
        sketch: the smallest hashes of distinct cells, written.

    Returns:
        nulls, blanks, cells, shortest and longest cell in bytes, sketch entries, and the scale of
        the first and the last cell if all were whole numbers that never fell, else -1.
    """
    nulls = blanks = cells = filled = 0
    shortest, longest = 1 << 62, 0
    lowest = highest = -1
    rising = True
    held = np.empty(24, np.uint8)
    room = held.ctypes.data
    lately = np.zeros(256, np.uint64)
    fresh = _IDENTIFIERS
    for row in range(len(offsets) - 1):
        if validity:
            bit = first_bit + row
            if not (byte(validity, bit >> 3) >> (bit & 7)) & 1:
                nulls += 1
                continue
        start, end = offsets[row], offsets[row + 1]
        while start < end and byte(data, start) <= 32:
            start += 1
        while end > start and byte(data, end - 1) <= 32:
            end -= 1
        size = end - start
        if size == 0 or (size <= 4 and _says_nothing(data, start, size)):
            blanks += 1
            continue
        cells += 1
        shortest, longest = min(shortest, size), max(longest, size)
        value = _hash(data, brim, start, end)
        slot = np.int64(value & np.uint64(255))
        if lately[slot] != value:
            lately[slot] = value
            if filled < SKETCH or value < sketch[filled - 1]:
                filled = _keep(sketch, filled, value)
        digits = letters = 0
        at = start
        while at < end:
            p = plain(data, at) if at <= brim else plain(tail, at - brim)
            kept = low(min(end - at, WIDTH))
            digits += ones(p[0] & kept)
            letters += ones((p[1] | p[2]) & kept)
            at += WIDTH
        if rising:
            if digits == size and size <= 18:
                scale = _scale(data, start, end)
                rising = scale >= highest
                highest = scale
                if lowest < 0:
                    lowest = scale
            else:
                rising = False
        if digits == size:
            bits = of_digits(data, start, end) | KNOWN
        elif digits + letters == size:
            bits = of_letters(data, start, end, letters) | KNOWN
        else:
            han = high = stars = dots = ats = dot = 0
            at = start
            while at < end:
                m = other(data, at) if at <= brim else other(tail, at - brim)
                kept = low(min(end - at, WIDTH))
                han += ones(m[0] & kept)
                high += ones(m[1] & kept)
                stars += ones(m[2] & kept)
                dots += ones(m[3] & kept)
                ats += ones(m[4] & kept)
                dot = at + first_one(m[3])
                at += WIDTH
            if high:
                bits = of_mixed(data, start, end, digits, letters, han, table)
                if bits & ENDING:
                    bits = of_name(data, start, end, han, table, endings) | (bits & ~ENDING)
            elif dots == 1 and digits + 1 == size and size <= 19:
                bits = of_decimal(dot - start, end - dot - 1)
            else:
                bits = of_marks(data, start, end, digits, letters, dots, ats, room)
            if stars >= 3:
                bits |= MASKED
            # The shortest that can be found: two groups of three digits, a plate, a@b.c.
            some = digits + letters >= 6 or ats > 0
            some = some and not bits & KNOWN
            if some and (size > WIDTH or worth(data, brim, tail, start, end)):
                find(data, brim, tail, start, end, first_row + row, table, room, inside, firsts)
        if bits & fresh:
            fresh = _first_rows(bits, fresh, first_row + row, wholes, told)
        bits &= ~KNOWN
        while bits:
            counts[first_one(bits)] += 1
            bits &= bits - np.uint64(1)
    if not rising:
        lowest = highest = -1
    return nulls, blanks, cells, shortest, longest, filled, lowest, highest


@njit(cache=True, nogil=True)
def _first_rows(
    bits: np.uint64, fresh: np.uint64, row: int, firsts: NDArray[np.int64], told: NDArray[np.int64]
) -> np.uint64:
    """Notes the row of an identifier; returns which identifiers are still to be noted."""
    for i in range(len(WHOLES)):
        if bits & fresh & _WHOLE_BITS[i]:
            firsts[i, told[i]] = row
            told[i] += 1
            if told[i] == firsts.shape[1]:
                fresh &= ~_WHOLE_BITS[i]
    return fresh
