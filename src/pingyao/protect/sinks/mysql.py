"""A MySQL or MariaDB database as a target: tables prepared in a database of their own, renamed at once.

DDL commits as it goes there, so nothing is done in a transaction: `RENAME TABLE` moves all tables in
one step, or none. A preparation that was killed is cleared away by the next run.
"""

import os
import secrets
import ssl
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit, urlunsplit

import numpy as np
import pyarrow as pa
import pymysql

from pingyao.kernel.errors import Conflict, Invalid, Unavailable
from pingyao.protect.model import Asset, Made, Staged
from pingyao.protect.rules.arrays import as_text, pc, text
from pingyao.protect.sinks.faults import target_full, unconfirmed
from pingyao.protect.sinks.postgresql import PASSWORD

_CONNECT_SECONDS = 10
_SILENT_SECONDS = 600
_OPTIONS = {"sslmode", "sslrootcert"}
_PREFIX = "pingyao_staging_"
_EXISTS = 1050
_FULL = {1021, 1114}
_TEXT_BYTES = 65_535
_STATEMENT_BYTES = 4 << 20
_TYPES = {
    "bool": "tinyint",
    "int8": "tinyint",
    "int16": "smallint",
    "int32": "int",
    "int64": "bigint",
    "uint8": "tinyint unsigned",
    "uint16": "smallint unsigned",
    "uint32": "int unsigned",
    "uint64": "bigint unsigned",
    "float": "double",
    "double": "double",
    "date32[day]": "date",
    "binary": "longblob",
    "large_binary": "longblob",
}


