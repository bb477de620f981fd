"""Numbers made less exact: keyed noise, and bins."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from pingyao.protect.rules.arrays import as_text, pc

_MOST_EDGES = 64


def noise(array: pa.Array, percent: float, draws: np.ndarray) -> tuple[pa.Array, int]:
    """Multiplies each number by a factor drawn evenly from 1 ± ``percent`` %.

    The number of decimals stays. Zero stays zero.

    Args:
        draws: 64 random bits for each cell; of a keyed function of the cell and its subject, so
            that the same fact always comes out the same and cannot be averaged.

    Returns:
        The numbers in the type they had, and how many cells of text were no numbers and are hidden.
    """
    values, unfit = _doubles(array)
    unit = (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53
    made = values * (1.0 + (2.0 * unit - 1.0) * percent / 100.0)
    return _back(made, array, _decimals(values, array)), unfit


def bins(array: pa.Array, width: float) -> tuple[pa.Array, int]:
    """Puts each number into a bin ``[low, high)`` of a width, named by its bounds.

    Returns:
        The bins as text, and how many cells of text were no numbers and are hidden.
    """
    values, unfit = _doubles(array)
    lows = np.floor(values / width)
    known = np.isfinite(lows)
    distinct, index = np.unique(np.where(known, lows, 0.0), return_inverse=True)
    names = [f"[{low * width:.10g},{(low + 1) * width:.10g})" for low in distinct]
    named = pa.array(names, pa.string()).take(pa.array(index.reshape(-1)))
    return pc.if_else(pa.array(known), named, pa.scalar(None, pa.string())), unfit


def bands(array: pa.Array, edges: Sequence[float]) -> tuple[pa.Array, int]:
    """Puts each number between the edges it falls between; both ends are open.

    Returns:
        The bands as text, and how many cells of text were no numbers and are hidden.
    """
    values, unfit = _doubles(array)
    said = [f"{e:.10g}" for e in edges]
    names = [f"<{said[0]}", *(f"[{low},{high})" for low, high in pairwise(said)), f"≥{said[-1]}"]
    index = pa.array(np.searchsorted(np.asarray(edges), values, side="right"))
    named = pa.array(names, pa.string()).take(index)
    return pc.if_else(pa.array(~np.isnan(values)), named, pa.scalar(None, pa.string())), unfit


def read_edges(text: str) -> tuple[float, ...]:
    """Reads the edges of bands, parted by commas."""
    return tuple(float(part) for part in text.split(","))


def wrong_edges(given: object) -> str:
    """Returns what is wrong with the edges of bands, in Chinese; empty when nothing is."""
    try:
        edges = read_edges(str(given))
    except ValueError:
        return "参数 edges 应为以逗号分隔的数，如 0,10000,100000"
    rising = all(a < b for a, b in pairwise(edges))
    if not rising or not 1 <= len(edges) <= _MOST_EDGES or not np.isfinite(edges).all():
        return f"参数 edges 应由小到大，至多 {_MOST_EDGES} 个"
    return ""


def _doubles(array: pa.Array) -> tuple[np.ndarray, int]:
    """Returns the values as doubles, NaN for null and for text that is no number."""
    unfit = 0
    if pa.types.is_string(array.type):
        shaped = pc.match_substring_regex(array, r"^\s*[+-]?(\d+\.?\d*|\.\d+)\s*$")
        given = pc.and_(array.is_valid(), pc.not_equal(array, "")).fill_null(False)
        unfit = pc.sum(pc.and_(given, pc.invert(shaped.fill_null(False)))).as_py() or 0
        array = pc.if_else(shaped, pc.utf8_trim_whitespace(array), pa.scalar(None, pa.string()))
    doubles = pc.cast(array, pa.float64(), safe=False).fill_null(float("nan"))
    return doubles.to_numpy(zero_copy_only=False), unfit


def _decimals(values: np.ndarray, array: pa.Array) -> int:
    if pa.types.is_integer(array.type):
        return 0
    if pa.types.is_decimal(array.type):
        return array.type.scale
    known = values[np.isfinite(values)]
    for places in (0, 2, 4, 6):
        scaled = known * 10.0**places
        if np.all(np.abs(scaled - np.round(scaled)) <= 1e-6 * np.maximum(1.0, np.abs(scaled))):
            return places
    return 6


def _back(made: np.ndarray, array: pa.Array, decimals: int) -> pa.Array:
    rounded = pa.array(np.round(made, decimals), pa.float64(), from_pandas=True)
    kind = array.type
    if pa.types.is_string(kind):
        if decimals == 0:
            return as_text(pc.cast(rounded, pa.int64(), safe=False))
        return pc.cast(pc.cast(rounded, pa.decimal128(38, decimals)), pa.string())
    return pc.cast(rounded, kind, safe=False)
