"""What a source may cost: bounds on memory and time, the same for every kind of source."""

from collections.abc import Iterable, Iterator

import msgspec
import pyarrow as pa

ROWS = 65_536
"""Rows in a batch, at most."""

BYTES = 32 * 1024 * 1024
"""Bytes in a batch, at most, unless a single row is larger."""

CELL_CHARACTERS = 16 * 1024 * 1024
"""Characters of a cell that are read; what lies beyond is reported as not read."""

BINARY_BYTES = 4096
"""Bytes of a binary value that are read: enough to tell what it is, which is all that is asked."""


class Patience(msgspec.Struct, frozen=True):
    """How long to wait for the other side, in seconds.

    Attributes:
        connect: for a connection.
        lock: for somebody else's lock.
        catalogue: for the list of tables.
        table: for all rows of one table.
    """

    connect: int = 10
    lock: int = 10
    catalogue: int = 600
    table: int = 4 * 3600


def bounded(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yields the same rows in batches of at most `ROWS` rows and `BYTES` bytes.

    Small batches are joined, large ones cut; one row larger than the bound stays whole.
    """
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        for piece in _pieces(batch):
            if held and (rows + piece.num_rows > ROWS or size + piece.nbytes > BYTES):
                yield _joined(held)
                held, rows, size = [], 0, 0
            held.append(piece)
            rows += piece.num_rows
            size += piece.nbytes
    if rows:
        yield _joined(held)


def rest(batches: Iterable[pa.RecordBatch], after: int) -> Iterator[pa.RecordBatch]:
    """Yields what comes after so many rows, for sources that can skip only by reading."""
    for batch in batches:
        if after >= batch.num_rows:
            after -= batch.num_rows
            continue
        yield batch.slice(after) if after else batch
        after = 0


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if batch.num_rows <= 1 or (batch.num_rows <= ROWS and batch.nbytes <= BYTES):
        yield batch
        return
    half = batch.num_rows // 2
    yield from _pieces(batch.slice(0, half))
    yield from _pieces(batch.slice(half))


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
