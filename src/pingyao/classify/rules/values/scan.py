"""The one pass over a column's bytes: what each cell looks like, and what stands inside it."""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pingyao.classify.rules.values.checks import (
    bank_card,
    id_card,
    is_ymd,
    lei,
    mobile,
    number,
    org_code,
    uscc,
)

# The counters of a profile, in the order of the kernel's array; *_ok pass their check digit.
COUNTERS = (
    *("id", "id_ok", "card", "card_ok", "uscc", "uscc_ok", "org", "org_ok", "lei", "lei_ok"),
    *("mobile", "landline", "email", "plate", "passport", "hk_macao", "eight", "ip", "mac"),
    *("date", "datetime", "money", "fraction", "integer", "region", "name", "org_name"),
    *("address", "han", "masked", "hash", "code", "text", "gender", "digits", "percent", "ethnic"),
)
SPANS = ("id_card_no", "bank_card_no", "uscc", "mobile", "email")
_C = {name: i for i, name in enumerate(COUNTERS)}
ID, ID_OK, CARD, CARD_OK = _C["id"], _C["id_ok"], _C["card"], _C["card_ok"]
USCC, USCC_OK, ORG, ORG_OK = _C["uscc"], _C["uscc_ok"], _C["org"], _C["org_ok"]
LEI, LEI_OK, MOBILE, LANDLINE = _C["lei"], _C["lei_ok"], _C["mobile"], _C["landline"]
EMAIL, PLATE, PASSPORT, HK = _C["email"], _C["plate"], _C["passport"], _C["hk_macao"]
EIGHT, IP, MAC, DATE, DATETIME = _C["eight"], _C["ip"], _C["mac"], _C["date"], _C["datetime"]
MONEY, FRACTION, INTEGER, REGION = _C["money"], _C["fraction"], _C["integer"], _C["region"]
NAME, ORG_NAME, ADDRESS, HAN = _C["name"], _C["org_name"], _C["address"], _C["han"]
MASKED, HASH, CODE, TEXT = _C["masked"], _C["hash"], _C["code"], _C["text"]
GENDER, DIGITS, PERCENT, ETHNIC = _C["gender"], _C["digits"], _C["percent"], _C["ethnic"]
SKETCH = 256
FIRST = 10
# One monstrous cell costs no more than a million ordinary bytes.
LONGEST_CELL = 1 << 20


@njit(cache=True, nogil=True)
def _has(table: NDArray[np.int64], key: int) -> bool:
    at = np.searchsorted(table, key)
    return bool(at < len(table) and table[at] == key)


@njit(cache=True, nogil=True)
def _han(data: NDArray[np.uint8], at: int) -> int:
    """The three bytes of a Han character as a key."""
    return (int(data[at]) << 16) | (int(data[at + 1]) << 8) | int(data[at + 2])


@njit(cache=True, nogil=True)
def _keep(sketch: NDArray[np.uint64], filled: int, value: np.uint64) -> int:
    """Inserts a hash into the sorted smallest ones; returns how many are kept."""
    if filled == len(sketch) and value >= sketch[filled - 1]:
        return filled
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
def _says_nothing(data: NDArray[np.uint8], start: int, end: int) -> bool:
    """Tells a word for nothing: - -- / 无 空 N/A NA NULL None nan."""
    size = end - start
    first = data[start] | 32
    if size <= 2 and (data[start] == 45 or data[start] == 47):
        return data[end - 1] == data[start]
    if size == 3 and data[start] >= 0xE4:
        return _han(data, start) in (0xE697A0, 0xE7A9BA)
    if first != 110:  # n
        return False
    if size == 2:
        return (data[start + 1] | 32) == 97
    if size == 3:
        return data[start + 1] == 47 or (
            (data[start + 1] | 32) == 97 and (data[start + 2] | 32) == 110
        )
    second, last = data[start + 1] | 32, data[end - 1] | 32
    return size == 4 and ((second == 117 and last == 108) or (second == 111 and last == 101))


