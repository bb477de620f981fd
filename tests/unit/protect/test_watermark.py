"""The recipient is named after rows were lost and shuffled, and nobody else is."""

import numpy as np
import pyarrow as pa
import pytest

from pingyao.protect.rules.keyed import Prf
from pingyao.protect.rules.watermark import Spot, code, embed, recognise, surest, votes

KEY = Prf("sha256", bytes(range(32)))
NAMES = [f"接收方{n}" for n in range(500)]
SPOT = Spot()


def amounts(rows: int = 4_000) -> tuple[pa.Array, pa.Array]:
    rng = np.random.default_rng(11)
    return pa.array(np.round(rng.lognormal(9, 1.6, rows), 2)), pa.array(
        [f"C{n:08d}" for n in range(rows)]
    )


@pytest.mark.parametrize("by_row", [True, False])
def test_the_recipient_is_named_after_loss_and_shuffling(by_row: bool) -> None:
    column, keys = amounts()
    rows = keys if by_row else None
    marked = embed(column, rows, KEY, code(KEY, NAMES[123]), SPOT)
    rng = np.random.default_rng(5)
    kept = pa.array(rng.permutation(len(column))[: int(len(column) * 0.7)])
    counted = votes(marked.take(kept), keys.take(kept) if by_row else None, KEY, SPOT)
    found = recognise(counted, {n: code(KEY, n) for n in NAMES})
    best = surest(found)
    assert best is not None
    assert best.recipient == NAMES[123]
    assert best.agree == best.bits == 64
    assert found[1].chance > 1e-3


def test_a_cell_changes_by_one_step_at_most_and_half_of_them_carry_nothing() -> None:
    column, keys = amounts()
    marked = embed(column, keys, KEY, code(KEY, "甲"), SPOT)
    apart = np.abs(marked.to_numpy() - column.to_numpy())
    assert apart.max() < 0.0101
    assert 0.15 < (apart > 0.001).mean() < 0.35
    assert marked.type == column.type


def test_marked_twice_is_marked_once() -> None:
    column, keys = amounts()
    bits = code(KEY, "甲")
    once = embed(column, keys, KEY, bits, SPOT)
    assert embed(once, keys, KEY, bits, SPOT).equals(once)


@pytest.mark.parametrize("kind", [pa.int64(), pa.decimal128(24, 2), pa.float64()])
def test_every_kind_of_number_carries_it(kind: pa.DataType) -> None:
    column = pa.array([n * 1_013 for n in range(3_000)]).cast(kind)
    spot = Spot(unit=1.0 if pa.types.is_integer(kind) else 0.01)
    marked = embed(column, None, KEY, code(KEY, "甲"), spot)
    found = recognise(votes(marked, None, KEY, spot), {n: code(KEY, n) for n in ("甲", "乙")})
    assert surest(found) == found[0]
    assert found[0].recipient == "甲"


def test_unmarked_data_accuses_nobody() -> None:
    column, keys = amounts()
    assert (
        surest(recognise(votes(column, keys, KEY, SPOT), {n: code(KEY, n) for n in NAMES})) is None
    )


def test_another_key_sees_nothing() -> None:
    column, keys = amounts()
    marked = embed(column, keys, KEY, code(KEY, "甲"), SPOT)
    other = Prf("sha256", bytes(32))
    assert surest(recognise(votes(marked, keys, other, SPOT), {"甲": code(other, "甲")})) is None


def test_half_rounded_away_is_still_recognised() -> None:
    column, keys = amounts(20_000)
    marked = embed(column, keys, KEY, code(KEY, "甲"), SPOT).to_numpy().copy()
    marked[::2] = np.round(marked[::2], 0)
    found = recognise(
        votes(pa.array(marked), keys, KEY, SPOT), {n: code(KEY, n) for n in ("甲", *NAMES)}
    )
    best = surest(found)
    assert best is not None
    assert best.recipient == "甲"


def test_nulls_small_numbers_and_no_numbers_stay() -> None:
    column = pa.array([None, 0.0, 1.23, 9.99, float("nan"), float("inf"), -5.0])
    marked = embed(column, None, KEY, code(KEY, "甲"), SPOT)
    assert marked.to_pylist()[:4] == [None, 0.0, 1.23, 9.99]
    assert marked.to_pylist()[5:] == [float("inf"), -5.0]
    assert recognise(np.zeros((64, 2), np.int64), {"甲": code(KEY, "甲")})[0].chance == 1.0


def test_numbers_written_as_text_carry_it_and_keep_their_form() -> None:
    column, _ = amounts()
    written = pa.array([*[f"{v:.2f}" for v in column.to_pylist()][:-3], "n/a", "", None])
    marked = embed(written, None, KEY, code(KEY, "甲"), SPOT)
    assert marked.to_pylist()[-3:] == ["n/a", "", None]
    for before, after in zip(written.to_pylist()[:-3], marked.to_pylist(), strict=False):
        assert before[:-1] == after[:-1]
    found = recognise(votes(marked, None, KEY, SPOT), {n: code(KEY, n) for n in [*NAMES, "甲"]})
    best = surest(found)
    assert best is not None
    assert best.recipient == "甲"
    short = pa.array([None if v is None else v.rstrip("0") for v in marked.to_pylist()])
    again = surest(recognise(votes(short, None, KEY, SPOT), {"甲": code(KEY, "甲")}))
    assert again is not None
