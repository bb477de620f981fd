"""SQLite files, opened read-only and left as they are."""

import os
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa

from pingyao.classify.model import Column, Table, Unread
from pingyao.classify.sources import limits, sqlite_plain, sqlite_rows
from pingyao.classify.sources.failures import failure, named
from pingyao.classify.sources.fingerprints import file_fingerprint
from pingyao.classify.sources.relational import decoded
from pingyao.classify.sources.sqlite_ddl import comments, quoted
from pingyao.classify.sources.sqlite_errors import explain
from pingyao.classify.sources.sqlite_file import Opened, SQLiteFile
from pingyao.classify.sources.sqlite_locks import content

_CATALOGUE = """
select name, type, coalesce(sql, '') from sqlite_schema
 where type in ('table', 'view') and name not like 'sqlite\\_%' escape '\\' order by name
"""
# What SQLite itself holds to its declared kind: the key that is the row's number (no index serves
# it), and columns of a strict table (but a real one may be too large to come as a number).
_ROW_NUMBER = """
select name from pragma_table_xinfo(?1) where pk = 1 and upper(type) = 'INTEGER'
   and not exists (select 1 from pragma_index_list(?1) where origin = 'pk')
"""
_STRICT = """
select x.name from pragma_table_list(?1) as l, pragma_table_xinfo(?1) as x
 where l.schema = 'main' and l.strict and upper(x.type) in ('INT', 'INTEGER', 'BLOB')
"""
_KNOWS_STRICT = (3, 37)


def open_sqlite(path: Path) -> "SQLite":
    """Opens a SQLite file read-only.

    Raises:
        PingyaoError: it is no SQLite file, encrypted, locked or not readable.
    """
    return SQLite(path, limits.Patience())


class SQLite:
    """A SQLite file as a source."""

    kind = "sqlite"

    def __init__(self, path: Path, patience: limits.Patience) -> None:
        self.name = path.name
        self._patience = patience
        self._file = SQLiteFile(path.resolve(), patience.lock)
        if not path.exists():
            raise failure("scan.no_such_file", self.name)
        if not path.is_file():
            raise failure("scan.not_a_file", self.name)
        if not os.access(path, os.R_OK):
            raise failure("scan.file_not_permitted", self.name)
        with self._reading(patience.catalogue, self.name) as opened:
            opened.connection.execute("select count(*) from sqlite_schema").fetchone()

    def tables(self) -> Iterator[Table | Unread]:
        """Yields tables and views by name; comments are those in the CREATE statement."""
        with self._reading(self._patience.catalogue, self.name) as opened:
            entries = opened.connection.execute(_CATALOGUE).fetchall()
            for entry in entries:
                name, kind, statement = (_text(each) for each in entry)
                try:
                    yield _described(opened.connection, name, kind, statement)
                except sqlite3.Error as error:
                    why = explain(error, name, view=kind == "view")
                    yield Unread(name, why.code, why.detail, why.remedy)

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Yields the rows of one snapshot; a sample is spread evenly by row number.

        A column whose cells are not all of one kind comes as text, from the first batch on.
        """
        if not table.columns:
            return
        what, view = named(table), table.kind == "view"
        with self._reading(self._patience.table, what, view=view) as opened:
            scope = quoted(table.name) + _sample(opened.connection, table, limit)
            yield from limits.bounded(_rows(opened, table, scope, after))

    def fingerprint(self, table: Table) -> str | None:
        """Returns the fingerprint of the file, which all its tables share; views may ask the clock."""
        return None if table.kind == "view" else file_fingerprint(self._file.path, content)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _reading(
        self, seconds: int, what: str, *, view: bool = False
    ) -> AbstractContextManager[Opened]:
        return self._file.reading(seconds, what, view=view)


def _rows(opened: Opened, table: Table, scope: str, after: int) -> Iterator[pa.RecordBatch]:
    handle = opened.rows()
    if handle is None:
        with _snapshot(opened.connection.execute):
            yield from sqlite_plain.read(opened.connection, table, scope, after)
        return
    with _snapshot(handle.run):
        certain = partial(_certain, opened.connection, table)
        yield from sqlite_rows.read(handle, table, scope, after, certain)


@contextmanager
def _snapshot(run: Callable[[str], object]) -> Generator[None]:
    run("begin")
    yield
    run("rollback")


def _certain(connection: sqlite3.Connection, table: Table) -> set[str]:
    """Returns the columns whose cells are all of one kind, whatever the table holds."""
    queries = [_ROW_NUMBER] + [_STRICT] * (sqlite3.sqlite_version_info >= _KNOWS_STRICT)
    return {
        _text(name) for query in queries for (name,) in connection.execute(query, (table.name,))
    }


def _described(connection: sqlite3.Connection, name: str, kind: str, statement: str) -> Table:
    info = connection.execute(
        "select name, type from pragma_table_xinfo(?) where hidden <> 1", (name,)
    ).fetchall()
    columns = [(_text(column), _text(declared or b"")) for column, declared in info]
    said = comments(statement, {column for column, _ in columns}) if kind == "table" else {}
    return Table(
        schema="",
        name=name,
        comment=said.get("", ""),
        kind="view" if kind == "view" else "table",
        columns=tuple(
            Column(column, declared, said.get(column, "")) for column, declared in columns
        ),
        estimated_rows=_last_row(connection, name) if kind == "table" else None,
    )


def _last_row(connection: sqlite3.Connection, name: str) -> int | None:
    """Returns the highest row number, found without reading the table; None if it has none."""
    try:
        found = connection.execute(f"select max(rowid) from {quoted(name)}").fetchone()[0]  # noqa: S608 - quoted
    except sqlite3.OperationalError:  # WITHOUT ROWID, or a virtual table without its module
        return None
    return found if isinstance(found, int) and found >= 0 else 0


def _text(value: object) -> str:
    return decoded(value) if isinstance(value, bytes) else str(value)


def _sample(connection: sqlite3.Connection, table: Table, limit: int | None) -> str:
    if limit is None:
        return ""
    last = _last_row(connection, table.name) if table.kind == "table" else None
    stride = (last or 0) // max(limit, 1)
    spread = f" where rowid % {stride} = 0" if stride > 1 else ""
    # By the table's own order, so that whatever is asked of the sample, it is the same rows.
    order = " not indexed" if table.kind == "table" else ""
    return f"{order}{spread} limit {int(limit)}"
