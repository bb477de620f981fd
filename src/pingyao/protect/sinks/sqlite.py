"""A SQLite file as a target: written beside it, then moved into place."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa

from pingyao.kernel.errors import Unavailable
from pingyao.protect.model import Asset, Made, Staged
from pingyao.protect.sinks.files import full_disk_said, refuse_existing, sha256_of, stage, unstage


class SqliteSink:
    """A new SQLite file with all tables."""

    def __init__(self, target: Path) -> None:
        self.name = target.name
        self._target = target
        refuse_existing(target)
        self._staging = stage(target)
        self._path = self._staging / target.name
        self._db = sqlite3.connect(self._path, isolation_level=None)
        self._db.execute("pragma journal_mode = off")
        self._db.execute("pragma synchronous = off")
        self._made: list[Made] = []
        self._names: dict[tuple[str, str], tuple[str, str]] = {}

    def write(self, asset: Asset, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
        """Writes a table; one of another schema of the source has the schema in its name."""
        name = f"{asset.schema}.{asset.name}" if asset.schema else asset.name
        columns = ", ".join(f"{_quoted(f.name)} {_type(f.type)}" for f in schema)
        marks = ", ".join("?" * len(schema))
        rows = 0
        try:
            self._db.execute("begin")
            self._db.execute(f"create table {_quoted(name)} ({columns})")
            insert = f"insert into {_quoted(name)} values ({marks})"  # noqa: S608 - identifiers are quoted
            for batch in batches:
                cells = [_cells(column) for column in batch.columns]
                self._db.executemany(insert, zip(*cells, strict=True))
                rows += batch.num_rows
            self._db.execute("commit")
        except sqlite3.Error as error:
            raise Unavailable(
                "protect.write_failed",
                f"写入 {self.name} 失败（{error.sqlite_errorname if hasattr(error, 'sqlite_errorname') else 'SQLite'}）",
                "目标未作任何改动；请检查磁盘空间与权限后重试",
            ) from None
        self._names["", name] = (asset.schema, asset.name)
        self._made.append(Made(asset.schema, asset.name, rows, self.name))
        return rows

    def staged(self) -> Staged:
        """Returns the file, complete."""
        self._db.close()
        with full_disk_said(self.name), self._path.open("rb+") as file:
            os.fsync(file.fileno())
        digest = sha256_of(self._path)
        made = tuple(msgspec.structs.replace(m, sha256=digest) for m in self._made)
        return Staged(str(self._path), self._names, made, (str(self._path),))

    def commit(self) -> None:
        """Moves the file into place."""
        refuse_existing(self._target)
        with full_disk_said(self.name):
            self._path.rename(self._target)
        self.discard()

    def discard(self) -> None:
        """Removes what was written and not moved."""
        self._db.close()
        unstage(self._staging)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("\0", "") + '"'


def _type(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return "INTEGER"
    if pa.types.is_floating(kind):
        return "REAL"
    return "BLOB" if pa.types.is_binary(kind) else "TEXT"


def _cells(column: pa.Array) -> list[object]:
    """Returns a column as SQLite stores it; decimals and dates travel as text, nothing is rounded."""
    kind = column.type
    if _type(kind) == "TEXT" and not pa.types.is_string(kind):
        column = column.cast(pa.string())
    return column.to_pylist()
