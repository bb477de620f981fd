"""Lines of JSON as cells: what is plain is read here, the rest is left to a parser.

Of every line that is taken, the cells are exactly those a parser would give. A line is *left* where
that is not sure: broken, nested too deeply, a name twice, half a character, a monstrous number.
"""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pingyao.classify.sources.json_bytes import (
    CLOSE,
    COLON,
    COMMA,
    CR,
    DOT,
    LF,
    LIST,
    OPEN,
    QUOTE,
    blank,
    nested,
    number,
    string,
    unescape,
    word,
)
from pingyao.classify.sources.json_names import (
    LONGEST_NAME,
    NOWHERE,
    Names,
    find,
    follows,
    hashed,
)

DEEPEST = 4
"""Objects within one another whose keys become columns; what lies deeper stays JSON text."""

_MOST_CELLS = 1 << 20
_MOST_NESTED = 64
_MOST_STRANGERS = 32
_NULL = -1
_N = 110


class Cells(NamedTuple):
    """The cells of the lines that were cut, and the lines that were left.

    Attributes:
        places: row by row, where a cell's text begins; in the text, or beyond its end in ``spare``.
        sizes: of the cells; -1 for null.
        spare: what is not as it stands in the text.
        left: row, beginning, end and number of every line that was left.
        rows: how many, with the empty ones kept for lines that were left.
        end: where in the text the next line begins.
        lines: how many were seen.
        late: how many of them had keys that are not known.
    """

    places: NDArray[np.int32]
    sizes: NDArray[np.int32]
    spare: NDArray[np.uint8]
    left: NDArray[np.int64]
    rows: int
    end: int
    lines: int
    late: int


