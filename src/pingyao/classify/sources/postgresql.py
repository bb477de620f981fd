"""PostgreSQL servers (and what speaks their protocol), read through COPY.

Every table is read in a transaction of its own: consistent in itself, while neither a lock nor an
old row version is held on a production server for as long as the whole scan takes.
"""

import re
import select
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, cast

import psycopg
import pyarrow as pa
from psycopg import pq, sql
from psycopg.conninfo import make_conninfo

from pingyao.classify.model import Column, Table, Unread
from pingyao.classify.sources import limits
from pingyao.classify.sources.credentials import Address, parse_address
from pingyao.classify.sources.failures import failure, named
from pingyao.classify.sources.postgresql_errors import explain
from pingyao.classify.sources.relational import (
    BLOCK_BYTES,
    Connections,
    Field,
    ahead,
    cut,
    decoded,
    parse_rows,
)

_CATALOGUE = """
select n.nspname, c.relname, c.relkind, coalesce(obj_description(c.oid, 'pg_class'), ''),
       case when c.reltuples >= 0 and c.relkind not in ('v', 'f') then c.reltuples::bigint end,
       k.names, k.types, k.comments
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 cross join lateral (
       select array_agg(a.attname::text order by a.attnum) as names,
              array_agg(format_type(a.atttypid, a.atttypmod) order by a.attnum) as types,
              array_agg(coalesce(d.description, '') order by a.attnum) as comments
         from pg_attribute a
         left join pg_description d on d.classoid = 'pg_class'::regclass
               and d.objoid = a.attrelid and d.objsubid = a.attnum
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) k
 where c.relkind in ('r', 'v', 'm', 'p', 'f') and not c.relispartition
   and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
   and (%(schemas)s::text[] = '{}' or n.nspname = any (%(schemas)s))
 order by n.nspname, c.relname
"""

_SIZE = """
select greatest(reltuples, 0)::float8, pg_relation_size(c.oid) / 8192
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = %s and c.relname = %s and c.relkind in ('r', 'm')
"""

# Counters of rows written, of the table and all it is made of. They are lost in a crash, which
# moves the reset time of the server's own statistics; a truncated or rewritten table gets a new
# file; labels of enumerations are part of what is read. A standby counts nothing.
_FINGERPRINT = """
with recursive parts as (
     select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = %s and c.relname = %s
     union
     select i.inhrelid from pg_inherits i join parts p on p.oid = i.inhparent),
written as (
     select bool_and(relkind in ('r', 'm', 'p') and not row_security_active(c.oid)) as known,
            string_agg(concat_ws('.', c.oid, pg_relation_filenode(c.oid),
                pg_stat_get_tuples_inserted(c.oid), pg_stat_get_tuples_updated(c.oid),
                pg_stat_get_tuples_deleted(c.oid)), ' ' order by c.oid) as counts
       from parts join pg_class c using (oid)),
labels as (
     select string_agg(e.enumlabel, ',' order by a.attnum, e.enumsortorder) as said
       from parts join pg_attribute a on a.attrelid = parts.oid
       join pg_type t on t.oid = a.atttypid
       join pg_enum e on e.enumtypid in (t.oid, t.typbasetype, t.typelem))
select md5(concat_ws(' ', (select system_identifier from pg_control_system()), d.datid,
                     d.stats_reset, (select stats_reset from pg_stat_bgwriter), counts, said))
  from written, labels, pg_stat_database d
 where d.datname = current_database() and known and not pg_is_in_recovery()
   and current_setting('track_counts')::bool
"""

_NUMBERS = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
}
_SHORT = {"cidr", "inet", "interval", "macaddr", "money", "time", "uuid"}
"""Read as the server writes them; a cast would say ``10.0.0.1/32`` for ``10.0.0.1``."""
_DECIMAL_DIGITS = 38
_DENSE_ROWS = 60
"""Rows taken to fit a page of a table that was never analysed."""
_SMALL_PAGES = 10_000
"""Up to here a sample draws rows; beyond, whole pages, which reads only what it draws."""


def open_postgresql(url: str, patience: limits.Patience | None = None) -> "PostgreSQL":
    """Opens a PostgreSQL database read-only.

    Without a password from `parse_address`, libpq looks in ``PGPASSWORD`` and ``~/.pgpass``.

    Args:
        url: ``postgresql://user@host:port/database?schema=a,b&sslmode=…&sslrootcert=…``.
        patience: how long to wait for what.

    Raises:
        PingyaoError: the address is wrong, or the server refuses or does not answer.
    """
    address = parse_address(url, "postgresql", 5432)
    return PostgreSQL(address, patience or limits.Patience())


