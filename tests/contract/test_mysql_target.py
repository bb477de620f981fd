"""A MariaDB database as a target: the tables are all there, or none is, whatever happens."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pymysql
import pytest

import servers
from pingyao.classify.sources.open import open_source
from pingyao.kernel.errors import Conflict, PingyaoError, Unavailable
from pingyao.protect.model import Asset
from pingyao.protect.sinks import mysql
from pingyao.protect.sinks.mysql import MysqlSink
from pingyao.protect.sinks.open import open_sink

ONE = Asset("", "one", ())
TWO = Asset("", "two", ())
ODD = pa.table(
    {
        "文本": ["a'b\\c\"`;--\n", "", None, "汉字😀\0x"],
        "n": pa.array([2**63 - 1, -1, None, 0], pa.int64()),
        "u": pa.array([2**64 - 1, 0, None, 1], pa.uint64()),
        "amount": pa.array(
            [Decimal("1.10"), Decimal("-0.01"), None, Decimal("12345.00")], pa.decimal128(20, 2)
        ),
        "f": [0.1, -1e300, None, float("nan")],
        "yes": [True, False, None, True],
        "day": [date(1999, 12, 31), date(2024, 2, 29), None, date(1000, 1, 1)],
        "at": pa.array(
            [
                datetime.fromisoformat("2024-01-02T03:04:05.678901"),
                None,
                datetime.fromisoformat("2000-01-01"),
                datetime.fromisoformat("1999-01-01"),
            ],
            pa.timestamp("us"),
        ),
        "raw": [b"\x00'\\", b"", None, b"\xff"],
        "a`b": ["1", "2", "3", "4"],
    }
)


@pytest.fixture
def url(mariadb_server: servers.Server, mariadb_database: str) -> str:
    return mariadb_server.url(mariadb_database)


@pytest.fixture
def tables(mariadb_server: servers.Server) -> Callable[[str], set[str]]:
    """Names of the tables of a database; of ``%``, names of staging databases."""

    def tables(url: str) -> set[str]:
        database = url.rpartition("/")[2]
        with (
            pymysql.connect(
                host="127.0.0.1",
                port=mariadb_server.port,
                user=mariadb_server.user,
                password=mariadb_server.password.encode(),
                charset="utf8mb4",
            ) as db,
            db.cursor() as cursor,
        ):
            cursor.execute(
                "select table_name from information_schema.tables where table_schema = %s"
                " union all select schema_name from information_schema.schemata"
                " where schema_name like 'pingyao%%'",
                (database,),
            )
            return {name for (name,) in cursor.fetchall()}

    return tables


def batches(table: pa.Table = ODD) -> Iterator[pa.RecordBatch]:
    yield from table.to_batches()


def test_values_come_back_as_they_went(url: str, tables: Callable[[str], set[str]]) -> None:
    sink = open_sink(url, "parquet")
    assert sink.write(ONE, ODD.schema, batches()) == 4
    assert tables(url) != {"one"}
    sink.staged()
    sink.commit()
    assert tables(url) == {"one"}
    source = open_source(url)
    (table,) = source.tables()
    back = pa.Table.from_batches(source.batches(table)).to_pydict()
    source.close()
    for name, values in ODD.to_pydict().items():
        wanted = [None if isinstance(v, float) and v != v else v for v in values]
        if name == "yes":
            wanted = [None if v is None else int(v) for v in values]
        assert back[name] == wanted, name


def test_large_rows_and_small_packets(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements stay under what the server takes; a long text makes room for itself."""
    monkeypatch.setattr(mysql, "_STATEMENT_BYTES", 1_000)
    rows = pa.table(
        {"n": range(3_000), "t": ["x" * (70_000 if n == 2_500 else n % 700) for n in range(3_000)]}
    )
    sink = MysqlSink(url)
    assert sink.write(ONE, rows.schema, iter(rows.to_batches(max_chunksize=1_000))) == 3_000
    sink.staged()
    sink.commit()
    source = open_source(url)
    (table,) = source.tables()
    back = pa.Table.from_batches(source.batches(table)).sort_by("n")
    source.close()
    assert back["t"].to_pylist() == rows["t"].to_pylist()


