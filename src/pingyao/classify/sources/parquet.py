"""Parquet files, one row group after another."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pingyao.classify.model import Column, Table
from pingyao.classify.sources.failures import failure
from pingyao.classify.sources.fingerprints import file_fingerprint
from pingyao.classify.sources.limits import ROWS, bounded, rest


class ParquetSource:
    """One Parquet file as a table; a field's ``comment`` or ``description`` is its comment."""

    kind = "parquet"

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        try:
            self._file = pq.ParquetFile(path)
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
        del table
        groups = self._file.num_row_groups
        share = None if limit is None else -(-limit // max(1, groups))
        left = limit
        try:
            for group in range(groups):
                rows = self._file.metadata.row_group(group).num_rows
                if after >= rows:
                    after -= rows
                    continue
                taken, skipped, after = 0, after, 0
                stream = self._file.iter_batches(ROWS, row_groups=[group])
                for batch in rest(bounded(stream), skipped):
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