@njit(cache=True, nogil=True)
def _landline(data: NDArray[np.uint8], start: int, end: int) -> bool:
    """Tells a fixed-line number: area code 010, 02x or 03xx–09xx, then a number not in 0, 1, 9."""
    second = data[start + 1]
    if data[start] != 48 or second == 48:
        return False
    if second == 49:
        if data[start + 2] != 48:
            return False
        at = start + 3
    else:
        at = start + 3 if second == 50 else start + 4
    if data[at] == 45 or data[at] == 32:
        at += 1
    return 50 <= data[at] <= 56 and 7 <= end - at <= 8


@njit(cache=True, nogil=True)
def _date(data: NDArray[np.uint8], start: int, end: int) -> int:
    """Returns 0 for no date, 1 for a date, 2 for a date with a time; the forms banks use."""
    size = end - start
    if size == 8 and is_ymd(data, start):
        return 1
    if size == 14 and is_ymd(data, start) and 0 <= number(data, start + 8, start + 10) < 24:
        return 2
    if size < 8 or number(data, start, start + 4) < 1900 or number(data, start, start + 4) > 2099:
        return 0
    mark = data[start + 4]
    if mark == 45 or mark == 47 or mark == 46:
        month = number(data, start + 5, start + 7)
        if size >= 10 and 1 <= month <= 12 and data[start + 7] == mark:
            day = number(data, start + 8, start + 10)
            if 1 <= day <= 31:
                return 1 if size == 10 else 2 if size >= 16 else 0
        return 0
    # 年 is E5 B9 B4
    if mark == 0xE5 and data[start + 5] == 0xB9 and data[start + 6] == 0xB4:
        return 1
    return 0


@njit(cache=True, nogil=True)
def _address_like(data: NDArray[np.uint8], start: int, end: int, marks: NDArray[np.int64]) -> int:
    found = 0
    i = start
    while i + 2 < end:
        if data[i] >= 0xE0:
            found += _has(marks, _han(data, i))
            i += 3
        else:
            i += 1
    return found


@njit(cache=True, nogil=True)
def _spans(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    row: int,
    spans: NDArray[np.int64],
    firsts: NDArray[np.int64],
) -> None:
    """Finds identifiers inside a cell; every byte that is no ASCII letter or digit ends a run."""
    seen = 0
    i = start
    while i < end:
        char = data[i]
        alnum = 48 <= char <= 57 or 65 <= char <= 90 or 97 <= char <= 122
        if not alnum:
            i += 1
            continue
        j = i
        while j < end and (48 <= data[j] <= 57 or 65 <= data[j] <= 90 or 97 <= data[j] <= 122):
            j += 1
        kind = -1
        passed = False
        if j - i == 11 or j - i == 13:
            if mobile(data, i, j):
                kind, passed = 3, True
        elif 15 <= j - i <= 19:
            shape = id_card(data, i, j) if j - i == 18 else 0
            if shape:
                kind, passed = 0, shape == 2
            else:
                shape = uscc(data, i, j)
                if shape == 2:
                    kind, passed = 2, True
                elif bank_card(data, i, j) == 2:
                    kind, passed = 1, True
        if j < end and data[j] == 64 and j + 3 < end:
            k = j + 1
            dot = 0
            while k < end and (
                48 <= data[k] <= 57
                or 65 <= data[k] <= 90
                or 97 <= data[k] <= 122
                or data[k] == 45
                or data[k] == 46
            ):
                if data[k] == 46 and k + 2 < end and k > j + 1:
                    dot = k
                k += 1
            if dot:
                kind, passed, j = 4, True, k
        if kind >= 0:
            spans[kind, 0] += 1
            spans[kind, 1] += passed
            if not seen & (1 << kind):
                seen |= 1 << kind
                if spans[kind, 2] < firsts.shape[1]:
                    firsts[kind, spans[kind, 2]] = row
                spans[kind, 2] += 1
        i = j


