"""Masks: characters hidden by place or by pattern, and identifiers hidden inside text."""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import numpy as np
import pyarrow as pa
from numba import njit

from pingyao.platform.checks import bank_card, id_card, mobile, uscc
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
    """Hides identifiers inside text: resident IDs, cards, credit codes, mobiles, e-mail addresses.

    A run of letters and digits counts, as classification counts it, and in doubt it is hidden: the
    shape of a resident ID or a card is enough, its check digit is not asked for.

    Returns:
        The text, and how many identifiers were hidden.
    """
    column = as_text(array)
    view = text(column)
    data, offsets, found = _spans(view.data, view.offsets)
    return built(data, offsets, column), int(found)


@njit(cache=True, nogil=True)
def _alnum(char):
    return 48 <= char <= 57 or 65 <= char <= 90 or 97 <= char <= 122


@njit(cache=True, nogil=True)
def _spans(data, offsets):
    count = len(offsets) - 1
    base = offsets[0]
    made = data[base : offsets[count]].copy()
    ends_ = np.empty(count + 1, np.int32)
    found = 0
    for row in range(count):
        ends_[row] = offsets[row] - base
        start, end = offsets[row], offsets[row + 1]
        i = start
        while i < end:
            if not _alnum(data[i]):
                i += 1
                continue
            j = i
            digits = 0
            while j < end and _alnum(data[j]):
                digits += 48 <= data[j] <= 57
                j += 1
            hide = digits >= 8 and _identifier(data, i, j)
            # 邮箱：@ 前后的字母、数字、点与连字符
            if j + 3 < end and data[j] == 64 and _alnum(data[j + 1]):
                while i > start and (_alnum(data[i - 1]) or data[i - 1] in (45, 46, 95, 43)):
                    i -= 1
                k = j + 1
                while k < end and (_alnum(data[k]) or data[k] == 45 or data[k] == 46):
                    k += 1
                j = k
                hide = True
            if hide:
                found += 1
                for k in range(i, j):
                    made[k - base] = _STAR
            i = j
    ends_[count] = offsets[count] - base
    return made, ends_, found


@njit(cache=True, nogil=True)
def _identifier(data, start, end):
    size = end - start
    if size < 11 or size > 24:
        return False
    # 前后粘连的字母不算，如“ID”“tel”后面紧跟号码
    for i in range(start, min(start + 6, end - 10)):
        for j in range(end, max(end - 6, i + 10), -1):
            if i > start and 48 <= data[i - 1] <= 57:
                break
            if j < end and 48 <= data[j] <= 57:
                continue
            length = j - i
            if (length == 11 or length == 13) and mobile(data, i, j):
                return True
            if (length == 18 or length == 15) and id_card(data, i, j) > 0:
                return True
            if length == 18 and uscc(data, i, j) == 2:
                return True
            if 15 <= length <= 19 and bank_card(data, i, j) > 0:
                return True
    return False
