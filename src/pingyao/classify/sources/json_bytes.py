"""The values of JSON, a byte at a time; -1 wherever it is not sure what a parser would make of one.

The text ends with a line break, which ends everything: no value reaches beyond it.
"""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import numpy as np
from llvmlite import ir
from numba import njit, types

from pingyao.classify.sources.cells import BYTES, WIDTH, utf8
from pingyao.classify.sources.json_names import hashed
from pingyao.platform.lanes import first_one, intrinsic

TAB, LF, CR, SPACE, QUOTE, BACKSLASH = 9, 10, 13, 32, 34, 92
COMMA, DOT, COLON, OPEN, CLOSE, LIST = 44, 46, 58, 123, 125, 91
_PLUS, _MINUS, _ZERO, _NINE, _U = 43, 45, 48, 57, 117
_HIGH, _LOW, _BEYOND = 0xD800, 0xDC00, 0xE000
_LONGEST_NUMBER = 300
# What may stand behind a backslash, and what each means.
_MEANT = np.full(256, -1, np.int64)
_MEANT[[*b'"\\/bfnrt']] = [*b'"\\/\b\f\n\r\t']
_SHORT = np.zeros(32, np.uint8)
_SHORT[[*b"\b\f\n\r\t"]] = [*b"bfnrt"]


@intrinsic
def _stops(_, place):
    """Returns a bit mask of what may end a run of plain text: marks, and what is below the space."""

    def codegen(context, builder, signature, args):
        lanes = builder.load(builder.inttoptr(args[0], BYTES.as_pointer()), align=1)
        found = builder.icmp_unsigned("<", lanes, ir.Constant(BYTES, [SPACE] * WIDTH))
        for mark in (QUOTE, BACKSLASH):
            same = builder.icmp_unsigned("==", lanes, ir.Constant(BYTES, [mark] * WIDTH))
            found = builder.or_(found, same)
        mask = builder.bitcast(found, ir.IntType(WIDTH))
        return builder.zext(mask, ir.IntType(64))

    return types.uint64(types.int64), codegen


@njit(cache=True, nogil=True)
def blank(text, at) -> int:
    """Returns the first place that is no blank."""
    while text[at] == SPACE or text[at] == TAB:
        at += 1
    return at


@njit(cache=True, nogil=True)
def string(text, at):
    """From behind the opening quotation mark to the closing one, -1 if there is none; has it escapes?"""
    escaped = False
    while True:
        while at + WIDTH <= len(text):
            mask = _stops(text.ctypes.data + at)
            if mask:
                at += first_one(mask)
                break
            at += WIDTH
        byte = text[at]
        if byte == QUOTE:
            return at, escaped
        if byte < SPACE:
            return -1, False
        if byte == BACKSLASH:
            escaped = True
            at += 1
            if text[at] < SPACE:
                return -1, False
        at += 1


@njit(cache=True, nogil=True)
def unescape(text, at, end, out, to, again) -> int:
    """Writes what a string says, or ``again`` as JSON would; -1 where that is not sure."""
    while at < end:
        byte = text[at]
        at += 1
        if byte != BACKSLASH:
            out[to] = byte
            to += 1
            continue
        byte = text[at]
        at += 1
        if byte == _U:
            point = _four(text, at, end)
            at += 4
            if _HIGH <= point < _LOW:
                if at + 6 > end or text[at] != BACKSLASH or text[at + 1] != _U:
                    return -1
                low = _four(text, at + 2, end)
                at += 6
                if low < _LOW or low >= _BEYOND:
                    return -1
                point = 0x10000 + ((point - _HIGH) << 10) + low - _LOW
            elif point < 0 or _LOW <= point < _BEYOND:
                return -1
        else:
            point = _MEANT[byte]
            if point < 0:
                return -1
        if again and (point < SPACE or point in (QUOTE, BACKSLASH)):
            to = _escape(point, out, to)
        else:
            to = utf8(point, out, to)
    return to


@njit(cache=True, nogil=True)
def _four(text, at, end) -> int:
    """The four hexadecimal digits at a place; -1 if they are not."""
    if at + 4 > end:
        return -1
    value = 0
    for i in range(at, at + 4):
        byte = text[i]
        if _ZERO <= byte <= _NINE:
            value = value << 4 | byte - _ZERO
        elif 97 <= byte | 32 <= 102:
            value = value << 4 | (byte | 32) - 87
        else:
            return -1
    return value


@njit(cache=True, nogil=True)
def _escape(point, out, to) -> int:
    """Writes a character below the space, a quotation mark or a backslash as JSON escapes it."""
    out[to] = BACKSLASH
    out[to + 1] = point if point >= SPACE else _SHORT[point]
    if out[to + 1]:
        return to + 2
    out[to + 1] = _U
    out[to + 2] = out[to + 3] = _ZERO
    out[to + 4] = _ZERO + (point >> 4)
    digit = point & 15
    out[to + 5] = digit + (_ZERO if digit < 10 else 87)
    return to + 6


