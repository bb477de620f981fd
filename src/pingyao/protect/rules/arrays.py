"""Arrow columns as bytes and back: text out of anything, cells out of made bytes, nulls kept."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

pc: Any = compute
"""Arrow's functions; they are made at run time, where no checker sees them."""

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int32]


class Text(NamedTuple):
    """The bytes of a column of text; cell ``i`` is ``data[offsets[i]:offsets[i + 1]]``.

    Attributes:
        array: the column they are of, for its nulls.
    """

    data: Bytes
    offsets: Offsets
    array: pa.Array


def as_text(array: pa.Array) -> pa.Array:
    """Returns any column as UTF-8 text: numbers in plain digits, dates as ISO 8601, bytes as hex."""
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_floating(kind):
        whole = pc.floor(array)
        exact = pc.less(pc.abs(array), 2**53)
        if pc.all(pc.and_(pc.equal(whole, array), exact)).as_py() is not False:
            return pc.cast(pc.cast(array, pa.int64()), pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array([None if v is None else v.hex() for v in array.to_pylist()], pa.string())
    return pc.cast(array, pa.string())


def text(array: pa.Array) -> Text:
    """Returns a view of a column's bytes; ``array`` must be of type string."""
    buffers = array.buffers()
    offsets = np.frombuffer(buffers[1], np.int32)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(buffers[2], np.uint8) if buffers[2] else np.empty(0, np.uint8)
    return Text(data, offsets, array)


def built(data: Bytes, offsets: Offsets, like: pa.Array) -> pa.Array:
    """Makes a column of text from bytes, null where ``like`` is."""
    return pa.StringArray.from_buffers(
        len(like), pa.py_buffer(offsets), pa.py_buffer(data), _validity(like), like.null_count
    )


def fixed(rows: Bytes, like: pa.Array) -> pa.Array:
    """Makes a column of text from a matrix of ASCII bytes, a row a cell, null where ``like`` is."""
    count, width = rows.shape
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)[: count + 1]
    return built(np.ascontiguousarray(rows).reshape(-1), offsets, like)


def _validity(like: pa.Array) -> pa.Buffer | None:
    if not like.null_count:
        return None
    if like.offset == 0:
        return like.buffers()[0]
    valid = like.is_valid().to_numpy(zero_copy_only=False)
    return pa.py_buffer(np.packbits(valid, bitorder="little"))


def unchanged(before: pa.Array, after: pa.Array) -> int:
    """Counts the cells that hold the same before and after.

    Nulls and empty cells do not count, nor do cells that were masked already when they came.
    """
    left, right = as_text(before), as_text(after)
    bare = pc.invert(pc.or_(pc.equal(right, ""), pc.match_substring(right, "*")))
    return pc.sum(pc.and_(pc.equal(left, right), bare)).as_py() or 0
