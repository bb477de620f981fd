"""What protection needs from outside."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from pingyao.protect.model import Asset, Inventory, Made, Staged


class Keys(Protocol):
    """A secret of 32 bytes in somebody's keeping, from which keys are derived."""

    def derive(self, purpose: str) -> bytes:
        """Returns the 32-byte key of a purpose; the same purpose always gives the same key."""
        ...


class Cipher(Protocol):
    """A block cipher with blocks of 16 bytes, from a library made for it."""

    def encrypt_blocks(self, key: bytes, data: bytes) -> bytes:
        """Encrypts each block on its own, under a key of 32 bytes.

        Not a way to encrypt data: other constructions are built on it.
        """
        ...


class Reading(Protocol):
    """A source opened for reading."""

    def columns(self) -> Iterator[tuple[str, str, Sequence[str]]]:
        """Yields schema, table and column names of every table as they are now."""
        ...

    def batches(self, asset: Asset) -> Iterator[pa.RecordBatch]:
        """Yields the rows of a table, columns named and ordered as now."""
        ...


class Sink(Protocol):
    """A target that is complete or untouched: nothing shows before `commit`."""

    @property
    def name(self) -> str:
        """The name shown and recorded, free of credentials."""
        ...

    def write(self, asset: Asset, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
        """Writes a table into the staging place; returns its rows."""
        ...

    def staged(self) -> Staged:
        """Returns what was written, so that it can be scanned; to be called after the last `write`."""
        ...

    def commit(self) -> tuple[Made, ...]:
        """Makes the target appear, all of it at once."""
        ...

    def discard(self) -> None:
        """Removes the staging place, as if nothing had been."""
        ...


class Scanner(Protocol):
    """Classification, as protection sees it."""

    def __call__(self, staged: Staged) -> Inventory:
        """Scans every row of what was written.

        Tables and columns are judged, and named, under the names and comments they have in the
        source: what the scan says differs from before only by what the cells hold.
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
