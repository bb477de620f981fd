"""SQLite files, opened read-only and left as they are: not even a log is created beside them."""

import os
import re
import sqlite3
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pyarrow as pa

from pingyao.classify.model import Column, Table, Unread
from pingyao.classify.sources import limits
from pingyao.classify.sources.failures import failure, named
from pingyao.classify.sources.fingerprints import file_fingerprint
from pingyao.classify.sources.relational import decoded
from pingyao.kernel.errors import PingyaoError

_CATALOGUE = """
select name, type, coalesce(sql, '') from sqlite_schema
 where type in ('table', 'view') and name not like 'sqlite\\_%' escape '\\' order by name
"""
_NUMERIC_AT_A_TIME = 400
"""Columns whose stored types are asked in one statement: it has four results for each."""
_EXACT = 2**53
"""Whole numbers below this are exact as floating point."""
_FIRST_ROWS, _MOST_ROWS = 128, 8192
_FETCH_BYTES = 8 * 1024 * 1024
_TICK = 200_000
"""Steps of SQLite's machine between two looks at the clock."""

_BY_NAME = {
    "SQLITE_BUSY": "scan.locked",
    "SQLITE_LOCKED": "scan.locked",
    "SQLITE_NOTADB": "scan.not_a_database",
    "SQLITE_CORRUPT": "scan.damaged",
    "SQLITE_PERM": "scan.file_not_permitted",
    "SQLITE_AUTH": "scan.file_not_permitted",
    "SQLITE_INTERRUPT": "scan.timed_out",
    "SQLITE_TOOBIG": "scan.cell_too_long",
    "SQLITE_SCHEMA": "scan.table_changed",
    "SQLITE_READONLY": "scan.needs_recovery",
    "SQLITE_CANTOPEN": "scan.needs_recovery",
}
# Generic errors tell what is missing only in their (English, never translated) text.
_MISSING = re.compile(r"no such (table|column|function|module)")


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
        self._path = path.resolve()
        self._patience = patience
        self._idle: list[tuple[_Stamp, sqlite3.Connection]] = []
        if not path.exists():
            raise failure("scan.no_such_file", self.name)
        if not path.is_file():
            raise failure("scan.not_a_file", self.name)
        if not os.access(path, os.R_OK):
            raise failure("scan.file_not_permitted", self.name)
        with self._reading(patience.catalogue, self.name) as connection:
            connection.execute("select count(*) from sqlite_schema").fetchone()

    def tables(self) -> Iterator[Table | Unread]:
        """Yields tables and views by name; comments are those in the CREATE statement."""
        with self._reading(self._patience.catalogue, self.name) as connection:
            entries = connection.execute(_CATALOGUE).fetchall()
            for entry in entries:
                name, kind, statement = (_text(each) for each in entry)
                try:
                    yield _described(connection, name, kind, statement)
                except sqlite3.Error as error:
                    why = _explain(error, name, view=kind == "view")
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
        with self._reading(self._patience.table, what, view=view) as connection:
            connection.execute("begin")
            scope = _quoted(table.name) + _sample(connection, table, limit)
            types = _stored_types(connection, table, scope)
            query = f"select {', '.join(map(_item, table.columns, types))} from {scope}"  # noqa: S608 - identifiers are quoted
            if after:
                query += f" limit -1 offset {int(after)}"
            yield from limits.bounded(_fetched(connection.execute(query), table, types))

    def fingerprint(self, table: Table) -> str | None:
        """Returns the fingerprint of the file, which all its tables share; views may ask the clock."""
        return None if table.kind == "view" else file_fingerprint(self._path)

    def close(self) -> None:
        """Closes the file."""
        while self._idle:
            self._idle.pop()[1].close()

    @contextmanager
    def _reading(
        self, seconds: int, what: str, *, view: bool = False
    ) -> Generator[sqlite3.Connection]:
        before = self._stamp()
        deadline = time.monotonic() + seconds
        try:
            connection = self._lend(before)
            try:
                connection.set_progress_handler(lambda: time.monotonic() > deadline, _TICK)
                yield connection
                if connection.in_transaction:
                    connection.execute("rollback")
            except BaseException:
                connection.close()
                raise
            self._take_back(before, connection)
        except sqlite3.Error as error:
            raise _explain(error, what, view=view) from None
        if before.immutable and before != self._stamp():
            raise failure("scan.file_changed", what)

    def _lend(self, stamp: "_Stamp") -> sqlite3.Connection:
        """Opens the file, unless it is open still and nobody has touched it since.

        With thousands of tables, reading the schema anew for each would cost more than the rows.
        """
        while self._idle:
            known, connection = self._idle.pop()
            if known == stamp:
                return connection
            connection.close()
        uri = f"file:{quote(str(self._path))}?mode=ro"
        connection = sqlite3.connect(
            uri + ("&immutable=1" if stamp.immutable else ""),
            uri=True,
            timeout=self._patience.lock,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.text_factory = bytes
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 4 * limits.CELL_CHARACTERS)
            connection.execute("pragma query_only = on")
            connection.execute("pragma trusted_schema = off")
        except BaseException:
            connection.close()
            raise
        return connection

    def _take_back(self, stamp: "_Stamp", connection: sqlite3.Connection) -> None:
        # Where somebody keeps a log beside the file, to hold it open would keep the log there.
        if stamp.log:
            connection.close()
        else:
            self._idle.append((stamp, connection))

    def _stamp(self) -> "_Stamp":
        with self._path.open("rb") as file:
            header = file.read(20)
            state = os.fstat(file.fileno())
        log = Path(f"{self._path}-wal").exists()
        # In WAL mode with no log beside it, nobody has the file open. Opened the ordinary way,
        # SQLite would create that log, in a directory that is not ours.
        immutable = header[18:20] == b"\2\2" and not log
        return _Stamp(state.st_ino, state.st_size, state.st_mtime_ns, log, immutable)


