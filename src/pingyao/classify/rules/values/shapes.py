"""What a cell looks like as a whole: a set of bits, one for each counter of a profile."""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pingyao.platform import checks
from pingyao.platform.lanes import byte, put
from pingyao.platform.spans import PROVINCE, code_point

# The counters of a profile, in the order of the kernel's array; *_ok pass their check digit.
COUNTERS = (
    *("id", "id_ok", "card", "card_ok", "uscc", "uscc_ok", "org", "org_ok", "lei", "lei_ok"),
    *("mobile", "landline", "email", "plate", "passport", "hk_macao", "eight", "ip", "mac"),
    *("date", "datetime", "money", "fraction", "integer", "region", "name", "org_name"),
    *("address", "han", "masked", "hash", "code", "text", "gender", "digits", "percent", "ethnic"),
)
BITS = {name: np.uint64(1 << i) for i, name in enumerate(COUNTERS)}
_ID, _CARD, _USCC, _ORG, _LEI = (BITS[k] for k in ("id", "card", "uscc", "org", "lei"))
_MOBILE, _LANDLINE, _EMAIL = BITS["mobile"], BITS["landline"], BITS["email"]
_PLATE, _PASSPORT, _HK, _EIGHT = BITS["plate"], BITS["passport"], BITS["hk_macao"], BITS["eight"]
_IP, _MAC, _DATE, _DATETIME = BITS["ip"], BITS["mac"], BITS["date"], BITS["datetime"]
_MONEY, _FRACTION, _INTEGER = BITS["money"], BITS["fraction"], BITS["integer"]
_REGION, _NAME, _ORG_NAME, _ADDRESS = (BITS[k] for k in ("region", "name", "org_name", "address"))
_HAN, MASKED, _HASH, _CODE, _TEXT = (BITS[k] for k in ("han", "masked", "hash", "code", "text"))
_GENDER, _DIGITS, _PERCENT, _ETHNIC = (BITS[k] for k in ("gender", "digits", "percent", "ethnic"))
_NONE = np.uint64(0)
KNOWN = np.uint64(1 << 63)
"""That a cell is known as a whole, and need not be looked into."""
ENDING = np.uint64(1 << 62)
"""That a cell may be a name or an address, and its end is to be looked at."""
_PASSPORTS = tuple(b"DEGKPS")
_GENDERS, _KIND, _TRIBE = (ord("男"), ord("女")), ord("性"), ord("族")
SURNAME, MARK, LAST = 1, 2, 8
"""Bits of the table of Han characters: surnames, what addresses are written with, last characters
of organisations' names."""
# An address names a place within its first ten characters.
_NEAR = 30


@njit(cache=True, nogil=True)
def _shape(shape: int, bit: np.uint64) -> np.uint64:
    """Returns the bit of a shape (1), and of its check, the next one, if that fits as well (2)."""
    return np.uint64(shape > 0) * bit | (np.uint64(shape == 2) * bit) << np.uint64(1)


@njit(cache=True, nogil=True)
def _when(data: int, start: int, end: int) -> np.uint64:
    when = checks.date(data, start, end)
    return (_DATE if when == 1 else _DATETIME) | KNOWN if when else _NONE


@njit(cache=True, nogil=True)
def of_digits(data: int, start: int, end: int) -> np.uint64:
    """Tells what a cell of digits looks like."""
    size = end - start
    bits = _DIGITS
    if size <= 12:
        bits |= _INTEGER
    if size <= 4:
        return bits | _CODE
    if size == 6:
        return bits | _REGION if checks.region(data, start) else bits
    if size == 8:
        return bits | _EIGHT | _when(data, start, end)
    if size == 9:
        # Any nine digits have the shape: only those that fit count.
        return bits | _shape(2, _ORG) if checks.org_code(data, start, end) == 2 else bits
    if size == 14:
        return bits | _when(data, start, end)
    if (size == 11 or size == 13) and checks.mobile(data, start, end):
        return bits | _MOBILE
    if 10 <= size <= 12:
        return bits | _LANDLINE if checks.landline(data, start, end) else bits
    if 15 <= size <= 19:
        shape = checks.id_card(data, start, end)
        bits |= _shape(shape, _ID)
        if shape < 2:
            bits |= _shape(checks.bank_card(data, start, end), _CARD)
            bits |= _shape(checks.uscc(data, start, end), _USCC)
    return bits


