"""The value kernel on twelve columns, all detectors on, one core."""

import time

from benchmarks.rows import Row
from benchmarks.table import batches
from pingyao.classify.rules import values

_REPEATS = 5


def run(quick: bool) -> list[Row]:
    """Measures cells per CPU-second, the best of several passes over each column."""
    rows = 200_000 if quick else 1_000_000
    (batch,) = batches(rows, chunk=rows)
    for column in batch.columns:
        values.profile(column.slice(0, 10))
    spent = sum(min(_seconds(column) for _ in range(_REPEATS)) for column in batch.columns)
    rate = rows * batch.num_columns / spent / 1e6
    size = batch.nbytes / spent / 1e6
    return [
        Row(
            f"取值内核，12 列 × {rows:,} 行",
            "python -m benchmarks kernel",
            "≥ 3,000 万格每 CPU 秒",
            f"{rate:.1f} 百万格、{size:,.0f} MB 每 CPU 秒",
        )
    ]


def _seconds(column) -> float:
    before = time.process_time()
    values.profile(column)
    return time.process_time() - before
