"""Check digits and shapes of identifiers, compiled; each looks at the bytes ``byte(data, start:end)``."""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

from typing import Any

import numpy as np
from numba import njit

from pingyao.platform.lanes import byte, word

_ID_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], np.int64)
_ID_CHECK = np.frombuffer(b"10X98765432", np.uint8)
# GB 32100 leaves out I, O, S, V and Z.
_USCC_SET = b"0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_VALUE = np.full(256, -1, np.int64)
for _value, _char in enumerate(_USCC_SET):
    _USCC_VALUE[_char] = _value
_USCC_WEIGHTS = np.array([3**i % 31 for i in range(17)], np.int64)
_ORG_WEIGHTS = np.array([3, 7, 9, 10, 5, 8, 4, 2], np.int64)
_PROVINCES = np.zeros(100, np.bool_)
for _code in (
    *(11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46),
    *(50, 51, 52, 53, 54, 61, 62, 63, 64, 65, 71, 81, 82, 83, 91),
):
    _PROVINCES[_code] = True
_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)


@njit(cache=True, nogil=True)
def number(data: int, start: int, end: int) -> int:
    """Returns the value of a run of at most 18 ASCII digits, -1 when there is anything else."""
    value = 0
    for i in range(start, end):
        digit = byte(data, i) - 48
        if digit < 0 or digit > 9:
            return -1
        value = value * 10 + digit
    return value


@njit(cache=True, nogil=True)
def _all_digits(raw: np.uint64) -> bool:
    """Tells whether all eight bytes of a word are digits."""
    high = np.uint64(0xF0F0F0F0F0F0F0F0)
    zeros = np.uint64(0x3030303030303030)
    return raw & high == zeros and (raw + np.uint64(0x0606060606060606)) & high == zeros


@njit(cache=True, nogil=True)
def digits(data: int, start: int, end: int) -> bool:
    """Tells whether eight bytes or more are all digits, eight at a time."""
    at = start
    while at + 8 < end:
        if not _all_digits(word(data, at)):
            return False
        at += 8
    return _all_digits(word(data, end - 8))


@njit(cache=True, nogil=True)
def eight_digits(data: int, start: int) -> int:
    """Returns the value of the eight digits from ``start``, -1 when there is anything else.

    All eight at once: pairs, then fours, then both halves are put together within one register.
    """
    raw = word(data, start)
    if not _all_digits(raw):
        return -1
    raw -= np.uint64(0x3030303030303030)
    raw = raw * np.uint64(10) + (raw >> np.uint64(8))
    halves = np.uint64(0x000000FF000000FF)
    front = (raw & halves) * np.uint64(100 + (1_000_000 << 32))
    back = ((raw >> np.uint64(16)) & halves) * np.uint64(1 + (10_000 << 32))
    value: Any = np.int64((front + back) >> np.uint64(32))
    return value


@njit(cache=True, nogil=True)
def is_date(year: int, month: int, day: int) -> bool:
    """Tells whether there is such a day in the years 1900–2099."""
    if year < 1900 or year > 2099 or month < 1 or month > 12 or day < 1 or day > _DAYS[month]:
        return False
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    return month != 2 or day < 29 or leap


