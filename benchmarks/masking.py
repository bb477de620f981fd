"""Masking three columns of a Parquet file, beside copying it through the same reader and writer."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pingyao.app.example import values
from pingyao.app.keeping import StoredKeys
from pingyao.app.protection import SourceReading, policy
from pingyao.classify.sources.parquet import open_parquet
from pingyao.platform.crypto.keys import Key, KeyInfo
from pingyao.protect.model import Asset, Choice, Field, Place
from pingyao.protect.ports import Vault
from pingyao.protect.rules.apply import Worker
from pingyao.protect.rules.keyed import Keyed
from pingyao.protect.sinks.files import FilesSink

_TYPES = {"name": "person_name", "id_no": "id_card_no", "mobile": "mobile", "card": "bank_card_no"}
_KEYS = StoredKeys(Key(KeyInfo("benchmark", 1, "hmac-sha256", "", datetime.now(UTC)), bytes(32)))


def _no_vault(name: str) -> Vault:
    raise LookupError(name)


def _example(path: Path, rows: int) -> None:
    rng = np.random.default_rng(7)
    number = np.arange(rows, dtype=np.int64)
    pq.write_table(
        pa.table(
            {
                "cust_no": values.fixed(values.number(number, 10)),
                "name": values.names(rng, rows),
                "id_no": values.id_cards(rng, rows),
                "mobile": values.mobiles(rng, rows),
                "card": values.cards(rng, rows),
                "branch": values.fixed(values.digits(rng, rows, 4)),
                "opened": values.fixed(values.ymd(values.days(rng, rows, 2000, 2026))),
                "status": values.pick(rng, rows, ["0", "1", "2"]),
                "balance": np.round(rng.lognormal(9, 1.6, rows), 2),
                "limit": np.round(rng.lognormal(10, 1.6, rows), 2),
                "count": rng.integers(0, 100, rows),
                "rate": np.round(rng.uniform(0.2, 8.5, rows), 4),
            }
        ),
        path,
    )


def _through(source: Path, target: Path, techniques: dict[str, str]) -> float:
    """Returns the CPU-seconds of a file through the reader, the worker and the writer."""
    reading = SourceReading(open_parquet(source))
    ((schema, table, names),) = reading.columns()
    fields = {n: Field(Place(schema, table, n), _TYPES.get(n, "other"), 2, 0) for n in names}
    asset = Asset(schema, table, tuple(fields.values()))
    choices = [Choice(f, (), techniques.get(n, "keep"), {}, ()) for n, f in fields.items()]
    worker = Worker(choices, policy(()), Keyed(_KEYS, "benchmark"), _no_vault)
    started = time.process_time()
    batches = reading.batches(asset)
    first = next(batches)

    def made() -> Iterator[pa.RecordBatch]:
        change: Callable[[pa.RecordBatch], pa.RecordBatch] = worker if techniques else _same
        yield change(first)
        yield from map(change, batches)

    sink = FilesSink(target, "parquet", single=True)
    sink.write(asset, worker.schema(first.schema) if techniques else first.schema, made())
    sink.commit()
    spent = time.process_time() - started
    target.unlink()
    return spent


def _same(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


def run(quick: bool) -> list[tuple[str, str, str, str]]:
    """Measures; returns rows of what, command or figure, target, measured."""
    rows = 200_000 if quick else 1_000_000
    kinds = {
        "掩码": dict.fromkeys(("name", "id_no", "mobile"), "mask"),
        "保留格式加密（FF1-AES）": dict.fromkeys(("id_no", "mobile", "card"), "fpe"),
        "密钥假名": dict.fromkeys(("name", "id_no", "mobile"), "pseudonym"),
        "仿真替换": {"name": "surrogate", "id_no": "pseudonym", "mobile": "surrogate"},
    }
    result: list[tuple[str, str, str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.parquet", Path(folder) / "out.parquet"
        _example(source, rows)
        for techniques in ({}, *kinds.values()):  # compiled before anything is timed
            _through(source, target, techniques)
        times = 1 if quick else 3
        copied = min(_through(source, target, {}) for _ in range(times))
        for name, techniques in kinds.items():
            spent = min(_through(source, target, techniques) for _ in range(times))
            what = f"{rows:,} 行 × 12 列，三列{name}，Parquet → Parquet"
            goal = "≤ 2 × 复制" if name == "掩码" else "—"
            measured = f"{spent / copied:.2f} ×（{spent:.2f} / {copied:.2f} CPU 秒）"
            result.append((what, "python benchmarks/masking.py", goal, measured))
    return result


if __name__ == "__main__":
    for row in run("--quick" in sys.argv):
        print(" | ".join(row))
