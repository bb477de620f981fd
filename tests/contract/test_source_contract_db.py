"""What every database source must do, on the same small bank in SQLite, DuckDB and both servers."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest

from pingyao.classify.model import Table, Unread
from pingyao.classify.ports import Source
from pingyao.classify.sources.duckdb import open_duckdb
from pingyao.classify.sources.mysql import open_mysql
from pingyao.classify.sources.postgresql import open_postgresql
from pingyao.classify.sources.sqlite import open_sqlite
from pingyao.kernel.errors import PingyaoError

KINDS = ("sqlite", "duckdb", "postgresql", "mysql")
HOSTILE = "=cmd|' /C calc'!A0\"; DROP TABLE x;-- `\x1b[31m\n<b>"
CUSTOMERS = [
    (
        1,
        "王建国",
        "110101199003071233",
        Decimal("1234567.89"),
        date(1990, 3, 7),
        '备注,带"引号"\n换行',
    ),
    (2, "", None, Decimal("-0.01"), None, ""),
    (3, None, None, None, None, None),
    (4, "O'Brien; --", "x", Decimal("0.00"), date(2024, 2, 29), "\\N \\. '; \t\x7f 👩‍👩‍👧"),
]


@dataclass(frozen=True)
class Bench:
    """An empty database of one kind, and the two ways into it."""

    kind: str
    run: Callable[..., None]
    open: Callable[[], Source]
    schema: str

    def quoted(self, name: str) -> str:
        mark = "`" if self.kind == "mysql" else '"'
        return mark + name.replace(mark, mark * 2) + mark

    def text(self, value: str | None) -> str:
        if value is None:
            return "NULL"
        plain = value.replace("'", "''")
        return "'" + (plain.replace("\\", "\\\\") if self.kind == "mysql" else plain) + "'"

    def load(self) -> None:
        """Creates the bank: customers with comments, an empty table, a view, a hostile name."""
        inline = {"sqlite": " -- {}", "mysql": " COMMENT '{}'"}.get(self.kind, "")
        columns = [
            ("客户号", "INTEGER NOT NULL", "客户编号"),
            ("name", "VARCHAR(40)", "客户姓名"),
            ("cert_no", "CHAR(18)", "证件号码"),
            ("余额", "DECIMAL(18,2)", "账户余额"),
            ("birth", "DATE", "出生日期"),
            ("remark", "TEXT", ""),
        ]
        lines = []
        for number, (name, kind, said) in enumerate(columns):
            comma = "," if number < len(columns) - 1 else ""
            note = inline.format(said) if said and inline else ""
            parts = (comma, note) if self.kind == "sqlite" else (note, comma)
            lines.append(f"  {self.quoted(name)} {kind}{parts[0]}{parts[1]}")
        body = "\n".join(lines)
        head = " -- 客户信息" if self.kind == "sqlite" else ""
        tail = " COMMENT='客户信息'" if self.kind == "mysql" else ""
        self.run(f"CREATE TABLE {self.quoted('客户')} ({head}\n{body}\n){tail}")
        if not inline:
            self.run(f"COMMENT ON TABLE {self.quoted('客户')} IS '客户信息'")
            for name, _, said in filter(lambda each: each[2], columns):
                where = f"{self.quoted('客户')}.{self.quoted(name)}"
                self.run(f"COMMENT ON COLUMN {where} IS '{said}'")
        for number, name, cert, money, born, remark in CUSTOMERS:
            born_on = self.text(born.isoformat() if born else None)
            amount = "NULL" if money is None else money
            texts = self.text(name), self.text(cert), self.text(remark)
            self.run(
                f"INSERT INTO {self.quoted('客户')} VALUES "
                f"({number}, {texts[0]}, {texts[1]}, {amount}, {born_on}, {texts[2]})"
            )
        self.run(f"CREATE TABLE {self.quoted('空表')} ({self.quoted('order')} INTEGER)")
        self.run(f"CREATE TABLE {self.quoted(HOSTILE)} ({self.quoted(HOSTILE)} VARCHAR(9))")
        self.run(f"INSERT INTO {self.quoted(HOSTILE)} VALUES ('a')")
        self.run(
            f"CREATE VIEW {self.quoted('v_余额')} AS SELECT name, {self.quoted('余额')} * 2 AS "
            f"{self.quoted('两倍')} FROM {self.quoted('客户')}"
        )


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """An empty database of each kind."""
    kind = request.param
    path = tmp_path / f"bank.{kind}"
    if kind == "sqlite":

        def run_sqlite(*statements: str) -> None:
            connection = sqlite3.connect(path)
            for statement in statements:
                connection.execute(statement)
            connection.commit()
            connection.close()

        return Bench(kind, run_sqlite, lambda: open_sqlite(path), "")
    if kind == "duckdb":

        def run_duckdb(*statements: str) -> None:
            with duckdb.connect(str(path)) as connection:
                for statement in statements:
                    connection.execute(statement)

        return Bench(kind, run_duckdb, lambda: open_duckdb(path), "main")
    maker = {"postgresql": ("postgresql", open_postgresql), "mysql": ("mariadb", open_mysql)}
    family, opener = maker[kind]
    database = request.getfixturevalue(f"{family}_database")
    run = request.getfixturevalue(f"run_{family}")
    url = request.getfixturevalue(f"{family}_server").url(database)
    schema = "public" if kind == "postgresql" else database
    return Bench(kind, lambda *sql: run(database, *sql), lambda: opener(url), schema)


@pytest.fixture
def bank(bench: Bench) -> Iterator[Source]:
    """The bank, loaded and open."""
    bench.load()
    source = bench.open()
    yield source
    source.close()


def described(source: Source) -> dict[str, Table]:
    return {each.name: each for each in source.tables() if isinstance(each, Table)}


def rows(source: Source, table: Table, limit: int | None = None) -> list[tuple[Any, ...]]:
    found = []
    for batch in source.batches(table, limit):
        assert isinstance(batch, pa.RecordBatch)
        assert batch.schema.names == [column.name for column in table.columns]
        assert batch.num_rows <= 65_536
        batch.validate(full=True)
        columns = [column.to_pylist() for column in batch.columns]
        found += list(zip(*columns, strict=True))
    return found


def test_describes_tables_as_the_source_does(bench: Bench, bank: Source):
    tables = described(bank)
    assert set(tables) == {"客户", "空表", "v_余额", HOSTILE}
    customers = tables["客户"]
    assert customers.schema == bench.schema
    assert customers.comment == "客户信息"
    assert [c.name for c in customers.columns] == [
        *("客户号", "name", "cert_no", "余额", "birth", "remark")
    ]
    assert [c.comment for c in customers.columns] == [
        *("客户编号", "客户姓名", "证件号码", "账户余额", "出生日期", "")
    ]
    assert "18,2" in customers.columns[3].declared_type
    assert tables["v_余额"].kind == "view"
    assert [c.name for c in tables["v_余额"].columns] == ["name", "两倍"]
    assert [t.name for t in bank.tables()] == [t.name for t in bank.tables()]


def test_yields_every_row_and_nothing_else(bench: Bench, bank: Source):
    got = sorted(rows(bank, described(bank)["客户"]))
    expected = CUSTOMERS
    if bench.kind == "sqlite":  # which stores neither decimals nor dates
        expected = [
            (n, a, b, None if m is None else float(m), d and d.isoformat(), r)
            for n, a, b, m, d, r in CUSTOMERS
        ]
    assert got == expected


def test_reads_empty_tables_views_and_hostile_names(bank: Source):
    tables = described(bank)
    assert rows(bank, tables["空表"]) == []
    assert len(rows(bank, tables["v_余额"])) == len(CUSTOMERS)
    assert rows(bank, tables[HOSTILE]) == [("a",)]


def test_reads_a_table_while_the_catalogue_is_still_being_listed(bank: Source):
    counts = {t.name: len(rows(bank, t)) for t in bank.tables() if isinstance(t, Table)}
    assert counts == {"客户": 4, "空表": 0, "v_余额": 4, HOSTILE: 1}


def test_some_columns_are_read_as_all_are(bank: Source):
    table = described(bank)["客户"]
    some = msgspec.structs.replace(table, columns=(table.columns[5], table.columns[0]))
    whole = sorted(rows(bank, table), key=lambda row: row[0])
    assert sorted(rows(bank, some), key=lambda row: row[1]) == [(r[5], r[0]) for r in whole]


@pytest.mark.parametrize("limit", [0, 1, 3, 100])
def test_a_limit_is_kept(bank: Source, limit: int):
    assert len(rows(bank, described(bank)["客户"], limit)) <= min(limit, 4)


def test_a_sample_comes_from_all_over_the_table(bench: Bench):
    bench.run("CREATE TABLE big (n INTEGER PRIMARY KEY, t VARCHAR(20))")
    values = [f"({n}, 'v{n}')" for n in range(20_000)]
    for start in range(0, len(values), 500):
        bench.run("INSERT INTO big VALUES " + ",".join(values[start : start + 500]))
    bench.run({"sqlite": "SELECT 1", "mysql": "ANALYZE TABLE big"}.get(bench.kind, "ANALYZE"))
    source = bench.open()
    drawn = rows(source, described(source)["big"], 500)
    assert 250 <= len(drawn) <= 500
    assert max(n for n, _ in drawn) > 12_000
    assert len({n for n, _ in drawn}) == len(drawn)
    source.close()


def test_a_reader_that_leaves_early_spoils_nothing(bench: Bench, bank: Source):
    table = described(bank)["客户"]
    left = bank.batches(table)
    next(left)
    left.close()
    assert len(rows(bank, table)) == 4


def test_a_cell_of_ten_million_characters_arrives_whole(bench: Bench):
    kind = "LONGTEXT" if bench.kind == "mysql" else "TEXT"
    bench.run(f"CREATE TABLE notes (n INTEGER, note {kind})")
    long = {
        "sqlite": "replace(hex(zeroblob(5000000)), '0', '长')",
        "duckdb": "repeat('长', 10000000)",
    }
    expression = long.get(bench.kind, "repeat('长', 10000000)")
    bench.run(f"INSERT INTO notes VALUES (1, {expression})", "INSERT INTO notes VALUES (2, 'ok')")
    source = bench.open()
    got = sorted(rows(source, described(source)["notes"]))
    assert [(n, len(note)) for n, note in got] == [(1, 10_000_000), (2, 2)]
    source.close()


def test_a_longer_cell_is_cut_or_refused_and_said_so(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    from pingyao.classify.sources import limits

    if bench.kind == "duckdb":
        pytest.skip("DuckDB has no bound on a cell: its memory limit is the bound")
    monkeypatch.setattr(limits, "CELL_CHARACTERS", 1000)
    monkeypatch.setattr(limits, "BYTES", 4000)
    kind = "LONGTEXT" if bench.kind == "mysql" else "TEXT"
    bench.run(f"CREATE TABLE notes (note {kind})", f"INSERT INTO notes VALUES ('{'x' * 5000}')")
    source = bench.open()
    with pytest.raises(PingyaoError) as caught:
        rows(source, described(source)["notes"])
    assert caught.value.code == "scan.cell_too_long"
    source.close()


def test_binary_values_are_bounded(bench: Bench):
    kind = {"postgresql": "bytea", "mysql": "LONGBLOB"}.get(bench.kind, "BLOB")
    bench.run(f"CREATE TABLE scans (picture {kind})")
    value = {
        "postgresql": "decode(repeat('00ff', 5000), 'hex')",
        "duckdb": "unhex(repeat('00ff', 5000))",
        "mysql": "unhex(repeat('00ff', 5000))",
        "sqlite": "zeroblob(10000)",
    }[bench.kind]
    bench.run(f"INSERT INTO scans VALUES ({value})", "INSERT INTO scans VALUES (NULL)")
    source = bench.open()
    table = described(source)["scans"]
    got = [value for (value,) in rows(source, table)]
    assert sorted(len(value) for value in got if value is not None) == [4096]
    assert None in got
    source.close()


def test_a_table_dropped_after_it_was_listed_does_not_stop_the_others(bench: Bench):
    bench.load()
    source = bench.open()
    tables = described(source)
    if bench.kind == "duckdb":
        source.close()  # a DuckDB file has one writer or many readers, never both
        bench.run(f"DROP TABLE {bench.quoted('空表')}")
        source = bench.open()
    else:
        bench.run(f"DROP TABLE {bench.quoted('空表')}")
    with pytest.raises(PingyaoError) as caught:
        rows(source, tables["空表"])
    assert caught.value.code.startswith("scan.")
    assert caught.value.remedy
    assert len(rows(source, tables["客户"])) == 4
    source.close()


def test_a_view_that_errors_is_named_and_the_rest_goes_on(bench: Bench):
    bench.load()
    bench.run(
        "CREATE TABLE gone (n INTEGER)",
        {
            "sqlite": "CREATE VIEW v_bad AS SELECT abs(-9223372036854775808) AS n FROM gone",
            "duckdb": "CREATE VIEW v_bad AS SELECT CAST(name AS INTEGER) AS n FROM "
            + bench.quoted("客户"),
            "postgresql": "CREATE VIEW v_bad AS SELECT name::integer AS n FROM "
            + bench.quoted("客户"),
            "mysql": "CREATE VIEW v_bad AS SELECT n FROM gone",
        }[bench.kind],
        "DROP TABLE gone" if bench.kind == "mysql" else "INSERT INTO gone VALUES (1)",
    )
    source = bench.open()
    broken = []
    for each in source.tables():
        if isinstance(each, Unread):
            broken.append(each)
        elif each.name == "v_bad":
            with pytest.raises(PingyaoError) as caught:
                rows(source, each)
            error = caught.value
            broken.append(Unread(each.name, error.code, error.detail, error.remedy))
            assert "王建国" not in f"{error.detail}{error.remedy}{error!r}"
    assert [each.code for each in broken] == ["scan.view_broken"]
    assert len(rows(source, described(source)["客户"])) == 4
    source.close()


def test_messages_show_hostile_names_harmlessly(bench: Bench, bank: Source):
    table = described(bank)[HOSTILE]
    gone = Table(table.schema, HOSTILE + "gone", columns=table.columns)
    with pytest.raises(PingyaoError) as caught:
        rows(bank, gone)
    assert "\x1b" not in caught.value.detail
    assert "\n" not in caught.value.detail


def test_a_table_without_columns_has_no_rows(bank: Source):
    assert rows(bank, Table("", "none")) == []
