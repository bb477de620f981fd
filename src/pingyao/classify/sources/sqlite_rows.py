"""Rows of a SQLite file as Arrow batches, without a Python object per cell.

SQLite holds no column to its declared type: what a column is, only its cells tell, and one whose
cells are not all of one kind comes as text, from the first batch on. So the first block is read as
the declaration suggests, and anew where its cells turn out otherwise. Where more is to come, the
columns that may yet surprise are looked through to their end before anything is given out.
"""

import re
from collections.abc import Callable, Iterator

import pyarrow as pa

from pingyao.classify.model import Column, Table
from pingyao.classify.sources import limits
from pingyao.classify.sources.sqlite_cells import (
    BLOB,
    NULL,
    REAL,
    TEXT,
    WHOLE,
    WIDE,
    Block,
    look_through,
    must_be_text,
)
from pingyao.classify.sources.sqlite_ddl import declared_text, quoted
from pingyao.classify.sources.sqlite_library import MISMATCH, Handle

_FIRST_ROWS = 4096
"""Most tables are no larger: they are gone through once."""
_CELL_BYTES = 8
_LIKELY = (
    (r"date|time|json", TEXT),
    (r"int|bool", WHOLE),
    (r"real|floa|doub|num|dec|money", REAL),
    (r"blob|binary", BLOB),
)
_FITTING = {
    WHOLE: 1 << WHOLE | 1 << NULL | WIDE,
    REAL: 1 << WHOLE | 1 << REAL | 1 << NULL,
    BLOB: 1 << BLOB | 1 << NULL,
}
"""What a column that comes as this kind may hold; text may be anything."""


def read(
    handle: Handle, table: Table, scope: str, after: int, certain: Callable[[], set[str]]
) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a table, or of a sample of it.

    Args:
        handle: in a transaction, so that everything is read from one snapshot.
        table: whose columns are read.
        scope: what follows FROM.
        after: leaves out so many rows from the first.
        certain: tells the columns whose cells are all of one kind whatever the table holds.

    Raises:
        sqlite3.Error: what SQLite says.
    """
    names = [column.name for column in table.columns]
    query = _select(names, scope) + (f" limit -1 offset {int(after)}" if after else "")
    kinds = [_likely(column) for column in table.columns]
    met, ended = [0] * len(kinds), False
    with handle.statement(query) as statement:
        block = None
        if not after:
            block = _block(kinds, _FIRST_ROWS)
            ended = block.fill(handle, statement)
            met = block.met
        if not ended:
            met = _met(handle, table, scope, met, certain())
        known = [*map(_kind, table.columns, met)]
        if block is None or known != kinds:
            handle.again(statement)
            block = _block(known, _FIRST_ROWS)
            ended = block.fill(handle, statement)
        yield from _batch(handle, block, known, names)
        while not ended:
            block = _block(known, limits.ROWS, block.widths)
            ended = block.fill(handle, statement)
            yield from _batch(handle, block, known, names)


def _select(names: list[str], scope: str) -> str:
    return f"select {', '.join(map(quoted, names))} from {scope}"  # noqa: S608 - identifiers are quoted


def _block(kinds: list[int], most: int, widths: list[int] | None = None) -> Block:
    return Block(kinds, max(1, min(most, limits.BYTES // (_CELL_BYTES * len(kinds)))), widths)


def _batch(
    handle: Handle, block: Block, kinds: list[int], names: list[str]
) -> Iterator[pa.RecordBatch]:
    for kind, met in zip(kinds, block.met, strict=True):
        # Only a view can answer otherwise than a moment ago, or a file changed from underneath.
        if kind != TEXT and met & ~_FITTING[kind]:
            handle.ok(MISMATCH)
    if block.rows:
        yield block.batch(names)


def _met(handle: Handle, table: Table, scope: str, met: list[int], certain: set[str]) -> list[int]:
    """Returns the kinds met in all rows, as far as they decide what a column comes as."""
    unsure = [
        position
        for position, column in enumerate(table.columns)
        if not declared_text(column)
        and not must_be_text(met[position])
        and not (column.name in certain and met[position] & ~(1 << NULL))
    ]
    if not unsure:
        return met
    # Asked for other columns, a view might answer with other rows.
    asked = range(len(met)) if table.kind == "view" else unsure
    query = _select([table.columns[position].name for position in asked], scope)
    with handle.statement(query) as statement:
        places = [place for place, position in enumerate(asked) if position in unsure]
        found = look_through(handle, statement, places, [met[position] for position in unsure])
    known = dict(zip(unsure, found, strict=True))
    return [known.get(position, each) for position, each in enumerate(met)]


def _likely(column: Column) -> int:
    """Returns what a column probably comes as; a wrong guess costs the first block twice."""
    if declared_text(column):
        return TEXT
    found = (kind for shape, kind in _LIKELY if re.search(shape, column.declared_type, re.I))
    return next(found, TEXT)


def _kind(column: Column, met: int) -> int:
    """Returns what a column comes as, by the kinds met in it."""
    kinds = met & ~(1 << NULL | WIDE)
    if declared_text(column) or must_be_text(met) or not kinds:
        return TEXT
    if kinds & 1 << REAL:
        return REAL
    return WHOLE if kinds & 1 << WHOLE else BLOB
