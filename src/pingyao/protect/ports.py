"""What protection needs from outside."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import pyarrow as pa

from pingyao.kernel.event import EvidenceEvent
from pingyao.protect.model import Asset, Content, Inventory, Staged, Suite, Use

BINARY_READ = 4096
"""Bytes of a binary value that a source gives at most: what may be longer is not whole."""


class Keys(Protocol):
    """A named key in somebody's keeping, from which others are derived."""

    @property
    def name(self) -> str:
        """The key's name."""
        ...

    @property
    def version(self) -> int:
        """Its version."""
        ...

    @property
    def suite(self) -> Suite:
        """The algorithms that go with it."""
        ...

    def derive(self, use: str, length: int = 32) -> bytes:
        """Returns the key of a use; the same use always gives the same key."""
        ...


class Vault(Protocol):
    """Random tokens that lead back to their values."""

    def tokenise(self, array: pa.Array) -> pa.Array:
        """Replaces values by their tokens; nulls stay."""
        ...

    def detokenise(self, array: pa.Array) -> pa.Array:
        """Gives the values back; that it was asked becomes evidence.

        Raises:
            NotFound: tokens that are not of this vault; no value is given.
        """
        ...


class Reading(Protocol):
    """A source opened for reading."""

    def columns(self) -> Iterator[tuple[str, str, Sequence[str]]]:
        """Yields schema, table and column names of every table as they are now."""
        ...

    def types(self, schema: str, table: str) -> Mapping[str, str]:
        """Returns the declared types of a table's columns by their names; to be called after `columns`."""
        ...

    def batches(self, asset: Asset) -> Iterator[pa.RecordBatch]:
        """Yields the rows of a table, columns named and ordered as now."""
        ...


class Target(Protocol):
    """A target that is complete or untouched: nothing shows before `commit`."""

    @property
    def name(self) -> str:
        """The name shown and recorded, free of credentials."""
        ...

    def staged(self) -> Staged:
        """Returns what was written, so that it can be scanned; to be called after the last `write`."""
        ...

    def commit(self) -> None:
        """Makes the target appear, all of it at once; to be called after `staged`."""
        ...

    def discard(self) -> None:
        """Removes the staging place, as if nothing had been."""
        ...


class Sink(Target, Protocol):
    """A target of tables."""

    def write(self, asset: Asset, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
        """Writes a table into the staging place; returns its rows."""
        ...


class Scanner(Protocol):
    """Classification, as protection sees it."""

    def __call__(self, staged: Staged) -> Inventory:
        """Scans every row of what was written.

        Tables and columns are judged, and named, under the names and comments they have in the
        source: what the scan says differs from before only by what the cells hold.
        """
        ...


class Witness(Protocol):
    """Reads what was written once more, to know it again."""

    def __call__(self, staged: Staged) -> Mapping[tuple[str, str], Content]:
        """Returns the digests of the rows of its tables, by their schema and name in the source.

        What is a file is known by its own digest and not among them.
        """
        ...


class Book(Protocol):
    """Where records are kept, and evidence of them."""

    def __call__(
        self,
        event: EvidenceEvent,
        record: bytes,
        staged: Staged | None = None,
        use: Use | None = None,
    ) -> AbstractContextManager[None]:
        """Keeps a record and its evidence if, and only if, what is done inside succeeds.

        Args:
            record: as JSON.
            staged: files of the target; of each it is kept which it was.
            use: the approval that is used up by it; one that does not cover it stops it.
        """
        ...


class Progress(Protocol):
    """Told how the work goes on."""

    def table(self, name: str, estimated_rows: int | None) -> None:
        """A table begins."""
        ...

    def rows(self, count: int, size: int) -> None:
        """So many more rows of the current table are done, of so many bytes."""
        ...
