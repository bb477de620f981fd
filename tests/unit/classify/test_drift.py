"""Drift is told where it matters, and chance and size alone are no drift."""

import random
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingyao.classify.formats.words import say_drift
from pingyao.classify.model import Drift
from pingyao.classify.rules.drift import drift
from pingyao.classify.rules.values import Profile, bare, profile

Cell = Callable[[int], str | None]


def seen(rows: int, cell: Cell) -> Profile:
    return bare(profile(pa.array([cell(i) for i in range(rows)], pa.string())))


def told(before: Profile, now: Profile) -> set[tuple[str, str]]:
    return {(d.code, d.about) for d in drift(before, now)}


def mobile(i: int) -> str:
    return f"138{i * 7919 % 10**8:08d}"


def masked(i: int) -> str:
    return f"138****{i % 10_000:04d}"


def remark(i: int) -> str:
    return f"客户来电咨询第{i % 97}号网点的营业时间"


ID = "11010519491231002X"


def test_a_remark_that_begins_to_hold_id_numbers() -> None:
    now = seen(20_000, lambda i: remark(i) + (f"，证件{ID}" if i % 200 == 0 else ""))
    (found,) = drift(seen(20_000, remark), now)
    assert (found.code, found.about, found.before, found.now) == (
        "drift.found",
        "id_card_no",
        0.0,
        0.005,
    )
    assert say_drift(found) == "文字中开始出现居民身份证号码，占 0.5000% 的行"


def test_one_in_a_remark_that_was_small_before_is_none() -> None:
    now = seen(120, lambda i: remark(i) + (ID if i == 7 else ""))
    assert told(seen(100, remark), now) == set()


def test_few_rows_added_to_a_great_table_are_not_hidden_by_it() -> None:
    now = seen(100_600, lambda i: masked(i) if i < 100_000 else mobile(i))
    assert told(seen(100_000, masked), now) == {
        ("drift.share_added", "masked"),
        ("drift.share_added", "mobile"),
    }


def test_a_masked_column_no_longer_masked() -> None:
    found = told(seen(5_000, masked), seen(5_000, mobile))
    assert {("drift.share", "masked"), ("drift.share", "mobile")} <= found


def test_a_code_that_becomes_free_text() -> None:
    found = told(
        seen(5_000, lambda i: f"{i % 7:02d}"), seen(5_000, lambda i: f"{remark(i)}{i}，请回访")
    )
    assert {("drift.distinct", ""), ("drift.share", "free_text_remark")} <= found


def test_a_column_that_falls_empty() -> None:
    found = drift(seen(900, mobile), seen(900, lambda i: mobile(i) if i % 3 else None))
    assert [(d.code, d.about) for d in found] == [("drift.share", "empty")]
    assert 0.25 < found[0].low < found[0].now < 0.34


def test_check_digits_that_no_longer_fit() -> None:
    good = seen(3_000, lambda i: ID)
    bad = seen(3_000, lambda i: ID if i % 2 else ID[:-1] + "1")
    assert told(good, bad) == {("drift.passing", "id_card_no")}


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (seen(0, mobile), seen(1_000, mobile)),
        (seen(1_000, mobile), seen(0, mobile)),
        (seen(5, mobile), seen(5, remark)),
        (seen(2_000, mobile), seen(400_000, mobile)),
        (seen(200_000, lambda i: mobile(i) if i % 50 else None), seen(200_000, mobile)),
        (seen(50_000, lambda i: str(i)), seen(80_000, lambda i: str(i))),
        (seen(3_000, lambda i: f"{i % 7}"), seen(3_000, lambda i: f"{i % 40}")),
    ],
    ids=["was-empty", "now-empty", "handful", "grown", "small-effect", "keys", "more-codes"],
)
def test_what_is_no_drift(before: Profile, now: Profile) -> None:
    assert told(before, now) == set()


# Once in ten thousand draws chance does look like drift: the same draws every time.
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 4_000),
    st.integers(1, 4_000),
    st.floats(0, 1),
    st.integers(0, 10**6),
)
def test_chance_alone_is_no_drift(rows: int, rows2: int, share: float, seed: int) -> None:
    chance = random.Random(seed)

    def cell(i: int) -> str | None:
        return mobile(i) if chance.random() < share else None

    assert told(seen(rows, cell), seen(rows2, cell)) == set()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3_000), st.integers(0, 3_000))
def test_rows_added_of_the_same_kind_are_no_drift(rows: int, more: int) -> None:
    def cell(i: int) -> str:
        return (mobile(i), masked(i), remark(i))[i * 7 % 3]

    assert told(seen(rows, cell), seen(rows + more, cell)) == set()


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize(
    "code",
    [
        *("drift.share", "drift.share_added", "drift.passing", "drift.passing_added"),
        *("drift.found", "drift.distinct"),
    ],
)
@pytest.mark.parametrize("about", ["masked", "empty", "mobile", "free_text_remark"])
def test_every_drift_has_words(code: str, about: str, language: str) -> None:
    text = say_drift(Drift(code, about, 0.0, 0.5, 0.1), language)
    assert "drift." not in text
    assert "{" not in text
    assert about not in text.split() or language == "en"
