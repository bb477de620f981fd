"""A whole scan of the table from Parquet: CPU time after start-up, peak memory, growth with rows."""

import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.rows import Row, measured, peak
from benchmarks.table import write_parquet

_SIZES = (1_000_000, 10_000_000, 30_000_000)


def run(quick: bool) -> list[Row]:
    """Scans the table of a million rows, and unless in a hurry of ten and thirty million."""
    result: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        for rows in _SIZES[: 1 if quick else None]:
            write_parquet(path, rows)
            seen = measured("benchmarks.whole", str(path))
            result.append(
                Row(
                    f"全量扫描 Parquet，12 列 × {rows:,} 行",
                    "python -m benchmarks whole",
                    f"≤ {3 * rows // 1_000_000} CPU 秒，内存峰值 ≤ 600 MB",
                    f"{seen['cpu']:.2f} CPU 秒，{seen['wall']:.2f} 秒，峰值 {seen['peak']:.0f} MB",
                )
            )
    return result


def main(path: str) -> None:
    """Scans one file in this process and prints what that cost, start-up left out."""
    import pyarrow as pa

    from pingyao.classify.knowledge import load_knowledge
    from pingyao.classify.rules import values
    from pingyao.classify.service import scan
    from pingyao.classify.sources.open import open_source

    knowledge = load_knowledge(())
    for kind in (pa.array(["x", None]), pa.array([1.5])):
        values.profile(kind)
    wall, cpu = time.perf_counter(), time.process_time()
    scan(open_source(path), knowledge)
    spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    print(json.dumps({**spent, "peak": peak()}))


if __name__ == "__main__":
    main(sys.argv[1])
