"""The table of the benchmarks in a throwaway PostgreSQL and MariaDB, started as the tests do."""

import io
import sys
from collections.abc import Iterable
from pathlib import Path

import psycopg
import pyarrow as pa
import pymysql
from pyarrow import csv

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from servers import Absent, Server, mariadb, postgresql

__all__ = ["Absent", "load_mariadb", "load_postgresql", "mariadb", "postgresql"]

_SQL = {"double": "numeric(20,2)", "int64": "bigint"}


def _created(schema: pa.Schema, mark: str) -> str:
    columns = (f"{mark}{f.name}{mark} {_SQL.get(str(f.type), 'varchar(200)')}" for f in schema)
    return ", ".join(columns)


def _csv(batch: pa.RecordBatch) -> bytes:
    out = io.BytesIO()
    csv.write_csv(batch, out, csv.WriteOptions(include_header=False))
    return out.getvalue()


def load_postgresql(server: Server, name: str, batches: Iterable[pa.RecordBatch]) -> str:
    """Puts the table into a database of its own, analysed; returns its address."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}".encode())
    with psycopg.connect(server.url(name), autocommit=True) as db:
        for number, batch in enumerate(batches):
            if number == 0:
                db.execute(f"CREATE TABLE customers ({_created(batch.schema, chr(34))})".encode())
            with db.cursor().copy(b"COPY customers FROM STDIN (FORMAT csv)") as copy:
                copy.write(_csv(batch))
        db.execute(b"VACUUM ANALYZE customers")
    return server.url(name)


def load_mariadb(server: Server, name: str, batches: Iterable[pa.RecordBatch]) -> str:
    """Puts the table into a database of its own; returns its address."""
    path = server.directory / "rows.csv"
    with (
        pymysql.connect(
            host="127.0.0.1",
            port=server.port,
            user=server.user,
            password=server.password.encode(),
            charset="utf8mb4",
            local_infile=True,
            autocommit=True,
        ) as db,
        db.cursor() as cursor,
    ):
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        cursor.execute(f"USE {name}")
        for number, batch in enumerate(batches):
            if number == 0:
                cursor.execute(f"CREATE TABLE customers ({_created(batch.schema, '`')})")
            path.write_bytes(_csv(batch))
            cursor.execute(
                f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE customers CHARACTER SET utf8mb4 "
                """FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '"' ESCAPED BY ''"""
            )
        path.unlink()
        cursor.execute("ANALYZE TABLE customers")
    return server.url(name)
