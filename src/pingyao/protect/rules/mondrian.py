"""Makes a table k-anonymous: classes cut in halves as long as each stays large and diverse enough.

Mondrian, on numbers instead of rows: every quasi-identifier is a column of small codes in the order of
its values, a class a stretch of one array of row numbers, and a cut moves row numbers within it.

Cites: LeFevre, DeWitt, Ramakrishnan: Mondrian Multidimensional K-Anonymity, ICDE 2006.
"""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numba import njit

from pingyao.kernel.errors import Invalid
from pingyao.protect.rules.anonymity import Coded, shown


def partition(
    quasi: Sequence[Coded],
    k: int,
    sensitive: Coded | None = None,
    l: int = 1,  # noqa: E741 - its name in the literature
    t: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts the rows into classes of at least ``k``, each with ``l`` sensitive values and within ``t``.

    Returns:
        Row numbers ordered by class, and where each class begins, its end last.

    Raises:
        Invalid: the table as a whole does not have what is asked of each class.
    """
    rows = len(quasi[0].codes)
    if rows < k:
        raise Invalid(
            "protect.too_few_rows", f"只有 {rows:,} 行，达不到 k={k}", "请增加数据或降低 k"
        )
    codes = np.ascontiguousarray(np.stack([c.codes for c in quasi]))
    secret = sensitive.codes if sensitive is not None else np.zeros(rows, np.int32)
    values = len(sensitive.values) if sensitive is not None else 1
    whole = np.bincount(secret, minlength=values) / rows
    if np.count_nonzero(whole) < l:
        raise Invalid(
            "protect.too_few_values",
            f"敏感列只有 {np.count_nonzero(whole):,} 种取值，达不到 l={l}",
            "请降低 l",
        )
    scales = np.array([_scale(c) for c in quasi])
    weights = [_weights(c) for c in quasi]
    widths = np.zeros((len(quasi), max(len(w) for w in weights)))
    for row, weight in enumerate(weights):
        widths[row, : len(weight)] = weight
    return _mondrian(codes, widths, scales, k, secret, whole, l, t, sensitive is not None)


def _weights(column: Coded) -> np.ndarray:
    """Returns where each code lies on its axis: numbers where they are, others one after another."""
    if column.numeric is None:
        return np.arange(len(column.values), dtype=np.float64)
    known = column.numeric[1:]
    low = known.min() if len(known) else 0.0
    # Null lies below the least number by the mean distance between two.
    step = (known.max() - low) / max(1, len(known) - 1) if len(known) > 1 else 1.0
    return np.concatenate(([-step], known - low))


def _scale(column: Coded) -> float:
    weights = _weights(column)
    used = np.unique(column.codes)
    span = weights[used[-1]] - weights[used[0]] if len(used) else 0.0
    return float(1.0 / span if span > 0 else 0.0)


@njit(cache=True, nogil=True)
def _mondrian(codes, widths, scales, k, secret, whole, l, t, guarded):  # noqa: E741 - l as in l-diversity
    dims, rows = codes.shape
    order = np.arange(rows).astype(np.int64)
    spare = np.empty(rows, np.int64)
    counts = np.zeros(widths.shape[1], np.int64)
    tally = np.zeros(len(whole), np.int64)
    ends = np.empty(rows // k + 2, np.int64)
    ends[0] = 0
    made = 1
    stack_low = [0]
    stack_high = [rows]
    spans = np.empty(dims)
    while len(stack_low):
        low, high = stack_low.pop(), stack_high.pop()
        cut = -1
        if high - low >= 2 * k:
            for d in range(dims):
                first = last = codes[d, order[low]]
                for i in range(low + 1, high):
                    code = codes[d, order[i]]
                    first = min(first, code)
                    last = max(last, code)
                spans[d] = (widths[d, last] - widths[d, first]) * scales[d]
            for d in np.argsort(-spans):
                if spans[d] <= 0:
                    break
                cut = _cut(codes[d], order, low, high, k, counts, spare)
                if (
                    cut > 0
                    and guarded
                    and not (
                        _diverse(order, low, cut, secret, whole, tally, l, t)
                        and _diverse(order, cut, high, secret, whole, tally, l, t)
                    )
                ):
                    cut = -1
                if cut > 0:
                    break
        if cut > 0:
            # The left half is finished first, so that classes end one after another.
            stack_low.append(cut)
            stack_high.append(high)
            stack_low.append(low)
            stack_high.append(cut)
        else:
            ends[made] = high
            made += 1
    return order, ends[:made]


@njit(cache=True, nogil=True)
def _cut(codes, order, low, high, k, counts, spare):
    """Orders a class by one column into what is at most its median and what is above; -1 if one is small."""
    first = last = codes[order[low]]
    for i in range(low, high):
        code = codes[order[i]]
        first = min(first, code)
        last = max(last, code)
    size = high - low
    if last - first < 4 * size:
        for code in range(first, last + 1):
            counts[code] = 0
        for i in range(low, high):
            counts[codes[order[i]]] += 1
        best, at, running = -1, -1, 0
        for code in range(first, last):
            running += counts[code]
            away = min(running, size - running)
            if away > best:
                best, at = away, code
            if 2 * running >= size:
                break
    else:
        mine = np.empty(size, codes.dtype)
        for i in range(size):
            mine[i] = codes[order[low + i]]
        mine.sort()
        half = mine[(size - 1) // 2]
        below = np.searchsorted(mine, half, "left")
        upto = np.searchsorted(mine, half, "right")
        if min(upto, size - upto) >= min(below, size - below):
            best, at = min(upto, size - upto), half
        else:
            best, at = min(below, size - below), mine[below - 1]
    if best < k:
        return -1
    left, right = low, 0
    for i in range(low, high):
        row = order[i]
        if codes[row] <= at:
            order[left] = row
            left += 1
        else:
            spare[right] = row
            right += 1
    for i in range(right):
        order[left + i] = spare[i]
    return left


@njit(cache=True, nogil=True)
def _diverse(order, low, high, secret, whole, tally, l, t):  # noqa: E741 - as above
    distinct = 0
    for i in range(low, high):
        code = secret[order[i]]
        distinct += tally[code] == 0
        tally[code] += 1
    over = 0.0
    size = high - low
    for i in range(low, high):
        code = secret[order[i]]
        if tally[code]:
            over += max(0.0, tally[code] / size - whole[code])
            tally[code] = 0
    return distinct >= l and over <= t


def generalised(column: Coded, order: np.ndarray, ends: np.ndarray) -> pa.Array:
    """Returns the column with every value replaced by the range of its class."""
    lows, highs = _ranges(column.codes, order, ends)
    pairs = lows.astype(np.int64) * len(column.values) + highs
    distinct, index = np.unique(pairs, return_inverse=True)
    names = [
        shown(column, int(pair // len(column.values)), int(pair % len(column.values)))
        for pair in distinct
    ]
    of_class = np.repeat(index.reshape(-1), np.diff(ends))
    of_row = np.empty(len(order), np.int64)
    of_row[order] = of_class
    return pa.array(names, pa.string()).take(pa.array(of_row))


@njit(cache=True, nogil=True)
def _ranges(codes, order, ends):
    count = len(ends) - 1
    lows = np.empty(count, np.int32)
    highs = np.empty(count, np.int32)
    for group in range(count):
        low = high = codes[order[ends[group]]]
        for i in range(ends[group], ends[group + 1]):
            code = codes[order[i]]
            low = min(low, code)
            high = max(high, code)
        lows[group], highs[group] = low, high
    return lows, highs


def loss(quasi: Sequence[Coded], order: np.ndarray, ends: np.ndarray) -> float:
    """Returns the normalised certainty penalty: 0 when nothing is lost, 1 when everything is.

    Of a number the width of its range, of another value the number of values its range holds.
    """
    sizes = np.diff(ends)
    total = 0.0
    for column in quasi:
        lows, highs = _ranges(column.codes, order, ends)
        weights = _weights(column)
        total += float((sizes * (weights[highs] - weights[lows])).sum()) * _scale(column)
    return total / (len(order) * len(quasi))
