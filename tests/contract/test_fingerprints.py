"""A fingerprint changes whenever the rows do, and stays while they stay, in every kind of source."""

import gzip
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import servers
from pingyao.classify.model import Table
from pingyao.classify.ports import FingerprintedSource, Source
from pingyao.classify.sources import fingerprints
from pingyao.classify.sources.fingerprints import file_fingerprint
from pingyao.classify.sources.mysql import open_mysql
from pingyao.classify.sources.open import open_path
from pingyao.classify.sources.postgresql import open_postgresql


def of(source: Source, name: str = "") -> str | None:
    """The fingerprint of the one table, or of that with the name."""
    assert isinstance(source, FingerprintedSource)
    (table,) = [t for t in source.tables() if isinstance(t, Table) and name in ("", t.name)]
    found = source.fingerprint(table)
    source.close()
    return found


def write(path: Path, rows: int) -> None:
    cells = [f"值{i}" for i in range(rows)]
    text = "\n".join(["名称", *cells])
    match path.suffix:
        case ".parquet":
            pq.write_table(pa.table({"名称": cells}), path)
        case ".gz":
            path.write_bytes(gzip.compress(text.encode()))
        case ".jsonl":
            path.write_text("\n".join(f'{{"名称": "{c}"}}' for c in cells), "utf-8")
        case ".db":
            with sqlite3.connect(path) as db:
                db.execute("create table if not exists t (a text)")
                db.executemany("insert into t values (?)", [(c,) for c in cells])
            db.close()
        case ".duckdb":
            with duckdb.connect(str(path)) as db:
                db.execute("create or replace table t (a text)")
                db.executemany("insert into t values (?)", [[c] for c in cells])
        case _:
            path.write_text(text, "utf-8")


@pytest.mark.parametrize("large", [False, True], ids=["hashed", "by-state"])
@pytest.mark.parametrize(
    "name", ["a.csv", "a.csv.gz", "a.txt", "a.parquet", "a.jsonl", "a.db", "a.duckdb"]
)
def test_a_file(tmp_path: Path, name: str, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if large:
        monkeypatch.setattr(fingerprints, "_WHOLE_BYTES", 0)
        monkeypatch.setattr(fingerprints, "_SETTLED_SECONDS", 0.0)
    path = tmp_path / name
    write(path, 30)
    first = of(open_path(path))
    assert first is not None
    assert of(open_path(path)) == first
    assert of(open_path(tmp_path)) == first
    time.sleep(0.02)
    write(path, 31)
    assert of(open_path(path)) not in (None, first)


def test_a_copy_of_a_small_file_is_the_same(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", 3)
    write(tmp_path / "b.csv", 3)
    assert file_fingerprint(tmp_path / "a.csv") == file_fingerprint(tmp_path / "b.csv")


def test_times_set_back_hide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "_WHOLE_BYTES", 0)
    monkeypatch.setattr(fingerprints, "_SETTLED_SECONDS", 0.0)
    path = tmp_path / "a.csv"
    path.write_text("甲,乙\n1,2\n", "utf-8")
    state, first = path.stat(), file_fingerprint(path)
    time.sleep(0.02)
    path.write_text("甲,乙\n3,4\n", "utf-8")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_mtime_ns == state.st_mtime_ns
    assert file_fingerprint(path) != first


def test_a_large_file_written_just_now_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "_WHOLE_BYTES", 0)
    write(tmp_path / "a.csv", 3)
    assert file_fingerprint(tmp_path / "a.csv") is None
    assert file_fingerprint(tmp_path / "absent.csv") is None


def test_what_stands_in_the_log_alone_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("pragma journal_mode = wal")
    db.execute("create table t (a text)")
    first = of(open_path(path))
    db.execute("insert into t values ('x')")
    second = of(open_path(path))
    db.execute("update t set a = 'y'")
    third = of(open_path(path))
    db.close()
    assert len({first, second, third, None}) == 4


@pytest.fixture
def postgresql(
    postgresql_server: object, run_postgresql: Callable[..., None], postgresql_database: str
) -> tuple[Callable[..., None], Callable[[str], str | None]]:
    def run(*statements: str) -> None:
        run_postgresql(postgresql_database, *statements)

    def fingerprint(name: str) -> str | None:
        return of(open_postgresql(postgresql_server.url(postgresql_database)), name)

    return run, fingerprint


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO t VALUES (4, 'd', 'low')",
        "UPDATE t SET a = 'z' WHERE n = 1",
        "DELETE FROM t WHERE n = 2",
        "TRUNCATE t",
        "TRUNCATE t; INSERT INTO t VALUES (1, 'a', 'low')",
        "ALTER TYPE grade RENAME VALUE 'low' TO 'lowest'",
        "SELECT pg_stat_reset()",
        "SELECT pg_stat_reset_single_table_counters('t'::regclass)",
        "VACUUM FULL t",
    ],
)
def test_postgresql_tells_every_change(
    postgresql: tuple[Callable[..., None], Callable[[str], str | None]], change: str
) -> None:
    run, fingerprint = postgresql
    run(
        "CREATE TYPE grade AS ENUM ('low', 'high')",
        "CREATE TABLE t (n int, a text, g grade)",
        "INSERT INTO t VALUES (1, 'a', 'low'), (2, 'b', 'low'), (3, 'c', 'high')",
    )
    first = fingerprint("t")
    assert first is not None
    run("SELECT * FROM t", "ANALYZE t", "VACUUM t")
    assert fingerprint("t") == first
    run(*change.split("; "))
    assert fingerprint("t") not in (None, first)


