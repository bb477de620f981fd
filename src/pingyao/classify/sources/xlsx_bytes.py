"""The rows of a sheet (.xlsx) as cells, a byte at a time; -1 wherever something unusual is written.

The text ends with zeros, which no XML holds: whatever runs into them is unusual.

Cites: ECMA-376 Part 1, 18.3.1.4 (c), 18.3.1.73 (row), 18.4.8 (si), 22.9.2.19 (ST_Xstring).
"""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import numpy as np
from numba import njit

from pingyao.classify.sources.cells import copy

SLACK = 64
"""Zeros behind a text."""
CONSTANTS = b"TrueFalse"
"""What spare text begins with."""
NUMBER, DATE, DURATION = 0, 1, 2
"""What a cell's style makes of a number."""
MOST_COLUMNS = 16_384

_NULL = -1
_TAB, _LF, _CR, _SPACE, _QUOTE, _AMPERSAND, _HASH, _APOSTROPHE = 9, 10, 13, 32, 34, 38, 35, 39
_MINUS, _DOT, _SLASH, _ZERO, _ONE, _NINE, _SEMICOLON = 45, 46, 47, 48, 49, 57, 59
_LESS, _EQUAL, _GREATER, _UNDERSCORE, _X = 60, 61, 62, 95, 120
_R, _S, _T, _N, _B, _E, _I = 114, 115, 116, 110, 98, 101, 105
_A, _Z = 65, 90
_LOW_SURROGATE, _BEYOND_SURROGATES = 0xD800, 0xE000
# Digits that a number and its double both keep.
_EXACT_DIGITS = 15
_MOST_ZEROS = 3


def _word(text: bytes):
    return np.frombuffer(text, np.uint8)


_ROW, _ROW_END, _CELL_END = _word(b"<row"), _word(b"</row>"), _word(b"</c>")
_VALUE, _VALUE_END, _FORMULA, _FORMULA_END = (
    _word(b"<v"),
    _word(b"</v>"),
    _word(b"<f"),
    _word(b"</f>"),
)
_INLINE, _INLINE_END, _STRING, _STRING_END = (
    _word(b"<is"),
    _word(b"</is>"),
    _word(b"<si"),
    _word(b"</si>"),
)
_BANG = 33
_TEXT, _TEXT_END, _READING, _READING_END = (
    _word(b"<t"),
    _word(b"</t>"),
    _word(b"<rPh"),
    _word(b"</rPh>"),
)
_AMP, _LT, _GT = _word(b"amp;"), _word(b"lt;"), _word(b"gt;")
_QUOT, _APOS = _word(b"quot;"), _word(b"apos;")


@njit(cache=True, nogil=True)
def _is(text, at, word) -> bool:
    i = 0
    while i < len(word) and text[at + i] == word[i]:
        i += 1
    return i == len(word)


@njit(cache=True, nogil=True)
def _tag(text, at, word) -> bool:
    """Tells whether a tag of this name begins here."""
    after = text[at + len(word)] if _is(text, at, word) else 0
    return after in (_GREATER, _SLASH, _SPACE) or _TAB <= after <= _CR


@njit(cache=True, nogil=True)
def _gap(text, at) -> int:
    while text[at] == _SPACE or text[at] == _LF or text[at] == _CR or text[at] == _TAB:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _opened(text, at):
    """From within a tag to behind it, -1 if it has no end; is it empty as well?"""
    while text[at] != _GREATER:
        byte = text[at]
        if byte == 0 or byte == _LESS:
            return -1, False
        at += 1
        if byte in (_QUOTE, _APOSTROPHE):
            while text[at] != byte:
                if text[at] == 0:
                    return -1, False
                at += 1
            at += 1
    return at + 1, text[at - 1] == _SLASH


@njit(cache=True, nogil=True)
def _attribute(text, at):
    """The next attribute: its one letter (0 for a longer name), its value's bounds; -1 as a letter at the end."""
    at = _gap(text, at)
    if text[at] == _GREATER or text[at] == _SLASH:
        return -1, at, at
    letter = int(text[at])
    start = at
    while text[at] != _EQUAL:
        if text[at] == 0 or text[at] == _GREATER or text[at] == _LESS:
            return -2, at, at
        at += 1
    if at - start != 1:
        letter = 0
    mark = text[at + 1]
    if mark != _QUOTE and mark != _APOSTROPHE:
        return -2, at, at
    start = at + 2
    at = start
    while text[at] != mark:
        if text[at] == 0 or text[at] == _LESS:
            return -2, at, at
        at += 1
    return letter, start, at


