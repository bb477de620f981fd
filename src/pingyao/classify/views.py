"""The catalogue as it is looked at: counts and pages, from the index alone; no verdict is decoded for a list."""

from collections import Counter
from typing import Annotated, Any, Literal

import msgspec
import sqlalchemy as sa

from pingyao.classify.store import columns, scans

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
    groups = [_t.source, _t.level, _t.personal, _t.abstained, _t.locked]
    query = sa.select(*groups, sa.func.count()).where(_t.gone.is_(False)).group_by(*groups)
    per: dict[str, Counter[object]] = {}
    for source, level, personal, abstained, locked, count in db.execute(query):
        seen = per.setdefault(source, Counter())
        seen[level] += count
        seen["c3"] += count * (personal == 3)
        seen["review"] += count * (abstained and not locked)
        seen["decided"] += count * bool(locked)
    apart = (
        sa.select(_t.source, _t.schema_name, _t.table_name).where(_t.gone.is_(False)).distinct()
    ).subquery()
    tables: dict[str, int] = {
        r[0]: r[1]
        for r in db.execute(sa.select(apart.c.source, sa.func.count()).group_by(apart.c.source))
    }
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
    query = sa.select(_t.source).where(_t.gone.is_(False)).distinct().order_by(_t.source)
    return list(db.execute(query).scalars())


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
    numbers = (
        sa.select(_t.id).where(*_conditions(wanted), _t.id > after).order_by(_t.id).limit(limit)
    ).subquery()
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
    query = sa.select(sa.func.count()).select_from(columns).where(*_conditions(wanted))
    return db.execute(query).scalar_one()


def _conditions(wanted: Filter) -> list[sa.ColumnElement[bool]]:
    found: list[Any] = [_t.gone.is_(False)]
    for column, value in (
        (_t.source, wanted.source),
        (_t.schema_name, wanted.schema),
        (_t.table_name, wanted.table),
    ):
        if value:
            found.append(column == value)
    if wanted.level:
        found.append(_t.level >= wanted.level)
    if wanted.personal:
        found.append(_t.personal >= wanted.personal)
    if wanted.state == "review":
        found += [_t.abstained.is_(True), _t.locked.is_(False)]
    elif wanted.state == "decided":
        found.append(_t.locked.is_(True))
    elif wanted.state == "proposed":
        found += [_t.abstained.is_(False), _t.locked.is_(False)]
    if wanted.words:
        found.append(
            sa.or_(
                _t.column_name.icontains(wanted.words, autoescape=True),
                _t.table_name.icontains(wanted.words, autoescape=True),
            )
        )
    return found
