"""SQLite files that mean no good, or are changed while they are read; and files left alone."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pingyao.classify.model import Column, Table
from pingyao.classify.sources import limits, sqlite_library, sqlite_rows
from pingyao.classify.sources.sqlite import SQLite, _certain, open_sqlite
from pingyao.kernel.errors import PingyaoError

HASTY = limits.Patience(connect=1, lock=0, catalogue=5, table=1)
NUMBERS = "with recursive n(i) as (select 1 union all select i + 1 from n where i < {}) "


@pytest.fixture(params=["library", "plain"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways keep every promise."""
    if request.param == "plain":
        monkeypatch.setattr(sqlite_library, "copy_in_use", lambda: None)
    return request.param


def made(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()
    return path


def refused(source: SQLite, table: Table | None = None) -> str:
    found = table or next(t for t in source.tables() if isinstance(t, Table))
    with pytest.raises(PingyaoError) as caught:
        list(source.batches(found))
    assert caught.value.remedy
    assert "6222" not in f"{caught.value.detail}{caught.value!r}"
    return caught.value.code


def cells(source: SQLite, name: str, limit: int | None = None) -> list[object]:
    table = next(t for t in source.tables() if isinstance(t, Table) and t.name == name)
    return [c for b in source.batches(table, limit) for c in b.column(0).to_pylist()]


def test_a_cell_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "CELL_CHARACTERS", 1000)
    path = made(tmp_path / "a.db", "create table t (a)", "insert into t values (zeroblob(9000))")
    assert refused(open_sqlite(path)) == "scan.cell_too_long"


def test_rows_without_end_are_stopped(tmp_path: Path):
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) "
    path = made(tmp_path / "a.db", f"create view v as {endless} select i from n where i < 0")
    assert refused(SQLite(path, HASTY)) == "scan.timed_out"


def test_a_table_that_went_away_is_told(tmp_path: Path):
    path = made(tmp_path / "a.db", "create table t (a)", "create table u (b)")
    source = open_sqlite(path)
    table = Table("", "t", columns=(Column("a"), Column("gone")))
    # An unknown name in double quotes would be taken for a text.
    assert refused(source, Table("", "none", columns=(Column("a"),))) == "scan.table_changed"
    made(path, "drop table t")
    assert refused(source, table) == "scan.table_changed"
    assert cells(source, "u") == []


def test_a_view_that_fails_on_some_row_keeps_its_data_out_of_messages(tmp_path: Path):
    path = made(
        tmp_path / "a.db",
        "create table t (a)",
        "insert into t values ('6222020200112233445'), (-9223372036854775808)",
        "create view v as select abs(a) from t",
    )
    source = open_sqlite(path)
    view = next(t for t in source.tables() if isinstance(t, Table) and t.kind == "view")
    assert refused(source, view) == "scan.view_broken"


def test_a_view_may_not_run_what_harms(tmp_path: Path):
    victim = tmp_path / "victim"
    path = made(tmp_path / "a.db", "create table t (a)", "create view v as select 1 as a")
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma writable_schema = on")
        said = f"create view v as select writefile('{victim}', 'x') as a"
        db.execute("update sqlite_schema set sql = ? where name = 'v'", (said,))
        db.commit()
    source = open_sqlite(path)
    view = Table("", "v", kind="view", columns=(Column("a"),))
    assert refused(source, view) == "scan.view_broken"
    assert not victim.exists()


def test_a_schema_that_lies_of_its_cells_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sqlite_rows, "_FIRST_ROWS", 2)
    path = made(
        tmp_path / "a.db",
        "create table t (a)",
        "insert into t values (1), (2), (3), ('四')",
    )
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma writable_schema = on")
        db.execute("update sqlite_schema set sql = 'create table t (a int) strict'")
        db.commit()
    source = open_sqlite(path)
    if sqlite_library.copy_in_use() is None:
        assert cells(source, "t") == ["1", "2", "3", "四"]
    else:
        assert refused(source) == "scan.read_failed"


def test_a_view_that_answers_otherwise_each_time_is_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
):
    if way == "plain":
        pytest.skip("there, nothing is noticed")
    monkeypatch.setattr(sqlite_rows, "_FIRST_ROWS", 2)
    monkeypatch.setattr(sqlite_rows, "_met", lambda h, t, s, met, c: met)
    path = made(
        tmp_path / "a.db", "create view v as select 1 as a union all select 2 union all select 'x'"
    )
    assert refused(open_sqlite(path)) == "scan.view_broken"


