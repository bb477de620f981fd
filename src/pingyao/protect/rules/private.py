"""Counts and sums with differential privacy; the noise is OpenDP's, in whole numbers, and proved by it."""

# pyright: basic
# OpenDP is an extra, imported when it is used; its types are not at hand without it.

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from pingyao.kernel.errors import Unsupported
from pingyao.protect.rules.anonymity import coded
from pingyao.protect.rules.arrays import as_text, pc


class Question(msgspec.Struct, frozen=True):
    """What is asked of a table.

    Attributes:
        epsilon: what the answer costs.
        total: column to sum; empty to count rows.
        low, high: bounds to which its numbers are clipped; they must not be taken from the data.
        unit: step to which they are rounded.
        by: column of groups; empty for one answer.
        groups: the groups, known beforehand; all other rows are answered as one more.
        person: column that says whose a row is; empty where nobody has two.
        most: rows of one person that count.
    """

    epsilon: float
    total: str = ""
    low: float = 0.0
    high: float = 0.0
    unit: float = 1.0
    by: str = ""
    groups: tuple[str, ...] = ()
    person: str = ""
    most: int = 1

    @property
    def said(self) -> str:
        """The question as ledger and evidence have it."""
        asked = f"sum({self.total})" if self.total else "count"
        return f"{asked} by {self.by}" if self.by else asked


class Answer(msgspec.Struct, frozen=True):
    """An answer with noise.

    Attributes:
        group: empty when there is one answer; None for the rows of no known group.
        margin: the truth lies within, at 95 %.
    """

    group: str | None
    value: float
    margin: float


def answer(question: Question, columns: dict[str, pa.ChunkedArray]) -> list[Answer]:
    """Answers with noise calibrated to what one person can change.

    Raises:
        Unsupported: OpenDP is not installed.
    """
    try:
        dp: Any = import_module("opendp.prelude")
    except ImportError:
        raise Unsupported(
            "protect.no_opendp", "没有安装 OpenDP", "请安装附加组件：pip install 'pingyao[dp]'"
        ) from None
    dp.enable_features("contrib")
    sums, distance = exact(question, columns)
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    scale = dp.binary_search_param(
        lambda s: dp.m.make_laplace(*space, scale=s), d_in=distance, d_out=question.epsilon, T=float
    )
    noisy = dp.m.make_laplace(*space, scale=scale)(sums)
    unit = question.unit if question.total else 1.0
    margin = float(dp.discrete_laplacian_scale_to_accuracy(scale, 0.05)) * unit
    names: tuple[str | None, ...] = (*question.groups, None) if question.by else ("",)
    return [
        Answer(name, round(value * unit, 6), round(margin, 6))
        for name, value in zip(names, noisy, strict=True)
    ]


def exact(question: Question, columns: dict[str, pa.ChunkedArray]) -> tuple[list[int], int]:
    """Returns the answers without noise, in steps; never to be shown.

    Returns:
        The answers, and how far one person can move all of them together (L1).
    """
    steps = _steps(question, columns)
    kept = _within(question, columns, len(steps))
    at = _groups(question, columns, len(steps))[kept]
    count = len(question.groups) + 1 if question.by else 1
    if not question.total:
        return [int(n) for n in np.bincount(at, minlength=count)], question.most
    widest = max(abs(_in_steps(question.low, question)), abs(_in_steps(question.high, question)))
    return _summed(at, steps[kept], count), max(1, widest * question.most)


def _in_steps(value: float, question: Question) -> int:
    """Returns a bound in whole steps."""
    return round(value / question.unit)


def _steps(question: Question, columns: dict[str, pa.ChunkedArray]) -> np.ndarray:
    if not question.total:
        return np.ones(len(next(iter(columns.values()))), np.int64)
    values = columns[question.total].cast(pa.float64()).fill_null(0.0).to_numpy()
    bounded = np.clip(np.nan_to_num(values), question.low, question.high)
    return np.round(bounded / question.unit).astype(np.int64)


def _summed(at: np.ndarray, steps: np.ndarray, groups: int) -> list[int]:
    """Sums whole numbers exactly: halves of 32 bits, each below 2⁵³ over four million rows and more."""
    low = np.bincount(at, weights=(steps & 0xFFFFF).astype(np.float64), minlength=groups)
    high = np.bincount(at, weights=(steps >> 20).astype(np.float64), minlength=groups)
    return [int(h) * (1 << 20) + int(n) for h, n in zip(high, low, strict=True)]


def _within(question: Question, columns: dict[str, pa.ChunkedArray], rows: int) -> np.ndarray:
    """Returns which rows count: the first so many of each person."""
    if not question.person:
        return np.ones(rows, np.bool_)
    codes = coded(columns[question.person]).codes
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    begins = np.r_[True, ordered[1:] != ordered[:-1]]
    start = np.maximum.accumulate(np.where(begins, np.arange(rows), 0))
    kept = np.empty(rows, np.bool_)
    kept[order] = np.arange(rows) - start < question.most
    return kept


def _groups(question: Question, columns: dict[str, pa.ChunkedArray], rows: int) -> np.ndarray:
    if not question.by:
        return np.zeros(rows, np.int64)
    known = pa.array(question.groups, pa.string())
    chunks: Sequence[pa.Array] = columns[question.by].chunks
    found = [pc.index_in(as_text(c), value_set=known).fill_null(len(known)) for c in chunks]
    return np.concatenate([f.to_numpy(zero_copy_only=False) for f in found]).astype(np.int64)
