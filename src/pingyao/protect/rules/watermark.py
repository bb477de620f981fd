"""A watermark in numbers: the last digit of some cells, chosen by a key, says who received the data.

Every cell finds its place by itself: by the row's key, or by its own leading digits where a column has
to be traced alone. So neither lost rows nor another order matter. A recipient is not decoded but
recognised: of the names that may have received the data, one agrees with the digits far beyond chance.

Cites: Agrawal, Kiernan: Watermarking Relational Databases, VLDB 2002 (the idea of keyed cells).
"""

# pyright: basic
# NumPy and Arrow kernels work on values whose types the checker cannot see.

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow as pa

from pingyao.protect.rules.arrays import as_text, pc
from pingyao.protect.rules.keyed import Prf

BITS = 64
_LEAST = 100
"""Leading part of a number that carries a mark, at least: a smaller one would be changed too much."""


class Spot(msgspec.Struct, frozen=True):
    """Where a mark is.

    Attributes:
        unit: the smallest step of the numbers; a marked cell changes by one of it.
        one_in: one cell in so many carries a mark.
    """

    unit: float = 0.01
    one_in: int = 2


class Match(msgspec.Struct, frozen=True):
    """How well a recipient agrees with the data.

    Attributes:
        agree: bits, as most of their cells say, that are the recipient's.
        bits: bits that the cells decide.
        cells: marked cells seen.
        chance: probability that one of as many strangers would agree as well.
    """

    recipient: str
    agree: int
    bits: int
    cells: int
    chance: float


def code(prf: Prf, recipient: str) -> np.ndarray:
    """Returns the 64 bits that stand for a recipient under a key."""
    value = prf(pa.array([recipient], pa.string()))[0, 0]
    return (value >> np.arange(BITS, dtype=np.uint64)) & np.uint64(1)


def embed(
    column: pa.Array, rows: pa.Array | None, prf: Prf, bits: np.ndarray, spot: Spot
) -> pa.Array:
    """Marks a column of numbers for a recipient.

    Args:
        rows: the key of each row; None to find places by the numbers' own leading digits.
        bits: of `code`.
    """
    steps, lead, known = _parts(column, spot)
    at, chosen, mask = _places(rows, lead, known, prf, spot)
    wanted = bits[at] ^ mask
    odd = (np.abs(steps) & 1).astype(np.uint64)
    flip = chosen & (odd != wanted)
    # 0↔1, 2↔3 … 8↔9: the leading digits stay.
    change = np.where(np.abs(steps) & 1, -1, 1) * np.where(steps < 0, -1, 1)
    made = (steps + np.where(flip, change, 0)) * spot.unit
    kept = column.cast(pa.float64(), safe=False).fill_null(0).to_numpy(zero_copy_only=False)
    values = np.where(flip, np.round(made, _decimals(spot.unit)), kept)
    valid = pa.array(column.is_valid())
    result = pa.array(values, pa.float64()).cast(column.type, safe=False)
    return pc.if_else(valid, result, pa.scalar(None, column.type))


def votes(column: pa.Array, rows: pa.Array | None, prf: Prf, spot: Spot) -> np.ndarray:
    """Counts what the marked cells say: int64[64, 2], for each bit how often 0 and how often 1."""
    steps, lead, known = _parts(column, spot)
    at, chosen, mask = _places(rows, lead, known, prf, spot)
    said = ((np.abs(steps) & 1).astype(np.uint64) ^ mask).astype(np.int64)
    flat = np.bincount((at * 2 + said)[chosen], minlength=BITS * 2)
    return flat.reshape(BITS, 2)


def recognise(counted: np.ndarray, codes: dict[str, np.ndarray]) -> list[Match]:
    """Returns how well each recipient agrees, the best first."""
    cells = int(counted.sum())
    decided = counted[:, 0] != counted[:, 1]
    said = counted[:, 1] > counted[:, 0]
    found: list[Match] = []
    for name, bits in codes.items():
        agree = int((said == bits.astype(bool))[decided].sum())
        chance = min(1.0, _tail(agree, int(decided.sum())) * len(codes))
        found.append(Match(name, agree, int(decided.sum()), cells, chance))
    return sorted(found, key=lambda m: (m.chance, -m.agree))


def _parts(column: pa.Array, spot: Spot) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    known = np.isfinite(values) & (np.abs(values) < spot.unit * 2.0**52)
    steps = np.round(np.where(known, values, 0.0) / spot.unit).astype(np.int64)
    lead = np.abs(steps) // 10
    return steps, lead, known & (lead >= _LEAST)


def _places(
    rows: pa.Array | None, lead: np.ndarray, known: np.ndarray, prf: Prf, spot: Spot
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    drawn = prf(pa.array(lead).cast(pa.string()) if rows is None else as_text(rows))
    chosen = known & (drawn[:, 1] % np.uint64(spot.one_in) == 0)
    return (drawn[:, 0] & np.uint64(BITS - 1)).astype(np.int64), chosen, (drawn[:, 0] >> np.uint64(8)) & np.uint64(1)  # fmt: skip


def _decimals(unit: float) -> int:
    return max(0, round(-math.log10(unit)))


def _tail(agree: int, bits: int) -> float:
    """Returns the chance of at least so many heads in so many throws."""
    return sum(math.comb(bits, n) for n in range(agree, bits + 1)) / 2**bits


def markable(kind: pa.DataType) -> bool:
    """Tells whether a column of this type can carry a mark."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def surest(matches: Sequence[Match], threshold: float = 1e-6) -> Match | None:
    """Returns the recipient that is recognised beyond doubt, if there is one."""
    return matches[0] if matches and matches[0].chance < threshold else None