def test_postgresql_sees_into_partitions_and_children(
    postgresql: tuple[Callable[..., None], Callable[[str], str | None]],
) -> None:
    run, fingerprint = postgresql
    run(
        "CREATE TABLE p (n int) PARTITION BY RANGE (n)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE parent (n int)",
        "CREATE TABLE child () INHERITS (parent)",
    )
    before = fingerprint("p"), fingerprint("parent")
    run("INSERT INTO p1 VALUES (1)", "INSERT INTO child VALUES (1)")
    after = fingerprint("p"), fingerprint("parent")
    assert None not in (*before, *after)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_postgresql_knows_nothing_of_views_and_guarded_rows(
    postgresql: tuple[Callable[..., None], Callable[[str], str | None]],
) -> None:
    run, fingerprint = postgresql
    run(
        "CREATE TABLE t (n int)",
        "CREATE VIEW v AS SELECT n FROM t",
        "CREATE MATERIALIZED VIEW m AS SELECT n FROM t",
    )
    assert fingerprint("v") is None
    first = fingerprint("m")
    run("INSERT INTO t VALUES (1)", "REFRESH MATERIALIZED VIEW m")
    assert fingerprint("m") not in (None, first)


def test_postgresql_rows_guarded_from_the_reader_have_none(
    postgresql_server: object, run_postgresql: Callable[..., None], postgresql_database: str
) -> None:
    run_postgresql(
        postgresql_database,
        "DROP ROLE IF EXISTS guarded",
        "CREATE ROLE guarded LOGIN PASSWORD 'g'",
        "CREATE TABLE t (n int)",
        "GRANT SELECT ON t TO guarded",
    )
    url = postgresql_server.url(postgresql_database, "guarded", "g")
    assert of(open_postgresql(url), "t") is not None
    run_postgresql(postgresql_database, "ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    assert of(open_postgresql(url), "t") is None
    run_postgresql(postgresql_database, "DROP OWNED BY guarded", "DROP ROLE guarded")


def test_mariadb_tells_what_it_knows(
    mariadb_server: object, run_mariadb: Callable[..., None], mariadb_database: str
) -> None:
    def run(*statements: str) -> None:
        run_mariadb(mariadb_database, *statements)

    def fingerprint(name: str) -> str | None:
        return of(open_mysql(mariadb_server.url(mariadb_database)), name)

    run(
        "CREATE TABLE t (n int)",
        "CREATE TABLE still (n int)",
        "CREATE TABLE p (n int) PARTITION BY HASH (n) PARTITIONS 2",
        "CREATE VIEW v AS SELECT n FROM t",
        "INSERT INTO t VALUES (1)",
        "INSERT INTO p VALUES (1)",
    )
    assert fingerprint("t") is None
    time.sleep(3.1)
    first = fingerprint("t")
    assert first is not None
    assert fingerprint("t") == first
    assert [fingerprint(n) for n in ("still", "p", "v")] == [None, None, None]
    run("UPDATE t SET n = 2")
    assert fingerprint("t") is None
    time.sleep(3.1)
    assert fingerprint("t") not in (None, first)


def test_postgresql_counts_lost_in_a_crash_are_not_taken_for_the_same() -> None:
    """After a crash the counters start from nothing, and may come to what they were before."""
    import psycopg

    try:
        with servers.postgresql() as server:
            url = server.url("postgres")

            def run(statement: str) -> None:
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute(statement.encode())

            def counts() -> tuple[object, ...]:
                with psycopg.connect(url, autocommit=True) as connection:
                    asked = "SELECT n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables"
                    return connection.execute(asked).fetchone() or ()

            run("CREATE TABLE t (n int)")
            run("INSERT INTO t VALUES (1)")
            before, counted = of(open_postgresql(url), "t"), counts()
            victim = psycopg.connect(url, autocommit=True)
            os.kill(victim.info.backend_pid, signal.SIGKILL)
            deadline = time.monotonic() + 60
            while True:
                time.sleep(0.3)
                try:
                    run("INSERT INTO t VALUES (2)")
                    break
                except psycopg.OperationalError:
                    assert time.monotonic() < deadline
            victim.close()
            assert counts() == counted == (1, 0, 0)
            assert before is not None
            assert of(open_postgresql(url), "t") not in (None, before)
    except servers.Absent as absent:
        pytest.skip(f"PostgreSQL is not installed ({absent})")