class MysqlSink:
    """Tables of one database; none of them may exist yet.

    Args:
        url: ``mysql://user@host:port/database``; the password stands in
            ``PINGYAO_TARGET_PASSWORD``.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        options = parse_qs(parts.query)
        self._target = unquote(parts.path.strip("/"))
        if options.keys() - _OPTIONS or not parts.hostname or not self._target:
            raise Invalid(
                "protect.bad_target",
                "目标数据库地址写法有误",
                "请写成 mysql://用户@主机:端口/库",
            )
        given = unquote(parts.password) if parts.password is not None else ""
        self._password = os.environ.get(PASSWORD) or given
        self._parts, self._options = parts, {k: v[-1] for k, v in options.items()}
        self.name = f"mysql://{parts.hostname}:{parts.port or 3306}/{self._target}"
        self._staging = f"{_PREFIX}{secrets.token_hex(6)}"
        self._made: list[tuple[Made, str]] = []
        with self._said():
            self._db = self._connected()
            self._clear()
            self._run("select get_lock(%s, 0)", self._staging)
            self._run(f"create database {_quoted(self._staging)} character set utf8mb4")

    def write(self, asset: Asset, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
        """Copies a table into the staging database."""
        taken = {name for _, name in self._made}
        name = asset.name if asset.name not in taken else f"{asset.schema}_{asset.name}"
        table = f"{_quoted(self._staging)}.{_quoted(name)}"
        columns = ", ".join(f"{_quoted(f.name)} {_type(f.type)}" for f in schema)
        rows, wide = 0, set[str]()
        with self._said():
            self._refuse_existing(name)
            self._run(f"create table {table} ({columns})")
            for batch in batches:
                for field in self._too_long(batch, wide):
                    self._run(f"alter table {table} modify {_quoted(field)} longtext")
                    wide.add(field)
                for piece in _values(batch, self._most):
                    self._run(b"insert into " + table.encode() + b" values " + piece)
                self._db.commit()
                rows += batch.num_rows
        self._made.append((Made(asset.schema, asset.name, rows), name))
        return rows

    def staged(self) -> Staged:
        """Returns the address of the staging database."""
        user = quote(unquote(self._parts.username or ""), safe="")
        host = f"{user}:{quote(self._password, safe='')}@{self._parts.netloc.rpartition('@')[2]}"
        parts = self._parts._replace(scheme="mysql", netloc=host, path=f"/{self._staging}")
        tables = {(self._staging, name): (m.schema, m.table) for m, name in self._made}
        made = tuple(made for made, _ in self._made)
        return Staged(urlunsplit(parts._replace(query=urlencode(self._options))), tables, made)

    def commit(self) -> None:
        """Renames all tables into their database in one step."""
        here, there = _quoted(self._staging), _quoted(self._target)
        with self._said():
            self._db.ping(reconnect=False)
        if self._made:
            names = [_quoted(name) for _, name in self._made]
            with self._said(unsure=True):
                self._run("rename table " + ", ".join(f"{here}.{n} to {there}.{n}" for n in names))
        self.discard()

    def discard(self) -> None:
        """Drops the staging database; if the connection is lost, the next run does."""
        with suppress(pymysql.Error, OSError), self._db:
            self._run(f"drop database if exists {_quoted(self._staging)}")

    def _connected(self) -> "pymysql.Connection[Any]":
        db = pymysql.connect(
            host=self._parts.hostname,
            port=self._parts.port or 3306,
            user=unquote(self._parts.username or "") or None,
            password=self._password.encode(),  # as bytes: the driver would refuse Chinese
            database=self._target,
            charset="utf8mb4",
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_SILENT_SECONDS,
            write_timeout=_SILENT_SECONDS,
            local_infile=False,
            **_tls(self._options),
        )
        with db.cursor() as cursor:
            cursor.execute(
                "set session sql_mode = 'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES', time_zone = '+00:00'"
            )
            cursor.execute("select @@max_allowed_packet")
            (most,) = cursor.fetchone() or (0,)
        self._most = min(_STATEMENT_BYTES, int(most) // 2)
        return db

    def _run(self, statement: str | bytes, *values: object) -> list[tuple[Any, ...]]:
        with self._db.cursor() as cursor:
            cursor.execute(statement, values or None)  # type: ignore[arg-type]  # bytes go as they are
            return list(cursor.fetchall())

    def _clear(self) -> None:
        """Drops what runs that were killed left behind: who still works on his holds its lock."""
        found = (
            "select schema_name from information_schema.schemata where left(schema_name, %s) = %s"
        )
        for (name,) in self._run(found, len(_PREFIX), _PREFIX):
            ((free,),) = self._run("select is_free_lock(%s)", name)
            if free:
                with suppress(pymysql.Error):  # another account's
                    self._run(f"drop database if exists {_quoted(name)}")

    def _refuse_existing(self, name: str) -> None:
        found = (
            "select 1 from information_schema.tables where table_schema = %s and table_name = %s"
        )
        if self._run(found, self._target, name):
            raise pymysql.OperationalError(_EXISTS)

    def _too_long(self, batch: pa.RecordBatch, wide: set[str]) -> list[str]:
        return [
            field.name
            for field in batch.schema
            if field.name not in wide
            and _type(field.type) == "text"
            and (pc.max(pc.binary_length(as_text(batch.column(field.name)))).as_py() or 0)
            > _TEXT_BYTES
        ]

    @contextmanager
    def _said(self, *, unsure: bool = False) -> Generator[None]:
        """Turns a failure into an error that says what to do.

        Args:
            unsure: whether the target may have changed if the connection is lost on the way.
        """
        try:
            yield
        except (pymysql.Error, OSError) as error:
            number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            if number == _EXISTS:
                raise Conflict(
                    "protect.target_exists",
                    f"目标库 {self._target[:60]} 中已有同名的表",
                    "请另取库名，或先移走这些表",
                ) from None
            if number in _FULL:
                raise target_full(self.name) from None
            lost = hasattr(self, "_db") and not self._db.open  # it may not have come about
            if lost and unsure:
                raise unconfirmed(self.name) from None
            left = f"；暂存库 {self._staging} 由下一次执行清除" if lost else ""
            # The driver's text may quote data, and stays behind.
            raise Unavailable(
                "protect.write_failed",
                f"写入 {self.name} 失败（{number or '连接中断'}）",
                f"目标未作任何改动{left}；请核对地址、权限（须可建立 pingyao_staging_… 库）、"
                "空间与数据库日志后重试",
            ) from None


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind) and kind.scale <= 30:
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "datetime(6)"
    return _TYPES.get(str(kind), "text")


def _values(batch: pa.RecordBatch, most: int) -> Iterator[bytes]:
    """Yields rows as lists of literals, each at most so many bytes or a single row."""
    cells = [_literals(column) for column in batch.columns]
    rows = text(pc.binary_join_element_wise(",(", *_parted(cells), ")", ""))
    start = 0
    while start < len(batch):
        fit = int(np.searchsorted(rows.offsets, rows.offsets[start] + most, side="right")) - 1
        stop = max(start + 1, fit)
        yield rows.data[rows.offsets[start] + 1 : rows.offsets[stop]].tobytes()
        start = stop


def _parted(cells: list[pa.Array]) -> Iterator[pa.Array | str]:
    for number, cell in enumerate(cells):
        if number:
            yield ","
        yield cell


def _literals(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        said = pc.binary_join_element_wise("x'", as_text(array), "'", "")
    elif pa.types.is_boolean(kind):
        said = as_text(array.cast(pa.int8()))
    elif pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        said = as_text(array)
    elif pa.types.is_floating(kind):  # there is no literal of what is not finite
        finite = pc.is_finite(array)
        said = as_text(pc.if_else(finite, array, pa.scalar(None, kind)))
    else:
        if pa.types.is_timestamp(kind):
            array = array.cast(pa.timestamp("us"))
        doubled = pc.replace_substring(as_text(array), "'", "''")
        said = pc.binary_join_element_wise("'", doubled, "'", "")
    return pc.coalesce(said, "NULL")


def _tls(options: dict[str, str]) -> dict[str, Any]:
    mode = options.get("sslmode", "prefer")
    if mode == "disable":
        return {"ssl_disabled": True}
    if mode == "prefer":
        return {}
    context = ssl.create_default_context(cafile=options.get("sslrootcert") or None)
    context.check_hostname = mode == "verify-full"
    context.verify_mode = ssl.CERT_REQUIRED if mode.startswith("verify") else ssl.CERT_NONE
    return {"ssl": context}