@njit(cache=True, nogil=True)
def of_letters(data: int, start: int, end: int, letters: int) -> np.uint64:
    """Tells what a cell of letters, or letters and digits, looks like."""
    size = end - start
    if size <= 4:
        return _CODE
    if size == 18:
        shape = checks.id_card(data, start, end)
        return _shape(shape, _ID) | _shape(checks.uscc(data, start, end), _USCC)
    if size == 20:
        return _shape(checks.lei(data, start, end), _LEI)
    if size == 32 or size == 40 or size == 64 or size == 128:
        return _HASH
    bits = _NONE
    if size == 9 or size == 11:
        first = byte(data, start)
        if letters == 1 and (first == 72 or first == 77):
            bits |= _HK
        if size == 9:
            if letters <= 2 and first in _PASSPORTS:
                bits |= _PASSPORT
            bits |= _shape(checks.org_code(data, start, end), _ORG)
    return bits


@njit(cache=True, nogil=True)
def of_marks(
    data: int, start: int, end: int, digits: int, letters: int, dots: int, ats: int, room: int
) -> np.uint64:
    """Tells what a cell of ASCII with marks looks like."""
    size = end - start
    if ats:
        tidy = digits + letters + dots + ats == size or not _separated(data, start, end)
        whole = ats == 1 and tidy and checks.email(data, start, end)
        return _EMAIL | KNOWN if whole else _NONE
    if digits >= 6 and size <= 40:
        when = _when(data, start, end)
        if when:
            return when
    others = size - digits - letters
    if size == 10 and byte(data, end - 2) == 45:
        shape = checks.org_code(data, start, end)
        if shape:
            return _shape(shape, _ORG) | KNOWN
    if size == 60 and byte(data, start) == 36 and byte(data, start + 1) == 50:  # $2: bcrypt
        return _HASH | KNOWN
    if size == 17 and others == 5 and checks.mac(data, start, end):
        return _MAC | KNOWN
    if letters or digits == 0:
        return _NONE
    if dots == 3 and others == 3 and checks.ip(data, start, end):
        return _IP | KNOWN
    if others == 1 and 10 <= digits <= 12 and checks.landline(data, start, end):
        return _LANDLINE | KNOWN
    bits = _amount(data, start, end)
    return bits if bits else _grouped(data, start, end, room)


@njit(cache=True, nogil=True)
def of_decimal(whole: int, places: int) -> np.uint64:
    """Tells an amount or a rate by its digits before and after the point."""
    if places == 0:
        return _NONE
    if places <= 2:
        return (_MONEY | _PERCENT if whole <= 2 else _MONEY) | KNOWN
    return (_MONEY | _FRACTION if whole > 2 else _FRACTION) | KNOWN


@njit(cache=True, nogil=True)
def _separated(data: int, start: int, end: int) -> bool:
    """Tells whether there is a blank, a comma or a semicolon."""
    for i in range(start, end):
        char = byte(data, i)
        if char <= 32 or char == 44 or char == 59:
            return True
    return False


@njit(cache=True, nogil=True)
def _amount(data: int, start: int, end: int) -> np.uint64:
    """Tells an amount or a rate: a sign, commas between thousands, decimals, a percent sign."""
    if end - start > 32:
        return _NONE
    percent = byte(data, end - 1) == 37
    stop = end - percent
    at = start + (byte(data, start) == 45 or byte(data, start) == 43)
    whole = 0
    comma = -1
    while at < stop and byte(data, at) != 46:
        char = byte(data, at)
        if char == 44:
            # Between commas stand three digits, before the first one to three.
            if whole == 0 or (comma < 0 and whole > 3) or (comma >= 0 and at - comma != 4):
                return _NONE
            comma = at
        elif 48 <= char <= 57:
            whole += 1
        else:
            return _NONE
        at += 1
    if comma >= 0 and at - comma != 4:
        return _NONE
    places = max(stop - at - 1, 0)
    if whole + places == 0 or places > 18 or (at < stop and places == 0):
        return _NONE
    if places and checks.number(data, at + 1, stop) < 0:
        return _NONE
    if percent:
        return _FRACTION | KNOWN
    if places == 0:  # a sign or commas, and no decimals
        return (_INTEGER if whole <= 12 else _NONE) | KNOWN
    return of_decimal(whole, places)