@njit(cache=True, nogil=True)
def scan(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    valid: NDArray[np.bool_],
    first_row: int,
    surnames: NDArray[np.int64],
    endings: NDArray[np.int64],
    marks: NDArray[np.int64],
    counts: NDArray[np.int64],
    spans: NDArray[np.int64],
    firsts: NDArray[np.int64],
    sketch: NDArray[np.uint64],
) -> NDArray[np.int64]:
    """Scans all cells of a column.

    Args:
        data, offsets: Arrow's string buffers; ``valid`` tells which cells are not null.
        surnames, endings, marks: sorted keys of Han characters (``endings`` of the last two).
        counts: one counter per `COUNTERS`, added to.
        spans: per `SPANS` type: found, passed, rows; ``firsts`` its first rows.
        sketch: the smallest hashes of distinct cells, written.

    Returns:
        nulls, blanks, cells, shortest and longest cell in bytes, sketch entries, and whether the
        cells, read as integers, only ever rose.
    """
    nulls = blanks = cells = filled = 0
    shortest, longest = 1 << 62, 0
    rising = 1
    before = np.int64(-1)
    for row in range(len(offsets) - 1):
        if not valid[row]:
            nulls += 1
            continue
        start, end = offsets[row], offsets[row + 1]
        if end - start > LONGEST_CELL:
            end = start + LONGEST_CELL
        while start < end and data[start] <= 32:
            start += 1
        while end > start and data[end - 1] <= 32:
            end -= 1
        size = end - start
        if size == 0 or (size <= 4 and _says_nothing(data, start, end)):
            blanks += 1
            continue
        cells += 1
        shortest, longest = min(shortest, size), max(longest, size)
        digits = letters = han = stars = dots = other = 0
        value = np.uint64(14695981039346656037)
        for i in range(start, end):
            char = data[i]
            if i - start < 4096:
                value = (value ^ np.uint64(char)) * np.uint64(1099511628211)
            if 48 <= char <= 57:
                digits += 1
            elif char >= 0xE4 and char <= 0xE9:
                han += 1
            elif 65 <= char <= 90 or 97 <= char <= 122:
                letters += 1
            elif char == 42:
                stars += 1
            elif char == 46:
                dots += 1
            elif char < 0x80:
                other += 1
        value ^= value >> np.uint64(29)
        value *= np.uint64(0xBF58476D1CE4E5B9)
        filled = _keep(sketch, filled, value)
        if digits == size and size <= 18:
            now = number(data, start, end)
            if now <= before:
                rising = 0
            before = now
        else:
            rising = 0
        if stars >= 3:
            counts[MASKED] += 1
        if han and han * 3 == size:
            counts[HAN] += 1
            if han == 1 and (_han(data, start) in (0xE794B7, 0xE5A5B3)):
                counts[GENDER] += 1
            if han >= 2 and _han(data, end - 3) == 0xE6978F and han <= 5:
                counts[ETHNIC] += 1
            if 2 <= han <= 4 and _has(surnames, _han(data, start)):
                counts[NAME] += 1
        if han >= 4:
            if han * 3 + 12 >= size and _has(
                endings, (_han(data, end - 6) << 24) | _han(data, end - 3)
            ):
                counts[ORG_NAME] += 1
            elif size <= 300 and _address_like(data, start, end, marks) >= 3:
                counts[ADDRESS] += 1
            if han >= 8:
                counts[TEXT] += 1
        if han == 0 or size <= 12:
            typed = _cell(data, start, end, digits, letters, dots, other, stars, counts)
        else:
            typed = False
        if not typed and size >= 11 and digits >= 4:
            _spans(data, start, end, first_row + row, spans, firsts)
    return np.array([nulls, blanks, cells, shortest, longest, filled, rising], np.int64)


