"""Identifiers inside longer text, found 44 bytes at a time.

Only ASCII letters and digits make a run, so a number that touches Chinese characters is found as
well. What counts is defined by place alone, never by what was found before:

- a run with seven digits in a row somewhere, or of twenty characters, is judged by its length,
  unless it stands before ``@``;
- groups of digits, each of three at least, parted by one blank, hyphen or bracket are judged
  together from the first: 3-4-4 as a mobile number, 6-8-4 as an ID number, 4-4-4-4 and up to three
  more as a card, 3-8, 4-7 and 4-8 as a fixed-line number;
- every ``@`` is judged by what stands around it, every capital letter after a province by what
  follows.
"""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pingyao.platform.checks import bank_card, id_card, landline, lei, mobile, uscc
from pingyao.platform.lanes import (
    WIDTH,
    byte,
    first_one,
    low,
    other,
    plain,
    put,
)

SPANS = (
    *("id_card_no", "bank_card_no", "uscc", "mobile", "email", "landline", "vehicle_plate"),
    "lei",
)
ID, CARD, USCC, MOBILE, EMAIL, LANDLINE, PLATE, LEI = range(len(SPANS))
PROVINCE = 4
"""Bit of the table of Han characters: short names of provinces, as on plates."""
_STEP = WIDTH - 20
_LONGEST_LOCAL = 64
_LONGEST_DOMAIN = 253


@njit(cache=True, nogil=True)
def code_point(data: int, at: int) -> int:
    """Returns the character of three UTF-8 bytes."""
    return (byte(data, at) & 15) << 12 | (byte(data, at + 1) & 63) << 6 | (byte(data, at + 2) & 63)


@njit(cache=True, nogil=True)
def _copy(data: int, start: int, end: int, room: int, to: int) -> None:
    for i in range(end - start):
        put(room, to + i, byte(data, start + i))


@njit(cache=True, nogil=True)
def _digit(char: int) -> bool:
    return 48 <= char <= 57


@njit(cache=True, nogil=True)
def _alnum(char: int) -> bool:
    return 48 <= char <= 57 or 65 <= char <= 90 or 97 <= char <= 122


@njit(cache=True, nogil=True)
def judge(data: int, start: int, end: int) -> int:
    """Judges one run: returns a place in `SPANS` times two, plus one when the check fits; or -1."""
    size = end - start
    if size == 11 or size == 13:
        return MOBILE * 2 + 1 if mobile(data, start, end) else -1
    if size == 18:
        shape = id_card(data, start, end)
        if shape:
            return ID * 2 + (shape == 2)
        if uscc(data, start, end) == 2:
            return USCC * 2 + 1
    if 15 <= size <= 19:
        shape = bank_card(data, start, end)
        return CARD * 2 + (shape == 2) if shape else -1
    if size == 20 and lei(data, start, end) == 2:
        return LEI * 2 + 1
    return -1


@njit(cache=True, nogil=True)
def parted(data: int, first: int, gap: int, end: int, room: int) -> int:
    """Judges the groups of digits around their first gap, like `judge`.

    Args:
        first, end: bounds of the cell.
        gap: place of what parts the first two groups.
        room: address of 24 bytes, where groups are put together.
    """
    mark = byte(data, gap)
    left = gap
    while left > first and _digit(byte(data, left - 1)):
        left -= 1
    if left > first:
        before = byte(data, left - 1)
        if _alnum(before) or (
            (before == 32 or before == 45) and left - 1 > first and _digit(byte(data, left - 2))
        ):
            return -1
    # Lengths of up to five groups, read as a number: 344, 684, 4444, 44443.
    lengths = gap - left
    if lengths < 3 or lengths > 6:
        return -1
    _copy(data, left, gap, room, 0)
    held = lengths
    at = gap
    while at < end and byte(data, at) == mark and lengths < 10_000:
        stop = at + 1
        while stop < end and _digit(byte(data, stop)):
            stop += 1
        if stop < end and lengths == 68 and (byte(data, stop) | 32) == 120:  # X
            stop += 1
        size = stop - at - 1
        if size == 0 or held + size > 19:
            break
        _copy(data, at + 1, stop, room, held)
        held += size
        lengths = lengths * 10 + size
        at = stop
    if at < end and _alnum(byte(data, at)):
        return -1
    if lengths == 344:
        return MOBILE * 2 + 1 if mobile(room, 0, 11) else -1
    if lengths == 684:
        shape = id_card(room, 0, 18)
        return ID * 2 + (shape == 2) if shape else -1
    if lengths == 38 or lengths == 47 or lengths == 48:
        return LANDLINE * 2 + 1 if mark != 32 and landline(room, 0, held) else -1
    if lengths == 4444 or lengths // 10 == 4444:
        shape = bank_card(room, 0, held)
        return CARD * 2 + (shape == 2) if shape else -1
    return -1


@njit(cache=True, nogil=True)
def _is_email(data: int, first: int, at: int, end: int) -> bool:
    """Tells whether the ``@`` stands between a name and a domain."""
    if at == first:
        return False
    char = byte(data, at - 1)
    if not (_alnum(char) or char == 95 or char == 45 or char == 43):
        return False
    stop = min(end, at + 1 + _LONGEST_DOMAIN)
    dot = -1
    i = at + 1
    while i < stop and (_alnum(byte(data, i)) or byte(data, i) == 45 or byte(data, i) == 46):
        if byte(data, i) == 46 and i > at + 1 and i + 1 < stop and _alnum(byte(data, i + 1)):
            dot = i
        i += 1
    return dot > 0