@njit(cache=True, nogil=True)
def _whole(text, at, end) -> int:
    """A number of up to nine digits, -1 if it is none."""
    if end == at or end - at > 9:
        return -1
    value = 0
    for i in range(at, end):
        if text[i] < _ZERO or text[i] > _NINE:
            return -1
        value = value * 10 + text[i] - _ZERO
    return value


@njit(cache=True, nogil=True)
def _column(text, at, end) -> int:
    """The column of a reference such as ``AB12``, counted from 0; -1 if it is none."""
    column = 0
    while at < end and _A <= text[at] <= _Z:
        column = column * 26 + text[at] - _A + 1
        if column > MOST_COLUMNS:
            return -1
        at += 1
    return column - 1 if at < end else -1


@njit(cache=True, nogil=True)
def _utf8(point, out, to) -> int:
    if point < 0x80:
        out[to] = point
        return to + 1
    if point < 0x800:
        out[to] = 0xC0 | point >> 6
    elif point < 0x10000:
        out[to] = 0xE0 | point >> 12
        to += 1
        out[to] = 0x80 | point >> 6 & 0x3F
    else:
        out[to] = 0xF0 | point >> 18
        out[to + 1] = 0x80 | point >> 12 & 0x3F
        to += 2
        out[to] = 0x80 | point >> 6 & 0x3F
    out[to + 1] = 0x80 | point & 0x3F
    return to + 2


@njit(cache=True, nogil=True)
def _digits(text, at, base):
    """The number from here on; where it ends."""
    value = 0
    while value < 0x110000:
        byte = text[at]
        if _ZERO <= byte <= _NINE:
            digit = byte - _ZERO
        elif base == 16 and 97 <= byte | 32 <= 102:
            digit = (byte | 32) - 87
        else:
            break
        value = value * base + digit
        at += 1
    return value, at


@njit(cache=True, nogil=True)
def _entity(text, at):
    """The character that ``&…;`` stands for, -1 if it is not known; where it ends."""
    if text[at] == _HASH:
        base = 16 if text[at + 1] == _X else 10
        start = at + 2 if base == 16 else at + 1
        point, end = _digits(text, start, base)
        good = end > start and text[end] == _SEMICOLON and 0 < point < 0x110000
        if not good or _LOW_SURROGATE <= point < _BEYOND_SURROGATES:
            return -1, at
        return point, end + 1
    if _is(text, at, _AMP):
        return _AMPERSAND, at + 4
    if _is(text, at, _LT):
        return _LESS, at + 3
    if _is(text, at, _GT):
        return _GREATER, at + 3
    if _is(text, at, _QUOT):
        return _QUOTE, at + 5
    if _is(text, at, _APOS):
        return _APOSTROPHE, at + 5
    return -1, at


@njit(cache=True, nogil=True)
def _chars(text, at, out, to):
    """Text up to the next tag: where that is, where the text begins and its size, what is written.

    What stands in the text as it is meant is not written; beyond its end, places are in ``out``.
    """
    start = at
    while text[at] != _LESS and text[at] != _AMPERSAND and text[at] != 0:
        if text[at] == _UNDERSCORE and text[at + 1] == _X:
            break
        at += 1
    if text[at] == _LESS:
        return at, start, at - start, to
    first = to
    copy(text, start, at - start, out, to)
    to += at - start
    while text[at] != _LESS:
        byte = text[at]
        if byte == 0:
            return -1, start, 0, first
        if byte == _AMPERSAND:
            point, at = _entity(text, at + 1)
            if point < 0:
                return -1, start, 0, first
            to = _utf8(point, out, to)
        elif byte == _UNDERSCORE and text[at + 1] == _X:
            point, end = _digits(text, at + 2, 16)
            if end - at == 6 and text[end] == _UNDERSCORE:
                if _LOW_SURROGATE <= point < _BEYOND_SURROGATES:
                    return -1, start, 0, first
                to = _utf8(point, out, to)
                at = end + 1
            else:
                out[to] = byte
                to += 1
                at += 1
        else:
            out[to] = byte
            to += 1
            at += 1
    return at, len(text) + first, to - first, to


