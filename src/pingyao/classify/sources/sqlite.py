"""SQLite files, opened read-only through Python's own driver."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from pingyao.classify.model import Column, Table, Unread
from pingyao.kernel.errors import Invalid, PingyaoError, Unavailable

_BATCH_ROWS = 16_384
_BATCH_BYTES = 64 * 1024 * 1024


class SqliteSource:
    """The tables and views of one SQLite file."""

    kind = "sqlite"

    def __init__(self, path: Path) -> None:
        self.name = path.name
        uri = f"file:{quote(str(path.resolve()))}?mode=ro"
        try:
            self._db = sqlite3.connect(uri, uri=True, timeout=5.0)
            self._db.execute("pragma query_only = on")
            self._db.execute("select count(*) from sqlite_master").fetchone()
        except sqlite3.Error as error:
            raise _explain(error, self.name) from None
        # Text that is not UTF-8 is kept, byte by byte recognisable, instead of failing the table.
        self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")

    def tables(self) -> Iterator[Table | Unread]:
        """Yields tables and views by name."""
        rows = self._db.execute(
            "select name, type, sql from sqlite_master where type in ('table', 'view') "
            "and name not like 'sqlite\\_%' escape '\\' order by name"
        ).fetchall()
        for name, kind, sql in rows:
            try:
                info = self._db.execute(
                    "select name, type from pragma_table_xinfo(?) where hidden <> 1", (name,)
                ).fetchall()
            except sqlite3.Error as error:
                explained = _explain(error, name)
                yield Unread(name, explained.code, explained.detail, explained.remedy)
                continue
            said = _comments(sql) if kind == "table" else {}
            columns = tuple(Column(n, t or "", said.get(n, "")) for n, t in info)
            yield Table("", name, said.get("", ""), "view" if kind == "view" else "table", columns)

    def batches(self, table: Table, limit: int | None = None) -> Iterator[pa.RecordBatch]:
        """Yields the rows; a column whose cells differ in type comes as text."""
        names = [c.name for c in table.columns]
        listed = ", ".join(_quoted(n) for n in names)
        sql = f"select {listed} from {_quoted(table.name)}"  # noqa: S608  # identifiers are quoted
        if limit is not None:
            sql += f" limit {int(limit)}"
        try:
            cursor = self._db.execute(sql)
            while rows := cursor.fetchmany(_BATCH_ROWS):
                arrays = [_array(cells) for cells in zip(*rows, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, names=names)
        except sqlite3.Error as error:
            raise _explain(error, table.name) from None

    def close(self) -> None:
        """Closes the file."""
        self._db.close()


def open_sqlite(path: Path) -> SqliteSource:
    """Opens a SQLite file read-only.

    Raises:
        Invalid: it is no SQLite database, or is encrypted.
        Unavailable: another program holds it locked.
    """
    return SqliteSource(path)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _array(cells: tuple[object, ...]) -> pa.Array:
    try:
        return pa.array(cells)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if c is None else _as_text(c) for c in cells], pa.string())


def _as_text(cell: object) -> str:
    return cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)


def _comments(sql: str | None) -> dict[str, str]:
    """Reads remarks beside the columns of a CREATE statement; SQLite keeps it word for word."""
    from pingyao.classify.sources.ddl import read_create

    table = read_create(sql or "")
    if not isinstance(table, Table):
        return {}
    return {"": table.comment, **{c.name: c.comment for c in table.columns}}


def _explain(error: sqlite3.Error, name: str) -> PingyaoError:
    text = str(error)
    if "locked" in text or "busy" in text:
        return Unavailable(
            "scan.locked", f"{name} 正被其他程序锁定", "请待其结束，或复制一份文件后再扫描"
        )
    if "not a database" in text or "encrypted" in text or "malformed" in text:
        return Invalid(
            "scan.not_a_database", f"{name} 不是可读的 SQLite 数据库", "文件可能已加密或损坏，请核对"
        )
    if "unable to open" in text:
        return Invalid("scan.cannot_open", f"无法打开 {name}", "请检查读取权限")
    return Invalid("scan.view_broken", f"{name} 读取失败：{text}", "请检查该表或视图的定义")
