"""Rows of a SQLite file through Python's own module, where its library cannot be reached directly.

The same cells as `sqlite_rows.read` yields, at a quarter of its rate: each is a Python object.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pingyao.classify.model import Column, Table
from pingyao.classify.sources import limits
from pingyao.classify.sources.sqlite_ddl import declared_text, quoted
from pingyao.classify.sources.sqlite_text import as_utf8

_ASKED_AT_A_TIME = 400
"""Columns whose stored types are asked in one statement: it has four results for each."""
_EXACT = 2**53
"""Whole numbers below this are exact as floating point."""
_FIRST_ROWS, _MOST_ROWS = 128, 8192
_FETCH_BYTES = 8 * 1024 * 1024


def read(
    connection: sqlite3.Connection, table: Table, scope: str, after: int
) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a table, or of a sample of it.

    Args:
        connection: in a transaction, so that everything is read from one snapshot.
        table: whose columns are read.
        scope: what follows FROM.
        after: leaves out so many rows from the first.
    """
    types = _stored_types(connection, table, scope)
    query = f"select {', '.join(map(_item, table.columns, types))} from {scope}"  # noqa: S608 - identifiers are quoted
    if after:
        query += f" limit -1 offset {int(after)}"
    names = [column.name for column in table.columns]
    cursor = connection.execute(query)
    size = _FIRST_ROWS
    while rows := cursor.fetchmany(size):
        columns = zip(*rows, strict=True)
        batch = pa.RecordBatch.from_arrays(list(map(_array, columns, types)), names=names)
        yield batch
        fitting = _FETCH_BYTES * len(rows) // max(batch.nbytes, 1)
        size = max(1, min(_MOST_ROWS, 4 * size, fitting))


def _stored_types(connection: sqlite3.Connection, table: Table, scope: str) -> list[pa.DataType]:
    """Returns the Arrow type of every column, by what its cells really are."""
    types = [pa.string() for _ in table.columns]
    doubtful = [
        position for position, column in enumerate(table.columns) if not declared_text(column)
    ]
    for start in range(0, len(doubtful), _ASKED_AT_A_TIME):
        part = doubtful[start : start + _ASKED_AT_A_TIME]
        names = [quoted(table.columns[position].name) for position in part]
        asked = ", ".join(
            f"min(nullif(typeof({n}), 'null')), max(nullif(typeof({n}), 'null')), min({n}), max({n})"
            for n in names
        )
        inner = f"select {', '.join(names)} from {scope}"  # noqa: S608 - identifiers are quoted
        answers = connection.execute(f"select {asked} from ({inner})").fetchone()  # noqa: S608 - as above
        for order, position in enumerate(part):
            types[position] = _arrow_type(*answers[4 * order : 4 * order + 4])
    return types


def _arrow_type(first: bytes | None, last: bytes | None, least: Any, most: Any) -> pa.DataType:
    if first == last == b"integer":
        return pa.int64()
    if first == last == b"blob":
        return pa.binary()
    numbers = first in (b"integer", b"real") and last == b"real"
    if numbers and least > -_EXACT and most < _EXACT:
        return pa.float64()
    return pa.string()


def _item(column: Column, arrow: pa.DataType) -> str:
    name = quoted(column.name)
    if pa.types.is_binary(arrow):
        # SQLite makes NULL of a part of nothing.
        return f"ifnull(substr({name}, 1, {limits.BINARY_BYTES}), {name})"
    return f"cast({name} as text)" if pa.types.is_string(arrow) else name


def _array(values: tuple[object, ...], arrow: pa.DataType) -> pa.Array:
    if not pa.types.is_string(arrow):
        return pa.array(values, arrow)
    return as_utf8(pa.array(values, pa.binary()).view(pa.string()))
