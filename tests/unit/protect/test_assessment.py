"""The assessment: what evidence answers, what persons answer, the scores, the workbook and the page."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import xlsxwriter
from python_calamine import CalamineWorkbook

from pingyao.kernel.citation import Citation
from pingyao.kernel.errors import Invalid
from pingyao.protect.assessment_model import Answer, Assessment, Control, Mark, Statement
from pingyao.protect.formats.assessment_html import write_page
from pingyao.protect.formats.assessment_xlsx import read_answers, write_assessment
from pingyao.protect.lifecycle_packs import load_rules
from pingyao.protect.rules.assessment import (
    CHAPTERS,
    PROBES,
    Facts,
    KeyFact,
    Run,
    answer,
    applying,
    changes,
    scored,
)

AT = datetime(2026, 6, 1, tzinfo=UTC)
BARE = Facts(AT, 10, 0, 0, None)
RULES = load_rules()


def control(probe: str = "", strength: str = "应") -> Control:
    return Control("c", "storage", "内容", strength, Citation("JR/T 0223-2021"), probe=probe)


def said(mark: Mark, days: int = 1) -> Statement:
    return Statement("c", mark, "理由", "", "张三", "甲", AT - timedelta(days))


@pytest.mark.parametrize(
    ("probe", "facts", "mark"),
    [
        ("graded", {}, "符合"),
        ("graded", {"unsure": 1}, "部分"),
        ("fresh", {}, None),
        ("fresh", {"scanned_at": AT - timedelta(400)}, "部分"),
        ("fresh", {"scanned_at": AT - timedelta(4)}, "符合"),
        ("protected_testing", {}, None),
        ("protected_testing", {"runs": (Run("r", "sharing", AT, True),)}, None),
        ("protected_testing", {"runs": (Run("r", "testing", AT, True),)}, "部分"),
        ("protected_testing", {"runs": (Run("r", "testing", AT, False),)}, "不符合"),
        ("encrypted", {}, None),
        ("encrypted", {"sealed": ("a",)}, "部分"),
        ("rotated", {}, None),
        ("rotated", {"keys": ()}, None),
        ("rotated", {"keys": (KeyFact("k", 1, AT - timedelta(366)),)}, "部分"),
        ("rotated", {"keys": (KeyFact("k", 1, AT),)}, "符合"),
        ("logged", {}, None),
        ("logged", {"events": (0, 3)}, "不符合"),
        ("logged", {"events": (3, 0)}, "部分"),
        ("approved", {"exports": ("EX-1",)}, None),
        ("approved", {"used": ("EX-1",)}, "部分"),
        ("timely", {}, "符合"),
        ("timely", {"undated": ("t",)}, "部分"),
        ("timely", {"undated": ("t",), "overdue": ("u",)}, "不符合"),
        ("verified", {}, None),
        ("verified", {"destroyed": ("DS-1",)}, "符合"),
        ("verified", {"destroyed": ("DS-1",), "unverified": ("DS-2",)}, "部分"),
    ],
)
def test_what_evidence_says(probe: str, facts: dict[str, object], mark: Mark | None) -> None:
    found = PROBES[probe](msgspec.structs.replace(BARE, **facts))
    assert (found.mark if found else None) == mark


@pytest.mark.parametrize("mark", ["符合", "部分", "不适用"])
def test_a_person_cannot_talk_evidence_away(mark: Mark) -> None:
    facts = msgspec.structs.replace(BARE, overdue=("t",))
    found = answer(control("timely"), facts, said(mark), 365)
    assert (found.mark, found.by, found.contradicted) == ("不符合", "evidence", True)


def test_a_person_may_say_worse_or_complete_what_evidence_cannot_see() -> None:
    found = answer(control("graded"), BARE, said("不符合"), 365)
    assert (found.mark, found.by, found.contradicted) == ("不符合", "person", False)
    partly = msgspec.structs.replace(BARE, runs=(Run("r", "testing", AT, True),))
    assert answer(control("protected_testing"), partly, said("符合"), 365).mark == "符合"


def test_what_was_said_too_long_ago_or_not_at_all() -> None:
    old = answer(control(), BARE, said("符合", 366), 365)
    assert (old.mark, old.by, old.stale) == ("待答", "", True)
    assert answer(control(), BARE, None, 365).mark == "待答"
    assert answer(control("timely"), BARE, said("不符合", 366), 365).mark == "符合"


def answers(*marks: tuple[Mark, str]) -> list[Answer]:
    return [Answer(control(strength=s), m) for m, s in marks]


def test_scores_weigh_and_leave_out() -> None:
    listed = answers(("符合", "应"), ("不符合", "宜"), ("不适用", "应"), ("待答", "应"))
    (stage,), total = scored(listed, RULES.marks, RULES.strengths)
    assert total == stage.score == pytest.approx(1 / 1.5)
    assert (stage.answered, stage.of) == (2, 3)
    (empty,), none = scored(answers(("待答", "应"), ("不适用", "应")), RULES.marks, RULES.strengths)
    assert none is None
    assert empty.score is None


def test_the_shipped_pack_claims_nothing() -> None:
    assert len({c.id for c in RULES.controls}) == len(RULES.controls) >= 50
    assert {c.chapter for c in RULES.controls} == set(CHAPTERS)
    for each in (*RULES.controls, *RULES.retention, *RULES.approvals, *RULES.methods):
        cited = each.citation
        assert cited.standard or each.strength == "产品默认" or not each.text
        assert not (cited.standard and cited.verified), each.id
        assert cited.clause in ("", "6", "7", "8", "9"), each.id
    assert {c.level for c in applying(RULES.controls, 2, 0)} == {2}
    assert len(applying(RULES.controls, 4, 3)) > len(applying(RULES.controls, 4, 2))


@pytest.mark.parametrize(
    "pack",
    [
        {"controls": [{"probe": "no_such"}]},
        {"disable": ["no.such"]},
        {
            "approvals": [
                {"id": "x", "roles": [], "text": "", "strength": "应", "citation": {"standard": ""}}
            ]
        },
        {
            "retention": [
                {
                    "id": "x",
                    "bound": "least",
                    "trigger": "",
                    "text": "",
                    "strength": "应",
                    "citation": {"standard": ""},
                }
            ]
        },
        {"retention": [{"id": "x", "bound": "forever"}]},
        {"marks": {"很好": 1}},
        {"marks": {"符合": 2}},
        {"statement_days": 0},
        {"unknown": 1},
        {"pack": "lifecycle-product"},
    ],
)
def test_packs_that_are_refused(tmp_path: Path, pack: dict[str, object]) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"pack": "own", "version": "1", "source": "s", **pack}))
    with pytest.raises(Invalid):
        load_rules([path])


def test_an_own_pack_lies_over_the_shipped(tmp_path: Path) -> None:
    row = {
        "id": "own",
        "bound": "least",
        "years": 3,
        "trigger": "结清",
        "text": "t",
        "strength": "应",
        "citation": {"standard": "本行制度"},
    }
    pack = {
        "pack": "own",
        "version": "1",
        "source": "s",
        "disable": ["aml.identity"],
        "retention": [row],
    }
    (tmp_path / "own.json").write_text(json.dumps(pack))
    ids = {s.id for s in load_rules([tmp_path]).retention}
    assert "own" in ids
    assert "aml.identity" not in ids


def assessed(system: str = "bank") -> Assessment:
    facts = msgspec.structs.replace(BARE, overdue=("<b>t</b>",))
    listed = tuple(answer(c, facts, None, 365) for c in applying(RULES.controls, 4, 3))
    scores, total = scored(listed, RULES.marks, RULES.strengths)
    return Assessment(system, 4, 3, AT, "甲", "pingyao 0", RULES.packs, listed, scores, total)


def test_changes_since_last_time() -> None:
    now = assessed()
    assert changes(None, now) == ()
    assert changes(now, now) == ()
    first = msgspec.structs.replace(now.answers[0], mark="符合")
    before = msgspec.structs.replace(now, answers=(first, *now.answers[2:]))
    (change,) = changes(before, now)
    assert (change.control, change.before, change.after) == (
        now.answers[0].control.id,
        "符合",
        "待答",
    )


def filled(path: Path, rows: list[list[str]]) -> Path:
    made = path.with_name("made.xlsx")
    write_assessment(assessed(), (), made)
    head = CalamineWorkbook.from_path(str(made)).get_sheet_by_name("评估").to_python()[0]
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("评估")
        sheet.write_row(0, 0, head)
        for number, (id_, *cells) in enumerate(rows, 1):
            sheet.write_string(number, 0, id_)
            sheet.write_row(number, 10, cells)
    return path


def test_the_workbook_comes_back(tmp_path: Path) -> None:
    rows = [["sto.backup", "符合", "每日备份", "演练记录", "张三"], ["sto.mlps", "", "", "", ""]]
    (given,) = read_answers(filled(tmp_path / "w.xlsx", rows), RULES.controls, "甲", AT)
    assert given == Statement("sto.backup", "符合", "每日备份", "演练记录", "张三", "甲", AT)
    write_assessment(assessed("=cmd|'/C calc'!A1"), (), tmp_path / "blank.xlsx")
    assert read_answers(tmp_path / "blank.xlsx", RULES.controls, "甲", AT) == ()


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (["sto.backup", "很好", "r", "", "张三"], "第 2 行的答复应为"),
        (["sto.backup", "待答", "r", "", "张三"], "答复应为"),
        (["sto.backup", "", "r", "", "张三"], "答复应为"),
        (["sto.backup", "符合", "", "", "张三"], "理由"),
        (["sto.backup", "符合", "r", "", ""], "责任人"),
        (["no.such", "符合", "r", "", "张三"], "不存在"),
        (["sto.backup", "符合", "长" * 1001, "", "张三"], "超过"),
    ],
)
def test_rows_that_are_wrong_are_named(tmp_path: Path, row: list[str], why: str) -> None:
    good = ["sto.mlps", "符合", "r", "", "张三"]
    with pytest.raises(Invalid, match=why):
        read_answers(filled(tmp_path / "w.xlsx", [row, good]), RULES.controls, "甲", AT)
    with pytest.raises(Invalid, match="重复"):
        read_answers(filled(tmp_path / "w.xlsx", [good, good]), RULES.controls, "甲", AT)


def test_what_is_no_workbook(tmp_path: Path) -> None:
    (tmp_path / "w.xlsx").write_bytes(b"PK")
    with xlsxwriter.Workbook(tmp_path / "o.xlsx") as book:
        book.add_worksheet("评估").write_row(0, 0, ["编号", "别的"])
    for name in ("w.xlsx", "o.xlsx", "none.xlsx"):
        with pytest.raises(Invalid):
            read_answers(tmp_path / name, RULES.controls, "甲", AT)


def test_the_page_runs_nothing_it_is_given(tmp_path: Path) -> None:
    now = assessed("</script><script>alert(1)</script>")
    write_page(now, now, (), tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert "<b>t</b>" not in page
    assert not re.search(r'(src|href)="?https?:', page[: page.index("<script>")])
    assert "default-src 'none'" in page
