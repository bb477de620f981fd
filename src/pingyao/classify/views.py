"""The catalogue as it is looked at: counts from the tally, pages from the index; no verdict is decoded for a list."""

from collections import Counter
from typing import Annotated, Any, Literal

import msgspec
import sqlalchemy as sa

from pingyao.classify.store import columns, scans
from pingyao.classify.tally import named_like, names, systems, tallies

State = Literal["", "review", "decided", "proposed"]
_t = columns.c


class Filter(msgspec.Struct, frozen=True):
    """Which columns; what is empty does not count.

    Attributes:
        level, personal: this and above.
        state: ``review`` waits for a person; ``decided`` had one; ``proposed`` is what the machine says.
        words: part of the name of table or column.
    """

    source: str = ""
    schema: str = ""
    table: str = ""
    level: Annotated[int, msgspec.Meta(ge=0, le=5)] = 0
    personal: Annotated[int, msgspec.Meta(ge=0, le=3)] = 0
    state: State = ""
    words: Annotated[str, msgspec.Meta(max_length=100)] = ""


class Row(msgspec.Struct, frozen=True):
    """One column in a list."""

    id: int
    source: str
    schema: str
    table: str
    column: str
    type: str
    level: int
    personal: int
    abstained: bool
    locked: bool
    version: int


class TableRow(msgspec.Struct, frozen=True):
    """One table in a list, with the highest of its columns and what of it waits."""

    source: str
    schema: str
    table: str
    columns: int
    level: int
    personal: int
    review: int


class SourceRow(msgspec.Struct, frozen=True):
    """One system: its columns by level, those of C3, those that wait, those decided."""

    source: str
    tables: int
    columns: int
    levels: dict[int, int]
    c3: int
    review: int
    decided: int


class ScanRow(msgspec.Struct, frozen=True):
    """One scan that was recorded."""

    id: int
    source: str
    kind: str
    coverage: str
    finished_at: str


class Overview(msgspec.Struct, frozen=True):
    """The whole catalogue at a glance."""

    sources: tuple[SourceRow, ...]
    levels: dict[int, int]
    columns: int
    c3: int
    review: int
    decided: int
    scans: tuple[ScanRow, ...]


def overview(db: sa.Connection, scans_shown: int = 8) -> Overview:
    """Returns the counts of every system and of all."""
    per: dict[str, Counter[object]] = {}
    for source, level, personal, abstained, locked, count in db.execute(sa.select(tallies)):
        seen = per.setdefault(source, Counter())
        seen[level] += count
        seen["c3"] += count * (personal == 3)
        seen["review"] += count * (abstained and not locked)
        seen["decided"] += count * bool(locked)
    tables: dict[str, int] = {r[0]: r[1] for r in db.execute(sa.select(systems))}
    rows = tuple(
        SourceRow(
            source,
            tables.get(source, 0),
            sum(seen[i] for i in range(1, 6)),
            {i: seen[i] for i in range(1, 6)},
            seen["c3"],
            seen["review"],
            seen["decided"],
        )
        for source, seen in sorted(per.items())
        if source in tables
    )
    return Overview(
        rows,
        {i: sum(r.levels[i] for r in rows) for i in range(1, 6)},
        sum(r.columns for r in rows),
        sum(r.c3 for r in rows),
        sum(r.review for r in rows),
        sum(r.decided for r in rows),
        read_scans(db, scans_shown),
    )


def read_scans(db: sa.Connection, limit: int) -> tuple[ScanRow, ...]:
    """Returns the latest scans, newest first."""
    s = scans.c
    query = sa.select(s.id, s.source, s.kind, s.coverage, s.finished_at)
    return tuple(ScanRow(*r) for r in db.execute(query.order_by(s.id.desc()).limit(limit)))


def read_sources(db: sa.Connection) -> list[str]:
    """Returns the names of all systems."""
    return list(db.execute(sa.select(systems.c.source).order_by(systems.c.source)).scalars())


def read_tables(
    db: sa.Connection, source: str, after: tuple[str, str], limit: int
) -> list[TableRow]:
    """Returns tables of a system by name, beginning after one."""
    waits = sa.func.sum(sa.case((sa.and_(_t.abstained, sa.not_(_t.locked)), 1), else_=0))
    named = (_t.source, _t.schema_name, _t.table_name)
    query = (
        sa.select(*named, sa.func.count(), sa.func.max(_t.level), sa.func.max(_t.personal), waits)
        .where(_t.gone.is_(False), _t.source == source)
        .where(
            sa.tuple_(_t.schema_name, _t.table_name)
            > sa.tuple_(sa.literal(after[0]), sa.literal(after[1]))
        )
        .group_by(*named)
        .order_by(*named)
        .limit(limit)
    )
    return [TableRow(*r) for r in db.execute(query)]


def read_columns(db: sa.Connection, wanted: Filter, after: int, limit: int) -> list[Row]:
    """Returns columns by number, beginning after one."""
    # The numbers are found in the index first; only the few rows shown are then read.
    if _named_only(wanted):
        number = names.c.id
        query = sa.select(number).where(named_like(db, wanted.words))
    else:
        number = _t.id
        query = sa.select(number).where(*_found(db, wanted))
    # A table has few columns: they are better sorted than walked to through all the others.
    order = number + 0 if wanted.table else number
    numbers = query.where(number > after).order_by(order).limit(limit).subquery()
    query = (
        sa.select(
            _t.id,
            _t.source,
            _t.schema_name,
            _t.table_name,
            _t.column_name,
            _t.type,
            _t.level,
            _t.personal,
            _t.abstained,
            _t.locked,
            _t.version,
        )
        .join(numbers, numbers.c.id == _t.id)
        .order_by(_t.id)
    )
    return [Row(*r) for r in db.execute(query)]


def count_columns(db: sa.Connection, wanted: Filter) -> int:
    """Returns how many columns there are."""
    if not (wanted.words or wanted.schema or wanted.table):
        total = sa.func.coalesce(sa.func.sum(tallies.c.columns), 0)
        return db.execute(sa.select(total).where(*_conditions(wanted, tallies.c))).scalar_one()
    query = sa.select(sa.func.count())
    if _named_only(wanted):
        query = query.select_from(names).where(named_like(db, wanted.words))
    else:
        query = query.select_from(columns).where(*_found(db, wanted))
    return db.execute(query).scalar_one()


def _named_only(wanted: Filter) -> bool:
    return bool(wanted.words) and wanted == Filter(words=wanted.words)


def _found(db: sa.Connection, wanted: Filter) -> list[sa.ColumnElement[bool]]:
    """Names are searched in a table of their own, which is small; only what is found is looked up."""
    found = [_t.gone.is_(False), *_conditions(wanted, _t)]
    if wanted.schema:
        found.append(_t.schema_name == wanted.schema)
    if wanted.table:
        found.append(_t.table_name == wanted.table)
    if wanted.words:
        found.append(_t.id.in_(sa.select(names.c.id).where(named_like(db, wanted.words))))
    return found


def _conditions(wanted: Filter, t: Any) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if wanted.source:
        found.append(t.source == wanted.source)
    if wanted.level:
        found.append(t.level >= wanted.level)
    if wanted.personal:
        found.append(t.personal >= wanted.personal)
    if wanted.state == "review":
        found += [t.abstained.is_(True), t.locked.is_(False)]
    elif wanted.state == "decided":
        found.append(t.locked.is_(True))
    elif wanted.state == "proposed":
        found += [t.abstained.is_(False), t.locked.is_(False)]
    return found