@njit(cache=True, nogil=True)
def number(text, at) -> int:
    """The end of a number; -1 if it is none, or one whose own text might not be what is told."""
    start = at
    if text[at] == _MINUS:
        at += 1
    if text[at] == _ZERO:
        at += 1
        whole = text[start] == _MINUS
    else:
        at = _digits(text, at)
        whole = False
        if at < 0:
            return -1
    if text[at] == DOT:
        whole = False
        at = _digits(text, at + 1)
        if at < 0:
            return -1
    if text[at] | 32 == 101:
        whole = False
        at += 1
        if text[at] == _MINUS or text[at] == _PLUS:
            at += 1
        at = _digits(text, at)
        if at < 0:
            return -1
    # A parser makes 0 of -0, and gives up on thousands of digits.
    return -1 if whole or at - start > _LONGEST_NUMBER else at


@njit(cache=True, nogil=True)
def _digits(text, at) -> int:
    start = at
    while _ZERO <= text[at] <= _NINE:
        at += 1
    return at if at > start else -1


@njit(cache=True, nogil=True)
def word(text, at) -> int:
    """The end of ``true``, ``false`` or ``null``; -1 if it is none. A line break is within reach."""
    if text[at] == 116:
        good = text[at + 1] == 114 and text[at + 2] == 117 and text[at + 3] == 101
        return at + 4 if good else -1
    if text[at] == 102:
        good = text[at + 1] == 97 and text[at + 2] == 108
        good = good and text[at + 3] == 115 and text[at + 4] == 101
        return at + 5 if good else -1
    good = text[at] == 110 and text[at + 1] == 117 and text[at + 2] == 108
    return at + 4 if good and text[at + 3] == 108 else -1


@njit(cache=True, nogil=True)
def nested(text, at, out, to, kinds, firsts, codes):
    """Writes a list or an object without blanks; returns where both end, -1 where it is not sure."""
    depth = held = 0
    while True:
        # A value begins here.
        at = blank(text, at)
        byte = text[at]
        if byte in (OPEN, LIST):
            if depth == len(kinds):
                return -1, to
            kinds[depth] = byte
            firsts[depth] = held
            depth += 1
            out[to] = byte
            to += 1
            at = blank(text, at + 1)
            if text[at] == byte + 2:
                out[to] = byte + 2
                to += 1
                at += 1
                depth -= 1
            elif byte == LIST:
                continue
            else:
                at, to, held = _key(text, at, out, to, codes, firsts[depth - 1], held)
                if at < 0:
                    return -1, to
                continue
        elif byte == QUOTE:
            at, to = _quoted(text, at, out, to)
            if at < 0:
                return -1, to
        else:
            start = at
            at = word(text, at) if byte >= 97 else number(text, at)
            if at < 0:
                return -1, to
            for i in range(start, at):
                out[to] = text[i]
                to += 1
        # A value has ended here.
        while True:
            if depth == 0:
                return at, to
            at = blank(text, at)
            byte = text[at]
            at += 1
            out[to] = byte
            to += 1
            if byte == COMMA:
                if kinds[depth - 1] == OPEN:
                    at = blank(text, at)
                    at, to, held = _key(text, at, out, to, codes, firsts[depth - 1], held)
                    if at < 0:
                        return -1, to
                break
            if byte != kinds[depth - 1] + 2:
                return -1, to
            depth -= 1
            held = firsts[depth]


@njit(cache=True, nogil=True)
def _key(text, at, out, to, codes, first, held):
    """Writes a key and its colon; the keys of an object must differ, by their hashes."""
    if text[at] != QUOTE or held == len(codes):
        return -1, to, held
    start = to
    at, to = _quoted(text, at, out, to)
    if at < 0:
        return -1, to, held
    code = hashed(out, start, to)
    for i in range(first, held):
        if codes[i] == code:
            return -1, to, held
    codes[held] = code
    at = blank(text, at)
    if text[at] != COLON:
        return -1, to, held
    out[to] = COLON
    return at + 1, to + 1, held + 1


@njit(cache=True, nogil=True)
def _quoted(text, at, out, to):
    """Writes a string with its quotation marks."""
    end, escaped = string(text, at + 1)
    if end < 0:
        return -1, to
    out[to] = QUOTE
    to += 1
    if escaped:
        to = unescape(text, at + 1, end, out, to, True)
        if to < 0:
            return -1, 0
    else:
        for i in range(at + 1, end):
            out[to] = text[i]
            to += 1
    out[to] = QUOTE
    return end + 1, to + 1
