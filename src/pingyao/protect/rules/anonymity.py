"""How well a table hides its people: classes of equal quasi-identifiers, and what is sensitive in them."""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow as pa
from numba import njit

from pingyao.protect.rules.arrays import as_text, pc

_MIX = 0x9E3779B97F4A7C15
SIZES = (1, 2, 3, 5, 10, 20, 50, 100)
"""Lower bounds of the class sizes that reports count."""


class Coded(msgspec.Struct, frozen=True):
    """A column as small numbers in the order of its values; null is a value of its own, the first.

    Attributes:
        codes: int32, one for each row.
        values: the distinct values, by code.
        numeric: the values as numbers, where all of them are; else None.
    """

    codes: np.ndarray
    values: pa.Array
    numeric: np.ndarray | None


class Anonymity(msgspec.Struct, frozen=True):
    """What was measured.

    Attributes:
        k: size of the smallest class.
        classes: number of classes of rows with equal quasi-identifiers.
        unique: rows that are alone in their class.
        below: rows in classes smaller than each of `SIZES`.
        l: fewest distinct sensitive values in a class; None without a sensitive column.
        entropy_l: the exponential of the least entropy of the sensitive values of a class.
        t: largest distance of a class from the whole: for numbers the ordered earth mover's, for
            others half the sum of differences.
    """

    rows: int
    k: int
    classes: int
    unique: int
    below: tuple[tuple[int, int], ...]
    l: int | None = None  # noqa: E741 - its name in the literature
    entropy_l: float | None = None
    t: float | None = None


class Risk(msgspec.Struct, frozen=True):
    """The chance that a row is told to be somebody's, under three attackers.

    Attributes:
        prosecutor_highest: the attacker knows that his target is in the table.
        prosecutor_average: the same over all rows; also what a marketer gets right of the whole.
        above: share of rows with a prosecutor's chance above the threshold.
        journalist_highest: the attacker does not know that; None without the size of the population.
        marketer: the share of rows rightly told by one who tries all against the population.
    """

    threshold: float
    prosecutor_highest: float
    prosecutor_average: float
    above: float
    journalist_highest: float | None
    marketer: float


def coded(column: pa.ChunkedArray | pa.Array) -> Coded:
    """Gives each distinct value of a column its number, in the order of the values."""
    chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    if pa.types.is_floating(chunked.type) or pa.types.is_decimal(chunked.type):
        chunked = chunked.cast(pa.float64())
    encoded = chunked.dictionary_encode().unify_dictionaries()
    if not encoded.num_chunks:
        return Coded(np.empty(0, np.int32), chunked.combine_chunks(), None)
    distinct = encoded.chunk(0).dictionary
    numeric = _numbers(distinct)
    keys = pa.array(numeric) if numeric is not None else distinct
    order = pc.sort_indices(keys).to_numpy()
    # Code 0 is null's.
    rank = np.empty(len(order) + 1, np.int32)
    rank[order] = np.arange(1, len(order) + 1, dtype=np.int32)
    rank[len(order)] = 0
    absent = len(order)
    codes = [rank[c.indices.fill_null(absent).to_numpy()] for c in encoded.chunks]
    values = pa.concat_arrays([pa.nulls(1, distinct.type), distinct.take(pa.array(order))])
    sorted_ = None if numeric is None else np.concatenate(([np.nan], numeric[order]))
    return Coded(np.concatenate(codes), values, sorted_)


def _numbers(distinct: pa.Array) -> np.ndarray | None:
    """Returns the values as numbers if all are: also text of digits, of which dates are made."""
    kind = distinct.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return distinct.to_numpy(zero_copy_only=False).astype(np.float64)
    if pa.types.is_temporal(kind):
        whole = distinct.cast(pa.timestamp("us")) if pa.types.is_date(kind) else distinct
        return whole.cast(pa.int64(), safe=False).to_numpy().astype(np.float64)
    if pa.types.is_string(kind) and len(distinct):
        shaped = pc.match_substring_regex(distinct, r"^(0|[1-9]\d{0,14})$")
        if pc.all(shaped).as_py():
            return distinct.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return None


