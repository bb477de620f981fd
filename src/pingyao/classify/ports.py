"""What classification needs from outside."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import pyarrow as pa

from pingyao.classify.model import Table, Unread


class Source(Protocol):
    """Something that can be scanned, opened read-only.

    A source never writes, never shows its password, and bounds its memory: batches hold at most
    65,536 rows or about 32 MiB, whichever comes first.
    """

    @property
    def name(self) -> str:
        """The name shown and stored, free of credentials."""
        ...

    @property
    def kind(self) -> str:
        """The kind of source, e.g. ``postgresql`` or ``csv``."""
        ...

    def tables(self) -> Iterator[Table | Unread]:
        """Yields every table in a stable order; what cannot be described comes as `Unread`."""
        ...

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Yields the rows of a table, columns named and ordered as in ``table.columns``.

        Args:
            table: one that `tables` yielded, or with fewer columns; the others are not read.
            limit: at most this many rows, spread over the table where the source can.
            after: without a limit, leaves out so many rows from the first, as cheaply as the
                source can.

        Raises:
            PingyaoError: what went wrong and the remedy; rows already yielded stay valid.
        """
        ...

    def close(self) -> None:
        """Lets go of connections and files."""
        ...


@runtime_checkable
class FingerprintedSource(Protocol):
    """A source that can tell, cheaply, whether a table is still as it was."""

    def fingerprint(self, table: Table) -> str | None:
        """Returns what changes whenever the rows of a table do; None where nothing surely does.

        It may change without a change of rows, but never the other way round; while it is the same,
        the rows come in the same order. It is taken before the rows are read, so that a change
        meanwhile shows the next time.

        Raises:
            PingyaoError: the source does not answer.
        """
        ...


class Progress(Protocol):
    """Told how a scan goes on."""

    def table(self, name: str, estimated_rows: int | None) -> None:
        """A table begins."""
        ...

    def rows(self, count: int, size: int) -> None:
        """So many more rows of the current table were read, of so many bytes."""
        ...


class Pace(Protocol):
    """Holds a scan back, so that a production database is not hurt."""

    def __call__(self, rows: int, /) -> bool:
        """Told that so many rows were read, waits as long as they cost.

        Returns:
            Whether to let go of the source until `wait` returns.
        """
        ...

    def wait(self) -> None:
        """Waits through the hours in which nothing is to be read."""
        ...
