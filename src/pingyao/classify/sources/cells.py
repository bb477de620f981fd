"""Cells that lie somewhere in a text, put together into columns without an object for any of them."""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

import numpy as np
import pyarrow as pa
from llvmlite import ir
from numba import njit, types
from numpy.typing import NDArray

from pingyao.platform.lanes import intrinsic

WIDTH = 32
"""Bytes that are taken at once."""
BYTES = ir.VectorType(ir.IntType(8), WIDTH)


def gathered(
    text: NDArray[np.uint8],
    spare: NDArray[np.uint8],
    places: NDArray[np.int32],
    sizes: NDArray[np.int32],
    kept: NDArray[np.int64],
    names: list[str],
) -> pa.RecordBatch:
    """Returns rows as a batch of strings.

    Args:
        text: what most cells are part of.
        spare: what the others are part of.
        places: row by row, where each cell begins in the text, or beyond its end in ``spare``.
        sizes: of the cells; -1 for null.
        kept: the rows to return.
        names: of the columns.
    """
    width, rows = len(names), len(kept)
    offsets = np.zeros((width, rows + 1), np.int32)
    valid = np.zeros((width, -(-rows // 8)), np.uint8)
    nulls = np.zeros(width, np.int64)
    total = _measure(sizes, kept, width, offsets, valid, nulls)
    data = np.empty(total + WIDTH, np.uint8)
    _gather(text, spare, places, sizes, kept, width, data)
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
def _gather(text, spare, places, sizes, kept, width, data) -> None:
    to = 0
    for column in range(width):
        for at in range(len(kept)):
            cell = kept[at] * width + column
            place, size = places[cell], sizes[cell]
            if place < len(text):
                copy(text, place, size, data, to)
            else:
                copy(spare, place - len(text), size, data, to)
            to += max(size, 0)


@intrinsic
def _move(_, source, to):
    """Copies so many bytes as a vector holds from one address to another."""

    def codegen(context, builder, signature, args):
        whence, whither = (builder.inttoptr(each, BYTES.as_pointer()) for each in args)
        builder.store(builder.load(whence, align=1), whither, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@njit(cache=True, nogil=True)
def copy(text, place, size, data, to) -> None:
    """Copies a cell, and beyond it what the next one will overwrite: there must be room."""
    if place + size + WIDTH <= len(text):
        source, target = text.ctypes.data + place, data.ctypes.data + to
        for i in range(0, size, WIDTH):
            _move(source + i, target + i)
    else:
        for i in range(size):
            data[to + i] = text[place + i]