def classes(columns: Sequence[Coded]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers the classes of rows that are equal in every column.

    Returns:
        The class of each row, and the size of each class.
    """
    keys = columns[0].codes.astype(np.uint64)
    bound = len(columns[0].values)
    for column in columns[1:]:
        other = len(column.values)
        if bound * other >= 1 << 63:
            labels, bound = _numbered(keys, 1 << 12)
            keys = labels.astype(np.uint64)
        keys *= np.uint64(other)
        keys += column.codes.astype(np.uint64)
        bound *= other
    labels, count = _numbered(keys, 1 << 12)
    return labels, np.bincount(labels, minlength=count)


@njit(cache=True, nogil=True)
def _numbered(given, size):
    """Numbers the distinct keys in the order they appear, by open addressing that grows."""
    rows = len(given)
    labels = np.empty(rows, np.int32)
    keys = np.empty(size, np.uint64)
    slots = np.full(size, -1, np.int32)
    shift = np.uint64(64)
    step = size
    while step > 1:
        shift -= np.uint64(1)
        step >>= 1
    count = 0
    for row in range(rows):
        key = given[row]
        at = np.int64((key * np.uint64(_MIX)) >> shift)
        while slots[at] >= 0 and keys[at] != key:
            at = (at + 1) & (size - 1)
        if slots[at] < 0:
            keys[at] = key
            slots[at] = count
            count += 1
            labels[row] = count - 1
            if count * 2 > size:
                bigger = size * 4
                new_keys = np.empty(bigger, np.uint64)
                new_slots = np.full(bigger, -1, np.int32)
                shift -= np.uint64(2)
                for i in range(size):
                    if slots[i] >= 0:
                        to = np.int64((keys[i] * np.uint64(_MIX)) >> shift)
                        while new_slots[to] >= 0:
                            to = (to + 1) & (bigger - 1)
                        new_keys[to] = keys[i]
                        new_slots[to] = slots[i]
                keys, slots, size = new_keys, new_slots, bigger
        else:
            labels[row] = slots[at]
    return labels, count


def measure(quasi: Sequence[Coded], sensitive: Coded | None = None) -> Anonymity:
    """Measures k-anonymity, and with a sensitive column l-diversity and t-closeness."""
    labels, sizes = classes(quasi)
    rows = len(labels)
    if not rows:
        return Anonymity(0, 0, 0, 0, ())
    below = tuple((bound, int(sizes[sizes < bound].sum())) for bound in SIZES[1:])
    result = Anonymity(
        rows=rows,
        k=int(sizes.min()),
        classes=len(sizes),
        unique=int((sizes == 1).sum()),
        below=below,
    )
    if sensitive is None:
        return result
    least, entropy, distance = _diversity(
        *_by_class(labels, sensitive.codes), len(sensitive.values), sensitive.numeric is not None
    )
    return msgspec.structs.replace(
        result,
        l=int(least),
        entropy_l=round(float(np.exp(entropy)), 4),
        t=round(float(distance), 6),
    )


def _by_class(labels: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sensitive codes ordered by class, and where each class begins."""
    count = int(labels.max()) + 1
    return _bucketed(labels, codes, count)


@njit(cache=True, nogil=True)
def _bucketed(labels, codes, count):
    starts = np.zeros(count + 1, np.int64)
    for i in range(len(labels)):
        starts[labels[i] + 1] += 1
    for i in range(count):
        starts[i + 1] += starts[i]
    place = starts[:-1].copy()
    ordered = np.empty(len(codes), np.int32)
    for i in range(len(labels)):
        ordered[place[labels[i]]] = codes[i]
        place[labels[i]] += 1
    return ordered, starts


@njit(cache=True, nogil=True)
def _diversity(ordered, starts, values, by_order):
    rows = len(ordered)
    whole = np.zeros(values, np.float64)
    for code in ordered:
        whole[code] += 1.0 / rows
    present = np.flatnonzero(whole > 0)
    least, lowest, farthest = 1 << 60, 1e300, 0.0
    for group in range(len(starts) - 1):
        size = starts[group + 1] - starts[group]
        if size == 0:
            continue
        mine = np.sort(ordered[starts[group] : starts[group + 1]])
        distinct = 0
        entropy = 0.0
        met = 0.0
        shared = 0.0
        i = 0
        while i < size:
            j = i
            while j < size and mine[j] == mine[i]:
                j += 1
            share = (j - i) / size
            distinct += 1
            entropy -= share * np.log(share)
            # Half the sum of differences: what the class has too much of.
            shared += max(0.0, share - whole[mine[i]])
            i = j
        met = _ordered_distance(mine, whole, present) if by_order and len(present) > 1 else shared
        least = min(least, distinct)
        lowest = min(lowest, entropy)
        farthest = max(farthest, met)
    return least, lowest, farthest


@njit(cache=True, nogil=True)
def _ordered_distance(mine, whole, present):
    total = 0.0
    running = 0.0
    at = 0
    size = len(mine)
    for code in present:
        here = 0
        while at < size and mine[at] == code:
            here += 1
            at += 1
        running += here / size - whole[code]
        total += abs(running)
    return total / (len(present) - 1)


def risk(quasi: Sequence[Coded], threshold: float, population: int | None = None) -> Risk:
    """Returns the chances of re-identification.

    Args:
        population: how many people the table's rows are drawn from. A class is taken to be as much
            larger there as the population is larger than the table.
    """
    _, sizes = classes(quasi)
    rows = int(sizes.sum())
    if not rows:
        return Risk(threshold, 0.0, 0.0, 0.0, None, 0.0)
    scale = 1.0 if population is None else max(1.0, population / rows)
    return Risk(
        threshold=threshold,
        prosecutor_highest=float(1 / sizes.min()),
        prosecutor_average=len(sizes) / rows,
        above=float(sizes[1 / sizes > threshold].sum()) / rows,
        journalist_highest=None if population is None else float(1 / (sizes.min() * scale)),
        marketer=len(sizes) / rows / scale,
    )


def shown(column: Coded, low: int, high: int) -> str:
    """Names the values between two codes as one, e.g. ``1980–1989``."""
    names = as_text(column.values.take(pa.array([low, high]))).to_pylist()
    first, last = ("空" if n is None else n for n in names)
    return first if low == high else f"{first}–{last}"
