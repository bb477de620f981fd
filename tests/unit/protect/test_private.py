"""Answers are as far from the truth as was paid for, one person moves them no further, the ledger holds."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingyao.kernel.errors import PingyaoError
from pingyao.protect.budget import charge
from pingyao.protect.rules.private import Question, answer, exact

ROWS = st.lists(
    st.tuples(st.sampled_from("甲乙丙丁"), st.floats(-50, 150), st.sampled_from("ab?")), min_size=1
)
Row = tuple[str, float, str]


def columns(rows: list[Row]) -> dict[str, pa.ChunkedArray]:
    return {
        "who": pa.chunked_array([pa.array([r[0] for r in rows], pa.string())]),
        "amount": pa.chunked_array([pa.array([r[1] for r in rows], pa.float64())]),
        "group": pa.chunked_array([pa.array([r[2] for r in rows], pa.string())]),
    }


@settings(deadline=None)
@given(ROWS, st.integers(1, 3), st.booleans(), st.booleans())
def test_one_person_moves_the_answers_no_further_than_was_said(
    rows: list[Row], most: int, grouped: bool, summed: bool
) -> None:
    question = Question(
        epsilon=1.0,
        total="amount" if summed else "",
        low=-10,
        high=100,
        unit=0.5,
        by="group" if grouped else "",
        groups=("a", "b") if grouped else (),
        person="who",
        most=most,
    )
    with_all, distance = exact(question, columns(rows))
    for person in "甲乙丙丁":
        without, _ = exact(question, columns([r for r in rows if r[0] != person]))
        assert sum(abs(x - y) for x, y in zip(with_all, without, strict=True)) <= distance


def test_sums_are_exact_before_the_noise() -> None:
    rng = np.random.default_rng(3)
    values = np.round(rng.uniform(-1e6, 1e6, 10_000), 2)
    table = {"amount": pa.chunked_array([pa.array(values)])}
    question = Question(1.0, "amount", -1e6, 1e6, 0.01)
    (total,), distance = exact(question, table)
    assert total == sum(round(v * 100) for v in values)
    assert distance == 100_000_000


def test_the_noise_is_as_large_as_said() -> None:
    pytest.importorskip("opendp")
    table = columns([("甲", 1.0, "a")] * 1_000)
    question = Question(epsilon=0.5)
    drawn = np.array([answer(question, table)[0].value for _ in range(400)]) - 1_000
    margin = answer(question, table)[0].margin
    # Of 400 draws at 95 %, fewer than 350 within is one in 10⁸; Laplace of scale 2 deviates by 2√2.
    assert (np.abs(drawn) <= margin).sum() >= 350
    assert 2.0 < drawn.std() < 4.0
    assert len(set(drawn)) > 5


def test_rows_of_no_known_group_are_one_more_answer() -> None:
    pytest.importorskip("opendp")
    rows: list[Row] = [("甲", 1.0, "a")] * 50 + [("乙", 1.0, "?")] * 20
    question = Question(epsilon=20, by="group", groups=("a", "b"), most=1)
    answers = answer(question, columns(rows))
    assert [a.group for a in answers] == ["a", "b", None]
    assert [round(a.value / 10) for a in answers] == [5, 0, 2]


def test_the_ledger_refuses_what_is_not_left(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    for _ in range(10):
        charge(path, "d", None if path.exists() else 1.0, 0.1, "count", "me")
    with pytest.raises(PingyaoError) as refusal:
        charge(path, "d", None, 0.1, "count", "me")
    assert refusal.value.code == "protect.budget_spent"


@pytest.mark.parametrize(
    ("dataset", "budget", "content", "code"),
    [
        ("d", None, None, "protect.no_budget"),
        ("other", None, "", "protect.other_ledger"),
        ("d", 9.0, "", "protect.other_ledger"),
        ("d", None, "{", "protect.ledger_damaged"),
        ("d", None, '{"format":"x","dataset":"d","budget":1}', "protect.ledger_damaged"),
    ],
)
def test_another_or_a_broken_ledger_is_refused(
    tmp_path: Path, dataset: str, budget: float | None, content: str | None, code: str
) -> None:
    path = tmp_path / "b.json"
    if content is not None:
        charge(path, "d", 1.0, 0.1, "count", "me")
        if content:
            path.write_text(content)
    with pytest.raises(PingyaoError) as refusal:
        charge(path, dataset, budget, 0.1, "count", "me")
    assert refusal.value.code == code