class PostgreSQL:
    """A PostgreSQL database as a source."""

    kind = "postgresql"

    def __init__(self, address: Address, patience: limits.Patience) -> None:
        self.name = address.name
        self._address = address
        self._patience = patience
        self._connections = Connections(self._connect)
        with self._connections.use():
            pass

    def tables(self) -> Iterator[Table | Unread]:
        """Yields tables, views, materialised views, partitioned and foreign tables.

        Partitions are left out: their rows are read through the table they are part of.
        """
        with (
            self._explained(self.name),
            self._session(self._patience.catalogue) as connection,
            connection.cursor(name="catalogue") as cursor,
        ):
            cursor.execute(_CATALOGUE, {"schemas": list(self._address.schemas)})
            for row in cursor:
                schema, name, kind, comment, rows, names, types, comments = map(_text, row)
                columns = zip(names or (), types or (), comments or (), strict=True)
                yield Table(
                    schema=schema,
                    name=name,
                    comment=comment,
                    kind="view" if kind in "vm" else "table",
                    columns=tuple(Column(*each) for each in columns),
                    estimated_rows=rows,
                )

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Yields the rows of one snapshot; a sample is drawn from all over the table.

        Timestamps with a time zone come in UTC, infinite dates as the years 1 and 9999.
        """
        fields = [_field(column) for column in table.columns]
        if not fields:
            return
        shortened = False
        with (
            self._explained(named(table), view=table.kind == "view"),
            self._session(self._patience.table) as connection,
            connection.cursor() as cursor,
        ):
            query = _select(table, fields, after) + _sample(cursor, table, limit)
            order = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(query).as_string()
            with closing(ahead(_copied(connection, order.encode()))) as blocks:
                for batch in limits.bounded(parse_rows(block, fields) for block in blocks):
                    shortened = shortened or cut(batch)
                    yield batch
        if shortened:
            raise failure("scan.cell_too_long", named(table))

    def fingerprint(self, table: Table) -> str | None:
        """Returns the fingerprint of a table; None of views, foreign tables, and on a standby.

        The server counts a change up to a minute late: the next fingerprint then shows it.
        """
        with (
            self._explained(named(table)),
            self._session(self._patience.catalogue) as connection,
            connection.cursor() as cursor,
        ):
            found = cursor.execute(_FINGERPRINT, (table.schema, table.name)).fetchone()
            return _text(found[0]) if found else None

    def close(self) -> None:
        """Closes the connections."""
        self._connections.close()

    def _connect(self) -> psycopg.Connection[Any]:
        address = self._address
        given = {
            "host": address.host,
            "port": address.port,
            "user": address.user,
            "password": address.password,
            "dbname": address.database,
            "sslmode": address.tls,
            "sslrootcert": address.tls_root,
            "connect_timeout": self._patience.connect,
            "application_name": "pingyao",
            "client_encoding": "UTF8",
            "keepalives_idle": 30,
        }
        conninfo = make_conninfo("", **{key: value for key, value in given.items() if value})
        with self._explained(self.name, connecting=True):
            connection = psycopg.connect(conninfo, autocommit=True)
            # As statements, not as start-up options: connection poolers refuse those.
            for statement in (
                "SET default_transaction_read_only = on",
                f"SET lock_timeout = '{self._patience.lock}s'",
                "SET search_path = pg_catalog",
                "SET TimeZone = 'UTC'",
                "SET DateStyle = 'ISO'",
                "SET extra_float_digits = 1",
                # Rows come in the order they are stored, every time: a scan can go on in a table.
                "SET synchronize_seqscans = off",
                "SET max_parallel_workers_per_gather = 0",
            ):
                connection.execute(statement.encode())
            if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
                # The server does not know what it stores and would refuse to call it UTF-8.
                connection.execute(b"SET client_encoding = 'SQL_ASCII'")
            connection.autocommit = False
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            return connection

    @contextmanager
    def _session(self, seconds: int) -> Generator[psycopg.Connection[Any]]:
        with self._connections.use() as connection:
            connection.execute(f"SET LOCAL statement_timeout = '{seconds}s'".encode())
            yield connection
            connection.rollback()

    @contextmanager
    def _explained(
        self, what: str, *, view: bool = False, connecting: bool = False
    ) -> Generator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise explain(error, what, view=view, connecting=connecting) from None
        except (pa.ArrowInvalid, UnicodeDecodeError):
            raise failure("scan.read_failed", what, "arrow") from None


def _copied(connection: psycopg.Connection[Any], order: bytes) -> Generator[bytearray]:
    """Yields what COPY sends, in blocks; the driver's own loop spends as long again on every row."""
    wire = connection.pgconn
    if (begun := wire.exec_(order)).status != pq.ExecStatus.COPY_OUT:
        raise psycopg.errors.error_from_result(begun)
    waiting = select.poll()
    waiting.register(wire.socket, select.POLLIN)
    block = bytearray()
    while True:
        size, row = wire.get_copy_data(1)
        if size > 0:
            block += row
            if len(block) >= BLOCK_BYTES:
                yield block
                block = bytearray()
        elif size == 0:
            waiting.poll()
            wire.consume_input()
        else:
            break
    while ended := wire.get_result():
        if ended.status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(ended)
    if block:
        yield block


