"""Database files that are not what they seem, and passwords that must stay out of sight."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from pingyao.classify.model import Column, Table
from pingyao.classify.sources import limits
from pingyao.classify.sources.credentials import parse_address
from pingyao.classify.sources.duckdb import DuckDB, open_duckdb
from pingyao.classify.sources.sqlite import SQLite, open_sqlite
from pingyao.kernel.errors import PingyaoError

HASTY = limits.Patience(connect=1, lock=0, catalogue=5, table=1)


def _sqlite(path: Path, *statements: str) -> Path:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return path


def _only(source: SQLite | DuckDB, column: int = 0) -> list[object]:
    table = next(iter(source.tables()))
    assert isinstance(table, Table)
    return [value for b in source.batches(table) for value in b.column(column).to_pylist()]


@pytest.mark.parametrize("opener", [open_sqlite, open_duckdb])
@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "scan.no_such_file"),
        (b"not a database at all" * 300, "scan.not_a_database"),
        (os.urandom(16384), "scan.not_a_database"),
    ],
    ids=["missing", "text", "encrypted"],
)
def test_what_is_no_database_is_refused(opener, content: bytes | None, code: str, tmp_path: Path):
    path = tmp_path / "bank.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PingyaoError) as caught:
        opener(path)
    assert caught.value.code == code
    assert caught.value.remedy


@pytest.mark.parametrize("opener", [open_sqlite, open_duckdb])
def test_a_directory_is_refused(opener, tmp_path: Path):
    with pytest.raises(PingyaoError) as caught:
        opener(tmp_path)
    assert caught.value.code == "scan.not_a_file"


def test_sqlite_that_is_locked_says_so(tmp_path: Path):
    path = _sqlite(tmp_path / "a.db", "create table t (a text)")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("begin exclusive")
    with pytest.raises(PingyaoError) as caught:
        SQLite(path, HASTY)
    assert caught.value.code == "scan.locked"
    assert caught.value.retriable
    writer.close()


def test_sqlite_half_a_file_is_damaged(tmp_path: Path):
    path = _sqlite(
        tmp_path / "a.db",
        "create table t (a text)",
        "insert into t select hex(randomblob(2000)) from "
        "(with recursive n(i) as (select 1 union all select i+1 from n where i<200) select * from n)",
    )
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 // 4096 * 4096])
    with pytest.raises(PingyaoError) as caught:
        _only(open_sqlite(path))
    assert caught.value.code == "scan.damaged"


def test_sqlite_a_column_that_changes_type_comes_as_text_and_nothing_is_lost(tmp_path: Path):
    path = _sqlite(
        tmp_path / "a.db",
        "create table t (a integer, b numeric, c, d integer)",
        "insert into t values (1, 1, x'00ff', 9007199254740993), (2, 2.5, x'01', 0.5)",
        "insert into t values ('三', null, null, null), (x'e59b9b', 3, x'02', 1)",
    )
    source = open_sqlite(path)
    assert _only(source) == ["1", "2", "三", "四"]
    assert _only(source, 1) == [1.0, 2.5, None, 3.0]
    assert _only(source, 2) == [b"\x00\xff", b"\x01", None, b"\x02"]
    assert _only(source, 3) == ["9007199254740993", "0.5", None, "1"]


def test_sqlite_text_that_is_no_text(tmp_path: Path):
    path = tmp_path / "a.db"
    connection = sqlite3.connect(path)
    connection.execute("create table t (a text)")
    for value in ("张三".encode("gb18030"), b"\xff\xfe\xfd", b"a\x00b", "好".encode()):
        connection.execute("insert into t values (cast(? as text))", (value,))
    connection.commit()
    connection.close()
    found = _only(open_sqlite(path))
    assert found[0] == "张三"
    assert "\ufffd" in str(found[1])
    assert found[2:] == ["a\x00b", "好"]


def test_sqlite_in_wal_mode_is_read_without_leaving_a_trace(tmp_path: Path):
    path = _sqlite(tmp_path / "a.db", "pragma journal_mode = wal", "create table t (a text)")
    before = path.read_bytes()
    assert _only(open_sqlite(path)) == []
    assert [each.name for each in tmp_path.iterdir()] == ["a.db"]
    assert path.read_bytes() == before


def test_sqlite_rows_that_are_still_in_the_log_are_read(tmp_path: Path):
    path = _sqlite(tmp_path / "a.db", "pragma journal_mode = wal", "create table t (a text)")
    writer = sqlite3.connect(path)
    writer.execute("insert into t values ('late')")
    writer.commit()
    assert _only(open_sqlite(path)) == ["late"]
    writer.close()


def test_sqlite_changed_under_an_immutable_reader_is_said(tmp_path: Path):
    path = _sqlite(tmp_path / "a.db", "pragma journal_mode = wal", "create table t (a text)")
    source = open_sqlite(path)
    table = next(iter(source.tables()))
    assert isinstance(table, Table)
    with pytest.raises(PingyaoError) as caught, source._reading(5, "t"):
        _sqlite(path, "insert into t values ('new')")
    assert caught.value.code == "scan.file_changed"


def test_sqlite_an_endless_view_is_stopped(tmp_path: Path):
    path = _sqlite(
        tmp_path / "a.db",
        "create view v as with recursive n(i) as (select 1 union all select i + 1 from n) "
        "select max(i) as m from n",
    )
    source = SQLite(path, HASTY)
    with pytest.raises(PingyaoError) as caught:
        _only(source)
    assert caught.value.code == "scan.timed_out"


def test_sqlite_describes_what_it_can_of_a_file_with_a_broken_view(tmp_path: Path):
    path = _sqlite(
        tmp_path / "a.db",
        "create table gone (a)",
        "create view v as select a from gone",
        "drop table gone",
        "create table w (a text primary key) without rowid",
        "insert into w values ('x')",
    )
    source = open_sqlite(path)
    found = list(source.tables())
    assert [getattr(each, "code", "") for each in found] == ["scan.view_broken", ""]
    assert isinstance(found[1], Table)
    assert sum(b.num_rows for b in source.batches(found[1], 5)) == 1


def test_duckdb_with_a_writer_in_another_process_is_locked(tmp_path: Path):
    path = tmp_path / "a.duckdb"
    duckdb.connect(str(path)).close()
    writer = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            f"import duckdb; c = duckdb.connect({str(path)!r}); print('up', flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    with pytest.raises(PingyaoError) as caught:
        open_duckdb(path)
    assert caught.value.code == "scan.locked"
    writer.communicate(b"\n")


def test_duckdb_a_view_may_not_read_other_files(tmp_path: Path):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n6222020200112233445\n", encoding="utf-8")
    path = tmp_path / "a.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"create view v as select * from read_csv('{secret}')")
    source = open_duckdb(path)
    with pytest.raises(PingyaoError) as caught:
        list(source.batches(Table("main", "v", kind="view", columns=(Column("a"),))))
    assert caught.value.code == "scan.view_broken"
    assert "6222" not in repr(caught.value)
    source.close()


def test_duckdb_delivers_odd_types_as_text(tmp_path: Path):
    path = tmp_path / "a.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create table t as select 12345678901234567890123456789::hugeint a, [1, 2] b, "
            "{'k': '值'} c, uuid() d, interval 3 day e, 'x'::enum('x') f, '1'::bit g, "
            "timestamptz '2024-01-01 00:00:00+08' h, time '01:02:03' i"
        )
    source = open_duckdb(path)
    table = next(iter(source.tables()))
    assert isinstance(table, Table)
    (batch,) = source.batches(table)
    assert {str(kind) for kind in batch.schema.types} == {"string"}
    assert batch.column(0).to_pylist() == ["12345678901234567890123456789"]
    source.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql:///db",
        "postgresql://u:s3cret@h:port/db",
        "postgresql://u:s3cret@h/db?sslmode=maybe",
        "postgresql://u:s3cret@h/db?options=-c",
        "postgresql://u:s3cret@h/d%00b",
        "postgresql://u:s3cret@[::1/db",
    ],
)
def test_an_address_that_makes_no_sense_is_refused_without_echo(url: str):
    with pytest.raises(PingyaoError) as caught:
        parse_address(url, "postgresql", 5432, {})
    assert caught.value.code == "scan.bad_url"
    assert "s3cret" not in f"{caught.value.detail}{caught.value!r}"


def test_passwords_are_found_in_order_and_never_shown(tmp_path: Path):
    kept = tmp_path / "password"
    kept.write_text("from-file\n", encoding="utf-8")
    kept.chmod(0o600)
    url = "postgresql://u%40x:from%2Furl@[::1]:6000/d%20b?schema=a,b"
    file = {"PINGYAO_SOURCE_PASSWORD_FILE": str(kept)}
    plain = parse_address(url, "postgresql", 5432, {})
    assert (plain.password, plain.user, plain.database) == ("from/url", "u@x", "d b")
    assert (plain.host, plain.port, plain.schemas) == ("::1", 6000, ("a", "b"))
    assert parse_address(url, "postgresql", 5432, file).password == "from-file"
    both = file | {"PINGYAO_SOURCE_PASSWORD": "from-env"}
    assert parse_address(url, "postgresql", 5432, both).password == "from-env"
    assert parse_address("mysql://h", "mysql", 3306, {}).password is None
    assert plain.name == "postgresql://[::1]:6000/d b"
    assert "from" not in f"{plain!r}{plain}"


@pytest.mark.parametrize(
    ("content", "mode", "code"),
    [
        (b"x", 0o604, "scan.password_file_exposed"),
        (b"x", 0o602, "scan.password_file_exposed"),
        (b"", 0o600, "scan.password_file_invalid"),
        (b"\xff", 0o600, "scan.password_file_invalid"),
        (b"a\nb", 0o600, "scan.password_file_invalid"),
        (b"a" * 5000, 0o600, "scan.password_file_invalid"),
        (None, 0o600, "scan.password_file_missing"),
    ],
)
def test_a_password_file_must_be_kept_well(
    content: bytes | None, mode: int, code: str, tmp_path: Path
):
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(PingyaoError) as caught:
        parse_address("mysql://h", "mysql", 1, {"PINGYAO_SOURCE_PASSWORD_FILE": str(path)})
    assert caught.value.code == code