@njit(cache=True, nogil=True)
def _grouped(data: int, start: int, end: int, room: int) -> np.uint64:
    """Tells a mobile, ID or card number that is written in groups."""
    held = 0
    for i in range(start, end):
        char = byte(data, i)
        if 48 <= char <= 57:
            if held == 19:
                return _NONE
            put(room, held, char)
            held += 1
        elif (char != 32 and char != 45) or held == 0 or byte(data, i - 1) == char:
            return _NONE
    if held == 11:
        return _MOBILE | KNOWN if checks.mobile(room, 0, 11) else _NONE
    shape = checks.id_card(room, 0, 18) if held == 18 else 0
    if shape:
        return _shape(shape, _ID) | KNOWN
    shape = checks.bank_card(room, 0, held) if held >= 16 else 0
    return _shape(shape, _CARD) | KNOWN if shape else _NONE


@njit(cache=True, nogil=True)
def of_mixed(
    data: int, start: int, end: int, digits: int, letters: int, han: int, table: int
) -> np.uint64:
    """Tells what a cell that is not all ASCII looks like; `ENDING` asks to look at its end."""
    size = end - start
    if han == 0:
        return _NONE
    bits = _NONE
    if han * 3 == size:
        bits = _HAN
        first = code_point(data, start)
        last = code_point(data, end - 3)
        if han <= 2 and first in _GENDERS and (han == 1 or last == _KIND):
            bits |= _GENDER
        if 2 <= han <= 5 and last == _TRIBE:
            bits |= _ETHNIC
        if 2 <= han <= 4 and byte(table, first) & SURNAME:
            bits |= _NAME
    elif 48 <= byte(data, start) <= 57 and digits >= 4:
        bits |= _when(data, start, end)
    elif digits >= 3 and han <= 2 and _plate(data, start, end, digits + letters, table):
        return _PLATE | KNOWN
    if han >= 8:
        bits |= _TEXT
    return bits | ENDING if han >= 4 else bits


@njit(cache=True, nogil=True)
def _plate(data: int, start: int, end: int, alnum: int, table: int) -> bool:
    """Tells a plate: 京A12345, 京AD12345, 京A·12345."""
    if not (6 <= alnum <= 7 and 0xE4 <= byte(data, start) <= 0xE9):
        return False
    size = end - start
    dot = 2 if size >= 11 and byte(data, start + 4) == 0xC2 and byte(data, start + 5) == 0xB7 else 0
    whole = alnum + dot == size - 3 and 65 <= byte(data, start + 3) <= 90
    return whole and (byte(table, code_point(data, start)) & PROVINCE) != 0


@njit(cache=True, nogil=True)
def of_name(
    data: int, start: int, end: int, han: int, table: int, endings: NDArray[np.int64]
) -> np.uint64:
    """Tells the name of an organisation by its end, or else an address by what it is written with."""
    size = end - start
    if han * 3 + 12 >= size and byte(table, code_point(data, end - 3)) & LAST:
        key = 0
        for i in range(end - 6, end):
            key = key << 8 | byte(data, i)
        at = np.searchsorted(endings, key)
        if at < len(endings) and endings[at] == key:
            return _ORG_NAME
    if size <= 300 and _address_like(data, start, end, table):
        return _ADDRESS
    return _NONE


@njit(cache=True, nogil=True)
def _address_like(data: int, start: int, end: int, table: int) -> bool:
    """Tells whether three characters, one near the beginning, are such as addresses are made of."""
    found = 0
    i = start
    while i + 2 < end:
        if byte(data, i) >= 0xE0:
            found += (byte(table, code_point(data, i)) & MARK) != 0
            if found >= 3:
                return True
            i += 3
        else:
            i += 1
        if found == 0 and i - start >= _NEAR:
            return False
    return False