class _Stamp(NamedTuple):
    """What tells that a file is still the one it was, and how it is to be opened."""

    inode: int
    size: int
    modified_ns: int
    log: bool
    immutable: bool


def _explain(error: sqlite3.Error, what: str, *, view: bool) -> PingyaoError:
    """Translates a driver's error; its text stays behind, because it may quote data."""
    name = getattr(error, "sqlite_errorname", None) or "SQLITE_ERROR"
    code = _BY_NAME.get("_".join(name.split("_")[:2]), "scan.read_failed")
    if name == "SQLITE_ERROR" and not view and _MISSING.search(str(error)):
        code = "scan.table_changed"
    if view and code == "scan.read_failed":
        code = "scan.view_broken"
    return failure(code, what, name)


def _described(connection: sqlite3.Connection, name: str, kind: str, statement: str) -> Table:
    info = connection.execute(
        "select name, type from pragma_table_xinfo(?) where hidden <> 1", (name,)
    ).fetchall()
    columns = [(_text(column), _text(declared or b"")) for column, declared in info]
    said = _comments(statement, {column for column, _ in columns}) if kind == "table" else {}
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
        found = connection.execute(f"select max(rowid) from {_quoted(name)}").fetchone()[0]  # noqa: S608 - quoted
    except sqlite3.OperationalError:  # WITHOUT ROWID, or a virtual table without its module
        return None
    return found if isinstance(found, int) and found >= 0 else 0


def _comments(statement: str, columns: set[str]) -> dict[str, str]:
    """Returns what is said about columns, and under ``""`` about the table.

    Only the plain manner is understood: one column a line, its comment at the end of the line.
    """
    said: dict[str, str] = {}
    for line in statement.splitlines():
        found = re.search(r"(?:--\s*(.*?)|/\*\s*(.*?)\s*\*/)\s*$", line)
        if not found:
            continue
        comment = (found[1] or found[2] or "").strip()
        code = line[: found.start()].strip().lstrip(",(").strip()
        name = re.match(r'"((?:[^"]|"")+)"|`([^`]+)`|\[([^\]]+)\]|([^\s,(]+)', code)
        if re.match(r"create\s", code, re.IGNORECASE) and code.count("(") <= 1:
            said[""] = comment
        elif name:
            column = next(filter(None, name.groups()), "").replace('""', '"')
            if column in columns:
                said.setdefault(column, comment)
    return said


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: object) -> str:
    return decoded(value) if isinstance(value, bytes) else str(value)


def _sample(connection: sqlite3.Connection, table: Table, limit: int | None) -> str:
    if limit is None:
        return ""
    last = _last_row(connection, table.name) if table.kind == "table" else None
    stride = (last or 0) // max(limit, 1)
    spread = f" where rowid % {stride} = 0" if stride > 1 else ""
    return f"{spread} limit {int(limit)}"


def _stored_types(connection: sqlite3.Connection, table: Table, scope: str) -> list[pa.DataType]:
    """Returns the Arrow type of every column, by what its cells really are.

    SQLite does not hold a column to its declared type, so columns that are not declared as text
    are looked through once before they are read.
    """
    types = [pa.string() for _ in table.columns]
    doubtful = [
        position
        for position, column in enumerate(table.columns)
        if not re.search("char|clob|text", column.declared_type, re.IGNORECASE)
    ]
    for start in range(0, len(doubtful), _NUMERIC_AT_A_TIME):
        part = doubtful[start : start + _NUMERIC_AT_A_TIME]
        names = [_quoted(table.columns[position].name) for position in part]
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
    name = _quoted(column.name)
    if pa.types.is_binary(arrow):
        return f"substr({name}, 1, {limits.BINARY_BYTES})"
    return f"cast({name} as text)" if pa.types.is_string(arrow) else name


def _fetched(
    cursor: sqlite3.Cursor, table: Table, types: list[pa.DataType]
) -> Iterator[pa.RecordBatch]:
    names = [column.name for column in table.columns]
    size = _FIRST_ROWS
    while rows := cursor.fetchmany(size):
        columns = zip(*rows, strict=True)
        batch = pa.RecordBatch.from_arrays(list(map(_array, columns, types)), names=names)
        yield batch
        fitting = _FETCH_BYTES * len(rows) // max(batch.nbytes, 1)
        size = max(1, min(_MOST_ROWS, 4 * size, fitting))


def _array(values: tuple[object, ...], arrow: pa.DataType) -> pa.Array:
    if not pa.types.is_string(arrow):
        return pa.array(values, arrow)
    raw = pa.array(values, pa.binary())
    try:
        return raw.cast(pa.string())
    except pa.ArrowInvalid:  # not UTF-8, which SQLite never checked
        return pa.array((None if v is None else decoded(v) for v in raw.to_pylist()), pa.string())