@njit(cache=True, nogil=True)
def _is_plate(data: int, first: int, at: int, end: int, table: int) -> bool:
    """Tells whether the capital letter stands after a province and before five or six of a plate."""
    if at - 3 < first or byte(data, at - 3) < 0xE4 or byte(data, at - 3) > 0xE9:
        return False
    if not byte(table, code_point(data, at - 3)) & PROVINCE:
        return False
    i = at + 1
    if i + 1 < end and byte(data, i) == 0xC2 and byte(data, i + 1) == 0xB7:
        i += 2
    length = digits = 0
    while i < end and length < 7 and (_digit(byte(data, i)) or 65 <= byte(data, i) <= 90):
        digits += _digit(byte(data, i))
        length += 1
        i += 1
    return (length == 5 or length == 6) and digits >= 2 and not (i < end and _alnum(byte(data, i)))


@njit(cache=True, nogil=True)
def _hits(
    data: int, brim: int, tail: int, start: int, at: int, end: int
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Returns, of the 64 bytes from ``at``, where to look.

    Runs that begin or go on, gaps between groups of digits, ``@``, and capitals after Chinese.
    """
    p = plain(data, at) if at <= brim else plain(tail, at - brim)
    m = other(data, at) if at <= brim else other(tail, at - brim)
    inside = low(min(end - at, WIDTH))
    digits = p[0] & inside
    two = digits & (digits >> np.uint64(1))
    three = two & (digits >> np.uint64(2))
    seven = three & (two >> np.uint64(3)) & (two >> np.uint64(5))
    four = (p[0] | p[1] | p[2]) & inside
    four &= four >> np.uint64(1)
    four &= four >> np.uint64(2)
    twenty = four & (four >> np.uint64(4))
    twenty &= (twenty >> np.uint64(8)) & (four >> np.uint64(16))
    gaps = (m[5] | m[6] | m[7]) & (three << np.uint64(3)) & (three >> np.uint64(1))
    high_before = np.uint64(at > start and byte(data, at - 1) >= 0x80)
    capitals = p[1] & inside & (m[1] << np.uint64(1) | high_before)
    return seven | twenty, gaps, m[4] & inside, capitals


@njit(cache=True, nogil=True)
def worth(data: int, brim: int, tail: int, start: int, end: int) -> bool:
    """Tells whether there is anything to `find` in a cell of at most 64 bytes."""
    runs, gaps, ats, capitals = _hits(data, brim, tail, start, start, end)
    return (runs | gaps | ats | capitals) != 0


@njit(cache=True, nogil=True)
def find(
    data: int,
    brim: int,
    tail: int,
    start: int,
    end: int,
    row: int,
    table: int,
    room: int,
    spans: NDArray[np.int64],
    firsts: NDArray[np.int64],
) -> None:
    """Finds identifiers in the cell from ``start`` to ``end`` and adds them up.

    Args:
        data: address of the bytes; 64 can be read from ``brim``, and beyond it from ``tail``, which
            begins there.
        table: address of the bits of Han characters, by code point.
        room: address of 24 bytes to write to.
        spans: per `SPANS` type: found, passed, rows; ``firsts`` its first rows.
    """
    seen = 0
    judged = start
    at = start
    while at < end:
        runs, gaps, ats, capitals = _hits(data, brim, tail, start, at, end)
        runs, ats, capitals = runs & low(_STEP), ats & low(_STEP), capitals & low(_STEP)
        # The three digits before a gap are looked for within the same 64 bytes.
        gaps &= low(_STEP + 3)
        hits = runs | gaps | ats | capitals
        while hits:
            place = first_one(hits)
            bit = np.uint64(1) << np.uint64(place)
            hits &= hits - np.uint64(1)
            i = at + place
            kind = -1
            if bit & ats:
                if _is_email(data, start, i, end):
                    kind = EMAIL * 2 + 1
            elif bit & gaps:
                kind = parted(data, start, i, end, room)
            else:
                if bit & capitals and _is_plate(data, start, i, end, table):
                    seen = add(PLATE * 2 + 1, seen, row, spans, firsts)
                if bit & runs and i >= judged:
                    left, right = i, i + 7
                    while left > start and _alnum(byte(data, left - 1)):
                        left -= 1
                    while right < end and _alnum(byte(data, right)):
                        right += 1
                    judged = right
                    if right == end or byte(data, right) != 64:
                        kind = judge(data, left, right)
            if kind >= 0:
                seen = add(kind, seen, row, spans, firsts)
        at += _STEP


@njit(cache=True, nogil=True)
def add(kind: int, seen: int, row: int, spans: NDArray[np.int64], firsts: NDArray[np.int64]) -> int:
    """Counts one that was found; returns which kinds this row has shown by now."""
    passed, kind = kind & 1, kind >> 1
    spans[kind, 0] += 1
    spans[kind, 1] += passed
    # Any number can look like a card's: a row shows one only if the check digit fits.
    if (passed or kind != CARD) and not seen & (1 << kind):
        seen |= 1 << kind
        if spans[kind, 2] < firsts.shape[1]:
            firsts[kind, spans[kind, 2]] = row
        spans[kind, 2] += 1
    return seen
