"""A scan interrupted anywhere and gone on with gives the result of one run."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pingyao.classify.journal import FileJournal
from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.model import Column, ScanResult, Table
from pingyao.classify.service import scan
from pingyao.kernel.errors import Unavailable

KNOWLEDGE = load_knowledge()
TABLES = [Table("", f"t{i}", columns=(Column("sjhm"), Column("bz"))) for i in range(3)]
ROWS = 40


class Killed(BaseException):
    """What no code catches, as kill -9 would be."""


class Flaky:
    """A source that yields rows in batches and gives out after so many of them."""

    name, kind = "flaky", "csv"

    def __init__(
        self, batch: int, left: int, error: BaseException, now: str = "as ever", more: int = 0
    ) -> None:
        self._batch, self._left, self._error = batch, left, error
        self._now, self._rows = now, ROWS + more

    def tables(self) -> Iterator[Table]:
        yield from TABLES

    def fingerprint(self, table: Table) -> str | None:
        return self._now or None

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        phones = [f"138{i * 37 % 10**8:08d}" for i in range(self._rows)]
        notes = [f"回电{p}" if i % 5 == 0 else "无" for i, p in enumerate(phones)]
        whole = pa.record_batch([phones, notes], names=["sjhm", "bz"])
        for start in range(after, self._rows, self._batch):
            if self._left == 0:
                raise self._error
            self._left -= 1
            yield whole.slice(start, self._batch)

    def close(self) -> None:
        pass


def same(a: ScanResult, b: ScanResult) -> bool:
    return (a.tables, a.unread, a.labels) == (b.tables, b.unread, b.labels)


ONE_RUN = scan(Flaky(7, -1, Killed()), KNOWLEDGE)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    stops=st.lists(st.integers(0, 22), max_size=4),
    sizes=st.lists(st.integers(1, 50), min_size=5, max_size=5),
    every=st.sampled_from([0.0, 3600.0]),
)
def test_interrupted_anywhere_it_ends_the_same(
    tmp_path_factory: pytest.TempPathFactory, stops: list[int], sizes: list[int], every: float
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    for stop, size in zip(stops, sizes, strict=False):
        with suppress(Killed), FileJournal(folder, resume=True, every=every) as journal:
            scan(Flaky(size, stop, Killed()), KNOWLEDGE, journal=journal)
    with FileJournal(folder, resume=True, every=every) as journal:
        last = scan(Flaky(sizes[-1], -1, Killed()), KNOWLEDGE, journal=journal)
    assert same(last, ONE_RUN)


def test_what_failed_is_tried_again_from_where_it_failed(tmp_path: Path) -> None:
    gone = Unavailable("scan.unreachable", "没有应答", "请重试")
    with FileJournal(tmp_path / "j", resume=False) as journal:
        first = scan(Flaky(7, 9, gone), KNOWLEDGE, journal=journal)
    assert [u.rows_read for u in first.unread] == [21, 0]
    with FileJournal(tmp_path / "j", resume=True) as journal:
        assert same(scan(Flaky(7, -1, gone), KNOWLEDGE, journal=journal), ONE_RUN)


@pytest.mark.parametrize("prints", [("then", "now"), ("", ""), ("then", "")])
def test_rows_that_changed_meanwhile_are_read_from_the_first(
    tmp_path: Path, prints: tuple[str, str]
) -> None:
    with suppress(Killed), FileJournal(tmp_path / "j", resume=True, every=0.0) as journal:
        scan(Flaky(7, 9, Killed(), prints[0]), KNOWLEDGE, journal=journal)
    with FileJournal(tmp_path / "j", resume=True) as journal:
        assert journal.found == 2
        now = Flaky(7, -1, Killed(), prints[1], more=3)
        (finished, begun, _) = scan(now, KNOWLEDGE, journal=journal).tables
    assert finished == ONE_RUN.tables[0]
    assert begun == scan(Flaky(7, -1, Killed(), more=3), KNOWLEDGE).tables[1]


def test_a_table_whose_columns_changed_is_read_anew(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "j", resume=False) as journal:
        scan(Flaky(7, -1, Killed()), KNOWLEDGE, journal=journal)
    with FileJournal(tmp_path / "j", resume=True) as journal:
        changed = msgspec.structs.replace(TABLES[0], columns=(Column("sjhm"), Column("other")))
        assert journal.restore(TABLES[0]) is not None
        assert journal.restore(changed) is None


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_line_cut_off_costs_one_table_and_no_more(tmp_path: Path, cut: int) -> None:
    with FileJournal(tmp_path / "j", resume=False) as journal:
        scan(Flaky(7, -1, Killed()), KNOWLEDGE, journal=journal)
    done = tmp_path / "j" / "done.jsonl"
    done.write_bytes(done.read_bytes()[:-cut])
    with FileJournal(tmp_path / "j", resume=True) as journal:
        assert journal.found == 2
        assert same(scan(Flaky(7, -1, Killed()), KNOWLEDGE, journal=journal), ONE_RUN)


@pytest.mark.parametrize("rubbish", [b"", b"\x00\xff", b"{}\n", b'{"schema": 1}\n', b"[" * 5000])
def test_a_journal_of_rubbish_is_an_empty_one(tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / "done.jsonl").write_bytes(rubbish)
    (tmp_path / "j" / "current.json").write_bytes(rubbish)
    with FileJournal(tmp_path / "j", resume=True) as journal:
        assert journal.found == 0


def test_two_cannot_write_one_journal(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "j", resume=False), pytest.raises(BlockingIOError):
        FileJournal(tmp_path / "j", resume=True)


def test_begun_anew_nothing_is_left_of_before(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "j", resume=False) as journal:
        scan(Flaky(7, -1, Killed()), KNOWLEDGE, journal=journal)
    with FileJournal(tmp_path / "j", resume=False) as journal:
        assert journal.found == 0
        journal.discard()
    assert not (tmp_path / "j").exists()


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "j", resume=False, every=0.0) as journal:
        scan(Flaky(7, -1, Killed()), KNOWLEDGE, journal=journal)
    assert {p.stat().st_mode & 0o077 for p in [tmp_path / "j", *(tmp_path / "j").iterdir()]} == {0}


@pytest.mark.parametrize("workers", [1, 3, 16])
def test_any_number_of_threads_gives_the_same(workers: int) -> None:
    assert same(scan(Flaky(7, -1, Killed()), KNOWLEDGE, workers=workers), ONE_RUN)


def test_pausing_reads_on_where_it_let_go() -> None:
    class Nap:
        naps = 0

        def __call__(self, rows: int, /) -> bool:
            return rows % 2 == 1

        def wait(self) -> None:
            self.naps += 1

    nap = Nap()
    assert same(scan(Flaky(7, -1, Killed()), KNOWLEDGE, pace=nap), ONE_RUN)
    assert nap.naps > len(TABLES)
