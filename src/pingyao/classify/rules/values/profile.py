"""What the values of a column look like: a small, mergeable summary of any number of rows."""

from contextlib import suppress
from functools import cache
from importlib.resources import files

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingyao.classify.rules.values.scan import COUNTERS, FIRST, LONGEST_CELL, SKETCH, SPANS, scan


class SpanCount(msgspec.Struct, frozen=True):
    """Identifiers of one type found inside cells: found, passing their check, rows, first rows."""

    found: int = 0
    passed: int = 0
    rows: int = 0
    first_rows: tuple[int, ...] = ()


class Profile(msgspec.Struct, frozen=True):
    """A column's values, summed up.

    Attributes:
        rows: all rows seen; ``nulls`` and ``blanks`` (empty, ``-``) of them hold nothing.
        cells: rows that hold something.
        shortest, longest: bytes of a cell.
        counts: cells by what they look like, keys of ``scan.COUNTERS``, zeros left out.
        spans: identifiers inside cells, by data type id.
        sketch: the smallest hashes of distinct cells, to estimate how many there are.
        rising: whether the cells, read as whole numbers, only rose, batch by batch.
        native: ``number``, ``date``, ``boolean`` or ``bytes`` when the source said so.
        cut: cells too long to be read whole.
    """

    rows: int = 0
    nulls: int = 0
    blanks: int = 0
    cells: int = 0
    shortest: int = 0
    longest: int = 0
    counts: dict[str, int] = {}
    spans: dict[str, SpanCount] = {}
    sketch: tuple[int, ...] = ()
    rising: bool = True
    native: tuple[str, ...] = ()
    cut: int = 0

    @property
    def distinct(self) -> float:
        """The estimated number of distinct cells."""
        if len(self.sketch) < SKETCH:
            return float(len(self.sketch))
        return (SKETCH - 1) / (self.sketch[-1] / 2**64)


EMPTY = Profile()


class _Words(msgspec.Struct):
    surnames: str
    organisation_endings: list[str]
    address_marks: str


@cache
def _words() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    raw = files("pingyao.classify.data").joinpath("values.json").read_bytes()
    words = msgspec.json.decode(raw, type=_Words)

    def keys(texts: list[str] | str) -> NDArray[np.int64]:
        return np.unique(np.array([int.from_bytes(t.encode(), "big") for t in texts], np.int64))

    return keys(words.surnames), keys(words.organisation_endings), keys(words.address_marks)


def profile(array: pa.Array | pa.ChunkedArray, first_row: int = 0) -> Profile:
    """Sums up one batch of a column, whatever its Arrow type.

    Args:
        first_row: zero-based number of the batch's first row within the table.
    """
    if isinstance(array, pa.ChunkedArray):
        result = EMPTY
        for chunk in array.chunks:
            result = merge(result, profile(chunk, first_row))
            first_row += len(chunk)
        return result
    native = _native(array.type)
    data, offsets, valid = _buffers(_as_text(array))
    counts = np.zeros(len(COUNTERS), np.int64)
    spans = np.zeros((len(SPANS), 3), np.int64)
    firsts = np.zeros((len(SPANS), FIRST), np.int64)
    sketch = np.zeros(SKETCH, np.uint64)
    surnames, endings, marks = _words()
    nulls, blanks, cells, shortest, longest, filled, rising = (
        int(x)
        for x in scan(
            data, offsets, valid, first_row, surnames, endings, marks, counts, spans, firsts, sketch
        )
    )
    return Profile(
        rows=len(array),
        nulls=nulls,
        blanks=blanks,
        cells=cells,
        shortest=shortest if cells else 0,
        longest=longest,
        counts={name: int(n) for name, n in zip(COUNTERS, counts, strict=True) if n},
        spans={
            name: SpanCount(
                int(spans[i, 0]),
                int(spans[i, 1]),
                int(spans[i, 2]),
                tuple(int(r) for r in firsts[i, : min(FIRST, spans[i, 2])]),
            )
            for i, name in enumerate(SPANS)
            if spans[i, 0]
        },
        sketch=tuple(int(h) for h in sketch[:filled]),
        rising=bool(rising),
        native=(native,) if native else (),
        cut=int((np.diff(offsets) > LONGEST_CELL).sum()),
    )


def merge(a: Profile, b: Profile) -> Profile:
    """Adds two profiles of parts of the same column; `EMPTY` changes nothing."""
    if not a.rows:
        return b
    if not b.rows:
        return a
    held = [p for p in (a, b) if p.cells]
    return Profile(
        rows=a.rows + b.rows,
        nulls=a.nulls + b.nulls,
        blanks=a.blanks + b.blanks,
        cells=a.cells + b.cells,
        shortest=min((p.shortest for p in held), default=0),
        longest=max(a.longest, b.longest),
        counts={k: a.counts.get(k, 0) + b.counts.get(k, 0) for k in sorted({*a.counts, *b.counts})},
        spans={
            k: _merge_spans(a.spans.get(k, SpanCount()), b.spans.get(k, SpanCount()))
            for k in sorted({*a.spans, *b.spans})
        },
        sketch=tuple(sorted({*a.sketch, *b.sketch})[:SKETCH]),
        rising=a.rising and b.rising,
        native=tuple(sorted({*a.native, *b.native})),
        cut=a.cut + b.cut,
    )


def _merge_spans(a: SpanCount, b: SpanCount) -> SpanCount:
    return SpanCount(
        a.found + b.found,
        a.passed + b.passed,
        a.rows + b.rows,
        tuple(sorted((*a.first_rows, *b.first_rows))[:FIRST]),
    )


def _native(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        return "date"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "bytes"
    return ""


def _as_text(array: pa.Array) -> pa.Array:
    """Casts a batch to large strings; bytes stay as they are."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return array.cast(pa.large_binary())
    if pa.types.is_nested(kind) or pa.types.is_null(kind):
        cells = [None if v is None else str(v) for v in array.to_pylist()]
        return pa.array(cells, pa.large_string())
    if pa.types.is_floating(kind):
        # 6.22e18 says nothing of its shape: whole floats are read as the integers they are.
        with suppress(pa.ArrowInvalid):
            array = array.cast(pa.int64(), safe=True)
    return array.cast(pa.large_string())


def _buffers(
    text: pa.Array,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    offsets_buffer, data_buffer = text.buffers()[1:3]
    offsets = np.frombuffer(offsets_buffer, np.int64)[text.offset : text.offset + len(text) + 1]
    data = (
        np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    )
    if text.null_count:
        valid = np.asarray(text.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    else:
        valid = np.ones(len(text), np.bool_)
    return data, offsets, valid
