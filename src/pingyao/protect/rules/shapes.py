"""Reads identifiers as pairs of numbers for FF1 and writes them back, check characters made new.

A reader tells the group of each cell, 0 where it does not have the shape; a writer puts a cell of
the same length. Cells are the bytes ``data[offsets[k]:offsets[k + 1]]``.
"""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import numpy as np
from numba import njit

from pingyao.protect.rules.identifiers import (
    PROVINCE_CODES,
    USCC_SET,
    id_card,
    id_check,
    luhn,
    mobile,
    number,
    org_check,
    uscc,
    uscc_check,
)

# Birth dates of ID numbers: 1900-01-01 to 2099-12-31, what their shape admits.
DAYS = 73_049
_SEQUENCES = 1000
PROVINCES = np.array(PROVINCE_CODES, np.int64)
ID_BY_REGION = DAYS * _SEQUENCES
ID_BY_BIRTH = len(PROVINCES) * 10_000 * _SEQUENCES
ID_WHOLE = ID_BY_BIRTH * DAYS
USCC_KEPT = 8
USCC_SOUND, USCC_OTHER = 1, 2
MOBILE_KEPT = 3
# A code's group says where its digits begin and how long it is.
CODE_GROUP = 64
_CODE_LETTERS, _CODE_LEAST, _CODE_MOST = 6, 6, 36


def values_of(alphabet: bytes) -> np.ndarray:
    """Returns the value of each byte in an alphabet, -1 outside of it."""
    table = np.full(256, -1, np.int64)
    for i, char in enumerate(alphabet):
        table[char] = i
    return table


_USCC_BYTES = np.frombuffer(USCC_SET, np.uint8)


@njit(cache=True, nogil=True)
def fit_text(data, offsets, live, values, groups):
    """Groups cells by their length where every character is of the alphabet."""
    for k in range(len(groups)):
        start, end = offsets[k], offsets[k + 1]
        fits = live[k] and end > start
        for i in range(start, end):
            fits = fits and values[data[i]] >= 0
        groups[k] = end - start if fits else 0


@njit(cache=True, nogil=True)
def fit_code(data, offsets, live, groups):
    """Groups one to six capital letters with 6 to 36 digits behind them, by both numbers."""
    for k in range(len(groups)):
        start, end = offsets[k], offsets[k + 1]
        body = start
        while body < end and 65 <= data[body] <= 90:
            body += 1
        digits = live[k] and 1 <= body - start <= _CODE_LETTERS
        digits = digits and _CODE_LEAST <= end - body <= _CODE_MOST
        for i in range(body, end if digits else body):
            digits = digits and 48 <= data[i] <= 57
        groups[k] = (body - start) * CODE_GROUP + end - start if digits else 0


@njit(cache=True, nogil=True)
def fit_mobile(data, offsets, live, groups):
    """Groups mainland mobile numbers of eleven digits."""
    for k in range(len(groups)):
        start, end = offsets[k], offsets[k + 1]
        groups[k] = 11 if live[k] and end - start == 11 and mobile(data, start, end) else 0


@njit(cache=True, nogil=True)
def fit_card(data, offsets, live, groups):
    """Groups card numbers of 15 to 19 digits that pass Luhn by their length."""
    for k in range(len(groups)):
        start, end = offsets[k], offsets[k + 1]
        groups[k] = 0
        if live[k] and 15 <= end - start <= 19 and luhn(data, start, end):
            digits = True
            for i in range(start, end):
                digits = digits and 48 <= data[i] <= 57
            if digits:
                groups[k] = end - start


@njit(cache=True, nogil=True)
def fit_id(data, offsets, live, groups):
    """Groups resident ID numbers of 18 characters whose check character fits."""
    for k in range(len(groups)):
        start, end = offsets[k], offsets[k + 1]
        sound = live[k] and end - start == 18 and id_card(data, start, end) == 2
        groups[k] = 18 if sound else 0


@njit(cache=True, nogil=True)
def fit_uscc(data, offsets, live, groups):
    """Groups unified social credit codes whose check fits, by whether the organisation code's does."""
    for k in range(len(groups)):
        start, end = offsets[k], offsets[k + 1]
        groups[k] = 0
        if live[k] and end - start == 18 and uscc(data, start, end) == 2:
            sound = data[start + 16] == org_check(data, start + 8)
            groups[k] = USCC_SOUND if sound else USCC_OTHER


@njit(cache=True, nogil=True)
def _number(data, start, end, values, radix):
    value = 0
    for i in range(start, end):
        value = value * radix + values[data[i]]
    return np.uint64(value)


