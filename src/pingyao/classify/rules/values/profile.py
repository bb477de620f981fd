"""What the values of a column look like: a small, mergeable summary of any number of rows."""

from functools import cache
from importlib.resources import files
from itertools import pairwise

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingyao.classify.rules.values.scan import FIRST, SKETCH, scan
from pingyao.classify.rules.values.shapes import COUNTERS, LAST, MARK, SURNAME
from pingyao.classify.rules.values.text import as_text
from pingyao.platform.lanes import WIDTH
from pingyao.platform.spans import PROVINCE, SPANS


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
        counts: cells by what they look like, keys of ``shapes.COUNTERS``, zeros left out.
        spans: identifiers inside cells, by data type id.
        wholes: the first rows with a cell that is such an identifier and nothing else.
        sketch: the smallest hashes of distinct cells, to estimate how many there are.
        first, last: scale of the first and the last cell, when all are whole numbers whose scale
            never fell; -1 otherwise. A scale is a number's length in bits and its highest eight.
        native: ``number``, ``date``, ``boolean`` or ``bytes`` when the source said so.
        kept: the number of distinct cells, once the sketch was let go by `bare`.
    """

    rows: int = 0
    nulls: int = 0
    blanks: int = 0
    cells: int = 0
    shortest: int = 0
    longest: int = 0
    counts: dict[str, int] = {}
    spans: dict[str, SpanCount] = {}
    wholes: dict[str, tuple[int, ...]] = {}
    sketch: tuple[int, ...] = ()
    first: int = -1
    last: int = -1
    native: tuple[str, ...] = ()
    kept: float | None = None

    @property
    def rising(self) -> bool:
        """Whether the cells are whole numbers that never fell, as far as their scales tell."""
        return self.first >= 0

    @property
    def distinct(self) -> float:
        """The number of distinct cells; estimated, to three digits, from 256 upwards."""
        if self.kept is not None:
            return self.kept
        if len(self.sketch) < SKETCH:
            return float(len(self.sketch))
        # More digits would be noise, and give away the hash they come from.
        return float(f"{(SKETCH - 1) / (self.sketch[-1] / 2**64):.3g}")


EMPTY = Profile()
_NO_SPANS = SpanCount()


class _Words(msgspec.Struct):
    surnames: str
    organisation_endings: list[str]
    address_marks: str
    plate_provinces: str


@cache
def _words() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Returns the bits of Han characters by code point, and the endings of organisations' names."""
    raw = files("pingyao.classify.data").joinpath("values.json").read_bytes()
    words = msgspec.json.decode(raw, type=_Words)
    table = np.zeros(1 << 16, np.uint8)
    for bit, characters in (
        (SURNAME, words.surnames),
        (MARK, words.address_marks),
        (PROVINCE, words.plate_provinces),
        (LAST, [ending[-1] for ending in words.organisation_endings]),
    ):
        table[[ord(c) for c in characters]] |= bit
    ends = [int.from_bytes(t.encode(), "big") for t in words.organisation_endings]
    return table, np.unique(np.array(ends, np.int64))


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
    data, offsets, validity, first_bit = as_text(array)
    # The tail begins 64 bytes before the end, or is filled up with zeros before the beginning.
    tail = np.zeros(2 * WIDTH, np.uint8)
    last_bytes = data[-WIDTH:]
    tail[WIDTH - len(last_bytes) : WIDTH] = last_bytes
    counts = np.zeros(len(COUNTERS), np.int64)
    inside = np.zeros((len(SPANS), 3), np.int64)
    firsts, wholes = np.zeros((2, len(SPANS), FIRST), np.int64)
    told = np.zeros(len(SPANS), np.int64)
    sketch = np.zeros(SKETCH, np.uint64)
    table, endings = _words()
    nulls, blanks, cells, shortest, longest, filled, first, last = scan(
        data.ctypes.data,
        len(data) - WIDTH,
        tail.ctypes.data,
        offsets,
        validity.address if validity else 0,
        first_bit,
        first_row,
        table.ctypes.data,
        endings,
        counts,
        inside,
        firsts,
        wholes,
        told,
        sketch,
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
            name: SpanCount(found, passed, rows, tuple(firsts[i, :rows].tolist()))
            for i, (name, (found, passed, rows)) in enumerate(
                zip(SPANS, inside.tolist(), strict=True)
            )
            if found
        },
        wholes={
            name: tuple(wholes[i, : told[i]].tolist()) for i, name in enumerate(SPANS) if told[i]
        },
        sketch=tuple(sketch[:filled].tolist()),
        first=first,
        last=last,
        native=(native,) if native else (),
    )


def merge(a: Profile, b: Profile) -> Profile:
    """Adds the profiles of a part of a column and of what follows it; `EMPTY` changes nothing.

    Raises:
        ValueError: one of them is `bare`.
    """
    if a.kept is not None or b.kept is not None:
        raise ValueError("a bare profile has nothing to add by")
    if not a.rows:
        return b
    if not b.rows:
        return a
    held = [p for p in (a, b) if p.cells]
    risen = all(p.rising for p in held) and all(x.last <= y.first for x, y in pairwise(held))
    return Profile(
        rows=a.rows + b.rows,
        nulls=a.nulls + b.nulls,
        blanks=a.blanks + b.blanks,
        cells=a.cells + b.cells,
        shortest=min((p.shortest for p in held), default=0),
        longest=max(a.longest, b.longest),
        counts={k: a.counts.get(k, 0) + b.counts.get(k, 0) for k in sorted({*a.counts, *b.counts})},
        spans={
            k: _added(a.spans.get(k, _NO_SPANS), b.spans.get(k, _NO_SPANS))
            for k in sorted({*a.spans, *b.spans})
        },
        wholes={
            k: _first(a.wholes.get(k, ()), b.wholes.get(k, ()))
            for k in sorted({*a.wholes, *b.wholes})
        },
        sketch=tuple(sorted({*a.sketch, *b.sketch})[:SKETCH]),
        first=held[0].first if held and risen else -1,
        last=held[-1].last if held and risen else -1,
        native=tuple(sorted({*a.native, *b.native})),
    )


def bare(p: Profile) -> Profile:
    """Returns what may be kept for long of a profile: no hash, and no scale of a number.

    It weighs the same, but can no longer be added to.
    """
    rising = 0 if p.rising else -1
    return msgspec.structs.replace(p, sketch=(), first=rising, last=rising, kept=p.distinct)


def shifted(p: Profile, rows: int) -> Profile:
    """Returns the profile of the same cells with so many rows before them."""
    spans = {
        name: msgspec.structs.replace(s, first_rows=tuple(r + rows for r in s.first_rows))
        for name, s in p.spans.items()
    }
    wholes = {name: tuple(r + rows for r in first) for name, first in p.wholes.items()}
    return msgspec.structs.replace(p, spans=spans, wholes=wholes)


def _added(a: SpanCount, b: SpanCount) -> SpanCount:
    return SpanCount(
        a.found + b.found, a.passed + b.passed, a.rows + b.rows, _first(a.first_rows, b.first_rows)
    )


def _first(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted((*a, *b))[:FIRST])


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
