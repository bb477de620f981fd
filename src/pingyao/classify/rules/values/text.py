"""Columns of any Arrow type as text, without an object for any value."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from pingyao.classify.rules.values import numbers

# Arrow makes most of its functions at run time: the checker sees none of them.
pc: Any = compute
_STRING = pa.large_string()
_BLANK = pa.scalar(" ", _STRING)
# A decimal of so many digits fits into 64 bits.
_EXACT_DIGITS = 18


class Text(NamedTuple):
    """A column as text: bytes, offsets, and the bits that tell nulls, from ``first_bit`` on."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    validity: pa.Buffer | None
    first_bit: int


def as_text(array: pa.Array) -> Text:
    """Returns a batch as text, whatever its type; bytes stay as they are."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return as_text(array.dictionary_decode())
    validity = array.buffers()[0] if array.null_count else None
    if pa.types.is_floating(kind):
        values = np.frombuffer(array.cast(pa.float64()).buffers()[1], np.float64)
        written = numbers.floating(values[array.offset : array.offset + len(array)])
        return Text(*written, validity, array.offset)
    if pa.types.is_decimal128(kind) and kind.precision <= _EXACT_DIGITS and kind.scale >= 0:
        words = np.frombuffer(array.buffers()[1], np.int64)[::2]
        written = numbers.fixed(words[array.offset : array.offset + len(array)], kind.scale)
        return Text(*written, validity, array.offset)
    short = pa.types.is_string(kind) or pa.types.is_binary(kind)
    text = array if short or pa.types.is_large_binary(kind) else _strings(array)
    bits, offsets, data = text.buffers()
    cuts = np.frombuffer(offsets or bytes(8), np.int32 if short else np.int64)
    cuts = cuts[text.offset : text.offset + len(text) + 1].astype(np.int64, copy=False)
    held = np.frombuffer(data if data is not None else b"", np.uint8)
    return Text(held, cuts, bits if text.null_count else None, text.offset)


def _strings(array: pa.Array) -> pa.Array:
    """Writes a batch as strings; what is nested as its parts, side by side."""
    kind = array.type
    if not pa.types.is_nested(kind):
        try:
            return array.cast(_STRING)
        except pa.ArrowInvalid:  # bytes within a nested value that are no text
            return pa.nulls(len(array), _STRING)
    if pa.types.is_struct(kind):
        parts = [*array.flatten(), pa.nulls(len(array))]
        strings = [_strings(part).fill_null("") for part in parts]
        joined = pc.binary_join_element_wise(*strings, _BLANK)
    else:
        if pa.types.is_map(kind):
            # Keys and values of the entries that this slice holds.
            first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
            parts = [p.slice(first, last - first) for p in (array.keys, array.items)]
            strings = [_strings(part).fill_null("") for part in parts]
            items = pc.binary_join_element_wise(*strings, _BLANK)
            sizes = pc.subtract(array.offsets[1:], array.offsets[:-1])
        else:
            items = _strings(array.flatten()).fill_null("")
            sizes = pc.list_value_length(array).fill_null(0)
        ends = pc.cumulative_sum(sizes.cast(pa.int64()))
        offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends])
        joined = pc.binary_join(pa.LargeListArray.from_arrays(offsets, items), _BLANK)
    return pc.if_else(array.is_valid(), joined, pa.scalar(None, _STRING))
