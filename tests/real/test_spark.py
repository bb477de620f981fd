"""Through Spark the same tables come to the same verdicts, bit for bit."""

import builtins
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.model import ScanResult, Table
from pingyao.classify.rules.values import Profile
from pingyao.classify.service import scan
from pingyao.classify.sources import spark as engine
from pingyao.classify.sources.open import open_path
from pingyao.classify.sources.spark import Spark, open_spark
from pingyao.kernel.errors import (
    Invalid,
    NotFound,
    NotPermitted,
    PingyaoError,
    Unavailable,
    Unsupported,
)

if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
    pytest.skip("Java is not installed", allow_module_level=True)

# One session on one worker, where the tests are spread over several (--dist loadgroup).
pytestmark = pytest.mark.xdist_group("spark")
ROWS = 150_000
KNOWLEDGE = load_knowledge()


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One session for all: it takes seconds to start."""
    home = tmp_path_factory.mktemp("spark")
    opened = open_spark(
        "unused",
        {
            "spark.master": "local[2]",
            "spark.sql.files.maxPartitionBytes": "1m",
            "spark.sql.warehouse.dir": str(home / "warehouse"),
            "spark.driver.extraJavaOptions": f"-Dderby.system.home={home}",
            "spark.ui.showConsoleProgress": "false",
        },
    )
    yield opened._session
    opened.close()


def bank(rows: int) -> pa.Table:
    """Columns of every kind, with keys that rise but for one, and identifiers few and far between."""
    numbers = range(rows)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    broken = [i if i != rows - 7 else 3 for i in numbers]
    return pa.table(
        {
            "khh": [f"{i:010d}" for i in numbers],
            "rising": pa.array(numbers, pa.int64()),
            "broken": pa.array(broken, pa.int64()),
            "sjhm": [f"138{i * 37 % 10**8:08d}" for i in numbers],
            "bz": [f"回电1391234567{i % 10}" if i % 49_999 == 7 else "无" for i in numbers],
            "ye": pa.array([Decimal(i).scaleb(-2) for i in numbers], pa.decimal128(18, 2)),
            "rq": [date(2020, 1, 1) + timedelta(days=i % 900) for i in numbers],
            "utc": pa.array(
                [start + timedelta(hours=i) for i in numbers], pa.timestamp("us", "UTC")
            ),
            "sj": pa.array([i * 1_000_003 for i in numbers], pa.timestamp("us")),
            "bl": [i / 7 for i in numbers],
            "yx": [i % 3 == 0 for i in numbers],
            "kong": [None if i % 3 else "是" for i in numbers],
            "qk": pa.array([f"{i}".encode() for i in numbers], pa.binary()),
            "a.b`c": ["=cmd|'/C calc'!A0"] * rows,
            "YE": ["大写"] * rows,
            "qt": pa.array([[i, i + 1] for i in numbers], pa.list_(pa.int64())),
        }
    )


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "客户信息.parquet"
    pq.write_table(bank(ROWS), path, row_group_size=30_000)
    return path


def through_spark(place: str, **options: str) -> ScanResult:
    return scan(open_spark(place, options), KNOWLEDGE)


def test_a_file_read_in_order_gives_equal_verdicts(session: Any, parquet: Path) -> None:
    local = scan(open_path(parquet), KNOWLEDGE)
    opened = open_spark(str(parquet))
    found = scan(opened, KNOWLEDGE)
    assert opened._frames["", "客户信息"].rdd.getNumPartitions() > 3
    assert found.unread == ()
    (ours,), (theirs,) = local.tables, found.tables
    assert theirs.columns == ours.columns
    assert (theirs.labels, theirs.rulings, theirs.rows_read) == (ours.labels, ours.rulings, ROWS)
    assert found.source == local.source
    by_name = {c.id.column: c for c in theirs.columns}
    assert by_name["bz"].findings[0].first_rows == (7, 50_006, 100_005)
    evidence = {n: {e.code for e in by_name[n].evidence} for n in ("rising", "broken")}
    assert "values.rising" in evidence["rising"]
    assert "values.rising" not in evidence["broken"]


def test_profiles_are_equal_to_the_last_hash(session: Any, parquet: Path) -> None:
    opened = open_spark(str(parquet))
    (table,) = opened.tables()
    assert isinstance(table, Table)
    part = opened.sum_up(table, None)
    file = open_path(parquet)
    whole: tuple[Profile, ...] = (engine.values.EMPTY,) * len(table.columns)
    read = 0
    for batch in file.batches(table):
        fresh = [engine.values.profile(c, read) for c in batch.columns]
        whole = tuple(map(engine.values.merge, whole, fresh))
        read += batch.num_rows
    assert (part.rows, part.profiles) == (read, whole)


def test_a_sample_is_no_more_than_asked_for(session: Any, parquet: Path) -> None:
    result = scan(open_spark(str(parquet)), KNOWLEDGE, coverage="sample", sample_rows=500)
    assert [t.rows_read for t in result.tables] == [500]


def test_delimited_text_gives_equal_verdicts(session: Any, tmp_path: Path) -> None:
    lines = [f'{i:08d},138{i * 37 % 10**8:08d},"备注,{i % 9}",' for i in range(40_000)]
    path = tmp_path / "客户.csv"
    path.write_text("\n".join(["khh,sjhm,bz,kong", *lines]) + "\n", "utf-8")
    found, local = through_spark(str(path)), scan(open_path(path), KNOWLEDGE)
    assert found.unread == local.unread == ()
    columns = [
        (c.type, c.labels, c.evidence, c.rows_read, c.nulls) for c in found.tables[0].columns
    ]
    assert columns == [
        (c.type, c.labels, c.evidence, c.rows_read, c.nulls) for c in local.tables[0].columns
    ]


def test_rows_that_fit_no_columns_are_counted(session: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n3\n4,5\n6,7,8\n", "utf-8")
    result = through_spark(str(path))
    assert [c.rows_read for c in result.tables[0].columns] == [2, 2]
    (unread,) = result.unread
    assert unread.code == "scan.odd_rows"
    assert "2 行" in unread.detail
    assert unread.rows_read == 2


def test_tables_of_the_catalogue_with_their_comments(session: Any) -> None:
    session.sql("CREATE DATABASE IF NOT EXISTS ods")
    session.sql(
        "CREATE OR REPLACE TEMP VIEW numbers AS SELECT id, concat('138', lpad(id, 8, '0')) m FROM range(3000)"
    )
    session.sql("DROP TABLE IF EXISTS ods.khxx")
    session.sql(
        "CREATE TABLE ods.khxx (bh BIGINT COMMENT '客户编号', c1 STRING COMMENT '手机号码', q INTERVAL DAY)"
        " USING parquet COMMENT '客户信息'"
    )
    session.sql("INSERT INTO ods.khxx SELECT id, m, INTERVAL '1' DAY FROM numbers")
    one, all_ = through_spark("catalog:ods.khxx"), through_spark("catalog:ods")
    assert one.tables[0].table == all_.tables[0].table
    assert [t.table.comment for t in all_.tables] == ["客户信息"]
    types = {c.id.column: (c.type, c.comment, c.rows_read) for c in all_.tables[0].columns}
    assert types["c1"] == ("mobile", "手机号码", 3000)
    assert types["q"][2] == 3000


def test_an_empty_table_has_no_rows(session: Any, tmp_path: Path) -> None:
    pq.write_table(bank(0), tmp_path / "e.parquet")
    (table,) = through_spark(str(tmp_path / "e.parquet")).tables
    assert (table.rows_read, len(table.columns)) == (0, 16)


def test_a_table_behind_jdbc(session: Any, tmp_path: Path) -> None:
    url = f"jdbc:derby:{tmp_path / 'derby'}"
    frame = session.range(2000).selectExpr("id", "concat('139', lpad(id, 8, '0')) as sjhm")
    frame.write.jdbc(f"{url};create=true", "khxx", mode="overwrite")
    result = through_spark(f"{url}#khxx")
    assert {c.id.column: c.type for c in result.tables[0].columns}["sjhm"] == "mobile"
    assert result.tables[0].rows_read == 2000


@pytest.mark.parametrize(
    ("place", "error", "code"),
    [
        ("/nowhere/a.parquet", NotFound, "spark.not_found"),
        ("catalog:nowhere.t", NotFound, "spark.not_found"),
        ("catalog:nowhere", NotFound, "spark.not_found"),
        ("jdbc:derby:memory:x", Invalid, "spark.no_table"),
        ("jdbc:nobody://u:s3cret@h/d#t", Unavailable, "spark.failed"),
    ],
)
def test_what_is_not_there_is_said(
    session: Any, place: str, error: type[PingyaoError], code: str
) -> None:
    with pytest.raises(error) as caught:
        [*open_spark(place).tables()]
    assert caught.value.code == code
    assert caught.value.remedy
    assert "s3cret" not in str(caught.value)


def test_a_damaged_file_is_unread_and_quotes_nothing(session: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [f"秘密{i}" for i in range(1000)]}), path, compression="none")
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xff" * 200 + whole[300:])
    result = through_spark(str(path))
    assert [u.code for u in result.unread] == ["spark.failed"]
    assert "秘密" not in result.unread[0].detail


def test_rows_are_never_brought_here(session: Any, parquet: Path) -> None:
    opened = open_spark(str(parquet))
    (table,) = opened.tables()
    with pytest.raises(Unsupported):
        [*opened.batches(table)]


def test_executors_without_the_package_are_told_of(
    session: Any, parquet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'pingyao'")

    monkeypatch.setattr(engine, "partial", lambda *_, **__: lost)
    opened = open_spark(str(parquet))
    (table,) = opened.tables()
    with pytest.raises(Unavailable) as caught:
        opened.sum_up(table, None)
    assert caught.value.code == "spark.no_package"


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("hdfs://nn:8020/ods/khxx.parquet/", "khxx.parquet"),
        ("catalog:ods", "catalog:ods"),
        ("jdbc:postgresql://u:p@h:5432/d?password=p#s.t", "jdbc:postgresql://h:5432/d#s.t"),
        ("jdbc:sqlserver://h:1433;user=u;password=p#t", "jdbc:sqlserver://h:1433#t"),
        ("jdbc:oracle:thin:u/p@//h:1521/s#t", "jdbc:oracle:thin:h:1521/s#t"),
        ("jdbc:postgresql://u:p?x@h/d#t", "jdbc:postgresql://#t"),
        ("jdbc:postgresql://h/d?user=a@b&password=p#t", "jdbc:postgresql://#t"),
    ],
)
def test_no_account_is_part_of_a_name(place: str, name: str) -> None:
    assert engine._name(place) == name


def test_a_password_on_the_command_line_is_refused() -> None:
    with pytest.raises(NotPermitted) as caught:
        open_spark("jdbc:postgresql://h/d#t", {"user": "u", "password": "s3cret"})
    assert "s3cret" not in caught.value.detail + caught.value.remedy


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("pyspark"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(Unsupported) as caught:
        Spark("x", {}, {})
    assert "pingyao[spark]" in caught.value.remedy
