"""The identifiers FF1 keeps valid: their shapes and check characters, compiled; over ``data[start:end]``."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_ID_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], np.int64)
_ID_CHECK = np.frombuffer(b"10X98765432", np.uint8)
# GB 32100 leaves out I, O, S, V and Z.
USCC_SET = b"0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_BYTES = np.frombuffer(USCC_SET, np.uint8)
_USCC_VALUE = np.full(256, -1, np.int64)
for _value, _char in enumerate(USCC_SET):
    _USCC_VALUE[_char] = _value
_USCC_WEIGHTS = np.array([3**i % 31 for i in range(17)], np.int64)
_ORG_WEIGHTS = np.array([3, 7, 9, 10, 5, 8, 4, 2], np.int64)
PROVINCE_CODES = (
    *(11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46),
    *(50, 51, 52, 53, 54, 61, 62, 63, 64, 65, 71, 81, 82, 83, 91),
)
_PROVINCES = np.zeros(100, np.bool_)
_PROVINCES[list(PROVINCE_CODES)] = True
_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)


@njit(cache=True, nogil=True)
def number(data: Bytes, start: int, end: int) -> int:
    """Returns the value of a run of ASCII digits, -1 when there is anything else."""
    value = 0
    for i in range(start, end):
        digit = data[i] - 48
        if digit < 0 or digit > 9:
            return -1
        value = value * 10 + digit
    return value


@njit(cache=True, nogil=True)
def is_ymd(data: Bytes, start: int) -> bool:
    """Tells whether the eight bytes from ``start`` are a date YYYYMMDD of 1900–2099."""
    year, month = number(data, start, start + 4), number(data, start + 4, start + 6)
    day = number(data, start + 6, start + 8)
    if year < 1900 or year > 2099 or month < 1 or month > 12 or day < 1 or day > _DAYS[month]:
        return False
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    return month != 2 or day < 29 or leap


@njit(cache=True, nogil=True)
def id_card(data: Bytes, start: int, end: int) -> int:
    """Returns 0 for no resident ID number, 1 for its shape, 2 when the check character fits.

    Shape: province, plausible birth date. The county code is not asked for: codes are given at
    registration and withdrawn later. Fifteen digits (first generation) carry no check character.

    Cites: GB 11643-1999.
    """
    size = end - start
    if size != 18 and size != 15:
        return 0
    province = number(data, start, start + 2)
    if province < 0 or not _PROVINCES[province] or number(data, start, start + 6) < 0:
        return 0
    if size == 15:
        month, day = number(data, start + 8, start + 10), number(data, start + 10, start + 12)
        plain = number(data, start, end) >= 0
        return 1 if plain and 1 <= month <= 12 and 1 <= day <= 31 else 0
    if not is_ymd(data, start + 6) or number(data, start + 14, start + 17) < 0:
        return 0
    last = data[end - 1]
    if last == 120:
        last = 88
    if not (48 <= last <= 57 or last == 88):
        return 0
    return 2 if id_check(data, start) == last else 1


@njit(cache=True, nogil=True)
def id_check(data: Bytes, start: int) -> int:
    """Returns the check character of the seventeen digits from ``start`` (Cites: GB 11643-1999)."""
    total = 0
    for i in range(17):
        total += (data[start + i] - 48) * _ID_WEIGHTS[i]
    return _ID_CHECK[total % 11]


@njit(cache=True, nogil=True)
def luhn(data: Bytes, start: int, end: int) -> bool:
    """Tells whether the digits pass the Luhn check (Cites: ISO/IEC 7812-1 附录B)."""
    total = 0
    double = False
    for i in range(end - 1, start - 1, -1):
        digit = data[i] - 48
        if double:
            digit *= 2
            if digit > 9:
                digit -= 9
        total += digit
        double = not double
    return total % 10 == 0


@njit(cache=True, nogil=True)
def uscc(data: Bytes, start: int, end: int) -> int:
    """Returns 0 for no unified social credit code, 1 for its shape, 2 if the check fits.

    Cites: GB 32100-2015.
    """
    if end - start != 18:
        return 0
    first = data[start]
    # 登记管理部门：1 机构编制 5 民政 9 市场监管 A/N/Y 等
    if not (48 < first <= 57 or first == 65 or first == 78 or first == 89):
        return 0
    if number(data, start + 2, start + 8) < 0 or not _PROVINCES[number(data, start + 2, start + 4)]:
        return 0
    for i in range(start, end):
        if _USCC_VALUE[data[i]] < 0:
            return 0
    return 2 if uscc_check(data, start) == data[end - 1] else 1


@njit(cache=True, nogil=True)
def uscc_check(data: Bytes, start: int) -> int:
    """Returns the check character of seventeen characters of a code (Cites: GB 32100-2015)."""
    total = 0
    for i in range(17):
        total += _USCC_VALUE[data[start + i]] * _USCC_WEIGHTS[i]
    return _USCC_BYTES[(31 - total % 31) % 31]


@njit(cache=True, nogil=True)
def org_check(data: Bytes, start: int) -> int:
    """Returns the check character of eight digits and letters (Cites: GB 11714-1997)."""
    total = 0
    for i in range(8):
        char = data[start + i]
        total += (char - 48 if char <= 57 else char - 55) * _ORG_WEIGHTS[i]
    check = 11 - total % 11
    return 88 if check == 10 else 48 if check == 11 else 48 + check


@njit(cache=True, nogil=True)
def mobile(data: Bytes, start: int, end: int) -> bool:
    """Tells a mainland mobile number: 1[3-9] and nine digits, with or without 86 before it."""
    size = end - start
    if size == 13 and data[start] == 56 and data[start + 1] == 54:
        start += 2
    elif size != 11:
        return False
    return data[start] == 49 and 51 <= data[start + 1] <= 57 and number(data, start, end) >= 0
