"""The table that scans are measured on: twelve columns of a bank's customers, made up and seeded."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pingyao.app.example.kinds import KINDS

COLUMNS = {
    "cust_no": "custkey",
    "cust_nm": "name",
    "cert_no": "idcard",
    "mobile": "mobile",
    "email": "email",
    "card_no": "card",
    "uscc": "uscc",
    "corp_nm": "company",
    "addr": "address",
    "open_dt": "date",
    "bal": "balance",
    "remark": "remark",
}
_CHUNK = 1_000_000


def batches(rows: int, seed: int = 7, chunk: int = _CHUNK) -> "list[pa.RecordBatch]":
    """Makes the table's rows, in batches of at most ``chunk``."""
    return [_batch(first, min(chunk, rows - first), seed) for first in range(0, rows, chunk)]


def _batch(first: int, rows: int, seed: int) -> pa.RecordBatch:
    rng = np.random.default_rng((seed, first))
    arrays = [KINDS[kind].make(rng, rows, first) for kind in COLUMNS.values()]
    return pa.RecordBatch.from_arrays(arrays, names=list(COLUMNS))


def write_parquet(path: Path, rows: int, seed: int = 7) -> None:
    """Writes the table as Parquet, a million rows at a time."""
    writer = None
    for first in range(0, rows, _CHUNK):
        batch = _batch(first, min(_CHUNK, rows - first), seed)
        writer = writer or pq.ParquetWriter(path, batch.schema)
        writer.write_batch(batch, row_group_size=_CHUNK)
    if writer:
        writer.close()
