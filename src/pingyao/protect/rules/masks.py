"""Masks: characters hidden by place or by pattern, and identifiers hidden inside text."""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import numpy as np
import pyarrow as pa
from numba import njit

from pingyao.platform.lanes import byte
from pingyao.platform.spans import judge, parted
from pingyao.protect.rules.arrays import as_text, built, pc, text

_STAR = 42
HIDDEN = "***"


def ends(array: pa.Array, head: int, tail: int) -> pa.Array:
    """Keeps so many characters at both ends and hides each one between.

    At least a third of a value, and never fewer than one character, is hidden: of a value too
    short, less is kept, first of its end.
    """
    column = as_text(array)
    view = text(column)
    data, offsets = _ends(view.data, view.offsets, head, tail)
    return built(data, offsets, column)


@njit(cache=True, nogil=True)
def _ends(data, offsets, head, tail):
    count = len(offsets) - 1
    made = np.empty(offsets[count] - offsets[0], np.uint8)
    ends_ = np.empty(count + 1, np.int32)
    ends_[0] = 0
    at = 0
    for row in range(count):
        start, end = offsets[row], offsets[row + 1]
        chars = 0
        for i in range(start, end):
            chars += (data[i] & 0xC0) != 0x80
        most = chars * 2 // 3
        first = min(head, most)
        last = chars - min(tail, most - first)
        seen = -1
        for i in range(start, end):
            begins = (data[i] & 0xC0) != 0x80
            seen += begins
            if seen < first or seen >= last:
                made[at] = data[i]
                at += 1
            elif begins:
                made[at] = _STAR
                at += 1
        ends_[row + 1] = at
    return made[:at], ends_


def pattern(array: pa.Array, find: str, into: str) -> tuple[pa.Array, int]:
    """Replaces values that fit a pattern; of the others nothing is shown.

    Returns:
        The masked column, and how many cells did not fit.
    """
    column = as_text(array)
    fits = pc.match_substring_regex(column, find)
    made = pc.replace_substring_regex(column, find, into)
    blank = pc.equal(column, "")
    unfit = pc.and_(pc.invert(fits), pc.invert(blank))
    return pc.if_else(unfit, HIDDEN, made), pc.sum(unfit).as_py() or 0


def spans(array: pa.Array) -> tuple[pa.Array, int]:
    """Hides identifiers inside text: what classification finds, and in doubt a little more.

    Resident IDs, cards, credit codes, legal entity identifiers, mobiles and e-mail addresses, numbers
    parted into groups, fixed lines parted from their area code, plates. Letters that touch a number
    (``tel138…``) do not save it, and the check digit of an ID or a card is not asked for.

    Returns:
        The text, and how many identifiers were hidden.
    """
    column = as_text(array)
    view = text(column)
    first = int(view.offsets[0])
    # Padded: the judges read words, up to eight bytes at once.
    data = np.concatenate((view.data[first : int(view.offsets[-1])], np.zeros(64, np.uint8)))
    offsets = view.offsets - np.int32(first)
    made, room = data.copy(), np.zeros(24 + 64, np.uint8)
    found = _spans(data.ctypes.data, offsets, made, room.ctypes.data)
    return built(made, offsets, column), int(found)


@njit(cache=True, nogil=True)
def _spans(data, offsets, made, room):
    found = 0
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        i = start
        while i < end:
            char = byte(data, i)
            low = high = i
            if char == 64:
                low, high = _email(data, start, i, end)
            elif (char == 32 or char == 45 or char == 41) and i > start:
                if parted(data, start, i, end, room) >= 0:
                    low, high = _groups(data, start, i, end)
            elif _alnum(char) and (i == start or not _alnum(byte(data, i - 1))):
                stop = i
                digits = 0
                while stop < end and _alnum(byte(data, stop)):
                    digits += 48 <= byte(data, stop) <= 57
                    stop += 1
                plate = i - 3 >= start and 0xE4 <= byte(data, i - 3) <= 0xE9
                if digits >= 8 and _identifier(data, i, stop):
                    low, high = i, stop
                elif plate and 65 <= char <= 90:
                    low, high = i, _plate(data, i, end)
            if high > low:
                found += 1
                for at in range(low, high):
                    made[at] = _STAR
            i = max(i + 1, high)
    return found


@njit(cache=True, nogil=True)
def _alnum(char):
    return 48 <= char <= 57 or 65 <= char <= 90 or 97 <= char <= 122


@njit(cache=True, nogil=True)
def _email(data, start, at, end):
    """Returns the bounds of the address around an ``@``; none when nothing stands on one side."""
    low = at
    while low > start and (_alnum(byte(data, low - 1)) or byte(data, low - 1) in (43, 45, 46, 95)):
        low -= 1
    high = at + 1
    while high < end and (_alnum(byte(data, high)) or byte(data, high) in (45, 46)):
        high += 1
    return (low, high) if low < at and high > at + 2 else (at, at)


@njit(cache=True, nogil=True)
def _groups(data, start, gap, end):
    """Returns the bounds of the groups of digits, parted by the same mark, around a gap."""
    mark = byte(data, gap)
    low = gap
    while low > start and 48 <= byte(data, low - 1) <= 57:
        low -= 1
    high = gap
    while high < end and (byte(data, high) == mark or 48 <= byte(data, high) <= 57):
        high += 1
    if high < end and (byte(data, high) | 32) == 120:
        high += 1
    return low, high


@njit(cache=True, nogil=True)
def _plate(data, at, end):
    """Returns the end of a plate that begins with this capital; ``at`` when it is none."""
    i = at + 1
    if i + 1 < end and byte(data, i) == 0xC2 and byte(data, i + 1) == 0xB7:
        i += 2
    first = i
    digits = 0
    while i < end and (48 <= byte(data, i) <= 57 or 65 <= byte(data, i) <= 90):
        digits += 48 <= byte(data, i) <= 57
        i += 1
    return i if 5 <= i - first <= 6 and digits >= 2 else at


@njit(cache=True, nogil=True)
def _identifier(data, start, end):
    """Tells whether a run of letters and digits is an identifier, alone or with letters around it."""
    if judge(data, start, end) >= 0:
        return True
    for i in range(start, min(start + 6, end - 10)):
        if i > start and 48 <= byte(data, i - 1) <= 57:
            break
        for j in range(end, max(end - 6, i + 10), -1):
            if (j == end or not 48 <= byte(data, j) <= 57) and judge(data, i, j) >= 0:
                return True
    return False
