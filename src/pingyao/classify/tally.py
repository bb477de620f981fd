"""Counts and names of the catalogue, kept in the transaction that changes it: no page walks over all columns."""

from collections import Counter
from collections.abc import Collection, Generator
from contextlib import contextmanager

import sqlalchemy as sa

from pingyao.classify.store import columns, metadata

tallies = sa.Table(
    "classify_tally",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("personal", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("abstained", sa.Boolean, primary_key=True),
    sa.Column("locked", sa.Boolean, primary_key=True),
    sa.Column("columns", sa.Integer, nullable=False),
)
systems = sa.Table(
    "classify_system",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("tables", sa.Integer, nullable=False),
)
names = sa.Table(
    "classify_name",
    metadata,
    sa.Column("id", sa.Integer, sa.ForeignKey(columns.c.id), primary_key=True, autoincrement=False),
    sa.Column("named", sa.Text, nullable=False),
)
_c = columns.c
_KEY = (_c.source, _c.level, _c.personal, _c.abstained, _c.locked)
_ADD = sa.text(
    "INSERT INTO classify_tally (source, level, personal, abstained, locked, columns) "
    "VALUES (:source, :level, :personal, :abstained, :locked, :columns) "
    "ON CONFLICT (source, level, personal, abstained, locked) "
    "DO UPDATE SET columns = classify_tally.columns + excluded.columns"
)


@contextmanager
def following(db: sa.Connection, numbers: Collection[int]) -> Generator[None]:
    """Keeps the counts right while a few columns are changed."""
    before = _counted(db, numbers)
    yield
    after = _counted(db, numbers)
    after.subtract(before)
    # Always in the same order: two who change the same counts wait, and do not block each other.
    moved = [(key, count) for key, count in sorted(after.items()) if count]
    if moved:
        named = [c.name for c in _KEY]
        db.execute(_ADD, [dict(zip(named, key, strict=True)) | {"columns": n} for key, n in moved])


def _counted(db: sa.Connection, numbers: Collection[int]) -> Counter[tuple[object, ...]]:
    query = sa.select(*_KEY).where(_c.id.in_(numbers), _c.gone.is_(False))
    return Counter(tuple(row) for row in db.execute(query))


def recount(db: sa.Connection, source: str | None = None) -> None:
    """Counts a source anew, or all, after many of its columns changed."""
    if db.dialect.name == "postgresql":
        # Whoever moves counts by a few waits, and then adds to what is counted here.
        db.execute(sa.text("LOCK TABLE classify_tally IN SHARE ROW EXCLUSIVE MODE"))
    for table in (tallies, systems):
        every = sa.delete(table)
        db.execute(every if source is None else every.where(table.c.source == source))
    there = (
        _c.gone.is_(False) if source is None else sa.and_(_c.gone.is_(False), _c.source == source)
    )
    counted = sa.select(*_KEY, sa.func.count()).where(there).group_by(*_KEY)
    db.execute(sa.insert(tallies).from_select([*(c.name for c in _KEY), "columns"], counted))
    apart = sa.select(_c.source, _c.schema_name, _c.table_name).where(there).distinct().subquery()
    counted = sa.select(apart.c.source, sa.func.count()).group_by(apart.c.source)
    db.execute(sa.insert(systems).from_select(["source", "tables"], counted))


def rename(db: sa.Connection, source: str) -> None:
    """Makes the columns of a source findable by name: those that are there, and no other."""
    its = sa.select(_c.id).where(_c.source == source)
    db.execute(sa.delete(names).where(names.c.id.in_(its)))
    named = sa.func.lower(_c.column_name + " " + _c.table_name)
    there = sa.select(_c.id, named).where(_c.source == source, _c.gone.is_(False))
    db.execute(sa.insert(names).from_select(["id", "named"], there))


def named_like(db: sa.Connection, words: str) -> sa.ColumnElement[bool]:
    """Returns the condition that a name has these words in it, whatever their case."""
    place = sa.func.instr if db.dialect.name == "sqlite" else sa.func.strpos
    return place(names.c.named, sa.func.lower(sa.literal(words))) > 0
