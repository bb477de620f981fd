"""Every source goes on after any row as if it had read those before, and tells when they changed."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingyao.classify.model import Table
from pingyao.classify.ports import Source
from pingyao.classify.sources.open import open_source

ROWS = 5_000
CREATE = "CREATE TABLE t (n INTEGER, note VARCHAR(40))"
VIEW = "CREATE VIEW v AS SELECT n, note FROM t"
FILES = ("csv", "gbk.csv", "jsonl", "parquet", "sqlite", "duckdb", "txt")
SERVERS = ("postgresql", "mariadb")
Run = Callable[..., None]


def note(n: int) -> str:
    return f"备注{n * 7919 % 10_000}"


def inserted(first: int, end: int) -> str:
    return "INSERT INTO t VALUES " + ", ".join(f"({n}, '{note(n)}')" for n in range(first, end))


def write_file(path: Path) -> None:
    pairs = [(n, note(n)) for n in range(ROWS)]
    lines = [f"{n},{text}" + (",多一格" if n % 100 == 0 else "") for n, text in pairs]
    if path.name.endswith("csv"):
        encoding = "gb18030" if "gbk" in path.name else "utf-8"
        path.write_text("\n".join(["n,note", *lines]), encoding)
    elif path.suffix == ".txt":
        path.write_text("\n".join(lines), "utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps({"n": n, "note": t}) for n, t in pairs), "utf-8")
    elif path.suffix == ".parquet":
        columns = {"n": [n for n, _ in pairs], "note": [t for _, t in pairs]}
        pq.write_table(pa.table(columns), path, row_group_size=700)
    elif path.suffix == ".sqlite":
        with closing(sqlite3.connect(path)) as db:
            for statement in (CREATE, inserted(0, ROWS), VIEW):
                db.execute(statement)
            db.commit()
    else:
        with duckdb.connect(str(path)) as db:
            for statement in (CREATE, inserted(0, ROWS), VIEW):
                db.execute(statement)


@pytest.fixture(params=[*FILES, *SERVERS])
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A source of each kind with the same rows."""
    if request.param in FILES:
        path = tmp_path / f"t.{request.param}"
        write_file(path)
        return str(path)
    database = request.getfixturevalue(f"{request.param}_database")
    run: Run = request.getfixturevalue(f"run_{request.param}")
    run(database, CREATE, inserted(0, ROWS), VIEW)
    return request.getfixturevalue(f"{request.param}_server").url(database)


@pytest.fixture
def source(spec: str) -> Iterator[Source]:
    with closing(open_source(spec)) as opened:
        yield opened


def find(source: Source) -> Table:
    return next(t for t in source.tables() if isinstance(t, Table) and t.kind != "view")


def rows(source: Source, table: Table, after: int = 0) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    try:
        for batch in source.batches(table, None, after):
            found += zip(*(c.to_pylist() for c in batch.columns), strict=True)
    except Exception as error:
        found.append((getattr(error, "code", error), getattr(error, "detail", "")))
    return found


@pytest.mark.parametrize("after", [1, 699, 700, 3_217, ROWS - 60, 3 * ROWS])
def test_what_was_read_is_left_out(source: Source, after: int) -> None:
    table = find(source)
    whole = rows(source, table)
    told = [row for row in whole if str(row[0]).startswith("scan.")]
    cells = whole[: len(whole) - len(told)]
    assert len(cells) >= ROWS - 50
    assert rows(source, table, after) == [*cells[after:], *told]


def test_the_order_and_the_state_are_the_same_again(spec: str) -> None:
    with closing(open_source(spec)) as one, closing(open_source(spec)) as two:
        table = find(one)
        assert rows(one, table) == rows(two, table)
        assert one.state(table) == two.state(table)


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_was_written_is_told(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{kind}"
    write_file(path)
    with closing(open_source(str(path))) as source:
        table = find(source)
        before = source.state(table)
    path.unlink()
    write_file(path)
    with closing(open_source(str(path))) as source:
        assert before
        assert source.state(table) not in ("", before)


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_database_file_that_others_write_is_told(tmp_path: Path, journal: str) -> None:
    path = tmp_path / "t.sqlite"
    write_file(path)
    with closing(sqlite3.connect(path)) as other, closing(open_source(str(path))) as source:
        other.execute(f"pragma journal_mode = {journal}")
        table = find(source)
        states = [source.state(table)]
        assert len(rows(source, table)) == ROWS
        for n in range(3):
            other.execute(f"INSERT INTO t VALUES ({ROWS + n}, '新')")
            other.commit()
            states.append(source.state(table))
            assert len(rows(source, table)) == ROWS + n + 1
    assert "" not in states
    assert len({*states}) == len(states)


CHANGES = (
    "INSERT INTO t VALUES (-1, '新')",
    "UPDATE t SET note = '改' WHERE n = 7",
    "DELETE FROM t WHERE n = 8",
    "TRUNCATE TABLE t",
)


def test_postgresql_tells_every_change(
    postgresql_server, postgresql_database: str, run_postgresql: Run
) -> None:
    run_postgresql(postgresql_database, CREATE, inserted(0, 100))
    with closing(open_source(postgresql_server.url(postgresql_database))) as source:
        table = find(source)
        state = _changed(source, table, "")
        for change in CHANGES:
            run_postgresql(postgresql_database, change)
            state = _changed(source, table, state)


def test_postgresql_tells_a_change_in_a_partition(
    postgresql_server, postgresql_database: str, run_postgresql: Run
) -> None:
    run_postgresql(
        postgresql_database,
        "CREATE TABLE t (n INTEGER, note VARCHAR(40)) PARTITION BY RANGE (n)",
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (100)",
        "CREATE TABLE t2 PARTITION OF t DEFAULT",
        inserted(0, 300),
    )
    with closing(open_source(postgresql_server.url(postgresql_database))) as source:
        table = find(source)
        before = _changed(source, table, "")
        assert rows(source, table, 150) == rows(source, table)[150:]
        run_postgresql(postgresql_database, CHANGES[1])
        assert _changed(source, table, before)


def test_mariadb_tells_a_change_once_its_clock_moved_on(
    mariadb_server, mariadb_database: str, run_mariadb: Run
) -> None:
    run_mariadb(mariadb_database, CREATE, inserted(0, 100))
    with closing(open_source(mariadb_server.url(mariadb_database))) as source:
        table = find(source)
        assert source.state(table) == ""
        first = _changed(source, table, "")
        run_mariadb(mariadb_database, CHANGES[1])
        assert source.state(table) == ""
        assert _changed(source, table, "") != first


def _changed(source: Source, table: Table, before: str) -> str:
    """Waits until the server tells another state and keeps to it: it counts after the commit."""
    last = before
    for _ in range(100):
        time.sleep(0.1)
        state = source.state(table)
        if state == last != before:
            return state
        last = state
    pytest.fail("the server never told")


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_the_rows_of_a_view_have_no_state(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{kind}"
    write_file(path)
    with closing(open_source(str(path))) as source:
        view = next(t for t in source.tables() if isinstance(t, Table) and t.kind == "view")
        assert source.state(view) == ""


@pytest.mark.parametrize("family", SERVERS)
def test_the_rows_of_a_servers_view_have_no_state(
    family: str, request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue(f"{family}_database")
    request.getfixturevalue(f"run_{family}")(database, CREATE, VIEW)
    url = request.getfixturevalue(f"{family}_server").url(database)
    with closing(open_source(url)) as source:
        view = next(t for t in source.tables() if isinstance(t, Table) and t.kind == "view")
        assert source.state(view) == ""
