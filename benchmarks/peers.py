"""DataProfiler and Presidio on the same table, side by side with this software, in one run.

The peers live in an environment of their own (``make bench`` lays it out): they pin versions that
would not suit ours. Each says what it takes a column for; a column counts as right when that is
what the column holds. Presidio is run with its predefined pattern recognisers, as it comes, and
without a language model, which would only slow it.
"""

import os
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.rows import Row, measured
from benchmarks.table import batches, write_parquet

PYTHON = os.environ.get("PINGYAO_PEERS_PYTHON", ".venv-peers/bin/python")
_COMMAND = "make bench"


def run(quick: bool) -> list[Row]:
    """Measures rows per CPU-second of all three, and how many of the columns each gets right."""
    if not Path(PYTHON).exists():
        return [
            Row("DataProfiler、Presidio 对照", _COMMAND, "≥ 50×、≥ 300×", "未测：未安装对照软件")
        ]
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "large.parquet", Path(folder) / "small.parquet"
        write_parquet(large, 200_000 if quick else 1_000_000)
        (head,) = batches(20_000, chunk=20_000)
        with pq.ParquetWriter(small, head.schema) as writer:
            writer.write_batch(head)
        ours = measured("benchmarks.peers_ours", str(large))
        theirs = {
            name: measured("benchmarks.peers_theirs", name, str(small), python=PYTHON)
            for name in ("dataprofiler", "presidio")
        }
    rows = [_row("本软件，全部检测，全量", ours, ours, "—")]
    rows.append(_row("DataProfiler（含标签模型）", theirs["dataprofiler"], ours, "≥ 50×"))
    rows.append(_row("Presidio（预置规则，逐格）", theirs["presidio"], ours, "≥ 300×"))
    return rows


def _row(name: str, seen: dict[str, float], ours: dict[str, float], target: str) -> Row:
    rate = seen["rows"] / seen["cpu"]
    times = ours["rows"] / ours["cpu"] / rate
    ratio = f"，本软件为其 {times:,.0f} 倍" if seen is not ours else ""
    right = f"12 列认对 {seen['right']:.0f} 列"
    return Row(name, _COMMAND, target, f"{rate:,.0f} 行每 CPU 秒{ratio}；{right}")
