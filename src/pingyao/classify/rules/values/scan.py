"""The one pass over a column's bytes: what each cell looks like, and what stands inside it."""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import numpy as np
from numba import njit
from numpy.typing import NDArray

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
    put,
    word,
)
from pingyao.platform.spans import PROVINCE, code_point, find, worth

# The counters of a profile, in the order of the kernel's array; *_ok pass their check digit.
COUNTERS = (
    *("id", "id_ok", "card", "card_ok", "uscc", "uscc_ok", "org", "org_ok", "lei", "lei_ok"),
    *("mobile", "landline", "email", "plate", "passport", "hk_macao", "eight", "ip", "mac"),
    *("date", "datetime", "money", "fraction", "integer", "region", "name", "org_name"),
    *("address", "han", "masked", "hash", "code", "text", "gender", "digits", "percent", "ethnic"),
)
_BIT = {name: np.uint64(1 << i) for i, name in enumerate(COUNTERS)}
_ID, _CARD, _USCC, _ORG, _LEI = (_BIT[k] for k in ("id", "card", "uscc", "org", "lei"))
_MOBILE, _LANDLINE, _EMAIL = _BIT["mobile"], _BIT["landline"], _BIT["email"]
_PLATE, _PASSPORT, _HK, _EIGHT = _BIT["plate"], _BIT["passport"], _BIT["hk_macao"], _BIT["eight"]
_IP, _MAC, _DATE, _DATETIME = _BIT["ip"], _BIT["mac"], _BIT["date"], _BIT["datetime"]
_MONEY, _FRACTION, _INTEGER = _BIT["money"], _BIT["fraction"], _BIT["integer"]
_REGION, _NAME, _ORG_NAME, _ADDRESS = (_BIT[k] for k in ("region", "name", "org_name", "address"))
_HAN, _MASKED, _HASH, _CODE, _TEXT = (_BIT[k] for k in ("han", "masked", "hash", "code", "text"))
_GENDER, _DIGITS, _PERCENT, _ETHNIC = (_BIT[k] for k in ("gender", "digits", "percent", "ethnic"))
_NONE = np.uint64(0)
_KNOWN = np.uint64(1 << 63)
"""That a cell is known as a whole, and need not be looked into."""
_ENDING = np.uint64(1 << 62)
"""That a cell may be a name or an address, and its end is to be looked at."""
WHOLES = ("id", "card_ok", "uscc_ok", "mobile", "email", "landline", "plate", "lei_ok")
"""Counters of cells that are an identifier of `SPANS`, in its order."""
_WHOLE_BITS = np.array([_BIT[name] for name in WHOLES], np.uint64)
_IDENTIFIERS = np.bitwise_or.reduce(_WHOLE_BITS)
_PASSPORTS = tuple(b"DEGKPS")
_GENDERS, _KIND, _TRIBE = (ord("男"), ord("女")), ord("性"), ord("族")
SKETCH = 256
FIRST = 10
SURNAME, MARK, LAST = 1, 2, 8
"""Bits of the table of Han characters: surnames, what addresses are written with, last characters
of organisations' names."""
# An address names a place within its first ten characters.
_NEAR = 30
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
            bits = _digits(data, start, end) | _KNOWN
        elif digits + letters == size:
            bits = _letters(data, start, end, letters) | _KNOWN
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
                bits = _mixed(data, start, end, digits, letters, han, table)
                if bits & _ENDING:
                    bits = _named(data, start, end, han, table, endings) | (bits & ~_ENDING)
            elif dots == 1 and digits + 1 == size and size <= 19:
                bits = _decimal(dot - start, end - dot - 1)
            else:
                bits = _marks(data, start, end, digits, letters, dots, ats, room)
            if stars >= 3:
                bits |= _MASKED
            # The shortest that can be found: two groups of three digits, a plate, a@b.c.
            some = digits + letters >= 6 or ats > 0
            some = some and not bits & _KNOWN
            if some and (size > WIDTH or worth(data, brim, tail, start, end)):
                find(data, brim, tail, start, end, first_row + row, table, room, inside, firsts)
        if bits & fresh:
            fresh = _first_rows(bits, fresh, first_row + row, wholes, told)
        bits &= ~_KNOWN
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


