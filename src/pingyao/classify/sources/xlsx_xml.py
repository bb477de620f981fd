"""The XML of workbooks (.xlsx), a byte at a time; -1 wherever something unusual is written.

The text ends with zeros, which no XML holds: whatever runs into them is unusual.

Cites: ECMA-376 Part 1, 18.4.8 (si), 22.9.2.19 (ST_Xstring).
"""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import numpy as np
from numba import njit

from pingyao.classify.sources.cells import copy, utf8

TAB, LF, CR, SPACE, QUOTE, AMPERSAND, HASH, APOSTROPHE = 9, 10, 13, 32, 34, 38, 35, 39
SLASH, ZERO, NINE, SEMICOLON, LESS, EQUAL, GREATER = 47, 48, 57, 59, 60, 61, 62
_BANG, _UNDERSCORE, _X = 33, 95, 120
_LOW_SURROGATE, _BEYOND_SURROGATES = 0xD800, 0xE000


def word(text: bytes):
    """Returns what `is_word` and `tag` look for."""
    return np.frombuffer(text, np.uint8)


_TEXT, _TEXT_END, _READING, _READING_END = map(word, (b"<t", b"</t>", b"<rPh", b"</rPh>"))
_AMP, _LT, _GT, _QUOT, _APOS = map(word, (b"amp;", b"lt;", b"gt;", b"quot;", b"apos;"))


@njit(cache=True, nogil=True)
def is_word(text, at, word) -> bool:
    """Tells whether this stands here."""
    i = 0
    while i < len(word) and text[at + i] == word[i]:
        i += 1
    return i == len(word)


@njit(cache=True, nogil=True)
def tag(text, at, word) -> bool:
    """Tells whether a tag of this name begins here."""
    after = text[at + len(word)] if is_word(text, at, word) else 0
    return after in (GREATER, SLASH, SPACE) or TAB <= after <= CR


@njit(cache=True, nogil=True)
def gap(text, at) -> int:
    """Returns the first place that is no blank."""
    while text[at] == SPACE or text[at] == LF or text[at] == CR or text[at] == TAB:
        at += 1
    return at


@njit(cache=True, nogil=True)
def opened(text, at):
    """From within a tag to behind it, -1 if it has no end; is it empty as well?"""
    while text[at] != GREATER:
        byte = text[at]
        if byte == 0 or byte == LESS:
            return -1, False
        at += 1
        if byte in (QUOTE, APOSTROPHE):
            while text[at] != byte:
                if text[at] == 0:
                    return -1, False
                at += 1
            at += 1
    return at + 1, text[at - 1] == SLASH


@njit(cache=True, nogil=True)
def attribute(text, at):
    """The next attribute: its one letter (0 for a longer name), its value's bounds; -1 as a letter at the end."""
    at = gap(text, at)
    if text[at] == GREATER or text[at] == SLASH:
        return -1, at, at
    letter = int(text[at])
    start = at
    while text[at] != EQUAL:
        if text[at] == 0 or text[at] == GREATER or text[at] == LESS:
            return -2, at, at
        at += 1
    if at - start != 1:
        letter = 0
    mark = text[at + 1]
    if mark != QUOTE and mark != APOSTROPHE:
        return -2, at, at
    start = at + 2
    at = start
    while text[at] != mark:
        if text[at] == 0 or text[at] == LESS:
            return -2, at, at
        at += 1
    return letter, start, at


@njit(cache=True, nogil=True)
def whole(text, at, end) -> int:
    """A number of up to nine digits, -1 if it is none."""
    if end == at or end - at > 9:
        return -1
    value = 0
    for i in range(at, end):
        if text[i] < ZERO or text[i] > NINE:
            return -1
        value = value * 10 + text[i] - ZERO
    return value


@njit(cache=True, nogil=True)
def _digits(text, at, base):
    """The number from here on; where it ends."""
    value = 0
    while value < 0x110000:
        byte = text[at]
        if ZERO <= byte <= NINE:
            digit = byte - ZERO
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
    if text[at] == HASH:
        base = 16 if text[at + 1] == _X else 10
        start = at + 2 if base == 16 else at + 1
        point, end = _digits(text, start, base)
        good = end > start and text[end] == SEMICOLON and 0 < point < 0x110000
        if not good or _LOW_SURROGATE <= point < _BEYOND_SURROGATES:
            return -1, at
        return point, end + 1
    if is_word(text, at, _AMP):
        return AMPERSAND, at + 4
    if is_word(text, at, _LT):
        return LESS, at + 3
    if is_word(text, at, _GT):
        return GREATER, at + 3
    if is_word(text, at, _QUOT):
        return QUOTE, at + 5
    if is_word(text, at, _APOS):
        return APOSTROPHE, at + 5
    return -1, at


@njit(cache=True, nogil=True)
def chars(text, at, out, to):
    """Text up to the next tag: where that is, where the text begins and its size, what is written.

    What stands in the text as it is meant is not written; beyond its end, places are in ``out``.
    """
    start = at
    while text[at] != LESS and text[at] != AMPERSAND and text[at] != 0:
        if text[at] == _UNDERSCORE and text[at + 1] == _X:
            break
        at += 1
    if text[at] == LESS:
        return at, start, at - start, to
    first = to
    copy(text, start, at - start, out, to)
    to += at - start
    while text[at] != LESS:
        byte = text[at]
        if byte == 0:
            return -1, start, 0, first
        if byte == AMPERSAND:
            point, at = _entity(text, at + 1)
            if point < 0:
                return -1, start, 0, first
            to = utf8(point, out, to)
        elif byte == _UNDERSCORE and text[at + 1] == _X:
            point, end = _digits(text, at + 2, 16)
            if end - at == 6 and text[end] == _UNDERSCORE:
                if _LOW_SURROGATE <= point < _BEYOND_SURROGATES:
                    return -1, start, 0, first
                to = utf8(point, out, to)
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
def string(text, at, last, out, to):
    """A string up to its last tag: its one text, or those of its runs joined; no reading of characters."""
    place, size = len(text) + to, 0
    alone = reading = False
    while True:
        at = gap(text, at)
        if text[at] != LESS or text[at + 1] == _BANG:
            return -1, place, size, to
        if is_word(text, at, last):
            return at + len(last), place, size, to + (0 if alone else size)
        begins = tag(text, at, _TEXT)
        if is_word(text, at, _READING_END):
            reading = False
        reads = tag(text, at, _READING)
        at, empty = opened(text, at + 1)
        if at < 0:
            return -1, place, size, to
        reading |= reads and not empty
        if not begins or empty:
            continue
        at, more, length, _ = chars(text, at, out, to + size)
        if at < 0 or not is_word(text, at, _TEXT_END):
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
