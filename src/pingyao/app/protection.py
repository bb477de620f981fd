"""Wires classification into the protect room."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pyarrow as pa

from pingyao.classify.knowledge import Knowledge, load_knowledge
from pingyao.classify.model import ScanResult, Table, TableVerdict, Unread, Verdict
from pingyao.classify.ports import Progress, Source
from pingyao.classify.service import scan
from pingyao.classify.sources.open import open_source
from pingyao.protect.model import (
    Asset,
    Content,
    Field,
    Found,
    Inventory,
    Place,
    Staged,
    Unseen,
)
from pingyao.protect.packs import DataType, load_policy
from pingyao.protect.picking import pick
from pingyao.protect.rules.content import Digest
from pingyao.protect.rules.policy import Policy

_LIKELY = 0.05


def inventory_of(result: ScanResult) -> Inventory:
    """Returns a scan as protection sees it."""
    return Inventory(
        source=result.source,
        kind=result.kind,
        coverage=result.coverage,
        assets=tuple(_asset(t) for t in result.tables),
        unseen=tuple(Unseen(u.where, u.detail) for u in result.unread),
        packs=tuple(f"{p.name}@{p.version}" for p in result.packs),
    )


def _asset(verdict: TableVerdict) -> Asset:
    table = verdict.table
    fields = tuple(field_of(v) for v in verdict.columns)
    return Asset(table.schema, table.name, fields, table.comment, verdict.rows_read)


def field_of(verdict: Verdict) -> Field:
    """Returns a verdict as protection sees it."""
    return Field(
        place=Place(verdict.id.schema, verdict.id.table, verdict.id.column),
        type=verdict.type,
        level=int(verdict.labels.level),
        personal=int(verdict.labels.personal),
        declared_type=verdict.declared_type,
        comment=verdict.comment,
        subject=verdict.subject,
        sure=not verdict.abstained,
        guesses=tuple(g.type for g in verdict.guesses if g.probability >= _LIKELY),
        found=tuple(Found(f.type, f.count, f.rows) for f in verdict.findings),
    )


class SourceReading:
    """A source of classification, opened for protection."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._tables: dict[tuple[str, str], Table] = {}

    def columns(self) -> Iterator[tuple[str, str, Sequence[str]]]:
        """Yields what tables there are and their columns."""
        for table in self._source.tables():
            if not isinstance(table, Unread):
                self._tables[table.schema, table.name] = table
                yield table.schema, table.name, [c.name for c in table.columns]

    def types(self, schema: str, table: str) -> dict[str, str]:
        """Returns the declared types of a table that `columns` yielded."""
        return {c.name: c.declared_type for c in self._tables[schema, table].columns}

    def table(self, schema: str, name: str) -> Table:
        """Returns a table that `columns` yielded."""
        return self._tables[schema, name]

    def batches(self, asset: Asset) -> Iterator[pa.RecordBatch]:
        """Yields the rows of a table."""
        return self._source.batches(self._tables[asset.schema, asset.name])


class Rescan:
    """Classification of a target that was just written, under the names of its source.

    Args:
        reading: the source, for the names, comments and types its tables have.
    """

    def __init__(
        self, knowledge: Knowledge, reading: SourceReading, progress: Progress | None = None
    ) -> None:
        self._knowledge, self._reading, self._progress = knowledge, reading, progress

    def __call__(self, staged: Staged) -> Inventory:
        """Scans every row."""
        with closing(_open_target(staged.address)) as source:
            renamed = _Renamed(source, staged, self._reading)
            seen = inventory_of(scan(renamed, self._knowledge, progress=self._progress))
            return msgspec.structs.replace(seen, contents=renamed.contents)


class _Renamed:
    """A target as a source whose tables have the names and comments of the tables they came from.

    Attributes:
        contents: of tables of a database, read whole: the digests of their rows.
    """

    def __init__(self, source: Source, staged: Staged, reading: SourceReading) -> None:
        self.name, self.kind = source.name, source.kind
        self._source, self._staged, self._reading = source, staged, reading
        self._written: dict[tuple[str, str], Table] = {}
        self.contents: dict[tuple[str, str], Content] = {}

    def tables(self) -> Iterator[Table | Unread]:
        for table in self._source.tables():
            home = (
                None
                if isinstance(table, Unread)
                else self._staged.tables.get((table.schema, table.name))
            )
            if isinstance(table, Unread) or home is None:
                yield table
                continue
            original = self._reading.table(*home)
            self._written[home] = table
            known = {c.name: c for c in original.columns}
            columns = tuple(known.get(c.name, c) for c in table.columns)
            yield msgspec.structs.replace(original, columns=columns, estimated_rows=None)

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        home = table.schema, table.name
        batches = self._source.batches(self._written.get(home, table), limit, after)
        if self._staged.files or home not in self._written or limit is not None or after:
            return batches
        return self._digested(home, batches)

    def _digested(
        self, home: tuple[str, str], batches: Iterator[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        rows = Digest()
        for batch in batches:
            rows.add(batch)
            yield batch
        self.contents[home] = rows.done()

    def close(self) -> None:
        self._source.close()


def witness(staged: Staged) -> dict[tuple[str, str], Content]:
    """Reads the tables of a database that were just written, and returns the digests of their rows."""
    if staged.files:
        return {}
    with closing(_open_target(staged.address)) as source:
        return {
            home: _digest(source.batches(table))
            for table in source.tables()
            if not isinstance(table, Unread)
            and (home := staged.tables.get((table.schema, table.name)))
        }


def content(spec: str, table: str) -> tuple[Asset, Content]:
    """Reads a table of a source whole and returns it with the digest of its rows."""
    with closing(open_source(spec)) as source:
        reading = SourceReading(source)
        asset = pick(reading, table, ())
        return asset, _digest(reading.batches(asset))


def _digest(batches: Iterator[pa.RecordBatch]) -> Content:
    rows = Digest()
    for batch in batches:
        rows.add(batch)
    return rows.done()


def _open_target(address: str) -> Source:
    if "://" not in address:
        return open_source(address)
    from pingyao.classify.sources.credentials import parse_address
    from pingyao.classify.sources.limits import Patience

    # The password of the source, in its variable, is not the target's.
    if address.startswith("mysql://"):
        from pingyao.classify.sources.mysql import MySQL

        return MySQL(parse_address(address, "mysql", 3306, {}), Patience())
    from pingyao.classify.sources.postgresql import PostgreSQL

    return PostgreSQL(parse_address(address, "postgresql", 5432, {}), Patience())


def policy(own: Sequence[Path]) -> Policy:
    """Loads the policy packs; the vocabulary of types is classification's."""
    types = load_knowledge().types.values()
    return load_policy([DataType(t.id, t.zh, t.family or t.id) for t in types], own)
