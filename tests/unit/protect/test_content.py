"""The digest of rows: the same in any order and cut, another for any other rows."""

from decimal import Decimal
from random import Random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingyao.protect.rules.content import Digest

ROWS = {"a": ["x", None, "", "汉", "x"], "b": [1, 2, None, -4, 1]}


def digest(columns: dict[str, list[object]], *, each: int = 100) -> tuple[int, str, str]:
    rows = Digest()
    for batch in pa.table(columns).to_batches(max_chunksize=each):
        rows.add(batch)
    found = rows.done()
    return found.rows, found.sha256, found.sm3


@given(
    st.lists(st.tuples(st.text(), st.none() | st.integers(-(2**63), 2**63 - 1))),
    st.randoms(),
    st.integers(1, 7),
)
def test_order_and_batches_do_not_matter(
    rows: list[tuple[str, int]], random: Random, each: int
) -> None:
    def table(rows: list[tuple[str, int]]) -> dict[str, list[object]]:
        return {
            "a": pa.array([r[0] for r in rows], pa.string()),
            "b": pa.array([r[1] for r in rows], pa.int64()),
        }

    shuffled = list(rows)
    random.shuffle(shuffled)
    assert digest(table(rows)) == digest(table(shuffled), each=each)


@pytest.mark.parametrize(
    "other",
    [
        {"a": ["x", None, "", "汉", "x"], "b": [1, 2, None, -4, 2]},
        {"a": ["x", None, "", "汉"], "b": [1, 2, None, -4]},
        {"a": ["x", None, "", "汉", "x", "x"], "b": [1, 2, None, -4, 1, 1]},
        {"a": ["x", "", None, "汉", "x"], "b": [1, 2, None, -4, 1]},
        {"a": ["x", "-", "", "汉", "x"], "b": [1, 2, None, -4, 1]},
        {"a": [None, "x", "", "汉", "x"], "b": [1, 2, None, -4, 1]},
        {"b": [1, 2, None, -4, 1], "a": ["x", None, "", "汉", "x"]},
        {"a": ["x", None, "", "汉", "x"], "c": [1, 2, None, -4, 1]},
        {"a": ["x", None, "", "汉", "x"]},
    ],
)
def test_other_rows_have_another(other: dict[str, list[object]]) -> None:
    assert digest(ROWS) != digest(other)


def test_cells_do_not_run_together() -> None:
    pairs = [
        ({"a": ["12:"], "b": ["x"]}, {"a": ["1"], "b": ["2:x"]}),
        ({"a": ["1:a1"], "b": ["b"]}, {"a": ["1:a"], "b": ["1b"]}),
        ({"a": ["-"], "b": [""]}, {"a": [None], "b": ["-"]}),
    ]
    for one, other in pairs:
        assert digest(one) != digest(other)


def test_a_number_is_the_same_however_it_is_typed() -> None:
    one = {"a": pa.array([1, 2], pa.int32())}
    assert digest(one) == digest({"a": pa.array([2, 1], pa.int64())}) == digest({"a": ["1", "2"]})
    amounts = {"a": pa.array([Decimal("1.10")], pa.decimal128(10, 2))}
    assert digest(amounts) == digest({"a": ["1.10"]})
    assert digest({"a": pa.array([], pa.string())})[0] == 0
