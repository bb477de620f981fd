"""Every source goes on after any row as if it had read those before, and they come in one order."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingyao.classify.model import Table
from pingyao.classify.ports import Source
from pingyao.classify.reading import fingerprinted
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


def test_rows_come_in_the_same_order_again(spec: str) -> None:
    with closing(open_source(spec)) as one, closing(open_source(spec)) as two:
        table = find(one)
        assert rows(one, table) == rows(two, table)


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_database_file_that_others_write_is_told(tmp_path: Path, journal: str) -> None:
    path = tmp_path / "t.sqlite"
    write_file(path)
    with closing(sqlite3.connect(path)) as other, closing(open_source(str(path))) as source:
        other.execute(f"pragma journal_mode = {journal}")
        table = find(source)
        prints = [fingerprinted(source, table)]
        assert len(rows(source, table)) == ROWS
        for n in range(3):
            other.execute(f"INSERT INTO t VALUES ({ROWS + n}, '新')")
            other.commit()
            prints.append(fingerprinted(source, table))
            assert len(rows(source, table)) == ROWS + n + 1
    assert len({"", *prints}) == len(prints) + 1


def test_partitions_are_gone_through_in_one_order(
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
        assert rows(source, table, 150) == rows(source, table)[150:]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_the_rows_of_a_view_have_no_fingerprint(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{kind}"
    write_file(path)
    with closing(open_source(str(path))) as source:
        view = next(t for t in source.tables() if isinstance(t, Table) and t.kind == "view")
        assert fingerprinted(source, view) == ""
