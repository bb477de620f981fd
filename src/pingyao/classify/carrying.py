"""Incremental scans: what was seen of a table holds until its fingerprint changes."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec

from pingyao.classify.model import Because, Column, ScanResult, Table, TableVerdict
from pingyao.classify.ports import Source
from pingyao.classify.reading import Journal, Part, fingerprinted
from pingyao.classify.rules import values
from pingyao.classify.rules.drift import drift
from pingyao.classify.store import Reading

_PART = msgspec.json.Decoder(Part)
_COLUMNS = msgspec.json.Decoder(tuple[Column, ...])
_ENCODE = msgspec.json.Encoder().encode


@cache
def software() -> str:
    """Returns a name for everything that decides what is seen in the same rows.

    Rule packs are not part of it: they judge what was seen.
    """
    room = files("pingyao.classify")
    data = room.joinpath("data")
    parts = [room.joinpath(p) for p in ("reading.py", "rules/texts.py", "rules/values", "sources")]
    parts += [data.joinpath(p) for p in ("values.json", "texts.txt")]
    shared = files("pingyao.platform")
    parts += [shared.joinpath(p) for p in ("checks.py", "lanes.py", "spans.py")]
    digest = hashlib.sha256(b"".join(text for part in parts for text in _texts(part)))
    return f"{version('pingyao')} {digest.hexdigest()[:32]}"


def _texts(part: Traversable) -> Iterator[bytes]:
    if part.is_file():
        yield part.name.encode() + part.read_bytes()
    elif part.name != "__pycache__":
        for each in sorted(part.iterdir(), key=lambda p: p.name):
            yield from _texts(each)


class Carrying:
    """A journal that gives back what an earlier scan saw of tables unchanged since.

    Args:
        known: what earlier scans saw of this source, read in the same way.
        sample_rows: rows asked for of each table; 0 for all.
        reuse: False reads every table, and only compares.
        journal: keeps how far this scan came.
    """

    def __init__(
        self,
        source: Source,
        known: Iterable[Reading],
        *,
        sample_rows: int = 0,
        reuse: bool = True,
        journal: Journal | None = None,
    ) -> None:
        self._source = source
        self._known = {(r.schema, r.name): r for r in known}
        self._sample_rows = sample_rows
        self._reuse = reuse
        self._journal = journal
        self._because: dict[tuple[str, str], Because] = {}
        self._carried: dict[tuple[str, str], datetime | None] = {}
        self._fresh: dict[tuple[str, str], Reading] = {}

    @property
    def fresh(self) -> list[Reading]:
        """What was seen of the tables that were read, to be kept."""
        return [*self._fresh.values()]

    def restore(self, table: Table) -> Part | None:
        """Returns how far this scan read a table, or all that an earlier one saw of it."""
        begun = self._journal.restore(table) if self._journal is not None else None
        if begun is not None:
            if begun.done:
                self._take(table, begun)
            return begun
        key = (table.schema, table.name)
        fingerprint = fingerprinted(self._source, table)
        known = self._known.get(key)
        if self._reuse:
            because = _because(known, table, fingerprint)
            if known is not None and because is None:
                part = _PART.decode(known.part)
                self._carried[key] = part.read_at
                return part
            self._because[key] = because or "new"
        profiles = (values.EMPTY,) * len(table.columns)
        return Part(profiles=profiles, fingerprint=fingerprint)

    def due(self) -> bool:
        """Tells whether it is time to keep how far the table being read was read."""
        return self._journal is not None and self._journal.due()

    def keep(self, table: Table, part: Part) -> None:
        """Keeps how far a table was read."""
        if self._journal is not None:
            self._journal.keep(table, part)

    def finish(self, table: Table, part: Part) -> None:
        """Keeps what was seen of a table that was read to its end."""
        if self._journal is not None:
            self._journal.finish(table, part)
        self._take(table, part)

    def told(self, result: ScanResult) -> ScanResult:
        """Returns a result that says what was carried over, why the rest was read, and what drifted."""
        return msgspec.structs.replace(result, tables=tuple(map(self._told, result.tables)))

    def _told(self, verdict: TableVerdict) -> TableVerdict:
        key = (verdict.table.schema, verdict.table.name)
        known, fresh = self._known.get(key), self._fresh.get(key)
        columns = verdict.columns
        if known is not None and fresh is not None and known.software == fresh.software:
            before = _profiles(known)
            now = _profiles(fresh)
            columns = tuple(
                msgspec.structs.replace(v, drift=drift(before[v.id.column], now[v.id.column]))
                if v.id.column in before
                else v
                for v in columns
            )
        return msgspec.structs.replace(
            verdict,
            columns=columns,
            carried_from=self._carried.get(key),
            read_because=self._because.get(key),
        )

    def _take(self, table: Table, part: Part) -> None:
        if part.failure is not None:
            return
        kept = msgspec.structs.replace(part, profiles=tuple(map(values.bare, part.profiles)))
        self._fresh[table.schema, table.name] = Reading(
            schema=table.schema,
            name=table.name,
            sample_rows=self._sample_rows,
            software=software(),
            columns=_ENCODE(table.columns).decode(),
            part=_ENCODE(kept).decode(),
        )


def _because(known: Reading | None, table: Table, fingerprint: str) -> Because | None:
    """Returns why a table is to be read; None when what is known of it holds."""
    if known is None:
        return "new"
    if known.software != software():
        return "software"
    then = [(c.name, c.declared_type) for c in _COLUMNS.decode(known.columns)]
    if then != [(c.name, c.declared_type) for c in table.columns]:
        return "columns"
    if not fingerprint:
        return "unknown"
    return None if _PART.decode(known.part).fingerprint == fingerprint else "changed"


def _profiles(reading: Reading) -> dict[str, values.Profile]:
    names = [c.name for c in _COLUMNS.decode(reading.columns)]
    return dict(zip(names, _PART.decode(reading.part).profiles, strict=True))
