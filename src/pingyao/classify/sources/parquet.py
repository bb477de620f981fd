"""Parquet files, one row group after another, a page of each column at a time."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import compute

from pingyao.classify.model import Column, Table
from pingyao.classify.sources.failures import failure
from pingyao.classify.sources.fingerprints import file_fingerprint
from pingyao.classify.sources.limits import BINARY_BYTES, ROWS, bounded, rest

_AT_ONCE = 8 * 1024 * 1024
"""Bytes decoded at once, of all columns together, by what the file says of their size."""
_PIECE = 64 * 1024
"""Bytes read from the file at once, of one column."""


class ParquetSource:
    """One Parquet file as a table; a field's ``comment`` or ``description`` is its comment."""

    kind = "parquet"

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        try:
            # Otherwise Arrow holds a whole row group, as large as whoever wrote the file liked.
            self._file = pq.ParquetFile(path, buffer_size=_PIECE, pre_buffer=False)
        except (pa.ArrowInvalid, OSError):
            raise failure("scan.damaged", self.name) from None

    def tables(self) -> Iterator[Table]:
        """Yields the file as its one table."""
        schema = self._file.schema_arrow
        columns = tuple(Column(f.name, str(f.type), _comment(f)) for f in schema)
        rows = self._file.metadata.num_rows
        comment = _said(schema.metadata or {})
        yield Table("", self._path.stem, comment, "file", columns, rows)

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Yields the rows; of a sample, an equal share from every row group.

        Row groups that were read before are not even opened.
        """
        names = [column.name for column in table.columns]
        # Of a file whose names are not distinct, all is read.
        some = names if names != self._file.schema_arrow.names else None
        groups = self._file.num_row_groups
        share = None if limit is None else -(-limit // max(1, groups))
        left = limit
        try:
            for group in range(groups):
                facts = self._file.metadata.row_group(group)
                rows = facts.num_rows
                if after >= rows:
                    after -= rows
                    continue
                taken, skipped, after = 0, after, 0
                step = min(ROWS, share or ROWS, rows * _AT_ONCE // max(1, facts.total_byte_size))
                stream = self._file.iter_batches(max(1, step), row_groups=[group], columns=some)
                chosen = (_shortened(b.select(some) if some else b) for b in stream)
                for batch in rest(bounded(chosen), skipped):
                    if left is None or share is None:
                        yield batch
                        continue
                    piece = batch.slice(0, min(share - taken, left))
                    if not piece.num_rows:
                        break
                    taken, left = taken + piece.num_rows, left - piece.num_rows
                    yield piece
        except (pa.ArrowInvalid, OSError):
            raise failure("scan.damaged", self.name) from None

    def fingerprint(self, table: Table) -> str | None:
        """Returns the fingerprint of the file, which all its tables share."""
        del table
        return file_fingerprint(self._path)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _shortened(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Returns a batch with no more of its binary values than tells what they are."""
    columns = [
        compute.call_function("binary_slice", [c], compute.SliceOptions(0, BINARY_BYTES))
        if pa.types.is_binary(c.type) or pa.types.is_large_binary(c.type)
        else c
        for c in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _comment(field: pa.Field) -> str:
    return _said(field.metadata or {})


def _said(metadata: dict[bytes, bytes]) -> str:
    for key in (b"comment", b"description"):
        if key in metadata:
            return metadata[key].decode("utf-8", "replace")
    return ""


def open_parquet(path: Path) -> ParquetSource:
    """Opens a Parquet file.

    Raises:
        IntegrityBroken: it is damaged or cut off.
    """
    return ParquetSource(path)
