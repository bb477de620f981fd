"""The rows of a sheet (.xlsx) as cells, a byte at a time; -1 wherever something unusual is written.

Cites: ECMA-376 Part 1, 18.3.1.4 (c), 18.3.1.73 (row).
"""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

from numba import njit

from pingyao.classify.sources.cells import copy
from pingyao.classify.sources.xlsx_xml import (
    LESS,
    NINE,
    ZERO,
    attribute,
    chars,
    gap,
    is_word,
    opened,
    string,
    tag,
    whole,
    word,
)

SLACK = 64
"""Zeros behind a text."""
CONSTANTS = b"TrueFalse"
"""What spare text begins with."""
NUMBER, DATE, DURATION = 0, 1, 2
"""What a cell's style makes of a number."""
MOST_COLUMNS = 16_384

_NULL = -1
_MINUS, _DOT, _ONE = 45, 46, 49
_R, _S, _T, _N, _B, _E, _I, _C = 114, 115, 116, 110, 98, 101, 105, 99
_A, _Z = 65, 90
# Digits that a number and its double both keep.
_EXACT_DIGITS = 15
_MOST_ZEROS = 3
_ROW, _ROW_END, _CELL_END = map(word, (b"<row", b"</row>", b"</c>"))
_VALUE, _VALUE_END, _FORMULA, _FORMULA_END = map(word, (b"<v", b"</v>", b"<f", b"</f>"))
_INLINE, _INLINE_END, _STRING, _STRING_END = map(word, (b"<is", b"</is>", b"<si", b"</si>"))


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
def _plain(text, at, size) -> int:
    """The size of a number without needless zeros, -1 where its double may be written otherwise."""
    end = at + size
    start = at
    if text[at] == _MINUS:
        at += 1
    first = at
    while at < end and ZERO <= text[at] <= NINE:
        at += 1
    whole = at - first
    if whole == 0 or (whole > 1 and text[first] == ZERO) or whole > _EXACT_DIGITS:
        return -1
    zero = text[first] == ZERO
    if at == end:
        return -1 if zero and first > start else size
    if text[at] != _DOT:
        return -1
    point = at
    at += 1
    while at < end and ZERO <= text[at] <= NINE:
        at += 1
    if at < end or at == point + 1 or whole + at - point - 1 > _EXACT_DIGITS:
        return -1
    while text[at - 1] == ZERO:
        at -= 1
    if at == point + 1:
        return -1 if zero and first > start else point - start
    zeros = point + 1
    while text[zeros] == ZERO:
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
        letter, start, end = attribute(text, at)
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
            style = whole(text, start, end)
            if style < 0:
                return -1, 0, 0, 0, 0, to
        elif letter == _T:
            type_of, type_size = int(text[start]), end - start
        at = end + 1
    at, empty = opened(text, at)
    if at < 0:
        return -1, 0, 0, 0, 0, to
    place, size, inline = at, _NULL, False
    while not empty:
        at = gap(text, at)
        if is_word(text, at, _CELL_END):
            at += len(_CELL_END)
            break
        if tag(text, at, _VALUE):
            at, nothing = opened(text, at + 1)
            if at < 0:
                return -1, 0, 0, 0, 0, to
            if not nothing:
                at, place, size, to = chars(text, at, out, to)
                if at < 0 or not is_word(text, at, _VALUE_END):
                    return -1, 0, 0, 0, 0, to
                at += len(_VALUE_END)
        elif tag(text, at, _FORMULA):
            at, nothing = opened(text, at + 1)
            while at >= 0 and not nothing and not is_word(text, at, _FORMULA_END):
                if text[at] == 0 or text[at] == LESS:
                    return -1, 0, 0, 0, 0, to
                at += 1
            if at < 0:
                return -1, 0, 0, 0, 0, to
            at += 0 if nothing else len(_FORMULA_END)
        elif tag(text, at, _INLINE):
            at, nothing = opened(text, at + 1)
            if at < 0:
                return -1, 0, 0, 0, 0, to
            if not nothing:
                at, place, size, to = string(text, at, _INLINE_END, out, to)
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
        number = whole(text, place, place + size)
        if number < 0 or number + 1 >= len(shared):
            return -1, 0, 0, 0, 0, to
        length = shared[number + 1] - shared[number]
        beyond = len(text) + len(out) + shared[number]
        return at, column, beyond, (length if length else _NULL), -1, to
    if type_of == _B:
        if size != 1 or (text[place] != ZERO and text[place] != _ONE):
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
        at = gap(text, at)
        if text[at] == 0:
            state[0] = at
            return True
        if not tag(text, at, _ROW):
            return False
        at += len(_ROW)
        number = row + 1
        while True:
            letter, start, end = attribute(text, at)
            if letter == -1:
                at = start
                break
            if letter < -1:
                return False
            if letter == _R:
                number = whole(text, start, end)
            at = end + 1
        at, empty = opened(text, at)
        if at < 0 or number <= row:
            return False
        for cell in range(rows * width, rows * width + width):
            places[cell] = 0
            sizes[cell] = _NULL
        last = -1
        filled = False
        found = odds
        while not empty:
            at = gap(text, at)
            if is_word(text, at, _ROW_END):
                at += len(_ROW_END)
                break
            if text[at] != LESS or text[at + 1] != _C:
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
        at = gap(text, at)
        if text[at] == 0:
            state[0], state[1] = count, to
            return True
        if not tag(text, at, _STRING):
            return False
        at, empty = opened(text, at + 1)
        if at < 0:
            return False
        if not empty:
            at, place, size, _ = string(text, at, _STRING_END, out, to)
            if at < 0:
                return False
            if place < len(text):
                copy(text, place, size, out, to)
            # Otherwise it has been written just here.
            to += size
        ends[count] = to
        count += 1