def cut(text: NDArray[np.uint8], start: int, names: Names, most: int) -> Cells:
    """Cuts lines, each ending in a line break, into cells.

    Args:
        text: whole lines.
        start: where the first to be cut begins.
        names: what to look for.
        most: rows at most.
    """
    size = len(text) - start
    # Few lines are shorter than two brackets and a line break; whatever is left over comes next.
    most = max(1, min(most, _MOST_CELLS // max(1, names.width), size // 3 + 1))
    places = np.empty(most * names.width, np.int32)
    sizes = np.empty(most * names.width, np.int32)
    spare = np.empty(size, np.uint8)
    left = np.empty((most, 4), np.int64)
    seen = np.zeros(len(names.columns), np.int64)
    counts = np.zeros(6, np.int64)
    _cut(text, start, names[:-1], names.width, most, places, sizes, spare, left, seen, counts)
    used, rows, end, lines, late, left_lines = map(int, counts)
    return Cells(places, sizes, spare[:used], left[:left_lines], rows, end, lines, late)


@njit(cache=True, nogil=True)
def _cut(text, at, names, width, most, places, sizes, spare, left, seen, counts) -> None:
    path = np.empty(LONGEST_NAME, np.uint8)
    befores = np.empty(DEEPEST, np.int64)
    kinds = np.empty(_MOST_NESTED, np.uint8)
    firsts = np.empty(_MOST_NESTED, np.int64)
    codes = np.empty(4 * _MOST_NESTED, np.uint64)
    scratch = (path, befores, kinds, firsts, codes)
    rows = used = lines = late = left_lines = 0
    while at < len(text) and rows < most:
        lines += 1
        start = at
        at = blank(text, at)
        if text[at] != LF and text[at] != CR:
            for cell in range(rows * width, rows * width + width):
                sizes[cell] = _NULL
                places[cell] = 0
            at, to, strange = _line(
                text, at, names, rows * width, places, sizes, spare, used, seen, lines, scratch
            )
            if at < 0:
                for cell in range(rows * width, rows * width + width):
                    sizes[cell] = _NULL
                at = start
                while text[at] != LF and text[at] != CR:
                    at += 1
                left[left_lines, 0] = rows
                left[left_lines, 1] = start
                left[left_lines, 2] = at
                left[left_lines, 3] = lines
                left_lines += 1
            else:
                used = to
                late += strange
            rows += 1
        # Lines end as in any text file: with either of the two, or both.
        if text[at] == CR and at + 1 < len(text) and text[at + 1] == LF:
            at += 1
        at += 1
    counts[0], counts[1], counts[2] = used, rows, at
    counts[3], counts[4], counts[5] = lines, late, left_lines


@njit(cache=True, nogil=True)
def _line(text, at, names, row, places, sizes, spare, to, seen, line, scratch):
    """Reads one object; returns where its line and its spare text end, and whether it had strange keys."""
    _, _, columns, known, _, _ = names
    path, befores, kinds, firsts, codes = scratch
    depth = before = strangers = guess = 0
    strange = False
    if text[at] != OPEN:
        return -1, to, False
    at = blank(text, at + 1)
    opened = True
    while True:
        # A key begins here, or an object without any ends.
        if not opened or text[at] != CLOSE:
            entry, size, at = _key(text, at, names, path, before, guess)
            if at < 0:
                return -1, to, False
            if entry >= 0:
                if seen[entry] == line:
                    return -1, to, False
                seen[entry] = line
                guess = (entry + 1) % len(columns)
            else:
                # Strangers are few enough to be compared with one another.
                code = hashed(path, 0, size)
                for i in range(strangers):
                    if codes[i] == code:
                        return -1, to, False
                if strangers == _MOST_STRANGERS:
                    return -1, to, False
                codes[strangers] = code
                strangers += 1
            if text[at] == OPEN and depth + 1 < DEEPEST:
                if size + 1 >= LONGEST_NAME:
                    return -1, to, False
                befores[depth] = before
                path[size] = DOT
                before = size + 1
                depth += 1
                at = blank(text, at + 1)
                opened = True
                continue
            strange |= entry < 0 or not known[entry]
            # Keys within are remembered behind the strangers.
            within = (kinds, firsts, codes[_MOST_STRANGERS:])
            at, place, length, after = _value(text, at, spare, to, within)
            if at < 0:
                return -1, to, False
            if entry >= 0 and columns[entry] >= 0:
                places[row + columns[entry]] = place
                sizes[row + columns[entry]] = length
                to = after
        # A value has ended here, and with it perhaps the objects around it.
        opened = False
        while True:
            at = blank(text, at)
            byte = text[at]
            if byte == COMMA:
                at = blank(text, at + 1)
                break
            if byte != CLOSE:
                return -1, to, False
            at += 1
            if depth == 0:
                at = blank(text, at)
                good = text[at] == LF or text[at] == CR
                return (at if good else -1), to, strange
            depth -= 1
            before = befores[depth]


@njit(inline="always")
def _key(text, at, names, path, before, guess):
    """Reads a key and its colon; returns its entry, the size of its name in ``path``, and the end."""
    texts, ends, _, _, plain, slots = names
    if text[at] != QUOTE:
        return NOWHERE, 0, -1
    start = at + 1
    if plain[guess] and follows(guess, path, before, text, start, texts, ends):
        entry = guess
        size = ends[entry + 1] - ends[entry]
        end = start + size - before
        for i in range(before, size):
            path[i] = texts[ends[entry] + i]
    else:
        end, escaped = string(text, start)
        # An escape is never shorter than what it stands for.
        if end < 0 or before + end - start >= LONGEST_NAME:
            return NOWHERE, 0, -1
        if escaped:
            size = unescape(text, start, end, path, before, False)
            if size < 0:
                return NOWHERE, 0, -1
        else:
            size = before + end - start
            for i in range(before, size):
                path[i] = text[start + i - before]
        entry = find(hashed(path, 0, size), path, size, texts, ends, slots)
    at = blank(text, end + 1)
    if text[at] != COLON:
        return NOWHERE, 0, -1
    return entry, size, blank(text, at + 1)


@njit(inline="always")
def _value(text, at, spare, to, within):
    """Reads a value; returns where it ends, where its text is, how long, and where the spare text ends."""
    kinds, firsts, codes = within
    byte = text[at]
    if byte == QUOTE:
        end, escaped = string(text, at + 1)
        if end < 0 or not escaped:
            return (end + 1 if end >= 0 else -1), at + 1, end - at - 1, to
        after = unescape(text, at + 1, end, spare, to, False)
        return (end + 1 if after >= 0 else -1), len(text) + to, after - to, after
    if byte in (OPEN, LIST):
        at, after = nested(text, at, spare, to, kinds, firsts, codes)
        return at, len(text) + to, after - to, after
    end = word(text, at) if byte >= 97 else number(text, at)
    return end, at, (end - at if byte != _N else _NULL), to
