"""A database written to files, table by table, and read back into an empty one, SQLite or PostgreSQL alike."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from pingyao.kernel.errors import IntegrityBroken

_ROWS = 500
_TYPES: Mapping[type, pa.DataType] = {
    int: pa.int64(),
    bool: pa.bool_(),
    float: pa.float64(),
    str: pa.string(),
    bytes: pa.binary(),
}
Progress = Callable[[int], None]


def begin_reading(db: sa.Connection) -> None:
    """Makes all that follows on a connection see the database as it is now; nobody is held up."""
    if db.dialect.name == "sqlite":
        db.exec_driver_sql("BEGIN")  # the driver begins none for reading
    else:
        db.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))


def write(db: sa.Connection, shape: sa.MetaData, folder: Path, told: Progress) -> dict[str, int]:
    """Writes every table of a shape; returns how many rows each has.

    Args:
        db: a connection that began reading.
        shape: the tables there are.
        folder: takes one Arrow stream for each.
        told: is told how many rows were written.
    """
    rows: dict[str, int] = {}
    for table in shape.sorted_tables:
        schema = _schema(table)
        query = sa.select(table).order_by(*table.primary_key.columns)
        count = 0
        with (
            pa.OSFile(str(folder / f"{table.name}.arrow"), "wb") as file,
            pa.ipc.new_stream(file, schema, options=_OPTIONS) as stream,
            db.execute(query.execution_options(yield_per=_ROWS)) as found,
        ):
            for some in found.mappings().partitions():
                stream.write_batch(pa.RecordBatch.from_pylist([dict(r) for r in some], schema))
                count += len(some)
                told(len(some))
        rows[table.name] = count
    return rows


_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")


def read(
    db: sa.Connection, shape: sa.MetaData, folder: Path, rows: Mapping[str, int], told: Progress
) -> None:
    """Fills the tables of a shape, and nothing but what was written is in them afterwards.

    Raises:
        IntegrityBroken: a file is damaged, or not what was said of it.
    """
    for table in reversed(shape.sorted_tables):
        db.execute(sa.delete(table))
    for table in shape.sorted_tables:
        count = 0
        try:
            with pa.OSFile(str(folder / f"{table.name}.arrow"), "rb") as file:
                stream = pa.ipc.open_stream(file)
                if stream.schema != _schema(table):
                    raise _not_right(table.name)
                for batch in stream:
                    batch.validate(full=True)
                    if batch.num_rows:
                        db.execute(sa.insert(table), batch.to_pylist())
                    count += batch.num_rows
                    told(batch.num_rows)
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            raise _not_right(table.name) from None
        if count != rows[table.name]:
            raise _not_right(table.name)
        _go_on_counting(db, table)


def check(db: sa.Connection) -> list[str]:
    """Returns what the database itself finds wrong with it."""
    if db.dialect.name != "sqlite":
        return []  # the server keeps its constraints itself
    found = [str(r[0]) for r in db.exec_driver_sql("PRAGMA integrity_check(5)") if r[0] != "ok"]
    broken = db.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(5)
    return found + [f"{r[0]} → {r[2]}" for r in broken]


def _go_on_counting(db: sa.Connection, table: sa.Table) -> None:
    """Makes the server give new rows numbers above those that were put in."""
    keys = [c for c in table.primary_key.columns if isinstance(c.type, sa.Integer)]
    if db.dialect.name != "postgresql" or len(keys) != 1 or len(table.primary_key.columns) != 1:
        return
    sequence = sa.func.pg_get_serial_sequence(f'"{table.name}"', keys[0].name)
    greatest: Any = sa.select(sa.func.max(keys[0])).scalar_subquery()
    db.execute(sa.select(sa.func.setval(sequence, greatest)).where(greatest.is_not(None)))


def _schema(table: sa.Table) -> pa.Schema:
    return pa.schema([pa.field(c.name, _type(c.type)) for c in table.columns])


def _type(kind: sa.types.TypeEngine[Any]) -> pa.DataType:
    if isinstance(kind, sa.DateTime):
        return pa.timestamp("us", "UTC")  # SQLite keeps no zone; ours is UTC everywhere
    return _TYPES[kind.python_type]


def _not_right(name: str) -> IntegrityBroken:
    return IntegrityBroken(
        "backup.damaged", f"备份中的表 {name} 与记录不符", "请换一份备份；此份请保留，查明原因"
    )
