"""k-anonymity measured and enforced, beside the packages people use for it."""

import sys
import time

import numpy as np
import pyarrow as pa

from pingyao.protect.rules.anonymity import Coded, coded, measure
from pingyao.protect.rules.mondrian import loss, partition

_PEER_ROWS = (16_000, 64_000, 250_000, 1_000_000)


def _people(rows: int, rng: np.random.Generator) -> dict[str, pa.Array]:
    born = (np.datetime64("1945-01-01") + rng.integers(0, 22_000, rows)).astype("datetime64[D]")
    region = np.array([f"{n:06d}" for n in range(110_000, 112_800)])
    school = np.array(["10", "20", "30", "40", "50", "60", "70", "80", "90"])
    return {
        "gender": pa.array(np.array(["男", "女"])[rng.integers(0, 2, rows)]),
        "born": pa.array(born),
        "region": pa.array(region[np.minimum(rng.zipf(1.3, rows) - 1, len(region) - 1)]),
        "school": pa.array(school[rng.integers(0, len(school), rows)]),
    }


def _check(rows: int, rng: np.random.Generator) -> tuple[str, str, str, str]:
    people = _people(rows, rng)
    measure([coded(c) for c in _people(100, rng).values()])
    started = time.process_time()
    found = measure([coded(c) for c in people.values()])
    spent = time.process_time() - started
    return (
        f"k-匿名检验，{rows:,} 行 × 4 个准标识",
        "python -m benchmarks.anonymity",
        "10 M 行 ≤ 3 CPU 秒",
        f"{spent:.2f} CPU 秒（k={found.k}，{found.classes:,} 类）",
    )


def _numbers(rows: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "age": rng.integers(18, 90, rows),
        "area": rng.integers(0, 2_800, rows),
        "school": rng.integers(0, 9, rows),
        "gender": rng.integers(0, 2, rows),
    }


def _enforce(columns: dict[str, np.ndarray], k: int) -> tuple[float, float]:
    started = time.process_time()
    quasi = [coded(pa.array(c)) for c in columns.values()]
    order, ends = partition(quasi, k)
    spent = time.process_time() - started
    return spent, loss(quasi, order, ends)


def _peer(columns: dict[str, np.ndarray], k: int) -> tuple[float, float] | None:
    try:
        import pandas as pd
        from anonypy import mondrian
    except ImportError:
        return None
    frame = pd.DataFrame(columns | {"secret": np.zeros(len(columns["age"]), np.int64)})
    started = time.process_time()
    parts = mondrian.Mondrian(frame, list(columns), "secret").partition(k)
    spent = time.process_time() - started
    quasi: list[Coded] = [coded(pa.array(c)) for c in columns.values()]
    order = np.concatenate([np.asarray(p) for p in parts])
    ends = np.concatenate(([0], np.cumsum([len(p) for p in parts])))
    return spent, loss(quasi, order, ends)


def run(quick: bool) -> list[tuple[str, str, str, str]]:
    """Measures; returns rows of what, command or figure, target, measured."""
    rng = np.random.default_rng(7)
    result = [_check(1_000_000 if quick else 10_000_000, rng)]
    rows = 100_000 if quick else 1_000_000
    _enforce(_numbers(1_000, rng), 5)
    spent, lost = _enforce(_numbers(rows, rng), 5)
    what = f"k=5 强制，{rows:,} 行 × 4 个准标识"
    command = "python -m benchmarks.anonymity"
    result.append((what, command, "—", f"{spent:.2f} CPU 秒，损失 {lost:.4f}"))
    for rows in (4_000,) if quick else _PEER_ROWS:
        columns = _numbers(rows, rng)
        mine, peer = _enforce(columns, 5), _peer(columns, 5)
        if peer is None:
            return [
                *result,
                ("与 anonypy 同机对照", "pip install anonypy", "≥ 100 ×", "未安装，未测"),
            ]
        measured = (
            f"{mine[0]:.4f} 对 {peer[0]:.2f} CPU 秒（{peer[0] / mine[0]:,.0f} ×）；"
            f"损失 {mine[1]:.4f} 对 {peer[1]:.4f}"
        )
        result.append(
            (f"与 anonypy 同表对照，{rows:,} 行", command, "≥ 100 ×，损失不更多", measured)
        )
    return result


if __name__ == "__main__":
    for row in run("--quick" in sys.argv):
        print(" | ".join(row), flush=True)
