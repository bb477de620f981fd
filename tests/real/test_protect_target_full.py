"""Database servers without room as targets: what is wrong is said, nothing of it shows, and with room it goes on."""

import hashlib
import json
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pymysql
import pytest
import sqlalchemy as sa

import command
import servers
from pingyao.app.migrations import migrate
from pingyao.platform.crypto import derive
from pingyao.platform.crypto.derive import Stretch
from pingyao.platform.db import open_engine
from pingyao.protect.model import Asset
from pingyao.protect.records import runs
from pingyao.protect.sinks.postgresql import PostgresqlSink

ROWS = 20_000
SMALL = 500


def rows(count: int) -> pa.Table:
    """Rows of a kilobyte that no server packs."""
    noise = [hashlib.shake_128(b"%d" % n).hexdigest(480) for n in range(count)]
    return pa.table(
        {
            "mobile_no": [f"138{n:08d}" for n in range(count)],
            "memo": noise,
            "acct_bal": [float(n % 9973) for n in range(count)],
        }
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of a small table and a large one, its plan, a key and a place for records."""
    folder = tmp_path_factory.mktemp("full")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(derive, "stretch", lambda: Stretch(os.urandom(16), 1, 1, 8))
        patch.setenv("PINGYAO_KEYSTORE_PASSPHRASE", "correct horse battery staple")
        patch.setenv("PINGYAO_KEYSTORE", str(folder / "keys.pks"))
        patch.setenv("PINGYAO_DATABASE_URL", f"sqlite:///{folder / 'p.db'}")
        source = folder / "bank"
        source.mkdir()
        pq.write_table(rows(SMALL), source / "a_small.parquet")
        pq.write_table(rows(ROWS), source / "b_large.parquet")
        for words in (
            ("keys", "init"),
            ("keys", "create", "protect", "hmac-sha256"),
            ("protect", "plan", source, "--for", "testing", "--out", folder / "plan.json"),
        ):
            done = command.pingyao(*words)
            assert done.code == 0, done.err
        yield folder


def run(work: Path, url: str) -> command.Done:
    """One run into a target; its record, if there is one, goes to a place of its own."""
    with tempfile.TemporaryDirectory() as record:
        return command.pingyao(
            *("protect", "run", work / "bank", url, "--plan", work / "plan.json"),
            *("--record", Path(record) / "r"),
        )


def kept(work: Path) -> list[tuple[str, dict[str, object]]]:
    """Kind and record of every run, the oldest first."""
    engine = open_engine(f"sqlite:///{work / 'p.db'}", migrate)
    with engine.connect() as db:
        found = db.execute(sa.select(runs.c.kind, runs.c.record).order_by(runs.c.at)).all()
    engine.dispose()
    return [(kind, json.loads(record)) for kind, record in found]


def fails(work: Path, url: str, code: str, said: str) -> None:
    """The run is refused as can be tried again; the source is as it was; of the fault there is evidence."""
    before = {p.name: p.read_bytes() for p in (work / "bank").iterdir()}
    held = len(kept(work))
    done = run(work, url)
    assert done.code == 75, done.err
    assert code in done.err
    assert said in done.err
    assert "138000" not in done.err
    assert {p.name: p.read_bytes() for p in (work / "bank").iterdir()} == before
    ((kind, record),) = kept(work)[held:]
    assert kind == "protect.run.failed"
    assert record["failure"] == code
    assert record["made"] == record["residuals"] == []


def succeeds(work: Path, url: str) -> None:
    done = run(work, url)
    assert done.code == 0, done.err
    assert kept(work)[-1][0] == "protect.run.completed"


# --- PostgreSQL -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postgresql() -> Iterator[servers.Server]:
    """A server of its own: the fault may bring it down."""
    try:
        with servers.postgresql() as server:
            yield server
    except servers.Absent as absent:
        pytest.skip(f"PostgreSQL is not installed ({absent})")


def asked(
    server: servers.Server, statement: str, database: str = "postgres"
) -> list[tuple[object, ...]]:
    with psycopg.connect(server.url(database), autocommit=True) as db:
        cursor = db.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def held_by(server: servers.Server, database: str = "postgres") -> list[tuple[object, ...]]:
    """The tables of a database that are not the server's, and the schemas a run makes."""
    return asked(
        server,
        "select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
        " union all select nspname, '' from pg_namespace where nspname like 'pingyao%' or nspname = 'kept'",
        database,
    )


@contextmanager
def no_longer_files(size: int) -> Iterator[None]:
    """No file that a process started here writes may grow beyond a size: a disk without room, to it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_postgresql_without_room(postgresql: servers.Server, work: Path) -> None:
    """The tablespace of the database is a disk that is too small."""
    disk = Path(tempfile.mkdtemp(prefix="pingyao-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=777", "pingyao-test", disk]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        disk.rmdir()
        pytest.skip("only root can mount a small file system; the next best is tested below")
    try:
        (disk / "space").mkdir(mode=0o700)
        shutil.chown(disk / "space", "nobody", "nogroup")
        asked(postgresql, f"create tablespace small location '{disk / 'space'}'")
        asked(postgresql, "create database crammed tablespace small")
        asked(postgresql, "create schema kept", "crammed")
        asked(postgresql, "create table kept.mine as select 1 as n", "crammed")
        before = held_by(postgresql, "crammed")
        url = postgresql.url("crammed") + "?schema=kept"
        fails(work, url, "protect.target_full", "已无空间")
        assert held_by(postgresql, "crammed") == before
        asked(postgresql, "alter database crammed set tablespace pg_default")
        succeeds(work, url)
        assert asked(postgresql, "select count(*) from kept.b_large", "crammed") == [(ROWS,)]
    finally:
        asked(postgresql, "drop database if exists crammed with (force)")
        asked(postgresql, "drop tablespace if exists small")
        subprocess.run(["umount", "-l", disk], check=True)  # noqa: S607 - found by PATH, as a person would
        disk.rmdir()


def test_a_postgresql_whose_files_may_not_grow(work: Path) -> None:
    with ExitStack() as stack:
        try:
            with no_longer_files(16 << 20):
                server = stack.enter_context(servers.postgresql())
        except servers.Absent as absent:
            pytest.skip(f"PostgreSQL is not installed ({absent})")
        fails(work, server.url("postgres") + "?schema=kept", "protect.write_failed", "空间")
        assert held_by(server) == []


def test_a_postgresql_that_falls_over(
    postgresql: servers.Server, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room for its own log a server ends all connections: the next run clears up."""
    write = PostgresqlSink.write

    def fallen(
        sink: PostgresqlSink, asset: Asset, schema: pa.Schema, given: Iterator[pa.RecordBatch]
    ) -> int:
        pid = sink._db.info.backend_pid

        def batches() -> Iterator[pa.RecordBatch]:
            yield next(given)
            asked(postgresql, f"select pg_terminate_backend({pid}, 5000)")
            yield from given

        return write(sink, asset, schema, batches() if asset.name == "b_large" else given)

    url = postgresql.url("postgres") + "?schema=kept"
    with monkeypatch.context() as patch:
        patch.setattr(PostgresqlSink, "write", fallen)
        fails(work, url, "protect.write_failed", "下一次执行")
    assert not [t for t in held_by(postgresql) if t[0] == "kept"]
    succeeds(work, url)
    assert sorted(held_by(postgresql)) == [("kept", ""), ("kept", "a_small"), ("kept", "b_large")]
    asked(postgresql, "drop schema kept cascade")


# --- MariaDB --------------------------------------------------------------------------------------


def told(server: servers.Server, statement: str) -> list[tuple[object, ...]]:
    with (
        pymysql.connect(
            host="127.0.0.1",
            port=server.port,
            user=server.user,
            password=server.password.encode(),
            autocommit=True,
        ) as db,
        db.cursor() as cursor,
    ):
        cursor.execute(statement)
        return list(cursor.fetchall())


BASES = (
    "select table_schema, table_name from information_schema.tables where table_schema = 'kept'"
    " union all select schema_name, '' from information_schema.schemata where schema_name like 'pingyao%'"
)


def test_a_mariadb_without_room(work: Path) -> None:
    full = ("--innodb-file-per-table=0", "--innodb-data-file-path=ibdata1:12M:autoextend:max:24M")
    with ExitStack() as stack:
        try:
            server = stack.enter_context(servers.mariadb(*full))
        except servers.Absent as absent:
            pytest.skip(f"MariaDB is not installed ({absent})")
        told(server, "create database kept")
        told(server, "create table kept.mine as select 1 as n")
        fails(work, server.url("kept"), "protect.target_full", "已无空间")
        assert told(server, BASES) == [("kept", "mine")]
        assert told(server, "select n from kept.mine") == [(1,)]
        told(server, "set global innodb_file_per_table = 1")
        succeeds(work, server.url("kept"))
        assert told(server, "select count(*) from kept.b_large") == [(ROWS,)]
