"""Anonymity measured as the definitions say, and enforced so that they hold."""

import math
from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingyao.kernel.errors import Invalid
from pingyao.protect.rules.anonymity import classes, coded, measure, risk
from pingyao.protect.rules.mondrian import generalised, loss, partition

TEXT = st.sampled_from(["男", "女", None, "x"])
NUMBER = st.one_of(st.none(), st.integers(-5, 5))
ROWS = st.lists(st.tuples(TEXT, NUMBER, st.sampled_from("abcd")), min_size=1, max_size=60)
Row = tuple[str | None, int | None, str]


def columns(rows: list[Row]) -> list[pa.Array]:
    return [
        pa.array([r[0] for r in rows], pa.string()),
        pa.array([r[1] for r in rows], pa.int64()),
        pa.array([r[2] for r in rows], pa.string()),
    ]


@settings(deadline=None)
@given(ROWS)
def test_measures_are_those_of_the_definitions(rows: list[Row]) -> None:
    first, second, secret = columns(rows)
    found = measure([coded(first), coded(second)], coded(secret))
    groups: defaultdict[tuple[object, ...], list[str]] = defaultdict(list)
    for row in rows:
        groups[row[:2]].append(row[2])
    whole = Counter(r[2] for r in rows)
    sizes = [len(g) for g in groups.values()]
    assert (found.k, found.classes, found.rows) == (min(sizes), len(groups), len(rows))
    assert found.unique == sizes.count(1)
    assert dict(found.below)[5] == sum(s for s in sizes if s < 5)
    assert found.l == min(len(set(g)) for g in groups.values())
    entropies, distances = [], []
    for group in groups.values():
        shares = {v: n / len(group) for v, n in Counter(group).items()}
        entropies.append(-sum(p * math.log(p) for p in shares.values()))
        distances.append(sum(abs(shares.get(v, 0) - n / len(rows)) for v, n in whole.items()) / 2)
    assert found.entropy_l == pytest.approx(math.exp(min(entropies)), abs=1e-4)
    assert found.t == pytest.approx(max(distances), abs=1e-6)


@settings(deadline=None)
@given(ROWS)
def test_numbers_are_compared_by_order(rows: list[Row]) -> None:
    first, secret, _ = columns([r for r in rows if r[1] is not None] or [("x", 1, "a")])
    found = measure([coded(first)], coded(secret))
    values = sorted(set(secret.to_pylist()))
    groups: defaultdict[object, list[int]] = defaultdict(list)
    for key, value in zip(first.to_pylist(), secret.to_pylist(), strict=True):
        groups[key].append(value)
    farthest = 0.0
    for group in groups.values():
        running = total = 0.0
        for value in values:
            running += group.count(value) / len(group) - secret.to_pylist().count(value) / len(
                secret
            )
            total += abs(running)
        farthest = max(farthest, total / max(1, len(values) - 1))
    assert found.t == pytest.approx(farthest, abs=1e-6)


@settings(deadline=None)
@given(ROWS, st.integers(1, 6), st.integers(1, 3), st.floats(0.2, 1))
def test_what_is_enforced_holds(rows: list[Row], k: int, l: int, t: float) -> None:  # noqa: E741 - l as in l-diversity
    first, second, secret = columns(rows)
    quasi, hidden = [coded(first), coded(second)], coded(secret)
    if len(rows) < k or len({r[2] for r in rows}) < l:
        with pytest.raises(Invalid):
            partition(quasi, k, hidden, l, t)
        return
    order, ends = partition(quasi, k, hidden, l, t)
    assert sorted(order) == list(range(len(rows)))
    assert (ends[0], ends[-1]) == (0, len(rows))
    assert np.diff(ends).min() >= k
    made = [generalised(column, order, ends) for column in quasi]
    found = measure([coded(m) for m in made], hidden)
    assert found.k >= k
    assert found.l is not None
    assert found.l >= l
    assert 0 <= loss(quasi, order, ends) <= 1
    for text, whole in zip(made[0].to_pylist(), first.to_pylist(), strict=True):
        low, _, high = text.partition("–")
        name = "空" if whole is None else whole
        assert name in (low, high) or low < name < high or low == "空"


def test_every_class_is_within_t() -> None:
    rng = np.random.default_rng(3)
    age, secret = rng.integers(20, 80, 5000), rng.choice(list("abcde"), 5000)
    quasi, hidden = [coded(pa.array(age))], coded(pa.array(secret))
    order, ends = partition(quasi, 5, hidden, 3, 0.25)
    labels = np.empty(5000, np.int64)
    labels[order] = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    found = measure([coded(pa.array(labels))], hidden)
    assert found.l is not None
    assert found.l >= 3
    assert found.t is not None
    assert found.t <= 0.25 + 1e-6
    assert found.classes > 5


def test_many_values_in_many_columns_do_not_collide() -> None:
    """The product of the numbers of values is beyond 64 bits."""
    rng = np.random.default_rng(5)
    arrays = [pa.array(rng.integers(0, 2**40, 50_000)) for _ in range(6)]
    labels, sizes = classes([coded(a) for a in arrays])
    assert len(sizes) == 50_000
    assert len(np.unique(labels)) == 50_000


def test_chances_are_those_of_the_class_sizes() -> None:
    quasi = [coded(pa.array(["a"] * 8 + ["b"] * 2))]
    alone = risk(quasi, 0.2)
    assert (alone.prosecutor_highest, alone.prosecutor_average) == (0.5, 0.2)
    assert (alone.above, alone.marketer, alone.journalist_highest) == (0.2, 0.2, None)
    among = risk(quasi, 0.2, 1000)
    assert among.journalist_highest == pytest.approx(0.005)
    assert among.marketer == pytest.approx(0.002)
    assert risk(quasi, 0.2, 3).journalist_highest == 0.5


def test_nothing_has_no_risk() -> None:
    empty = [coded(pa.array([], pa.string()))]
    assert measure(empty).rows == 0
    assert risk(empty, 0.2).prosecutor_highest == 0.0
