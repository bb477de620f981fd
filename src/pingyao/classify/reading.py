"""Reads a table into profiles: batches come in while the columns of the last are still scanned."""

from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import closing
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

import msgspec
import pyarrow as pa

from pingyao.classify.model import Table, Unread
from pingyao.classify.ports import FingerprintedSource, Pace, Progress, Source
from pingyao.classify.rules import values
from pingyao.classify.rules.texts import Reader
from pingyao.classify.rules.values import Profile
from pingyao.kernel.errors import PingyaoError

_SMALL = 1 << 18
"""Bytes of a batch up to which handing it to other threads costs more than it saves."""
_AHEAD = 2
"""Batches asked for before the last one is scanned."""


class Part(msgspec.Struct, frozen=True):
    """How far a table was read, and what was seen so far; adding the rest gives the whole.

    Attributes:
        rows: rows read, from the beginning in the source's order.
        profiles: one a column.
        words: of a document, how often each word of the topics occurred.
        failure: why reading ended early.
        done: whether no more is to come.
        fingerprint: of the table, taken before its first row was read; empty for none.
        read_at: when its first row was read.
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
        workers: threads of the pool.
        reader: one thread, which reads while others scan.
        topics: the words of documents.
        limit: rows of a table to read at most; None for all.
    """

    pool: Executor
    workers: int
    reader: Executor
    topics: Reader
    limit: int | None = None
    journal: Journal | None = None
    pace: Pace | None = None
    progress: Progress | None = None


class _Tally:
    """What was seen so far; columns of the last batch may still be in the pool."""

    def __init__(self, begun: Part, how: Manner) -> None:
        self.rows = begun.rows
        self._begun = begun
        self._how = how
        self._profiles = [*begun.profiles]
        self._words = Counter(begun.words)
        self._pending: list[Future[list[Profile]]] = []

    def add(self, batch: pa.RecordBatch, *, document: bool) -> None:
        if batch.nbytes <= _SMALL:
            self._merge(_profiles(batch.columns, self.rows))
        else:
            groups = _grouped(batch, 4 * self._how.workers)
            self._pending = [self._how.pool.submit(_profiles, g, self.rows) for g in groups]
        if document:
            self._words += self._how.topics.count("\n".join(batch.column(0).to_pylist()))
        self.rows += batch.num_rows

    def settle(self) -> None:
        pending, self._pending = self._pending, []
        if pending:
            self._merge([profile for future in pending for profile in future.result()])

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

    def _merge(self, seen: Sequence[Profile]) -> None:
        self._profiles = [*map(values.merge, self._profiles, seen)]


def _profiles(columns: Sequence[pa.Array], first_row: int) -> list[Profile]:
    return [values.profile(column, first_row) for column in columns]


def _grouped(batch: pa.RecordBatch, most: int) -> Iterator[list[pa.Array]]:
    """Cuts a batch into neighbouring columns of about equal size, into no more groups than most."""
    enough = batch.nbytes / most
    group: list[pa.Array] = []
    size = 0
    for column in batch.columns:
        group.append(column)
        size += column.nbytes
        if size >= enough:
            yield group
            group, size = [], 0
    if group:
        yield group


def read_table(source: Source, table: Table, how: Manner) -> Part:
    """Reads a table, from where the journal left it; a failure keeps what was read before it.

    Rows that changed since, or of which the source cannot tell, are read from the first again.
    """
    part = _begun(table, how)
    if part.done and how.progress is not None:
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
    begun, resumed = _unless_changed(begun, source, table), bool(begun.rows)
    tally = _Tally(begun, how)
    try:
        if isinstance(source, SummingSource):
            return msgspec.structs.replace(
                source.sum_up(table, how.limit),
                fingerprint=begun.fingerprint,
                read_at=begun.read_at,
                done=True,
            )
        if how.progress is not None and resumed:
            how.progress.table(table.name, table.estimated_rows)
            how.progress.rows(tally.rows, 0)
        batches = source.batches(table, how.limit, tally.rows)
        with closing(_read_ahead(batches, how.reader)) as rest:
            for batch in rest:
                tally.settle()
                if how.journal is not None and how.journal.due():
                    how.journal.keep(table, tally.part())
                tally.add(batch, document=table.kind == "document")
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
        return _nothing(table)
    # A sample is drawn anew: its rows have no order to go on from.
    if not part.done and how.limit is not None and part.rows:
        return _nothing(table)
    return part


def _nothing(table: Table) -> Part:
    return Part(profiles=(values.EMPTY,) * len(table.columns))


def _unless_changed(begun: Part, source: Source, table: Table) -> Part:
    """Returns what to go on from: nothing where rows changed, or where nobody can tell."""
    if begun.rows:
        now = fingerprinted(source, table)
        if now and now == begun.fingerprint:
            return begun
    else:
        now = begun.fingerprint or fingerprinted(source, table)
    return msgspec.structs.replace(_nothing(table), fingerprint=now, read_at=datetime.now(UTC))


def fingerprinted(source: Source, table: Table) -> str:
    """Returns the fingerprint of a table; empty where the source has none, or does not answer."""
    if not isinstance(source, FingerprintedSource):
        return ""
    try:
        return source.fingerprint(table) or ""
    except PingyaoError:
        # Reading the table will tell what is wrong, if it still is.
        return ""


def _read_ahead(batches: Iterator[pa.RecordBatch], reader: Executor) -> Generator[pa.RecordBatch]:
    """Yields the batches; from the first large one on, the reader fetches those to come."""
    pending: deque[Future[pa.RecordBatch | None]] = deque()
    try:
        for batch in batches:
            if batch.nbytes > _SMALL:
                pending.extend(reader.submit(next, batches, None) for _ in range(_AHEAD))
                yield batch
                break
            yield batch
        while pending and (ahead := pending.popleft().result()) is not None:
            pending.append(reader.submit(next, batches, None))
            yield ahead
    finally:
        wait([future for future in pending if not future.cancel()])
        if isinstance(batches, Generator):
            batches.close()