@njit(cache=True, nogil=True)
def _string(text, at, last, out, to):
    """A string up to its last tag: its one text, or those of its runs joined; no reading of characters."""
    place, size = len(text) + to, 0
    alone = reading = False
    while True:
        at = _gap(text, at)
        if text[at] != _LESS or text[at + 1] == _BANG:
            return -1, place, size, to
        if _is(text, at, last):
            return at + len(last), place, size, to + (0 if alone else size)
        begins = _tag(text, at, _TEXT)
        if _is(text, at, _READING_END):
            reading = False
        reads = _tag(text, at, _READING)
        at, empty = _opened(text, at + 1)
        if at < 0:
            return -1, place, size, to
        reading |= reads and not empty
        if not begins or empty:
            continue
        at, more, length, _ = _chars(text, at, out, to + size)
        if at < 0 or not _is(text, at, _TEXT_END):
            return -1, place, size, to
        at += len(_TEXT_END)
        if reading or length == 0:
            continue
        if size == 0 and more < len(text):
            # It stays where it is unless another follows.
            place, size, alone = more, length, True
            continue
        if alone:
            for i in range(size):
                out[to + i] = text[place + i]
            place, alone = len(text) + to, False
        if more < len(text):
            copy(text, more, length, out, to + size)
        size += length


@njit(cache=True, nogil=True)
def _plain(text, at, size) -> int:
    """The size of a number without needless zeros, -1 where its double may be written otherwise."""
    end = at + size
    start = at
    if text[at] == _MINUS:
        at += 1
    first = at
    while at < end and _ZERO <= text[at] <= _NINE:
        at += 1
    whole = at - first
    if whole == 0 or (whole > 1 and text[first] == _ZERO) or whole > _EXACT_DIGITS:
        return -1
    zero = text[first] == _ZERO
    if at == end:
        return -1 if zero and first > start else size
    if text[at] != _DOT:
        return -1
    point = at
    at += 1
    while at < end and _ZERO <= text[at] <= _NINE:
        at += 1
    if at < end or at == point + 1 or whole + at - point - 1 > _EXACT_DIGITS:
        return -1
    while text[at - 1] == _ZERO:
        at -= 1
    if at == point + 1:
        return -1 if zero and first > start else point - start
    zeros = point + 1
    while text[zeros] == _ZERO:
        zeros += 1
    # Below a ten-thousandth powers of ten are written.
    if zero and zeros - point > _MOST_ZEROS + 1:
        return -1
    return at - start


@njit(cache=True, nogil=True)
def _cell(text, at, kinds, shared, out, to):
    """A cell from behind ``<c``: its end, column (-1 for the next), place, size, kind if odd, what is written.

    Of a number whose text may not be what it says, the kind is told, otherwise -1.
    """
    column, style = -1, 0
    type_of, type_size = 0, 0
    while True:
        letter, start, end = _attribute(text, at)
        if letter == -1:
            at = start
            break
        if letter < -1:
            return -1, 0, 0, 0, 0, to
        if letter == _R:
            column = _column(text, start, end)
            if column < 0:
                return -1, 0, 0, 0, 0, to
        elif letter == _S:
            style = _whole(text, start, end)
            if style < 0:
                return -1, 0, 0, 0, 0, to
        elif letter == _T:
            type_of, type_size = int(text[start]), end - start
        at = end + 1
    at, empty = _opened(text, at)
    if at < 0:
        return -1, 0, 0, 0, 0, to
    place, size, inline = at, _NULL, False
    while not empty:
        at = _gap(text, at)
        if _is(text, at, _CELL_END):
            at += len(_CELL_END)
            break
        if _tag(text, at, _VALUE):
            at, nothing = _opened(text, at + 1)
            if at < 0:
                return -1, 0, 0, 0, 0, to
            if not nothing:
                at, place, size, to = _chars(text, at, out, to)
                if at < 0 or not _is(text, at, _VALUE_END):
                    return -1, 0, 0, 0, 0, to
                at += len(_VALUE_END)
        elif _tag(text, at, _FORMULA):
            at, nothing = _opened(text, at + 1)
            while at >= 0 and not nothing and not _is(text, at, _FORMULA_END):
                if text[at] == 0 or text[at] == _LESS:
                    return -1, 0, 0, 0, 0, to
                at += 1
            if at < 0:
                return -1, 0, 0, 0, 0, to
            at += 0 if nothing else len(_FORMULA_END)
        elif _tag(text, at, _INLINE):
            at, nothing = _opened(text, at + 1)
            if at < 0:
                return -1, 0, 0, 0, 0, to
            if not nothing:
                at, place, size, to = _string(text, at, _INLINE_END, out, to)
                inline = True
                if at < 0:
                    return -1, 0, 0, 0, 0, to
        else:
            return -1, 0, 0, 0, 0, to
    if size <= 0:
        return at, column, place, _NULL, -1, to
    if inline:
        good = type_of == _I and type_size == 9
        return (at if good else -1), column, place, size, -1, to
    if type_size == 3 and type_of == _S:
        return at, column, place, size, -1, to
    if type_size > 1 or place >= len(text):
        return -1, 0, 0, 0, 0, to
    if type_of == _S:
        number = _whole(text, place, place + size)
        if number < 0 or number + 1 >= len(shared):
            return -1, 0, 0, 0, 0, to
        length = shared[number + 1] - shared[number]
        beyond = len(text) + len(out) + shared[number]
        return at, column, beyond, (length if length else _NULL), -1, to
    if type_of == _B:
        if size != 1 or (text[place] != _ZERO and text[place] != _ONE):
            return -1, 0, 0, 0, 0, to
        said = text[place] == _ONE
        return at, column, len(text) + (0 if said else 4), (4 if said else 5), -1, to
    if type_of == _E:
        return at, column, place, _NULL, -1, to
    if type_size and type_of != _N:
        return -1, 0, 0, 0, 0, to
    kind = int(kinds[style]) if style < len(kinds) else NUMBER
    exact = _plain(text, place, size) if kind == NUMBER else -1
    return at, column, place, (exact if exact > 0 else size), (-1 if exact > 0 else kind), to