def test_one_table_in_the_way_stops_all(
    url: str, run_mariadb: Callable[..., None], tables: Callable[[str], set[str]]
) -> None:
    sink = MysqlSink(url)
    sink.write(ONE, ODD.schema, batches())
    sink.write(TWO, ODD.schema, batches())
    run_mariadb(url.rpartition("/")[2], "create table two (mine int)")
    sink.staged()
    with pytest.raises(Conflict) as refusal:
        sink.commit()
    sink.discard()
    assert refusal.value.code == "protect.target_exists"
    assert tables(url) == {"two"}
    early = MysqlSink(url)
    with pytest.raises(Conflict):
        early.write(TWO, ODD.schema, batches())
    early.discard()
    assert tables(url) == {"two"}


def test_what_fails_on_the_way_leaves_nothing(
    url: str, tables: Callable[[str], set[str]], run_mariadb: Callable[..., None]
) -> None:
    broken = MysqlSink(url)
    names = pa.table({"x" * 65: ["1"]})
    with pytest.raises(Unavailable) as failure:
        broken.write(ONE, names.schema, batches(names))
    broken.discard()
    assert failure.value.code == "protect.write_failed"
    assert failure.value.remedy
    assert tables(url) == set()
    lost = MysqlSink(url)
    lost.write(ONE, ODD.schema, batches())
    run_mariadb("mysql", f"kill {lost._db.thread_id()}")
    with pytest.raises(Unavailable):
        lost.commit()
    lost.discard()
    assert "one" not in tables(url)
    MysqlSink(url).discard()
    assert tables(url) == set()


def test_no_value_shows_in_an_error(url: str, tables: Callable[[str], set[str]]) -> None:
    """The server would quote the date it does not take."""
    sink = MysqlSink(url)
    late = pa.table({"d": pa.array([3_131_313], pa.int32()).cast(pa.date32())})
    with pytest.raises(Unavailable) as failure:
        sink.write(ONE, late.schema, batches(late))
    sink.discard()
    assert "1292" in failure.value.detail
    assert "10543" not in str(failure.value)
    assert tables(url) == set()


def test_killed_on_the_way_the_next_run_clears_up(
    url: str, tables: Callable[[str], set[str]]
) -> None:
    """And what another run is still at stays."""
    working = MysqlSink(url)
    working.write(TWO, ODD.schema, batches())
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        try:
            sink = MysqlSink(url)

            def endless() -> Iterator[pa.RecordBatch]:
                os.write(writer, b"x")
                while True:
                    yield from batches()

            sink.write(ONE, ODD.schema, endless())
        finally:
            os._exit(1)
    assert os.read(reader, 1) == b"x"
    time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reader)
    os.close(writer)
    assert len(tables(url)) == 2
    deadline = time.monotonic() + 10
    while (
        len(tables(url)) > 1 and time.monotonic() < deadline
    ):  # the server hears of it a little later
        MysqlSink(url).discard()
    assert tables(url) == {working._staging}
    working.staged()
    working.commit()
    assert tables(url) == {"two"}


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("mysql://h", "protect.bad_target"),
        ("mysql://h/db?surprise=1", "protect.bad_target"),
        ("mariadb://u@127.0.0.1:1/db", "protect.write_failed"),
    ],
)
def test_other_addresses_are_refused(spec: str, code: str) -> None:
    with pytest.raises(PingyaoError) as refusal:
        open_sink(spec, "parquet")
    assert refusal.value.code == code


def test_a_wrong_password_is_not_told(
    mariadb_server: servers.Server, mariadb_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINGYAO_TARGET_PASSWORD", "wrong-口令")
    with pytest.raises(Unavailable) as refusal:
        MysqlSink(mariadb_server.url(mariadb_database))
    assert "口令'" not in str(refusal.value)
    assert "wrong" not in str(refusal.value)
    monkeypatch.setenv("PINGYAO_TARGET_PASSWORD", mariadb_server.password)
    sink = MysqlSink(f"mysql://root:wrong@127.0.0.1:{mariadb_server.port}/{mariadb_database}")
    assert mariadb_server.password not in sink.name
    sink.discard()
