"""A PostgreSQL database as a target: tables prepared in a schema of their own, then moved at once."""

import os
import secrets
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import LiteralString
from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit

import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg import sql

from pingyao.kernel.errors import Conflict, Invalid, Unavailable
from pingyao.protect.model import Asset, Made, Staged
from pingyao.protect.rules.arrays import as_text, pc
from pingyao.protect.sinks.faults import target_full, unconfirmed

PASSWORD = "PINGYAO_TARGET_PASSWORD"
_CONNECT_SECONDS = 10
_PREFIX = "pingyao_staging_"
_OPTIONS = {"schema", "sslmode", "sslrootcert"}
_TYPES: dict[str, LiteralString] = {
    "bool": "boolean",
    "int8": "smallint",
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "float": "real",
    "double": "double precision",
    "date32[day]": "date",
    "binary": "bytea",
}
_QUOTED = pa_csv.WriteOptions(include_header=False, quoting_style="all_valid")


class PostgresqlSink:
    """Tables in one schema of a database; none of them may exist yet.

    Args:
        url: ``postgresql://user@host:port/database?schema=name``; the password stands in
            ``PINGYAO_TARGET_PASSWORD``, or where libpq looks for it.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        options = parse_qs(parts.query)
        unknown = sorted(options.keys() - _OPTIONS)
        if unknown or not parts.hostname or not parts.path.strip("/"):
            raise Invalid(
                "protect.bad_target",
                "目标数据库地址写法有误",
                "请写成 postgresql://用户@主机:端口/库?schema=模式名",
            )
        self.schema = options.pop("schema", ["public"])[-1]
        password = os.environ.get(PASSWORD)
        netloc = parts.netloc
        if password and "@" in netloc:
            user, _, host = netloc.rpartition("@")
            netloc = f"{user.partition(':')[0]}:{quote(password, safe='')}@{host}"
        self._parts = parts._replace(scheme="postgresql", netloc=netloc)
        self._options = {k: v[-1] for k, v in options.items()}
        self.name = f"postgresql://{parts.hostname}:{parts.port or 5432}{parts.path}/{self.schema}"
        self._staging = f"{_PREFIX}{secrets.token_hex(6)}"
        self._made: list[tuple[Made, str]] = []
        with self._said():
            self._db = psycopg.connect(
                self._address({}), connect_timeout=_CONNECT_SECONDS, client_encoding="UTF8"
            )
            self._clear()
            self._db.execute("select pg_advisory_lock(hashtext(%s))", (self._staging,))
            self._db.execute(sql.SQL("create schema {}").format(sql.Identifier(self._staging)))
            self._db.commit()

    def write(self, asset: Asset, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
        """Copies a table into the staging schema."""
        taken = {name for _, name in self._made}
        name = asset.name if asset.name not in taken else f"{asset.schema}_{asset.name}"
        table = sql.Identifier(self._staging, name)
        columns = sql.SQL(", ").join(
            sql.SQL("{} ").format(sql.Identifier(f.name)) + _type(f.type) for f in schema
        )
        rows = 0
        with self._said():
            self._db.execute(sql.SQL("create table {} ({})").format(table, columns))
            statement = sql.SQL("copy {} from stdin (format csv)").format(table)
            with self._db.cursor() as cursor, cursor.copy(statement) as copy:
                for batch in batches:
                    copy.write(_as_csv(batch))
                    rows += batch.num_rows
            self._db.commit()
        self._made.append((Made(asset.schema, asset.name, rows), name))
        return rows

    def staged(self) -> Staged:
        """Returns the address of the staging schema."""
        tables = {(self._staging, name): (m.schema, m.table) for m, name in self._made}
        made = tuple(made for made, _ in self._made)
        return Staged(self._address({"schema": self._staging}), tables, made)

    def commit(self) -> None:
        """Moves all tables into their schema in one transaction."""
        target = sql.Identifier(self.schema)
        with self._said():
            self._db.execute(sql.SQL("create schema if not exists {}").format(target))
            for _, name in self._made:
                self._db.execute(
                    sql.SQL("alter table {} set schema {}").format(
                        sql.Identifier(self._staging, name), target
                    )
                )
            self._db.execute(sql.SQL("drop schema {}").format(sql.Identifier(self._staging)))
        with self._said(unsure=True):
            self._db.commit()
        self._db.close()

    def discard(self) -> None:
        """Drops the staging schema; a connection that is lost leaves it behind, unreleased."""
        try:
            self._db.rollback()
            self._db.execute(
                sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(self._staging))
            )
            self._db.commit()
            self._db.close()
        except psycopg.Error:
            return

    def _clear(self) -> None:
        """Drops what runs that were killed left behind: who still works on his holds its lock."""
        found = self._db.execute(
            "select nspname from pg_namespace where starts_with(nspname, %s)"
            " and pg_has_role(nspowner, 'usage')",
            (_PREFIX,),
        )
        for (name,) in found.fetchall():
            free = self._db.execute("select pg_try_advisory_lock(hashtext(%s))", (name,)).fetchone()
            if free and free[0]:
                self._db.execute(
                    sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(name))
                )
                self._db.commit()
                self._db.execute("select pg_advisory_unlock(hashtext(%s))", (name,))

    def _address(self, more: dict[str, str]) -> str:
        return urlunsplit(self._parts._replace(query=urlencode(self._options | more)))

    @contextmanager
    def _said(self, *, unsure: bool = False) -> Generator[None]:
        """Turns a failure into an error that says what to do.

        Args:
            unsure: whether the target may have changed if the connection is lost on the way.
        """
        try:
            yield
        except psycopg.errors.DuplicateTable:
            raise Conflict(
                "protect.target_exists",
                f"目标模式 {self.schema[:60]} 中已有同名的表",
                "请另取模式名，或先移走这些表",
            ) from None
        except psycopg.errors.DiskFull:
            raise target_full(self.name) from None
        except psycopg.Error as error:
            lost = hasattr(self, "_db") and self._db.closed  # it may not have come about
            if lost and unsure:
                raise unconfirmed(self.name) from None
            left = f"；暂存模式 {self._staging} 由下一次执行清除" if lost else ""
            raise Unavailable(
                "protect.write_failed",
                f"写入 {self.name} 失败（{error.sqlstate or '连接中断'}）",
                f"目标未作任何改动{left}；请核对地址、权限、空间与数据库日志后重试",
            ) from None


def _type(kind: pa.DataType) -> sql.Composable:
    if pa.types.is_decimal(kind):
        return sql.SQL("numeric({}, {})").format(kind.precision, kind.scale)
    if pa.types.is_timestamp(kind):
        return sql.SQL("timestamptz" if kind.tz else "timestamp")
    return sql.SQL(_TYPES.get(str(kind), "text"))


def _as_csv(batch: pa.RecordBatch) -> bytes:
    arrays = [
        pc.binary_join_element_wise("\\x", as_text(a), "")
        if pa.types.is_binary(a.type)
        else a
        if _TYPES.get(str(a.type)) or pa.types.is_decimal(a.type)
        else as_text(a)
        for a in batch.columns
    ]
    out = pa.BufferOutputStream()
    text = pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
    pa_csv.write_csv(text, out, _QUOTED)
    return out.getvalue().to_pybytes()
