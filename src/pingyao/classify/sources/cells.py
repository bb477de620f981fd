"""Cells that lie somewhere in a text, put together into columns without an object for any of them."""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import numpy as np
import pyarrow as pa
from llvmlite import ir
from numba import njit
from numpy.typing import NDArray

from pingyao.classify.sources.copying import copy as copied

WIDTH = 32
"""Bytes that are taken at once."""
BYTES = ir.VectorType(ir.IntType(8), WIDTH)


def gathered(
    texts: list[NDArray[np.uint8]],
    places: NDArray[np.integer],
    sizes: NDArray[np.int32],
    kept: NDArray[np.int64],
    names: list[str],
) -> pa.RecordBatch:
    """Returns rows as a batch of strings.

    Args:
        texts: what the cells are part of, at most four.
        places: row by row, where each cell begins, if these were one text.
        sizes: of the cells; -1 for null.
        kept: the rows to return.
        names: of the columns.
    """
    width, rows = len(names), len(kept)
    offsets = np.zeros((width, rows + 1), np.int32)
    valid = np.zeros((width, -(-rows // 8)), np.uint8)
    nulls = np.zeros(width, np.int64)
    total = _measure(sizes, kept, width, offsets, valid, nulls)
    data = np.empty(total, np.uint8)
    first, second, third, fourth = texts + [np.empty(0, np.uint8)] * (4 - len(texts))
    _gather(first, second, third, fourth, places, sizes, kept, width, data)
    buffer, at = pa.py_buffer(data), 0
    arrays: list[pa.Array] = []
    for column in range(width):
        size = int(offsets[column, rows])
        bits = pa.py_buffer(valid[column]) if nulls[column] else None
        own = [bits, pa.py_buffer(offsets[column]), buffer.slice(at, size)]
        arrays.append(pa.Array.from_buffers(pa.string(), rows, own, int(nulls[column])))
        at += size
    return pa.RecordBatch.from_arrays(arrays, names=names)


@njit(cache=True, nogil=True)
def _measure(sizes, kept, width, offsets, valid, nulls) -> int:
    total = 0
    for column in range(width):
        sum_of = 0
        for at in range(len(kept)):
            size = sizes[kept[at] * width + column]
            if size >= 0:
                sum_of += size
                valid[column, at >> 3] |= 1 << (at & 7)
            else:
                nulls[column] += 1
            offsets[column, at + 1] = sum_of
        total += sum_of
    return total


@njit(cache=True, nogil=True)
def _gather(first, second, third, fourth, places, sizes, kept, width, data) -> None:
    two = len(first) + len(second)
    three = two + len(third)
    to = 0
    for column in range(width):
        for at in range(len(kept)):
            cell = kept[at] * width + column
            place, size = places[cell], sizes[cell]
            if place < len(first):
                copy(first, place, size, data, to)
            elif place < two:
                copy(second, place - len(first), size, data, to)
            elif place < three:
                copy(third, place - two, size, data, to)
            else:
                copy(fourth, place - three, size, data, to)
            to += max(size, 0)


@njit(cache=True, nogil=True)
def copy(text, place, size, data, to) -> None:
    """Copies a cell; both ends must be within bounds."""
    copied(data.ctypes.data + to, text.ctypes.data + place, max(size, 0))


@njit(cache=True, nogil=True)
def utf8(point, out, to) -> int:
    """Writes a character; returns where the next one goes."""
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
