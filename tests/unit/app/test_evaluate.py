"""The figures of merit against examples worked by hand."""

import math

import pytest

from pingyao.app.evaluate.metrics import confusions, f1_by_class, macro_f1, macro_f1_share, wilson


def test_wilson_of_eight_in_ten() -> None:
    share = wilson(8, 10)
    assert (round(share.low, 4), round(share.high, 4)) == (0.4902, 0.9433)


def test_wilson_of_nothing_knows_nothing() -> None:
    share = wilson(0, 0)
    assert math.isnan(share.value)
    assert (share.low, share.high) == (0.0, 1.0)


@pytest.mark.parametrize(("hits", "n"), [(-1, 3), (4, 3)])
def test_wilson_refuses_impossible_counts(hits: int, n: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        wilson(hits, n)


def test_f1_worked_by_hand() -> None:
    truth, said = ["a", "a", "b", "b"], ["a", "b", "b", "c"]
    assert f1_by_class(truth, said) == pytest.approx({"a": 2 / 3, "b": 1 / 2})
    assert macro_f1(truth, said) == pytest.approx(7 / 12)


def test_rare_classes_are_left_out() -> None:
    assert macro_f1(["a", "a", "b"], ["a", "a", "a"], least=2) == pytest.approx(0.8)
    assert math.isnan(macro_f1(["a"], ["a"], least=2))


def test_bootstrap_holds_the_figure_and_repeats() -> None:
    truth, said = ["a", "b"] * 20, ["a", "a", "a", "b"] * 10
    share = macro_f1_share(truth, said)
    assert share.low < share.value < share.high
    assert share == macro_f1_share(truth, said)


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        f1_by_class(["a", "b"], ["a"])


def test_confusions_leave_out_what_is_right() -> None:
    assert confusions(["a", "a", "b"], ["b", "b", "b"]) == [("a", "b", 2)]