@pytest.mark.parametrize(
    ("table", "known"),
    [
        ("create table t (a integer primary key, b integer)", {"a"}),
        ("create table t (a integer, b integer, primary key (a desc))", {"a"}),
        # As SQLite says of itself, "due to a bug": no row number, and it holds anything.
        ("create table t (a integer primary key desc, b)", set()),
        ("create table t (a int primary key, b)", set()),
        ("create table t (a integer primary key, b) without rowid", set()),
        ("create table t (a integer, b integer, primary key (a, b))", set()),
        ("create table t (a integer, b blob)", set()),
        ("create table t (a int, b blob, c real, d any, e text) strict", {"a", "b"}),
        ("create table t (a integer primary key, b any) strict, without rowid", {"a"}),
        ("create view t as select 1 as a", set()),
    ],
)
def test_what_sqlite_vouches_for(tmp_path: Path, table: str, known: set[str]):
    if "strict" in table and sqlite3.sqlite_version_info < (3, 37):
        pytest.skip("SQLite is too old for strict tables")
    with closing(sqlite3.connect(made(tmp_path / "a.db", table))) as db:
        assert _certain(db, Table("", "t")) == known


def test_a_sample_is_of_the_same_rows_whatever_is_asked_of_it(tmp_path: Path):
    # By the index, a sample's numbers would be others than those next to the texts.
    path = made(
        tmp_path / "a.db",
        "create table t (a integer, b text)",
        f"insert into t {NUMBERS.format(9000)} select iif(i > 8000, 'x', 9000 - i), i from n",
        "create index i on t (a)",
    )
    found = cells(open_sqlite(path), "t", 6000)
    assert found[:2] == [8999, 8998]
    assert len(found) == 6000


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_nothing_is_left_beside_the_file(tmp_path: Path, mode: str):
    path = made(
        tmp_path / "a.db",
        f"pragma journal_mode = {mode}",
        "create table t (a integer)",
        f"insert into t {NUMBERS.format(20_000)} select i from n",
    )
    os.utime(path, (0, 0))
    before = path.read_bytes()
    source = open_sqlite(path)
    table = next(t for t in source.tables() if isinstance(t, Table))
    for number, _ in enumerate(source.batches(table)):
        assert number or [each.name for each in tmp_path.iterdir()] == ["a.db"]
    source.close()
    assert [each.name for each in tmp_path.iterdir()] == ["a.db"]
    assert path.read_bytes() == before


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[tuple[Path, Iterator[object]]]:
    """A file of which some rows have been read."""
    path = made(
        tmp_path / "a.db",
        "create table t (a integer, b text)",
        f"insert into t {NUMBERS.format(200_000)} select i, hex(randomblob(9)) from n",
    )
    # Not written a moment ago.
    os.utime(path, (0, 0))
    with closing(open_sqlite(path)) as source:
        table = next(t for t in source.tables() if isinstance(t, Table))
        batches = source.batches(table)
        next(batches)
        yield path, batches
        batches.close()


def write_elsewhere(path: Path) -> str:
    said = (
        "import sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n"
        "try: db.execute('update t set b = 0'); print('written')\n"
        "except sqlite3.OperationalError as error: print(error.sqlite_errorname)\n"
    )
    command = [sys.executable, "-c", said, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_nobody_writes_while_a_table_is_read(begun: tuple[Path, Iterator[object]]):
    path, batches = begun
    # Others in this process read and let go meanwhile; the file stays held.
    with closing(open_sqlite(path)) as other:
        assert len(cells(other, "t")) == 200_000
        assert isinstance(other.fingerprint(Table("", "t")), str)
    with closing(sqlite3.connect(path)) as again:
        again.execute("select count(*) from t").fetchone()
    assert write_elsewhere(path) == "SQLITE_BUSY"
    list(batches)
    assert write_elsewhere(path) == "written"


def test_a_reader_that_leaves_lets_others_write(begun: tuple[Path, Iterator[object]]):
    path, batches = begun
    batches.close()
    assert write_elsewhere(path) == "written"