@njit(cache=True, nogil=True)
def _shape(shape: int, bit: np.uint64) -> np.uint64:
    """Returns the bit of a shape (1), and of its check, the next one, if that fits as well (2)."""
    return np.uint64(shape > 0) * bit | (np.uint64(shape == 2) * bit) << np.uint64(1)


@njit(cache=True, nogil=True)
def _when(data: int, start: int, end: int) -> np.uint64:
    when = checks.date(data, start, end)
    return (_DATE if when == 1 else _DATETIME) | _KNOWN if when else _NONE


@njit(cache=True, nogil=True)
def _digits(data: int, start: int, end: int) -> np.uint64:
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
def _letters(data: int, start: int, end: int, letters: int) -> np.uint64:
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
def _marks(
    data: int, start: int, end: int, digits: int, letters: int, dots: int, ats: int, room: int
) -> np.uint64:
    """Tells what a cell of ASCII with marks looks like."""
    size = end - start
    if ats:
        tidy = digits + letters + dots + ats == size or not _separated(data, start, end)
        whole = ats == 1 and tidy and checks.email(data, start, end)
        return _EMAIL | _KNOWN if whole else _NONE
    if digits >= 6 and size <= 40:
        when = _when(data, start, end)
        if when:
            return when
    others = size - digits - letters
    if size == 10 and byte(data, end - 2) == 45:
        shape = checks.org_code(data, start, end)
        if shape:
            return _shape(shape, _ORG) | _KNOWN
    if size == 60 and byte(data, start) == 36 and byte(data, start + 1) == 50:  # $2: bcrypt
        return _HASH | _KNOWN
    if size == 17 and others == 5 and checks.mac(data, start, end):
        return _MAC | _KNOWN
    if letters or digits == 0:
        return _NONE
    if dots == 3 and others == 3 and checks.ip(data, start, end):
        return _IP | _KNOWN
    if others == 1 and 10 <= digits <= 12 and checks.landline(data, start, end):
        return _LANDLINE | _KNOWN
    bits = _amount(data, start, end)
    return bits if bits else _grouped(data, start, end, room)


@njit(cache=True, nogil=True)
def _decimal(whole: int, places: int) -> np.uint64:
    """Tells an amount or a rate by its digits before and after the point."""
    if places == 0:
        return _NONE
    if places <= 2:
        return (_MONEY | _PERCENT if whole <= 2 else _MONEY) | _KNOWN
    return (_MONEY | _FRACTION if whole > 2 else _FRACTION) | _KNOWN


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
        return _FRACTION | _KNOWN
    if places == 0:  # a sign or commas, and no decimals
        return (_INTEGER if whole <= 12 else _NONE) | _KNOWN
    return _decimal(whole, places)


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
        return _MOBILE | _KNOWN if checks.mobile(room, 0, 11) else _NONE
    shape = checks.id_card(room, 0, 18) if held == 18 else 0
    if shape:
        return _shape(shape, _ID) | _KNOWN
    shape = checks.bank_card(room, 0, held) if held >= 16 else 0
    return _shape(shape, _CARD) | _KNOWN if shape else _NONE


@njit(cache=True, nogil=True)
def _mixed(
    data: int, start: int, end: int, digits: int, letters: int, han: int, table: int
) -> np.uint64:
    """Tells what a cell that is not all ASCII looks like; `_ENDING` asks to look at its end."""
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
        return _PLATE | _KNOWN
    if han >= 8:
        bits |= _TEXT
    return bits | _ENDING if han >= 4 else bits


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
def _named(
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
