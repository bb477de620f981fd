"""Reads a table into profiles: batches come in while the columns of the last are still scanned."""

from collections import Counter
from collections.abc import Generator, Iterator
from concurrent.futures import Executor, Future
from contextlib import closing
from datetime import datetime
from typing import Protocol, runtime_checkable

import msgspec
import pyarrow as pa

from pingyao.classify.model import Table, Unread
from pingyao.classify.ports import Pace, Progress, Source
from pingyao.classify.rules import values
from pingyao.classify.rules.texts import Reader
from pingyao.classify.rules.values import Profile
from pingyao.kernel.errors import PingyaoError


class Part(msgspec.Struct, frozen=True):
    """How far a table was read, and what was seen so far; adding the rest gives the whole.

    Attributes:
        rows: rows read, from the beginning in the source's order.
        profiles: one a column.
        words: of a document, how often each word of the topics occurred.
        failure: why reading ended early.
        done: whether no more is to come.
        fingerprint: of the table, taken before its first row was read; empty for none.
        read_at: when its first row was read, where somebody asked.
    """

    rows: int = 0
    profiles: tuple[Profile, ...] = ()
    words: dict[int, int] = {}
    failure: Unread | None = None
    done: bool = False
    fingerprint: str = ""
    read_at: datetime | None = None


class Journal(Protocol):
    """Keeps how far a scan came, so that it can go on after an interruption."""

    def restore(self, table: Table) -> Part | None:
        """Returns how far a table was read; None when it was not begun, or is another now."""
        ...

    def due(self) -> bool:
        """Tells whether it is time to keep how far the table being read was read."""
        ...

    def keep(self, table: Table, part: Part) -> None:
        """Keeps how far a table was read."""
        ...

    def finish(self, table: Table, part: Part) -> None:
        """Keeps a table that was read to its end."""
        ...


@runtime_checkable
class SummingSource(Protocol):
    """A source that sums its tables up where they lie, instead of handing out their rows."""

    def sum_up(self, table: Table, limit: int | None) -> Part:
        """Returns what was seen of a table, or of ``limit`` rows of it.

        Raises:
            PingyaoError: what went wrong; nothing of the table counts as read.
        """
        ...


class Manner(msgspec.Struct, frozen=True):
    """How tables are read.

    Attributes:
        pool: where columns are scanned side by side.
        topics: the words of documents.
        limit: rows of a table to read at most; None for all.
    """

    pool: Executor
    topics: Reader
    limit: int | None = None
    journal: Journal | None = None
    pace: Pace | None = None
    progress: Progress | None = None


class _Tally:
    """What was seen so far; columns of the last batch may still be in the pool."""

    def __init__(self, begun: Part) -> None:
        self._begun = begun
        self.rows = begun.rows
        self._profiles = [*begun.profiles]
        self._words = Counter(begun.words)
        self._pending: list[Future[Profile]] = []

    def add(self, batch: pa.RecordBatch, how: Manner, *, document: bool) -> None:
        self._pending = [how.pool.submit(values.profile, a, self.rows) for a in batch.columns]
        if document:
            self._words += how.topics.count("\n".join(batch.column(0).to_pylist()))
        self.rows += batch.num_rows

    def settle(self) -> None:
        for i, future in enumerate(self._pending):
            self._profiles[i] = values.merge(self._profiles[i], future.result())
        self._pending = []

    def part(self, failure: Unread | None = None, *, done: bool = False) -> Part:
        self.settle()
        return msgspec.structs.replace(
            self._begun,
            rows=self.rows,
            profiles=tuple(self._profiles),
            words=dict(self._words),
            failure=failure,
            done=done,
        )


def read_table(source: Source, table: Table, how: Manner) -> Part:
    """Reads a table, from where the journal left it; a failure keeps what was read before it."""
    part = _begun(table, how)
    if how.progress is not None and part.rows:
        how.progress.rows(part.rows, 0)
    while not part.done:
        part = _read_on(source, table, part, how)
        if how.journal is not None:
            (how.journal.finish if part.done else how.journal.keep)(table, part)
        if how.pace is not None and not part.done:
            how.pace.wait()
    return part


def _read_on(source: Source, table: Table, begun: Part, how: Manner) -> Part:
    """Reads until the end, a failure, or the pace asks to let go of the source."""
    tally = _Tally(begun)
    try:
        if isinstance(source, SummingSource):
            return msgspec.structs.replace(
                source.sum_up(table, how.limit),
                fingerprint=begun.fingerprint,
                read_at=begun.read_at,
                done=True,
            )
        with closing(_after(source.batches(table, how.limit), begun.rows)) as rest:
            for batch in rest:
                tally.settle()
                if how.journal is not None and how.journal.due():
                    how.journal.keep(table, tally.part())
                tally.add(batch, how, document=table.kind == "document")
                if how.progress is not None:
                    how.progress.rows(batch.num_rows, batch.nbytes)
                # A sample is drawn anew every time, so there is no going on from a part of it.
                if how.pace is not None and how.pace(batch.num_rows) and how.limit is None:
                    return tally.part()
    except PingyaoError as error:
        where = f"{table.schema}.{table.name}" if table.schema else table.name
        failure = Unread(where, error.code, error.detail, error.remedy, tally.rows)
        return tally.part(failure, done=True)
    return tally.part(done=True)


def _begun(table: Table, how: Manner) -> Part:
    part = how.journal.restore(table) if how.journal is not None else None
    if part is None or len(part.profiles) != len(table.columns):
        return Part(profiles=(values.EMPTY,) * len(table.columns))
    # A sample is drawn anew: its rows have no order to go on from.
    if not part.done and how.limit is not None and part.rows:
        return Part(profiles=(values.EMPTY,) * len(table.columns))
    return part


def _after(batches: Iterator[pa.RecordBatch], rows: int) -> Generator[pa.RecordBatch]:
    """Yields what comes after so many rows; batches keep the bounds they had."""
    for batch in batches:
        if rows >= batch.num_rows:
            rows -= batch.num_rows
            continue
        yield batch.slice(rows) if rows else batch
        rows = 0
