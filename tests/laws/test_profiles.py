"""Profiles add up: reading a column in parts, in any order, equals reading it in one go."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingyao.classify.rules.values import (
    EMPTY,
    Profile,
    bare,
    findings,
    merge,
    profile,
    shifted,
    weigh,
)

cells = st.one_of(
    st.none(),
    st.text(max_size=30),
    st.sampled_from(
        ["13800138000", "11010519491231002X", "4111111111111111", "男", "2024-01-02", "12.50", "无"]
    ),
    st.builds("电话{}请回".format, st.from_regex(r"1[3-9]\d{9}", fullmatch=True)),
)
columns = st.lists(cells, max_size=60)


def of(column: list[str | None], first_row: int = 0) -> Profile:
    return profile(pa.array(column, pa.string()), first_row)


@settings(deadline=None)
@given(columns, columns)
def test_two_parts_equal_the_whole(a: list[str | None], b: list[str | None]) -> None:
    parts = merge(of(a), of(b, len(a)))
    assert parts == of([*a, *b])
    assert findings(parts) == findings(of([*a, *b]))


@settings(deadline=None)
@given(columns, columns, columns)
def test_any_bracketing_of_merges_is_the_same(
    a: list[str | None], b: list[str | None], c: list[str | None]
) -> None:
    x, y, z = of(a), of(b, len(a)), of(c, len(a) + len(b))
    assert merge(merge(x, y), z) == merge(x, merge(y, z))
    assert merge(x, EMPTY) == merge(EMPTY, x) == x


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**18 - 1), min_size=1, max_size=30), st.integers(0, 30))
def test_rising_numbers_are_seen_across_any_cut(numbers: list[int], cut: int) -> None:
    cells: list[str | None] = [str(n) for n in sorted(numbers)]
    assert merge(of(cells[:cut]), of(cells[cut:], cut)).rising


@settings(deadline=None)
@given(columns)
def test_weights_stay_within_their_bounds(column: list[str | None]) -> None:
    assert all(-8 <= e.weight <= 8 for e in weigh(of(column)))


@settings(deadline=None)
@given(columns, st.integers(0, 10**9))
def test_a_part_counted_from_zero_can_be_put_in_its_place(
    column: list[str | None], rows: int
) -> None:
    assert shifted(of(column), rows) == of(column, rows)


@settings(deadline=None)
@given(columns, st.integers(1, 400))
def test_a_bare_profile_weighs_the_same(column: list[str | None], more: int) -> None:
    whole = of([*column, *map(str, range(more))])
    kept = bare(whole)
    assert weigh(kept) == weigh(whole)
    assert findings(kept) == findings(whole)
    assert kept.sketch == ()
    assert {kept.first, kept.last} <= {0, -1}
    with pytest.raises(ValueError, match="bare"):
        merge(kept, whole)
