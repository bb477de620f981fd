"""MySQL and MariaDB servers, read as rows the server writes as CSV text.

Every table is read in a READ ONLY transaction of its own. DuckDB's scanner was measured beside it:
six times the CPU for a row of twelve columns, and it hides the server's error numbers.
"""

import os
import ssl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import pyarrow as pa
import pymysql
from pymysql.cursors import SSCursor

from pingyao.classify.model import Column, Table, Unread
from pingyao.classify.sources import limits
from pingyao.classify.sources.credentials import Address, parse_address
from pingyao.classify.sources.failures import failure, named
from pingyao.classify.sources.mysql_columns import field, is_long, select
from pingyao.classify.sources.mysql_errors import explain
from pingyao.classify.sources.mysql_wire import cells
from pingyao.classify.sources.relational import Connections, Field, cut, parse_rows

_SYSTEM = ("information_schema", "mysql", "performance_schema", "sys")
_TABLES = """
select table_schema, table_name, table_type, table_comment, table_rows
  from information_schema.tables where {scope} order by table_schema, table_name
"""
_COLUMNS = """
select table_schema, table_name, column_name, column_type, column_comment
  from information_schema.columns where {scope}
 order by table_schema, table_name, ordinal_position
"""

# InnoDB forgets when a table was written as soon as it forgets the table, and for partitions keeps
# only the latest time of those it remembers. A time that is told is true, to the second.
_FINGERPRINT = """
select concat_ws(' ', @@hostname, @@port, table_schema, engine, create_time, update_time)
  from information_schema.tables
 where table_schema = %s and table_name = %s and engine in ('InnoDB', 'MyISAM', 'Aria')
   and update_time < now() - interval 2 second
   and coalesce(create_options, '') not like '%%partitioned%%'
"""


def open_mysql(url: str, patience: limits.Patience | None = None) -> "MySQL":
    """Opens a MySQL or MariaDB server, or one database of it, read-only.

    Without a password from `parse_address`, ``MYSQL_PWD`` applies, as with the native client.

    Args:
        url: ``mysql://user@host:port/database?sslmode=…&sslrootcert=…``; without a database all
            that the user may see, or those of ``?schema=a,b``.
        patience: how long to wait for what.

    Raises:
        PingyaoError: the address is wrong, or the server refuses or does not answer.
    """
    address = parse_address(url, "mysql", 3306)
    return MySQL(address, patience or limits.Patience())


