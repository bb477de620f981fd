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

from pingyao.protect.ports import Keys
from pingyao.protect.rules.arrays import as_text, pc
from pingyao.protect.rules.keyed import Keyed, Prf

BITS = 64
UNITS = (1e-9, 1e9)
"""Bounds of the smallest step of a column."""
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


class Marks:
    """The keyed functions of the watermark, the same for all scopes: a trace tries every recipient.

    Attributes:
        recipients: of the recipients' codes.
    """

    def __init__(self, keys: Keys) -> None:
        self._keyed = Keyed(keys, "watermark")
        self.recipients = self._keyed.prf("recipients")

    def column(self, name: str) -> Prf:
        """Returns the function of a column, by its name."""
        return self._keyed.prf(f"column/{name}")


class Marker:
    """Marks columns for a recipient, each number placed by its own leading digits."""

    def __init__(self, marks: Marks, recipient: str) -> None:
        self._marks, self._bits = marks, code(marks.recipients, recipient)

    def __call__(self, column: pa.Array, name: str, unit: float) -> pa.Array:
        """Returns a column marked; one that holds no numbers stays as it is."""
        if not markable(column.type):
            return column
        return embed(column, None, self._marks.column(name), self._bits, Spot(unit))


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
    if pa.types.is_string(column.type):
        places = pa.decimal128(38, _decimals(spot.unit))
        written = pa.array(np.where(flip, made, 0.0)).cast(places, safe=False).cast(pa.string())
        return pc.if_else(pa.array(flip), written, column)
    kept = column.cast(pa.float64(), safe=False).fill_null(0).to_numpy(zero_copy_only=False)
    values = np.where(flip, np.round(made, _decimals(spot.unit)), kept)
    valid = pa.array(column.is_valid())
    result = pa.array(values, pa.float64()).cast(column.type, safe=False)
    return pc.if_else(valid, result, pa.scalar(None, column.type))


def votes(column: pa.Array, rows: pa.Array | None, prf: Prf, spot: Spot) -> np.ndarray:
    """Counts what the marked cells say: int64[64, 2], for each bit how often 0 and how often 1.

    A copy may have lost zeros at the end, or become text: every number counts.
    """
    if pa.types.is_string(column.type):
        column = _read(column, r"^\s*-?\d+(\.\d+)?\s*$")
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
    if pa.types.is_string(column.type):
        column = _as_numbers(column, _decimals(spot.unit))
    values = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    known = np.isfinite(values) & (np.abs(values) < spot.unit * 2.0**52)
    steps = np.round(np.where(known, values, 0.0) / spot.unit).astype(np.int64)
    lead = np.abs(steps) // 10
    return steps, lead, known & (lead >= _LEAST)


def _as_numbers(column: pa.Array, decimals: int) -> pa.Array:
    """Reads text; what is no number of just so many decimals is none that could carry a mark."""
    shape = rf"^-?\d{{1,15}}\.\d{{{decimals}}}$" if decimals else r"^-?\d{1,15}$"
    return _read(column, shape)


def _read(column: pa.Array, shape: str) -> pa.Array:
    fits = pc.match_substring_regex(column, shape)
    shaped = pc.if_else(fits, pc.utf8_trim_whitespace(column), pa.scalar(None, pa.string()))
    return pc.cast(shaped, pa.float64())


def _places(
    rows: pa.Array | None, lead: np.ndarray, known: np.ndarray, prf: Prf, spot: Spot
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    drawn = prf(pa.array(lead).cast(pa.string()) if rows is None else as_text(rows))
    chosen = known & (drawn[:, 1] % np.uint64(spot.one_in) == 0)
    return (
        (drawn[:, 0] & np.uint64(BITS - 1)).astype(np.int64),
        chosen,
        (drawn[:, 0] >> np.uint64(8)) & np.uint64(1),
    )


def _decimals(unit: float) -> int:
    return max(0, round(-math.log10(unit)))


def _tail(agree: int, bits: int) -> float:
    """Returns the chance of at least so many heads in so many throws."""
    return sum(math.comb(bits, n) for n in range(agree, bits + 1)) / 2**bits


def markable(kind: pa.DataType) -> bool:
    """Tells whether a column of this type can carry a mark: numbers, also those written as text."""
    of = pa.types
    return of.is_integer(kind) or of.is_floating(kind) or of.is_decimal(kind) or of.is_string(kind)


def surest(matches: Sequence[Match], threshold: float = 1e-6) -> Match | None:
    """Returns the recipient that is recognised beyond doubt, if there is one."""
    return matches[0] if matches and matches[0].chance < threshold else None
