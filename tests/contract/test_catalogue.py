"""The catalogue keeps its promises on SQLite and on PostgreSQL alike."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from pingyao.app.migrations import migrate
from pingyao.classify import catalogue, store
from pingyao.classify.catalogue import Decision
from pingyao.classify.formats.review_xlsx import read_review, write_review
from pingyao.classify.model import ColumnId, PackRef, ScanResult, Table, TableVerdict, Verdict
from pingyao.classify.packs import load_book
from pingyao.classify.rules.difference import Short
from pingyao.kernel.errors import Conflict, Invalid, NotFound, PingyaoError
from pingyao.kernel.labels import Labels, Level, PersonalClass
from pingyao.platform.db import open_engine
from pingyao.platform.outbox import outbox

BOOK = load_book()
AT = datetime(2026, 1, 2, tzinfo=UTC)


def verdict(column: str, type_: str = "mobile", level: int = 3, **more: Any) -> Verdict:
    values: dict[str, Any] = {
        "id": ColumnId("core", "dep", "acct", column),
        "declared_type": "text",
        "comment": "",
        "type": type_,
        "subject": "person",
        "leaf": "客户/个人/个人自然信息/个人联系信息",
        "confidence": 0.9,
        "abstained": False,
        "labels": Labels(level=Level(level), personal=PersonalClass.C2),
    }
    return Verdict(**(values | more))


def result(*verdicts: Verdict, unread: tuple[Any, ...] = ()) -> ScanResult:
    table = TableVerdict(Table("dep", "acct", "账户"), "full", 10, Labels(), verdicts)
    return ScanResult(
        source="core",
        kind="sqlite",
        coverage="full",
        sample_rows=None,
        started_at=AT,
        finished_at=AT,
        version="0",
        packs=(PackRef("x", "1"),),
        labels=Labels(),
        tables=(table,),
        unread=unread,
    )


def entries(engine: sa.Engine) -> dict[str, store.Entry]:
    with engine.connect() as db:
        return {e.verdict.id.column: e for e in store.read_entries(db)}


def count(catalogue_engine: sa.Engine, table: sa.Table) -> int:
    with catalogue_engine.connect() as db:
        return db.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def test_recording_twice_is_no_difference(catalogue_engine: sa.Engine) -> None:
    first = catalogue.record(catalogue_engine, result(verdict("a"), verdict("b")), "机器")
    assert [c.what for c in first] == ["added", "added"]
    before = entries(catalogue_engine)
    assert catalogue.record(catalogue_engine, result(verdict("a"), verdict("b")), "机器") == ()
    assert entries(catalogue_engine) == before
    assert count(catalogue_engine, store.history) == 2


def test_a_new_opinion_replaces_what_nobody_decided(catalogue_engine: sa.Engine) -> None:
    catalogue.record(catalogue_engine, result(verdict("a")), "机器")
    (change,) = catalogue.record(catalogue_engine, result(verdict("a", "email", 2)), "机器")
    old, new = Short("mobile", 3, "C2"), Short("email", 2, "C2")
    assert (change.what, change.old, change.new) == ("changed", old, new)
    assert entries(catalogue_engine)["a"].verdict.type == "email"


def test_a_persons_decision_is_locked(catalogue_engine: sa.Engine) -> None:
    catalogue.record(catalogue_engine, result(verdict("a")), "机器")
    entry = entries(catalogue_engine)["a"]
    decision = Decision(entry.id, entry.version, "核对了样本", type="email", level=4)
    (after,) = catalogue.decide(catalogue_engine, [decision], BOOK, "李")
    assert (after.verdict.type, after.verdict.labels.level, after.locked) == ("email", 4, True)
    (change,) = catalogue.record(catalogue_engine, result(verdict("a", "landline")), "机器")
    assert change.what == "differs"
    kept = entries(catalogue_engine)["a"]
    assert kept.verdict.type == "email"
    assert kept.opinion.type == "landline"
    assert catalogue.record(catalogue_engine, result(verdict("a", "landline")), "机器") == ()


def test_what_is_gone_is_marked_and_comes_back(catalogue_engine: sa.Engine) -> None:
    catalogue.record(catalogue_engine, result(verdict("a"), verdict("b")), "机器")
    assert [c.what for c in catalogue.record(catalogue_engine, result(verdict("a")), "机器")] == [
        "gone"
    ]
    assert entries(catalogue_engine)["b"].gone
    back = catalogue.record(catalogue_engine, result(verdict("a"), verdict("b")), "机器")
    assert [c.what for c in back] == ["back"]
    assert not entries(catalogue_engine)["b"].gone


def test_half_a_scan_makes_nothing_gone(catalogue_engine: sa.Engine) -> None:
    from pingyao.classify.model import Unread

    catalogue.record(catalogue_engine, result(verdict("a"), verdict("b")), "机器")
    half = result(verdict("a"), unread=(Unread("dep.x", "scan.locked", "", ""),))
    assert catalogue.record(catalogue_engine, half, "机器") == ()


def test_only_a_person_sets_level_five(catalogue_engine: sa.Engine) -> None:
    catalogue.record(catalogue_engine, result(verdict("a")), "机器")
    entry = entries(catalogue_engine)["a"]
    (after,) = catalogue.decide(
        catalogue_engine, [Decision(entry.id, entry.version, "重要数据目录", level=5)], BOOK, "李"
    )
    assert after.verdict.labels.level == 5
    assert after.verdict.labels.tier.name == "IMPORTANT"


def test_every_change_leaves_history_and_evidence(catalogue_engine: sa.Engine) -> None:
    catalogue.record(catalogue_engine, result(verdict("a")), "机器")
    entry = entries(catalogue_engine)["a"]
    catalogue.decide(catalogue_engine, [Decision(entry.id, 1, "同意")], BOOK, "李")
    catalogue.unlock(catalogue_engine, entry.id, 2, "口径有变", "王")
    with catalogue_engine.connect() as db:
        acts = [(h["act"], h["actor"]) for h in store.read_history(db, entry.id)]
        kinds = [msgspec.json.decode(e)["kind"] for (e,) in db.execute(sa.select(outbox.c.event))]
    assert acts == [("scan", "机器"), ("confirm", "李"), ("unlock", "王")]
    assert kinds == [
        "classify.scan.recorded",
        "classify.verdict.confirmed",
        "classify.verdict.unlocked",
    ]


@pytest.mark.parametrize(
    ("decision", "error"),
    [
        (Decision(1, 1, "", type="email"), Invalid),
        (Decision(1, 1, "  ", level=2), Invalid),
        (Decision(1, 1, "x", type="nonsense"), Invalid),
        (Decision(1, 1, "x", leaf="没有/这条"), Invalid),
        (Decision(1, 1, "x", level=6), Invalid),
        (Decision(1, 1, "x", level=0), Invalid),
        (Decision(1, 9, "x", level=2), Conflict),
        (Decision(99, 1, "x", level=2), NotFound),
    ],
)
def test_what_cannot_be_decided_changes_nothing(
    catalogue_engine: sa.Engine, decision: Decision, error: type[PingyaoError]
) -> None:
    catalogue.record(catalogue_engine, result(verdict("a"), verdict("b")), "机器")
    before = entries(catalogue_engine)
    numbers = {name: e.id for name, e in before.items()}
    asked = msgspec.structs.replace(
        decision, column=numbers["a"] if decision.column == 1 else decision.column + 10_000
    )
    with pytest.raises(error) as caught:
        catalogue.decide(catalogue_engine, [Decision(numbers["b"], 1, "好"), asked], BOOK, "李")
    assert caught.value.remedy
    assert entries(catalogue_engine) == before


def test_the_second_of_two_writers_is_told(catalogue_engine: sa.Engine) -> None:
    catalogue.record(catalogue_engine, result(verdict("a")), "机器")
    entry = entries(catalogue_engine)["a"]
    catalogue.decide(catalogue_engine, [Decision(entry.id, entry.version, "甲")], BOOK, "甲")
    with pytest.raises(Conflict):
        catalogue.decide(catalogue_engine, [Decision(entry.id, entry.version, "乙")], BOOK, "乙")
    assert entries(catalogue_engine)["a"].version == entry.version + 1


def test_a_workbook_unedited_changes_nothing(catalogue_engine: sa.Engine, tmp_path: Path) -> None:
    hostile = verdict("=cmd|'/C calc'!A1", comment="\x1b[31m<b>")
    catalogue.record(catalogue_engine, result(verdict("a"), hostile), "机器")
    path = tmp_path / "复核.xlsx"
    write_review([*entries(catalogue_engine).values()], BOOK, path)
    assert read_review(path) == ()
    assert b"<f>" not in b"".join(_parts(path))


def _parts(path: Path) -> list[bytes]:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return [archive.read(n) for n in archive.namelist() if "sheet1" in n]


def filled(path: Path, rows: list[list[object]]) -> Path:
    import xlsxwriter

    from pingyao.classify.formats import review_xlsx

    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("复核")
        sheet.write_row(0, 0, review_xlsx._HEADERS)
        for number, row in enumerate(rows, 1):
            sheet.write_row(number, 0, row)
    return path


def row(column: object, version: object, act: str, *more: object) -> list[object]:
    return [column, version, *[""] * 9, act, *more]


def test_decisions_come_back_from_the_workbook(tmp_path: Path) -> None:
    path = filled(
        tmp_path / "r.xlsx",
        [row(1, 2, "确认"), row(2, 1, "更正", "email", "", 4, "样本核对"), row(3, 1, "")],
    )
    assert read_review(path) == (
        Decision(1, 2, ""),
        Decision(2, 1, "样本核对", "email", None, 4),
    )


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (row("x", 1, "确认"), "编号或版本"),
        (row(1.5, 1, "确认"), "编号或版本"),
        (row(1, "", "确认"), "编号或版本"),
        (row(1, 1, "同意"), "决定应为"),
        (row(1, 1, "更正", "email"), "没有理由"),
        (row(1, 1, "更正", "", "", "", "理由"), "没有填写"),
        (row(1, 1, "更正", "", "", 7, "理由"), "1 至 5"),
        (row(1, 1, "更正", "", "", "高", "理由"), "1 至 5"),
    ],
)
def test_wrong_rows_are_named_and_nothing_is_taken(
    tmp_path: Path, bad: list[object], says: str
) -> None:
    path = filled(tmp_path / "r.xlsx", [row(9, 1, "确认"), bad])
    with pytest.raises(Invalid, match=says) as caught:
        read_review(path)
    assert "第 3 行" in caught.value.detail


def test_a_column_decided_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="重复"):
        read_review(filled(tmp_path / "r.xlsx", [row(1, 1, "确认"), row(1, 1, "确认")]))


@pytest.mark.parametrize("content", [b"", b"not a workbook", b"PK\x03\x04"])
def test_another_file_is_no_workbook(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.xlsx"
    path.write_bytes(content)
    with pytest.raises(Invalid):
        read_review(path)


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'c.db'}"
    with open_engine(url, migrate).begin() as db:
        db.execute(sa.text("update pingyao_schema set version = 999"))
    with pytest.raises(Conflict, match="999"):
        open_engine(url, migrate)


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://x/y", "sqlite://", "postgresql://u@127.0.0.1:1/x"]
)
def test_a_database_that_cannot_be_used_says_so(url: str) -> None:
    with pytest.raises(PingyaoError) as caught:
        open_engine(url, migrate)
    assert caught.value.code.startswith("db.")
    assert caught.value.remedy


def test_a_damaged_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "c.db").write_bytes(b"not a database at all, certainly not" * 100)
    with pytest.raises(Invalid) as caught:
        open_engine(f"sqlite:///{tmp_path / 'c.db'}", migrate)
    assert caught.value.code == "db.damaged"