def _text(value: Any) -> Any:
    """Decodes what the driver leaves as bytes because the server declares no encoding."""
    if isinstance(value, list):
        return [_text(each) for each in cast("list[Any]", value)]
    return decoded(value) if isinstance(value, bytes) else value


def _field(column: Column) -> Field:
    """Decides how a column travels, by its declared type."""
    name = sql.Identifier(column.name).as_string()
    declared = re.fullmatch(
        r"([a-z ]+?)(?:\(([0-9]+)(?:,(-?[0-9]+))?\))?( with(?:out)? time zone)?",
        column.declared_type,
    )
    base, zone = (declared[1], declared[4] or "") if declared else ("", "")
    if base in _NUMBERS:
        return Field(column.name, name, _NUMBERS[base])
    if declared and base == "numeric" and declared[2]:
        digits, scale = int(declared[2]), int(declared[3] or 0)
        if 0 <= scale <= digits <= _DECIMAL_DIGITS:
            return Field(column.name, f"nullif({name}, 'NaN')", pa.decimal128(digits, scale))
    if base == "date":
        return Field(column.name, _within(name, "0001-01-01", "9999-12-31"), pa.date32())
    if base == "timestamp":
        moment = f"({name} at time zone 'UTC')" if zone == " with time zone" else name
        span = _within(moment, "0001-01-01", "9999-12-31 23:59:59")
        return Field(column.name, span, pa.timestamp("us"))
    if base == "bytea":
        head = f"substring({name} from 1 for {limits.BINARY_BYTES})"
        return Field(column.name, f"encode({head}, 'hex')", pa.binary())
    if base in _SHORT:
        return Field(column.name, name, pa.string())
    if declared and base in ("character varying", "character") and declared[2]:
        return Field(column.name, f"{name}::text", pa.string())
    text, size = f"{name}::text", limits.CELL_CHARACTERS
    short = f"case when octet_length({text}) > {size} then left({text}, {size}) else {text} end"
    return Field(column.name, short, pa.string())


def _within(value: str, first: str, last: str) -> str:
    """Returns SQL that keeps NULL and brings infinity and years beyond Arrow's text to the bounds."""
    return (
        f"case when {value} < '{first}' then '{first}' "
        f"when {value} > '{last}' then '{last}' else {value} end"
    )


def _select(table: Table, fields: Iterable[Field], after: int) -> sql.Composed:
    rows = sql.Identifier(table.schema, table.name).as_string()
    if after:
        # Skipped inside, before anything is worked out of a row.
        rows = f"(SELECT * FROM {rows} OFFSET {int(after)}) AS rest"  # noqa: S608 - identifiers are quoted
    return sql.SQL("SELECT {} FROM {}").format(
        # Built by _field from quoted identifiers and constants alone.
        sql.SQL(", ").join(sql.SQL(field.select) for field in fields),  # pyright: ignore[reportArgumentType]
        sql.SQL(rows),  # pyright: ignore[reportArgumentType]
    )


def _sample(cursor: psycopg.Cursor[Any], table: Table, limit: int | None) -> sql.Composable:
    """Returns the clauses that draw about ``limit`` rows from all over the table."""
    if limit is None:
        return sql.SQL("")
    bound = sql.SQL(" LIMIT {}").format(sql.Literal(limit))
    size = cursor.execute(_SIZE, (table.schema, table.name)).fetchone()
    if size is None:
        return bound
    rows, pages = size
    percent = 120.0 * limit / max(rows or pages * _DENSE_ROWS, 1)
    if percent >= 100:
        return bound
    method = "BERNOULLI" if pages <= _SMALL_PAGES else "SYSTEM"
    return sql.SQL(f" TABLESAMPLE {method} ({percent:.6f}) REPEATABLE (1)") + bound  # pyright: ignore[reportArgumentType]
