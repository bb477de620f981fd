"""DuckDB files, opened read-only."""

import re
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from pingyao.classify.model import Column, Table, Unread
from pingyao.classify.sources import limits
from pingyao.classify.sources.failures import failure, named, shown
from pingyao.classify.sources.fingerprints import file_fingerprint
from pingyao.kernel.errors import PingyaoError

_CATALOGUE = """
with relations as (
  select schema_name, table_name as name, table_oid as oid, false as is_view, comment,
         estimated_size as size
    from duckdb_tables() where database_name = current_database() and not internal
   union all
  select schema_name, view_name, view_oid, true, comment, null
    from duckdb_views() where database_name = current_database() and not internal)
select r.schema_name, r.name, r.is_view, coalesce(any_value(r.comment), ''), any_value(r.size),
       list(struct_pack(name := c.column_name, type := c.data_type, said := coalesce(c.comment, ''))
            order by c.column_index) filter (where c.column_name is not null)
  from relations r
  left join duckdb_columns() c on c.database_name = current_database() and c.table_oid = r.oid
 group by r.schema_name, r.name, r.is_view
 order by r.schema_name, r.name
"""
_CONFIGURATION: dict[str, str | bool | int | float | list[str]] = {
    # A view in a file from elsewhere must not read other files, nor the network.
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
    "lock_configuration": "true",
    "memory_limit": "1GB",
}
_NATIVE = {
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
    *("FLOAT", "DOUBLE", "BOOLEAN", "VARCHAR", "DATE", "TIMESTAMP"),
}
_VECTOR_ROWS = 2048
"""DuckDB's own unit: nothing smaller can be asked for."""

_BY_TEXT = (
    ("scan.encrypted", r"encrypt"),
    ("scan.locked", r"Could not set lock|different configuration"),
    ("scan.file_not_permitted", r"Permission denied"),
    ("scan.other_version", r"version number|storage version|newer version"),
    ("scan.damaged", r"[Cc]orrupt|checksum"),
    ("scan.needs_recovery", r"WAL|replay"),
    ("scan.not_a_database", r"not a valid DuckDB"),
)


def open_duckdb(path: Path) -> "DuckDB":
    """Opens a DuckDB file read-only.

    Raises:
        PingyaoError: it is no DuckDB file, of another version, encrypted or locked by a writer.
    """
    return DuckDB(path, limits.Patience())


class DuckDB:
    """A DuckDB file as a source."""

    kind = "duckdb"

    def __init__(self, path: Path, patience: limits.Patience) -> None:
        self.name = path.name
        self._path = path
        self._patience = patience
        if not path.exists():
            raise failure("scan.no_such_file", self.name)
        if not path.is_file():
            raise failure("scan.not_a_file", self.name)
        try:
            self._database = duckdb.connect(str(path), read_only=True, config=_CONFIGURATION)
        except (duckdb.Error, OSError) as error:
            raise _explain(error, self.name, "scan.not_a_database") from None

    def tables(self) -> Iterator[Table | Unread]:
        """Yields tables and views of all schemas."""
        with self._running(self._patience.catalogue, self.name) as cursor:
            cursor.execute(_CATALOGUE)
            while rows := cursor.fetchmany(_VECTOR_ROWS):
                for schema, name, is_view, comment, size, columns in rows:
                    yield Table(
                        schema=schema,
                        name=name,
                        comment=comment,
                        kind="view" if is_view else "table",
                        columns=tuple(
                            Column(c["name"], c["type"], c["said"]) for c in columns or ()
                        ),
                        estimated_rows=size,
                    )

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Yields the rows; a sample is drawn by chance from the whole table."""
        if not table.columns:
            return
        names = [column.name for column in table.columns]
        what, view = named(table), table.kind == "view"
        with self._running(self._patience.table, what, view=view) as cursor:
            reader = cursor.execute(_select(table, limit, after)).to_arrow_reader(_VECTOR_ROWS)
            for batch in limits.bounded(reader):
                yield pa.RecordBatch.from_arrays(batch.columns, names=names)

    def fingerprint(self, table: Table) -> str | None:
        """Returns the fingerprint of the file, which all its tables share; views may ask the clock."""
        return None if table.kind == "view" else file_fingerprint(self._path)

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    @contextmanager
    def _running(
        self, seconds: int, what: str, *, view: bool = False
    ) -> Generator[duckdb.DuckDBPyConnection]:
        """Lends a cursor that is interrupted when the time is up."""
        cursor = self._database.cursor()
        alarm = threading.Timer(seconds, cursor.interrupt)
        alarm.daemon = True
        alarm.start()
        try:
            yield cursor
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            otherwise = "scan.view_broken" if view else "scan.read_failed"
            raise _explain(error, what, otherwise) from None
        finally:
            alarm.cancel()
            cursor.close()


def _explain(error: Exception, what: str, otherwise: str) -> PingyaoError:
    """Translates a driver's error; its text stays behind, because it may quote data."""
    if isinstance(error, duckdb.InterruptException) or "INTERRUPT" in str(error):
        return failure("scan.timed_out", what)
    found = (code for code, shape in _BY_TEXT if re.search(shape, str(error)))
    return failure(next(found, otherwise), shown(what))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _select(table: Table, limit: int | None, after: int) -> str:
    items = ", ".join(map(_item, table.columns))
    query = f"SELECT {items} FROM {_quoted(table.schema)}.{_quoted(table.name)}"  # noqa: S608 - identifiers are quoted
    if limit is None:
        return f"{query} OFFSET {int(after)}" if after else query
    if table.kind == "table" and table.estimated_rows:
        percent = 110.0 * limit / table.estimated_rows
        if percent < 100:
            query += f" USING SAMPLE {percent:.6f} PERCENT (bernoulli, 1)"
            return f"SELECT * FROM ({query}) LIMIT {int(limit)}"  # noqa: S608 - as above
    return f"{query} LIMIT {int(limit)}"


def _item(column: Column) -> str:
    name = _quoted(column.name)
    declared = column.declared_type
    if declared in _NATIVE or re.fullmatch(r"DECIMAL\(\d+,\d+\)", declared):
        return name
    if declared == "BLOB":
        return f"{name}[1:{limits.BINARY_BYTES}] AS {name}"
    return f"CAST({name} AS VARCHAR) AS {name}"