@njit(cache=True, nogil=True)
def read_text(data, offsets, rows, keep, u, v, values, radix, a, b, kept):
    """Reads the u + v characters behind the kept ones as two numbers, the kept ones as a third.

    What is kept of a code are letters, and stands for itself.
    """
    for k in range(len(rows)):
        start = offsets[rows[k]]
        body = start + keep
        a[k] = _number(data, body, body + u, values, radix)
        b[k] = _number(data, body + u, body + u + v, values, radix)
        if keep and values[data[start]] < 0:
            for i in range(start, body):
                kept[k] = kept[k] << np.uint64(8) | np.uint64(data[i])
        elif keep:
            kept[k] = _number(data, start, body, values, radix)


@njit(cache=True, nogil=True)
def _put(value, out, start, end, chars, radix):
    for i in range(end - 1, start - 1, -1):
        out[i] = chars[value % radix]
        value //= radix


@njit(cache=True, nogil=True, error_model="numpy")
def write_text(data, offsets, rows, keep, u, v, chars, radix, a, b, out):
    """Writes the kept characters and two numbers."""
    radix = np.uint64(radix)
    for k in range(len(rows)):
        start = offsets[rows[k]]
        body = start + keep
        out[start:body] = data[start:body]
        _put(a[k], out, body, body + u, chars, radix)
        _put(b[k], out, body + u, body + u + v, chars, radix)


@njit(cache=True, nogil=True)
def check_card(offsets, rows, out):
    """Puts the Luhn digit behind what was written."""
    for k in range(len(rows)):
        start, last = offsets[rows[k]], offsets[rows[k] + 1] - 1
        total = 0
        double = True
        for i in range(last - 1, start - 1, -1):
            digit = np.int64(out[i]) - 48
            if double:
                digit = digit * 2 - 9 if digit > 4 else digit * 2
            total += digit
            double = not double
        out[last] = 48 + (10 - total % 10) % 10


@njit(cache=True, nogil=True)
def check_uscc(offsets, rows, sound, out):
    """Puts the check characters, of the organisation code too where it was sound."""
    for k in range(len(rows)):
        start = offsets[rows[k]]
        if sound:
            out[start + 16] = org_check(out, start + 8)
        out[start + 17] = uscc_check(out, start)


@njit(cache=True, nogil=True)
def org_is_sound(a, b, split, out):
    """Tells for each pair of numbers whether they spell an organisation code whose check fits."""
    text = np.empty(9, np.uint8)
    radix = np.uint64(31)
    for k in range(len(a)):
        _put(a[k], text, 0, split, _USCC_BYTES, radix)
        _put(b[k], text, split, 9, _USCC_BYTES, radix)
        out[k] = text[8] == org_check(text, 0)


@njit(cache=True, nogil=True)
def _days(year, month, day):
    """Days since 1900-01-01 in the calendar of today."""
    if month <= 2:
        year -= 1
        month += 12
    return (
        365 * year + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day - 693902
    )


@njit(cache=True, nogil=True)
def _ymd(days):
    """The date so many days after 1900-01-01, as a number YYYYMMDD."""
    n = days + 693901
    century = (4 * n + 3) // 146097
    n -= 146097 * century // 4
    year = (4 * n + 3) // 1461
    n -= 1461 * year // 4
    month = (5 * n + 2) // 153
    day = n - (153 * month + 2) // 5 + 1
    year += 100 * century + (1 if month >= 10 else 0)
    month += 3 if month < 10 else -9
    return (year * 100 + month) * 100 + day


@njit(cache=True, nogil=True)
def read_id(data, offsets, rows, region, birth, whole, kept):
    """Reads what is not kept of an ID number as one number."""
    for k in range(len(rows)):
        start = offsets[rows[k]]
        value = 0
        if not region:
            province = np.searchsorted(PROVINCES, number(data, start, start + 2))
            value = province * 10_000 + number(data, start + 2, start + 6)
        if not birth:
            days = _days(
                number(data, start + 6, start + 10),
                number(data, start + 10, start + 12),
                number(data, start + 12, start + 14),
            )
            value = value * DAYS + days
        whole[k] = np.uint64(value * _SEQUENCES + number(data, start + 14, start + 17))
        if region:
            kept[k] = np.uint64(number(data, start, start + 6))
        elif birth:
            kept[k] = np.uint64(number(data, start + 6, start + 14))


@njit(cache=True, nogil=True)
def write_id(data, offsets, rows, region, birth, whole, out):
    """Writes an ID number: what is kept, what the number says, and the check character."""
    chars = np.arange(48, 58).astype(np.uint8)
    for k in range(len(rows)):
        start = offsets[rows[k]]
        out[start : start + 14] = data[start : start + 14]
        value = np.int64(whole[k])
        _put(value % _SEQUENCES, out, start + 14, start + 17, chars, 10)
        value //= _SEQUENCES
        if not birth:
            _put(_ymd(value % DAYS), out, start + 6, start + 14, chars, 10)
            value //= DAYS
        if not region:
            _put(value % 10_000, out, start + 2, start + 6, chars, 10)
            _put(PROVINCES[value // 10_000], out, start, start + 2, chars, 10)
        out[start + 17] = id_check(out, start)