@njit(cache=True, nogil=True)
def _cell(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    digits: int,
    letters: int,
    dots: int,
    other: int,
    stars: int,
    counts: NDArray[np.int64],
) -> bool:
    """Counts what a whole cell looks like; returns whether that says what it is."""
    size = end - start
    known = False
    # 京 and its like are three bytes: 京A12345, 京AD12345
    plate_like = (size == 9 or size == 10) and data[start] >= 0xE4 and digits >= 3
    if plate_like and 65 <= data[start + 3] <= 90 and digits + letters == size - 3:
        counts[PLATE] += 1
        return True
    when = _date(data, start, end)
    if when == 1:
        counts[DATE] += 1
        known = True
    elif when == 2:
        counts[DATETIME] += 1
        known = True
    if data[start] >= 0x80:
        return known
    if digits == size:
        counts[DIGITS] += 1
        if size <= 12:
            counts[INTEGER] += 1
    if size <= 4 and digits + letters == size:
        counts[CODE] += 1
    if digits == size and (size == 11 or size == 13) and mobile(data, start, end):
        counts[MOBILE] += 1
        known = True
    if digits + letters == size:
        if size == 18 or size == 15:
            shape = id_card(data, start, end)
            if shape:
                counts[ID] += 1
                counts[ID_OK] += shape == 2
                known = True
        if size == 18:
            shape = uscc(data, start, end)
            if shape:
                counts[USCC] += 1
                counts[USCC_OK] += shape == 2
                known = known or shape == 2
        if digits == size and 15 <= size <= 19:
            shape = bank_card(data, start, end)
            if shape:
                counts[CARD] += 1
                counts[CARD_OK] += shape == 2
                known = True
        if size == 20:
            shape = lei(data, start, end)
            if shape:
                counts[LEI] += 1
                counts[LEI_OK] += shape == 2
                known = known or shape == 2
        if (size == 9 and letters == 1) or (size == 9 and letters == 2):
            first = data[start]
            if first in (69, 71, 68, 83, 80, 75) and digits >= 7:
                counts[PASSPORT] += 1
        if (size == 9 or size == 11) and digits == size - 1 and data[start] in (72, 77):
            counts[HK] += 1
        if size == 8 and digits == 8:
            counts[EIGHT] += 1
        if size == 6 and digits == 6 and _region(data, start):
            counts[REGION] += 1
        if letters and size in (32, 40, 64, 128):
            counts[HASH] += 1
    if size == 9 or size == 10:
        shape = org_code(data, start, end)
        if shape and (letters or data[end - 2] == 45 or shape == 2):
            counts[ORG] += 1
            counts[ORG_OK] += shape == 2
    if size == 60 and data[start] == 36 and data[start + 1] == 50:
        counts[HASH] += 1
        known = True
    if 10 <= digits <= 12 and digits + other == size and other <= 1 and _landline(data, start, end):
        counts[LANDLINE] += 1
        known = known or other == 1
    if letters and other and 6 <= size <= 254 and _email(data, start, end):
        counts[EMAIL] += 1
        known = True
    if dots == 3 and digits + 3 == size and 7 <= size <= 15:
        counts[IP] += 1
        known = True
    if size == 17 and (data[start + 2] == 58 or data[start + 2] == 45) and other == 5:
        counts[MAC] += 1
        known = True
    sign = 1 if data[start] == 45 else 0
    if dots == 1 and digits + dots + sign == size and size <= 24:
        places = 0
        for i in range(start, end):
            if data[i] == 46:
                places = end - i - 1
        whole = size - places - 1 - sign
        if places <= 2:
            counts[MONEY] += 1
            if whole <= 2:
                counts[PERCENT] += 1
        else:
            counts[FRACTION] += 1
            if whole > 2:
                counts[MONEY] += 1
        known = True
    return known


@njit(cache=True, nogil=True)
def _region(data: NDArray[np.uint8], start: int) -> bool:
    """Tells whether six digits start like an administrative division (province, prefecture 01–90)."""
    province = number(data, start, start + 2)
    prefecture = number(data, start + 2, start + 4)
    county = number(data, start + 4, start + 6)
    known = (
        11 <= province <= 15
        or 21 <= province <= 23
        or 31 <= province <= 37
        or 41 <= province <= 46
        or 50 <= province <= 54
        or 61 <= province <= 65
    )
    # A province as a whole is 140000: no county without a prefecture.
    whole = prefecture == 0 and county == 0
    return known and county <= 90 and (whole or 1 <= prefecture <= 53 or prefecture == 90)


@njit(cache=True, nogil=True)
def _email(data: NDArray[np.uint8], start: int, end: int) -> bool:
    at = dot = -1
    for i in range(start, end):
        char = data[i]
        if char == 64:
            if at >= 0:
                return False
            at = i
        elif char == 46:
            dot = i
        elif char <= 32 or char == 44 or char == 59:
            return False
    return at > start and dot > at + 1 and dot < end - 2
