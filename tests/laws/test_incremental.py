"""An incremental scan ends as a full one would, and reads nothing that has not changed."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pingyao.app.migrations import migrate
from pingyao.classify import carrying, catalogue, store
from pingyao.classify.carrying import Carrying
from pingyao.classify.journal import FileJournal
from pingyao.classify.knowledge import Knowledge, load_knowledge
from pingyao.classify.model import Column, ScanResult, Table
from pingyao.classify.service import scan
from pingyao.kernel.errors import Unavailable
from pingyao.platform.db import open_engine

KNOWLEDGE = load_knowledge()
NAMES = ("t0", "t1", "t2")


class Bank:
    """Tables in memory, each with a version that is its fingerprint; it counts what is read."""

    name, kind = "bank", "csv"

    def __init__(self) -> None:
        self.columns = (Column("sjhm"), Column("bz"))
        self.versions: dict[str, int | None] = dict.fromkeys(NAMES, 1)
        self.read: list[str] = []
        self.broken = ""

    def tables(self) -> Iterator[Table]:
        for name in self.versions:
            yield Table("s", name, columns=self.columns)

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        self.read.append(table.name)
        version = self.versions[table.name] or 0
        for start in range(after, 350, 70):
            cells = [
                f"138{(version * 7919 + i) * 37 % 10**8:08d}" for i in range(start, start + 70)
            ]
            notes = [f"回电{c}" if i % 9 == 0 else f"{i}" for i, c in enumerate(cells)]
            yield pa.record_batch([cells, notes], names=[c.name for c in table.columns])
            if table.name == self.broken:
                raise Unavailable("scan.unreachable", "没有应答", "请重试")

    def fingerprint(self, table: Table) -> str | None:
        version = self.versions[table.name]
        return None if version is None else f"v{version}"

    def close(self) -> None:
        pass


def go(
    bank: Bank, engine: sa.Engine, *, reuse: bool = True, knowledge: Knowledge = KNOWLEDGE
) -> ScanResult:
    """Scans and records, as the command does."""
    with engine.connect() as db:
        known = store.read_readings(db, bank.name, 0)
    keep = Carrying(bank, known, reuse=reuse)
    result = keep.told(scan(bank, knowledge, journal=keep))
    catalogue.record(engine, result, "机器", keep.fresh)
    return result


def plain(result: ScanResult) -> object:
    """What was concluded, without how it was come by."""
    tables = [
        msgspec.structs.replace(
            t,
            carried_from=None,
            read_because=None,
            columns=tuple(msgspec.structs.replace(c, drift=()) for c in t.columns),
        )
        for t in result.tables
    ]
    return tables, result.unread, result.labels


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    opened = open_engine(f"sqlite:///{tmp_path / 'c.db'}", migrate)
    yield opened
    opened.dispose()


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(NAMES), st.none() | st.integers(1, 3), max_size=3),
        max_size=4,
    )
)
def test_it_ends_as_a_full_scan_and_reads_only_what_changed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[dict[str, int | None]]
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('law') / 'c.db'}", migrate)
    bank = Bank()
    seen: dict[str, int | None] = {}
    for step in [{}, *steps]:
        bank.versions |= step
        bank.read.clear()
        result = go(bank, engine)
        want = [n for n, v in bank.versions.items() if v is None or seen.get(n) != v]
        assert bank.read == want
        assert [t.table.name for t in result.tables if t.read_because] == want
        assert [t.table.name for t in result.tables if t.carried_from] == [
            n for n in NAMES if n not in want
        ]
        seen = dict(bank.versions)
        assert plain(result) == plain(scan(bank, KNOWLEDGE))
    engine.dispose()


def test_why_a_table_is_read_again_is_said(engine: sa.Engine) -> None:
    bank = Bank()
    assert {t.read_because for t in go(bank, engine).tables} == {"new"}
    bank.versions |= {"t1": 2, "t2": None}
    carried, changed, unknown = go(bank, engine).tables
    assert carried.carried_from is not None
    assert (carried.read_because, changed.read_because, unknown.read_because) == (
        None,
        "changed",
        "unknown",
    )
    bank.columns = (Column("sjhm"), Column("bz", "text"))
    assert {t.read_because for t in go(bank, engine).tables} == {"columns"}


def test_other_software_sees_for_itself(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = Bank()
    go(bank, engine)
    monkeypatch.setattr(carrying, "software", lambda: "another")
    assert {t.read_because for t in go(bank, engine).tables} == {"software"}


def test_a_full_scan_reads_all_and_says_nothing_of_carrying(engine: sa.Engine) -> None:
    bank = Bank()
    go(bank, engine, reuse=False)
    bank.read.clear()
    result = go(bank, engine, reuse=False)
    assert bank.read == [*NAMES]
    assert not any(t.carried_from or t.read_because for t in result.tables)


def test_what_failed_is_read_again_and_what_was_known_stays(engine: sa.Engine) -> None:
    bank = Bank()
    go(bank, engine)
    bank.versions["t1"], bank.broken = 2, "t1"
    assert [u.code for u in go(bank, engine).unread] == ["scan.unreachable"]
    bank.broken = ""
    bank.read.clear()
    go(bank, engine)
    assert bank.read == ["t1"]
    bank.versions["t1"] = 1
    bank.read.clear()
    go(bank, engine)
    assert bank.read == ["t1"]


def test_a_change_while_it_is_read_shows_the_next_time(engine: sa.Engine) -> None:
    class Written(Bank):
        def batches(
            self, table: Table, limit: int | None = None, after: int = 0
        ) -> Iterator[pa.RecordBatch]:
            for batch in super().batches(table, limit, after):
                yield batch
                if table.name == "t0":
                    self.versions["t0"] = 2

    go(Written(), engine)
    bank = Bank()
    bank.versions["t0"] = 2
    go(bank, engine)
    assert bank.read == ["t0"]


def test_resumed_what_was_finished_keeps_its_fingerprint_and_what_changed_is_read_anew(
    engine: sa.Engine, tmp_path: Path
) -> None:
    bank = Bank()
    bank.broken = "t1"
    with FileJournal(tmp_path / "j", resume=False) as journal:
        keep = Carrying(bank, (), journal=journal)
        scan(bank, KNOWLEDGE, journal=keep)
    bank.broken, bank.versions["t0"], bank.versions["t1"] = "", 2, 2
    with FileJournal(tmp_path / "j", resume=True) as journal:
        keep = Carrying(bank, (), journal=journal)
        result = keep.told(scan(bank, KNOWLEDGE, journal=keep))
    catalogue.record(engine, result, "机器", keep.fresh)
    bank.read.clear()
    assert [t.read_because for t in go(bank, engine).tables] == ["changed", None, None]
    assert bank.read == ["t0"]


def test_tables_that_are_gone_are_forgotten(engine: sa.Engine) -> None:
    bank = Bank()
    go(bank, engine)
    del bank.versions["t1"]
    go(bank, engine)
    with engine.connect() as db:
        assert sorted(r.name for r in store.read_readings(db, "bank", 0)) == ["t0", "t2"]


def test_a_sample_and_a_full_scan_are_kept_apart(engine: sa.Engine) -> None:
    bank = Bank()
    go(bank, engine)
    keep = Carrying(bank, (), sample_rows=50)
    result = scan(bank, KNOWLEDGE, coverage="sample", sample_rows=50, journal=keep)
    catalogue.record(engine, keep.told(result), "机器", keep.fresh)
    bank.read.clear()
    go(bank, engine)
    assert bank.read == []
    with engine.connect() as db:
        assert len(store.read_readings(db, "bank", 50)) == len(NAMES)


def test_nothing_kept_could_give_a_value_back(engine: sa.Engine) -> None:
    go(Bank(), engine)
    with engine.connect() as db:
        for reading in store.read_readings(db, "bank", 0):
            profiles = msgspec.json.decode(reading.part)["profiles"]
            assert all(not p.get("sketch") and p["first"] <= 0 and p["last"] <= 0 for p in profiles)


def test_new_rules_judge_what_was_seen(engine: sa.Engine, tmp_path: Path) -> None:
    bank = Bank()
    go(bank, engine)
    bank.read.clear()
    pack = tmp_path / "own.json"
    pack.write_bytes(
        msgspec.json.encode(
            {
                "pack": "own",
                "version": "1",
                "source": "本机构制度",
                "rules": [
                    {
                        "id": "mobiles",
                        "stage": "raise",
                        "text": "本机构手机号码按四级",
                        "citation": {"standard": "本机构制度", "confidence": 1.0},
                        "when": {"type": ["mobile"]},
                        "sets": {"level": 4},
                    }
                ],
            }
        )
    )
    knowledge = load_knowledge([pack])
    result = go(bank, engine, knowledge=knowledge)
    assert bank.read == []
    assert result.tables[0].columns[0].labels.level == 4
    assert plain(result) == plain(scan(bank, knowledge))
