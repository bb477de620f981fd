"""Figures of merit with 95 % confidence intervals, in NumPy."""

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

_Z = 1.959963984540054


class Share(msgspec.Struct, frozen=True):
    """A figure between 0 and 1 with its 95 % interval; ``n`` observations, NaN when there are none."""

    value: float
    low: float
    high: float
    n: int


def wilson(hits: int, n: int) -> Share:
    """Returns ``hits / n`` with its Wilson score interval.

    Raises:
        ValueError: ``hits`` is not within 0…n.
    """
    if not 0 <= hits <= n:
        raise ValueError(f"hits {hits} outside 0..{n}")
    if n == 0:
        return Share(float("nan"), 0.0, 1.0, 0)
    p, z2 = hits / n, _Z * _Z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low, high = max(0.0, float(middle - half)), min(1.0, float(middle + half))
    return Share(p, min(low, p), max(high, p), n)


def f1_by_class(truth: Sequence[str], said: Sequence[str]) -> dict[str, float]:
    """Returns the F1 of every class that occurs in ``truth``; 0 where nothing was found."""
    both = Counter(t for t, s in zip(truth, said, strict=True) if t == s)
    true, claimed = Counter(truth), Counter(said)
    return {c: 2 * both[c] / (true[c] + claimed[c]) for c in true}


def macro_f1(truth: Sequence[str], said: Sequence[str], least: int = 1) -> float:
    """Returns the mean F1 over classes with at least ``least`` true rows; NaN when there are none."""
    counts = Counter(truth)
    scores = [f for c, f in f1_by_class(truth, said).items() if counts[c] >= least]
    return float(np.mean(scores)) if scores else float("nan")


def macro_f1_share(
    truth: Sequence[str], said: Sequence[str], least: int = 1, rounds: int = 500, seed: int = 7
) -> Share:
    """Returns the macro-F1 with a percentile bootstrap over rows, classes held to those of the whole."""
    counts = Counter(truth)
    kept = sorted(c for c, n in counts.items() if n >= least)
    code = {c: i for i, c in enumerate(sorted({*truth, *said}))}
    t = np.array([code[x] for x in truth], dtype=np.int64)
    s = np.array([code[x] for x in said], dtype=np.int64)
    chosen = np.array([code[c] for c in kept], dtype=np.int64)

    def score(rows: np.ndarray) -> float:
        a, b = t[rows], s[rows]
        size = len(code)
        hit = np.bincount(a[a == b], minlength=size)[chosen]
        both = np.bincount(a, minlength=size)[chosen] + np.bincount(b, minlength=size)[chosen]
        there = np.bincount(a, minlength=size)[chosen] > 0
        return float(np.mean(2 * hit[there] / both[there])) if there.any() else float("nan")

    low, high = bootstrap(score, len(truth), rounds, seed) if kept else (0.0, 1.0)
    return Share(macro_f1(truth, said, least), low, high, len(truth))


def bootstrap(
    score: Callable[[np.ndarray], float], n: int, rounds: int, seed: int
) -> tuple[float, float]:
    """Returns the 2.5 and 97.5 percentiles of ``score`` over resampled row numbers 0…n-1."""
    rng = np.random.default_rng(seed)
    drawn = np.array([score(rng.integers(0, n, n)) for _ in range(rounds)])
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def confusions(
    truth: Sequence[str], said: Sequence[str], most: int = 10
) -> list[tuple[str, str, int]]:
    """Returns the most frequent (true, said, count) among the wrong ones, ties by name."""
    wrong = Counter((t, s) for t, s in zip(truth, said, strict=True) if t != s)
    ranked = sorted(wrong.items(), key=lambda x: (-x[1], x[0]))[:most]
    return [(t, s, n) for (t, s), n in ranked]