@njit(cache=True, nogil=True)
def cut_rows(
    text, at, row, first, columns, width, kinds, shared, places, sizes, out, numbers, odd, state
):
    """Cuts whole rows into cells, those that hold anything and are not above the first one wanted.

    Args:
        text: rows and blanks, then `SLACK` zeros.
        at: where to begin.
        row: the number of the last row before.
        first: the number of the first row wanted, from 1.
        columns: for every column the place it is read into, -1 for none.
        width: how many are read.
        kinds: what each style makes of a number.
        shared: where every shared string begins and the last one ends.
        places, sizes: filled row by row; `cells.gathered` says how.
        out: spare text, beginning with `CONSTANTS`.
        numbers: filled with the numbers of the rows.
        odd: filled with cell, place, size and kind of numbers to be told in other words.
        state: filled with where the next row begins, how many were cut, the number of the last row
            seen, what is used of ``odd`` and of ``out``.

    Returns:
        Whether all is as usual; otherwise the rows that were cut are good, and the next one is not.
    """
    to = len(CONSTANTS)
    rows = odds = 0
    most = len(numbers)
    state[0], state[1], state[2], state[3], state[4] = at, 0, row, 0, to
    while rows < most:
        at = _gap(text, at)
        if text[at] == 0:
            state[0] = at
            return True
        if not _tag(text, at, _ROW):
            return False
        at += len(_ROW)
        number = row + 1
        while True:
            letter, start, end = _attribute(text, at)
            if letter == -1:
                at = start
                break
            if letter < -1:
                return False
            if letter == _R:
                number = _whole(text, start, end)
            at = end + 1
        at, empty = _opened(text, at)
        if at < 0 or number <= row:
            return False
        for cell in range(rows * width, rows * width + width):
            places[cell] = 0
            sizes[cell] = _NULL
        last = -1
        filled = False
        found = odds
        while not empty:
            at = _gap(text, at)
            if _is(text, at, _ROW_END):
                at += len(_ROW_END)
                break
            if text[at] != _LESS or text[at + 1] != 99:
                return False
            at, column, place, size, kind, to = _cell(text, at + 2, kinds, shared, out, to)
            if at < 0:
                return False
            column = column if column >= 0 else last + 1
            if column <= last or column >= MOST_COLUMNS:
                return False
            last = column
            filled |= size >= 0
            if columns[column] >= 0 and size >= 0:
                cell = rows * width + columns[column]
                places[cell] = place
                sizes[cell] = size
                if kind >= 0:
                    odd[found, 0], odd[found, 1], odd[found, 2], odd[found, 3] = (
                        cell,
                        place,
                        size,
                        kind,
                    )
                    found += 1
        row = number
        if filled and number >= first:
            numbers[rows] = number
            rows += 1
            odds = found
        state[0], state[1], state[2], state[3], state[4] = at, rows, row, odds, to
    return True


@njit(cache=True, nogil=True)
def cut_strings(text, out, ends, state) -> bool:
    """Cuts whole shared strings into their texts; tells whether all is as usual.

    Args:
        text: strings and blanks, then `SLACK` zeros.
        out: filled with their texts, one after another.
        ends: filled with where each ends.
        state: filled with how many there are, and the bytes used of ``out``.
    """
    at = to = count = 0
    while True:
        at = _gap(text, at)
        if text[at] == 0:
            state[0], state[1] = count, to
            return True
        if not _tag(text, at, _STRING):
            return False
        at, empty = _opened(text, at + 1)
        if at < 0:
            return False
        if not empty:
            at, place, size, _ = _string(text, at, _STRING_END, out, to)
            if at < 0:
                return False
            if place < len(text):
                copy(text, place, size, out, to)
            # Otherwise it has been written just here.
            to += size
        ends[count] = to
        count += 1
