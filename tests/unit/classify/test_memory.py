"""What corrections teach, and that it is only believed where it is shown to help."""

from collections.abc import Sequence

import pytest

from pingyao.classify.knowledge import load_knowledge, with_memory
from pingyao.classify.model import Column, Evidence, Table
from pingyao.classify.rules.fuse import Decision, decide
from pingyao.classify.rules.memory import Lesson, Memory, Recall, Trial, cross_validate
from pingyao.classify.service import judge

KNOWLEDGE = load_knowledge()


def lesson(name: str, type_: str, *, table: str = "t_cust", comment: str = "") -> Lesson:
    return Lesson(f"core/{table}/{name}", table, "客户", name, comment, type_)


def recalled(
    lessons: list[Lesson], name: str, comment: str = "", table: str = "t_other"
) -> tuple[Evidence, ...]:
    recall = Recall(Memory("1", tuple(lessons)))
    return recall(Table("", table, columns=(Column(name, "", comment),)))[0]


def test_a_like_name_is_remembered_with_its_reason() -> None:
    (said,) = recalled([lesson("kh_bdbz", "contract_or_loan_no")], "kh_bdbz")
    assert (said.origin, said.type) == ("memory", "contract_or_loan_no")
    assert said.args["column"] == "core/t_cust/kh_bdbz"
    assert said.weight > 6


def test_a_correction_outweighs_name_and_comment_together() -> None:
    table = Table("", "t_new", columns=(Column("mobile_no", "varchar(20)", "手机号码"),))
    assert judge("s", table, None, KNOWLEDGE).columns[0].type == "mobile"
    memory = Memory("1", (lesson("mobile_no", "contract_or_loan_no", comment="手机号码"),))
    (verdict,) = judge("s", table, None, with_memory(KNOWLEDGE, memory)).columns
    assert verdict.type == "contract_or_loan_no"


@pytest.mark.parametrize(
    ("name", "comment"),
    [("amount", ""), ("zzz", "手机"), ("", ""), ("=cmd|' /C calc'!A0", ""), ("\x00" * 300, "")],
)
def test_what_is_not_alike_is_not_remembered(name: str, comment: str) -> None:
    assert (
        recalled([lesson("kh_bdbz", "contract_or_loan_no", comment="标的标志")], name, comment)
        == ()
    )


def test_numbered_names_teach_nothing_across_tables() -> None:
    assert recalled([lesson("col16", "mobile")], "col16") == ()


def test_lessons_that_disagree_say_little() -> None:
    alone = recalled([lesson("ref_no", "contract_or_loan_no")], "ref_no")
    split = recalled(
        [lesson("ref_no", "contract_or_loan_no"), lesson("ref_no", "mobile", table="t_two")],
        "ref_no",
    )
    assert alone[0].weight > 6
    assert split == ()


def trials(tables: int, right: str, seen: str) -> list[Trial]:
    evidence = (Evidence("name", seen, 5.0, "name.direct"),)
    return [Trial(lesson("kh_bdbz", right, table=f"t_{i}"), evidence) for i in range(tables)]


def fuse(evidence: Sequence[Evidence]) -> Decision:
    return decide(evidence, KNOWLEDGE.types)


def test_a_mistake_made_everywhere_is_unlearnt() -> None:
    figures = cross_validate(trials(12, "contract_or_loan_no", "mobile"), fuse)
    assert (figures.wrong_before, figures.right_after) == (12, 12)
    assert figures.low > 0
    assert figures.helps


def test_what_was_right_already_gains_nothing() -> None:
    figures = cross_validate(trials(12, "mobile", "mobile"), fuse)
    assert (figures.gain, figures.helps) == (0.0, False)


def test_too_few_tables_prove_nothing() -> None:
    assert not cross_validate(trials(3, "contract_or_loan_no", "mobile"), fuse).helps


def test_one_table_of_many_columns_is_one_witness() -> None:
    evidence = (Evidence("name", "mobile", 5.0, "name.direct"),)
    many = [Trial(lesson(f"kh_bdbz_{c * 3}", "contract_or_loan_no"), evidence) for c in "abcdefgh"]
    assert cross_validate(many, fuse).right_after == 0


def test_contradicting_decisions_are_not_switched_on() -> None:
    right = trials(12, "mobile", "mobile")
    mixed = [
        a if i % 2 else b
        for i, (a, b) in enumerate(
            zip(right, trials(12, "contract_or_loan_no", "mobile"), strict=True)
        )
    ]
    assert not cross_validate(mixed, fuse).helps


def test_nothing_decided_is_no_gain() -> None:
    figures = cross_validate([], fuse)
    assert (figures.columns, figures.gain, figures.helps) == (0, 0.0, False)