@njit(cache=True, nogil=True)
def is_ymd(data: int, start: int) -> bool:
    """Tells whether the eight bytes from ``start`` are a date YYYYMMDD of 1900–2099."""
    ymd = eight_digits(data, start)
    return ymd >= 0 and is_date(ymd // 10_000, ymd // 100 % 100, ymd % 100)


@njit(cache=True, nogil=True)
def id_card(data: int, start: int, end: int) -> int:
    """Returns 0 for no resident ID number, 1 for its shape, 2 when the check character fits.

    Shape: province, plausible birth date. The county code is not asked for: codes are given at
    registration and withdrawn later. Fifteen digits (first generation) carry no check character.

    Cites: GB 11643-1999.
    """
    size = end - start
    if size != 18 and size != 15:
        return 0
    front = eight_digits(data, start)
    if front < 0 or not _PROVINCES[front // 1_000_000]:
        return 0
    if size == 15:
        month, day = number(data, start + 8, start + 10), number(data, start + 10, start + 12)
        plain = number(data, start + 12, end) >= 0
        return 1 if plain and 1 <= month <= 12 and 1 <= day <= 31 else 0
    if not is_ymd(data, start + 6) or number(data, start + 14, start + 17) < 0:
        return 0
    last = byte(data, end - 1)
    if last == 120:
        last = 88
    if not (48 <= last <= 57 or last == 88):
        return 0
    total = 0
    for i in range(17):
        total += (byte(data, start + i) - 48) * _ID_WEIGHTS[i]
    return 2 if _ID_CHECK[total % 11] == last else 1


@njit(cache=True, nogil=True)
def luhn(data: int, start: int, end: int) -> bool:
    """Tells whether the digits pass the Luhn check (Cites: ISO/IEC 7812-1 附录B).

    From the end, eight digits at a time: every second one is doubled, less nine if above nine.
    """
    ones = np.uint64(0x0101010101010101)
    doubled = np.uint64(0x00FF00FF00FF00FF)
    total = 0
    at = end
    while at - 8 >= start:
        at -= 8
        raw = word(data, at) - np.uint64(0x3030303030303030)
        twice = raw & doubled
        over = ((twice + np.uint64(0x0003000300030003)) >> np.uint64(3)) & ones
        raw += twice - over * np.uint64(9)
        total += np.int64((raw * ones) >> np.uint64(56))
    for i in range(at - start):
        digit = (byte(data, at - 1 - i) - 48) << (i & 1)
        total += digit - 9 * (digit > 9)
    return total % 10 == 0


@njit(cache=True, nogil=True)
def bank_card(data: int, start: int, end: int) -> int:
    """Returns 0 for no card number, 1 for a plausible issuer range and length, 2 if Luhn fits too."""
    size = end - start
    if size < 15 or size > 19 or not digits(data, start, end):
        return 0
    two = number(data, start, start + 2)
    union = two == 62 and size >= 16
    visa = byte(data, start) == 52 and size == 16
    master = 51 <= two <= 55 and size == 16
    amex = (two == 34 or two == 37) and size == 15
    jcb = two == 35 and size == 16
    # Older domestic cards outside the 62 range were issued under 9 and 6.
    old = (two == 60 or byte(data, start) == 57) and (size == 16 or size == 19)
    if not (union or visa or master or amex or jcb or old):
        return 0
    return 2 if luhn(data, start, end) else 1


@njit(cache=True, nogil=True)
def uscc(data: int, start: int, end: int) -> int:
    """Returns 0 for no unified social credit code, 1 for its shape, 2 if the check fits.

    Cites: GB 32100-2015.
    """
    if end - start != 18:
        return 0
    first = byte(data, start)
    # 登记管理部门：1 机构编制 5 民政 9 市场监管 A/N/Y 等
    if not (48 < first <= 57 or first == 65 or first == 78 or first == 89):
        return 0
    if number(data, start + 2, start + 8) < 0 or not _PROVINCES[number(data, start + 2, start + 4)]:
        return 0
    total = 0
    for i in range(17):
        value = _USCC_VALUE[byte(data, start + i)]
        if value < 0:
            return 0
        total += value * _USCC_WEIGHTS[i]
    check = _USCC_VALUE[byte(data, end - 1)]
    if check < 0:
        return 0
    return 2 if (31 - total % 31) % 31 == check else 1


@njit(cache=True, nogil=True)
def org_code(data: int, start: int, end: int) -> int:
    """Returns 0 for no organisation code, 1 for its shape, 2 if the check fits.

    Cites: GB 11714-1997.
    """
    size = end - start
    if not (size == 9 or (size == 10 and byte(data, end - 2) == 45)):
        return 0
    total = 0
    for i in range(8):
        char = byte(data, start + i)
        if 48 <= char <= 57:
            total += (char - 48) * _ORG_WEIGHTS[i]
        elif 65 <= char <= 90:
            total += (char - 55) * _ORG_WEIGHTS[i]
        else:
            return 0
    check = 11 - total % 11
    last = byte(data, end - 1)
    if not (48 <= last <= 57 or last == 88):
        return 0
    wanted = 88 if check == 10 else 48 if check == 11 else 48 + check
    return 2 if wanted == last else 1


@njit(cache=True, nogil=True)
def lei(data: int, start: int, end: int) -> int:
    """Returns 0 for no LEI, 1 for its shape, 2 if mod 97-10 fits (Cites: ISO 17442)."""
    if end - start != 20 or number(data, end - 2, end) < 0:
        return 0
    rest = 0
    letters = False
    for i in range(start, end):
        char = byte(data, i)
        if 48 <= char <= 57:
            rest = (rest * 10 + char - 48) % 97
        elif 65 <= char <= 90:
            rest = (rest * 100 + char - 55) % 97
            letters = True
        else:
            return 0
    if not letters:
        return 0
    return 2 if rest == 1 else 1


@njit(cache=True, nogil=True)
def mobile(data: int, start: int, end: int) -> bool:
    """Tells a mainland mobile number: 1[3-9] and nine digits, with or without 86 before it."""
    size = end - start
    if size == 13 and byte(data, start) == 56 and byte(data, start + 1) == 54:
        start += 2
    elif size != 11:
        return False
    return (
        byte(data, start) == 49
        and 51 <= byte(data, start + 1) <= 57
        and number(data, start, end) >= 0
    )


@njit(cache=True, nogil=True)
def landline(data: int, start: int, end: int) -> bool:
    """Tells a fixed-line number: area code 010, 02x or 03xx–09xx, then a number not in 0, 1, 9.

    A hyphen or space may stand between them; all else must be digits.
    """
    size = end - start
    if size < 10 or byte(data, start) != 48 or byte(data, start + 1) == 48:
        return False
    second = byte(data, start + 1)
    if second == 49:
        if byte(data, start + 2) != 48:
            return False
        at = start + 3
    else:
        at = start + 3 if second == 50 else start + 4
    if number(data, start, at) < 0:
        return False
    if byte(data, at) == 45 or byte(data, at) == 32:
        at += 1
    return 50 <= byte(data, at) <= 56 and 7 <= end - at <= 8 and number(data, at, end) >= 0


@njit(cache=True, nogil=True)
def ip(data: int, start: int, end: int) -> bool:
    """Tells an IPv4 address in dotted decimals."""
    parts = 0
    at = start
    while at < end:
        stop = at
        while stop < end and byte(data, stop) != 46:
            stop += 1
        value = number(data, at, stop) if 1 <= stop - at <= 3 else -1
        if value < 0 or value > 255:
            return False
        parts += 1
        at = stop + 1
    return parts == 4 and byte(data, end - 1) != 46


@njit(cache=True, nogil=True)
def mac(data: int, start: int, end: int) -> bool:
    """Tells a hardware address: six pairs of hexadecimal digits, parted by ``:`` or ``-``."""
    if end - start != 17:
        return False
    mark = byte(data, start + 2)
    if mark != 58 and mark != 45:
        return False
    for i in range(17):
        char = byte(data, start + i)
        if i % 3 == 2:
            if char != mark:
                return False
        elif not (48 <= char <= 57 or 65 <= char <= 70 or 97 <= char <= 102):
            return False
    return True


@njit(cache=True, nogil=True)
def email(data: int, start: int, end: int) -> bool:
    """Tells an e-mail address, of a cell of ASCII with one ``@``: a dot after it, no separators."""
    if not 6 <= end - start <= 254:
        return False
    dot = end - 1
    while byte(data, dot) != 46:
        if dot == start or byte(data, dot) == 64:
            return False
        dot -= 1
    at = dot - 1
    while at > start and byte(data, at) != 64:
        at -= 1
    return start < at < dot - 1 and dot < end - 2


@njit(cache=True, nogil=True)
def region(data: int, start: int) -> bool:
    """Tells whether six digits start like an administrative division (Cites: GB/T 2260).

    Province, prefecture 01–53 or 90, county up to 90; a province as a whole is 140000.
    """
    code = number(data, start, start + 6)
    province, prefecture, county = code // 10_000, code // 100 % 100, code % 100
    if code < 0 or province > 65 or not _PROVINCES[province] or county > 90:
        return False
    whole = prefecture == 0 and county == 0
    return whole or 1 <= prefecture <= 53 or prefecture == 90


@njit(cache=True, nogil=True)
def date(data: int, start: int, end: int) -> int:
    """Returns 0 for no date, 1 for a date, 2 for a date with a time; the forms banks use.

    ``20240131``, ``20240131083000``, ``2024-01-31`` or with ``/`` or ``.``, months and days of one
    digit as well, with a time after a space or ``T``; ``2024年1月31日``.
    """
    size = end - start
    if size < 8:
        return 0
    if (size == 8 or size == 14) and is_ymd(data, start):
        if size == 8:
            return 1
        hour, rest = number(data, start + 8, start + 10), number(data, start + 10, end)
        return 2 if 0 <= hour < 24 and rest >= 0 else 0
    year = number(data, start, start + 4)
    if year < 1900 or year > 2099:
        return 0
    mark = byte(data, start + 4)
    # 年 is E5 B9 B4.
    if mark == 0xE5 and byte(data, start + 5) == 0xB9 and byte(data, start + 6) == 0xB4:
        return 1 if size <= 17 else 0
    if mark != 45 and mark != 47 and mark != 46:
        return 0
    at = start + 6 if byte(data, start + 6) == mark else start + 7
    if at >= end - 1 or byte(data, at) != mark:
        return 0
    month = number(data, start + 5, at)
    stop = at + 2
    if stop < end and 48 <= byte(data, stop) <= 57:
        stop += 1
    if not is_date(year, month, number(data, at + 1, stop)):
        return 0
    if stop == end:
        return 1
    return 2 if end - stop >= 5 and (byte(data, stop) == 32 or byte(data, stop) == 84) else 0