class MySQL:
    """A MySQL or MariaDB server as a source."""

    kind = "mysql"

    def __init__(self, address: Address, patience: limits.Patience) -> None:
        self.name = address.name
        self._address = address
        self._patience = patience
        self._connections = Connections(self._connect)
        with self._connections.use():
            pass

    def tables(self) -> Iterator[Table | Unread]:
        """Yields tables and views; a view whose tables are gone comes as `Unread`, last."""
        schemas = self._address.schemas or tuple(filter(None, [self._address.database]))
        choice = "in" if schemas else "not in"
        names = schemas or _SYSTEM
        scope = f"table_schema {choice} ({', '.join(['%s'] * len(names))})"
        with self._explained(self.name), self._session(self._patience.catalogue) as connection:
            with connection.cursor() as cursor:
                cursor.execute(_TABLES.format(scope=scope), names)
                known = {(row[0], row[1]): row[2:] for row in map(_texts, cursor)}
            with connection.cursor() as cursor:
                cursor.execute(_COLUMNS.format(scope=scope), names)
                for key, rows in groupby(map(_texts, cursor), key=lambda row: (row[0], row[1])):
                    columns = tuple(Column(*row[2:]) for row in rows)
                    if key in known:
                        yield _table(key, known.pop(key), columns)
        for schema, name in known:
            broken = failure("scan.view_broken", f"{schema}.{name}")
            yield Unread(f"{schema}.{name}", broken.code, broken.detail, broken.remedy)

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Yields the rows of one snapshot; a sample is drawn by chance from the whole table.

        ``TIMESTAMP`` comes in UTC; dates that are none (``0000-00-00``) come as NULL.
        """
        if not table.columns:
            return
        long = [*filter(is_long, table.columns)]
        fields = [field(column) for column in table.columns if column not in long]
        query = select(table, fields, long) + _sample(table, limit, after)
        shortened = False
        with (
            self._explained(named(table), view=table.kind == "view"),
            self._session(self._patience.table) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(query)
            for batch in limits.bounded(_fetched(cursor, table, fields, long)):
                shortened = shortened or cut(batch)
                yield batch
        if shortened:
            raise failure("scan.cell_too_long", named(table))

    def fingerprint(self, table: Table) -> str | None:
        """Returns the fingerprint of a table; None where the server does not know its last change."""
        with (
            self._explained(named(table)),
            self._session(self._patience.catalogue) as connection,
            connection.cursor() as cursor,
        ):
            if "MariaDB" not in connection.get_server_info():
                # MySQL 8 answers from a cache a day old unless told not to.
                cursor.execute("SET SESSION information_schema_stats_expiry = 0")
            cursor.execute(_FINGERPRINT, (table.schema, table.name))
            found = cursor.fetchone()
            return _texts(found)[0] if found else None

    def close(self) -> None:
        """Closes the connections."""
        self._connections.close()

    def _connect(self) -> "pymysql.Connection[Any]":
        address, patience = self._address, self._patience
        password = address.password
        if password is None:
            password = os.environ.get("MYSQL_PWD", "")
        with self._explained(self.name):
            connection = pymysql.connect(
                host=address.host,
                port=address.port,
                user=address.user or None,
                # As bytes: the driver would encode text as Latin-1, and refuse Chinese.
                password=password.encode(),
                database=address.database or None,
                charset="utf8mb4",
                use_unicode=False,
                cursorclass=SSCursor,
                connect_timeout=patience.connect,
                # The server is to end a slow statement; this is for a server that fell silent.
                read_timeout=patience.table + patience.connect,
                local_infile=False,
                autocommit=True,
                **_tls(address),
            )
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION TRANSACTION READ ONLY")
                cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                cursor.execute("SET SESSION time_zone = '+00:00', sql_mode = ''")
                cursor.execute("SET SESSION lock_wait_timeout = %s", (patience.lock,))
                cursor.execute("SET SESSION net_write_timeout = 600")
            return connection

    @contextmanager
    def _session(self, seconds: int) -> "Generator[pymysql.Connection[Any]]":
        with self._connections.use() as connection:
            maria = "MariaDB" in connection.get_server_info()
            variable, value = (
                ("max_statement_time", seconds) if maria else ("max_execution_time", seconds * 1000)
            )
            with connection.cursor() as cursor:
                cursor.execute(f"SET SESSION {variable} = {value}")
                cursor.execute("START TRANSACTION READ ONLY")
            yield connection
            connection.rollback()

    @contextmanager
    def _explained(self, what: str, *, view: bool = False) -> Generator[None]:
        try:
            yield
        except pymysql.Error as error:
            raise explain(error, what, view=view) from None
        except OSError:  # a certificate file that is missing, a TLS handshake that failed
            raise failure("scan.tls_required", what) from None
        except RuntimeError as error:
            if "cryptography" not in str(error):
                raise
            # MySQL 8 sends its key to encrypt the password with, unless the connection is encrypted.
            raise failure("scan.tls_required", what) from None
        except pa.ArrowInvalid:
            raise failure("scan.read_failed", what, "arrow") from None


def _tls(address: Address) -> dict[str, Any]:
    if address.tls == "disable":
        return {"ssl_disabled": True}
    if address.tls == "prefer":
        return {}
    # A context of our own: the driver's switches check no host name unless a CA file is named.
    context = ssl.create_default_context(cafile=address.tls_root or None)
    context.check_hostname = address.tls == "verify-full"
    context.verify_mode = ssl.CERT_REQUIRED if address.tls.startswith("verify") else ssl.CERT_NONE
    return {"ssl": context}


def _texts(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in row)


def _table(key: tuple[str, str], facts: tuple[Any, ...], columns: tuple[Column, ...]) -> Table:
    kind, comment, rows = facts
    view = "VIEW" in kind
    # A view's comment is the word VIEW, or that it is invalid: nothing anybody wrote.
    said = "" if view else comment or ""
    return Table(key[0], key[1], said, "view" if view else "table", columns, rows)


def _sample(table: Table, limit: int | None, after: int) -> str:
    if limit is None:
        # The server passes over rows without sending them, in the order it stores them.
        return f" LIMIT {2**64 - 1} OFFSET {int(after)}" if after else ""
    share = 1.3 * limit / max(table.estimated_rows or 0, 1)
    # The estimate is rough: draw somewhat more than is needed, stop when there is enough.
    chance = f" WHERE RAND(1) < {share:.9f}" if share < 1 and table.kind == "table" else ""
    return f"{chance} LIMIT {int(limit)}"


def _fetched(
    cursor: SSCursor, table: Table, fields: list[Field], long: list[Column]
) -> Iterator[pa.RecordBatch]:
    """Yields what the cursor is about to receive, columns in the table's order.

    Raises:
        PingyaoError: ``scan.cell_too_long`` at the end, if the server could not pack some rows.
    """
    names = [column.name for column in table.columns]
    packed = 1 if fields else 0
    lost = 0
    for found in cells(cursor, packed + len(long), lines=bool(fields)):
        lost += found.lost
        if not found.rows:
            continue
        arrays: dict[str, pa.Array] = {}
        if fields:
            rows = parse_rows(found.lines(), fields)
            arrays = dict(zip(rows.schema.names, rows.columns, strict=True))
        for position, column in enumerate(long, start=packed):
            arrays[column.name] = found.texts(position)
        yield pa.RecordBatch.from_arrays([arrays[name] for name in names], names=names)
    if lost:
        raise failure("scan.cell_too_long", named(table))
