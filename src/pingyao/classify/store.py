"""The catalogue's tables and queries; SQLAlchemy Core, the same on SQLite and PostgreSQL."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from pingyao.classify.model import Verdict

metadata = sa.MetaData()
_BATCH = 500

scans = sa.Table(
    "classify_scan",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.Text, nullable=False, index=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("coverage", sa.String(16), nullable=False),
    sa.Column("finished_at", sa.String(40), nullable=False),
    sa.Column("version", sa.String(40), nullable=False),
    sa.Column("packs", sa.Text, nullable=False),
)
columns = sa.Table(
    "classify_column",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("schema_name", sa.Text, nullable=False),
    sa.Column("table_name", sa.Text, nullable=False),
    sa.Column("column_name", sa.Text, nullable=False),
    sa.Column("table_comment", sa.Text, nullable=False),
    sa.Column("first_scan", sa.Integer, nullable=False),
    sa.Column("last_scan", sa.Integer, nullable=False),
    sa.Column("gone", sa.Boolean, nullable=False),
    # What is in force: the machine's verdict, or the person's where one decided.
    sa.Column("locked", sa.Boolean, nullable=False),
    sa.Column("type", sa.String(64), nullable=False),
    sa.Column("level", sa.Integer, nullable=False),
    sa.Column("personal", sa.Integer, nullable=False),
    sa.Column("abstained", sa.Boolean, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    # The machine's latest opinion, kept beside a person's decision.
    sa.Column("opinion", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.UniqueConstraint("source", "schema_name", "table_name", "column_name"),
)
history = sa.Table(
    "classify_history",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column(
        "column_id", sa.Integer, sa.ForeignKey("classify_column.id"), nullable=False, index=True
    ),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("act", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
)
memories = sa.Table(
    "classify_memory",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("trained_at", sa.String(40), nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("model", sa.LargeBinary, nullable=False),
    sa.Column("figures", sa.Text, nullable=False),
)
readings = sa.Table(
    "classify_reading",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("schema_name", sa.Text, nullable=False),
    sa.Column("table_name", sa.Text, nullable=False),
    # 0 when the whole table was read.
    sa.Column("sample_rows", sa.Integer, nullable=False),
    sa.Column("software", sa.String(80), nullable=False),
    sa.Column("columns", sa.Text, nullable=False),
    sa.Column("part", sa.Text, nullable=False),
    sa.UniqueConstraint("source", "schema_name", "table_name", "sample_rows"),
)


class Reading(msgspec.Struct, frozen=True):
    """What was seen of a table when it was last read, to go by until it changes.

    Attributes:
        sample_rows: rows asked for; 0 for all.
        software: what read it; another may see other things in the same rows.
        columns: as they were then, encoded.
        part: what was seen, encoded; its profiles are bare.
    """

    schema: str
    name: str
    sample_rows: int
    software: str
    columns: str
    part: str


class Entry(msgspec.Struct, frozen=True):
    """One column of the catalogue.

    Attributes:
        verdict: what is in force.
        opinion: what the machine last thought.
        version: rises with every change; who changes it must have seen it.
    """

    id: int
    verdict: Verdict
    opinion: Verdict
    table_comment: str
    locked: bool
    gone: bool
    version: int


def _entry(row: Any) -> Entry:
    return Entry(
        row.id,
        msgspec.json.decode(row.verdict, type=Verdict),
        msgspec.json.decode(row.opinion, type=Verdict),
        row.table_comment,
        row.locked,
        row.gone,
        row.version,
    )


def read_entries(
    db: sa.Connection, source: str | None = None, ids: Sequence[int] | None = None
) -> list[Entry]:
    """Returns the columns of a source, or of given ids, or all, by name."""
    found: list[Entry] = []
    wanted: list[Sequence[int] | None] = [None]
    if ids is not None:
        wanted = [ids[i : i + _BATCH] for i in range(0, len(ids), _BATCH)]
    for some in wanted:
        query = sa.select(columns).order_by(
            columns.c.source, columns.c.schema_name, columns.c.table_name, columns.c.id
        )
        if source is not None:
            query = query.where(columns.c.source == source)
        if some is not None:
            query = query.where(columns.c.id.in_(some))
        found += [_entry(row) for row in db.execute(query)]
    return found


def insert_scan(db: sa.Connection, **values: object) -> int:
    """Adds a scan and returns its number."""
    key = db.execute(sa.insert(scans).values(**values)).inserted_primary_key
    if key is None:
        raise RuntimeError("an inserted scan has a number")
    return int(key[0])


def insert_columns(db: sa.Connection, rows: Sequence[dict[str, object]]) -> None:
    """Adds columns, many at a time."""
    if rows:
        db.execute(sa.insert(columns), rows)


def update_columns(db: sa.Connection, rows: Sequence[dict[str, object]]) -> int:
    """Changes columns that still have the version given as ``seen``; returns how many."""
    if not rows:
        return 0
    names = [k for k in rows[0] if k not in ("key", "seen")]
    statement = (
        sa.update(columns)
        .where(columns.c.id == sa.bindparam("key"), columns.c.version == sa.bindparam("seen"))
        .values({n: sa.bindparam(n) for n in names})
    )
    return db.execute(statement, rows).rowcount


def add_history(db: sa.Connection, rows: Iterable[dict[str, object]]) -> None:
    """Appends to the history; nothing there is ever changed."""
    listed = list(rows)
    if listed:
        db.execute(sa.insert(history), listed)


def read_history(db: sa.Connection, column: int) -> list[dict[str, Any]]:
    """Returns what happened to a column, oldest first."""
    query = sa.select(history).where(history.c.column_id == column).order_by(history.c.id)
    return [dict(row) for row in db.execute(query).mappings()]


def read_readings(db: sa.Connection, source: str, sample_rows: int) -> list[Reading]:
    """Returns what was seen of a source's tables when they were last read in this way."""
    t = readings.c
    query = sa.select(
        t.schema_name, t.table_name, t.sample_rows, t.software, t.columns, t.part
    ).where(t.source == source, t.sample_rows == sample_rows)
    return [Reading(*row) for row in db.execute(query)]


def save_readings(db: sa.Connection, source: str, fresh: Sequence[Reading]) -> None:
    """Puts what was seen of tables in place of what was seen before."""
    if not fresh:
        return
    rows = [
        {
            "source": source,
            "schema_name": r.schema,
            "table_name": r.name,
            "sample_rows": r.sample_rows,
            "software": r.software,
            "columns": r.columns,
            "part": r.part,
        }
        for r in fresh
    ]
    t = readings.c
    named = ("source", "schema_name", "table_name", "sample_rows")
    same = [t[n] == sa.bindparam(f"its_{n}") for n in named]
    db.execute(sa.delete(readings).where(*same), [{f"its_{n}": r[n] for n in named} for r in rows])
    db.execute(sa.insert(readings), rows)


def drop_readings(db: sa.Connection, source: str, kept: Collection[tuple[str, str]]) -> None:
    """Forgets the tables of a source that are no more."""
    t = readings.c
    query = sa.select(t.id, t.schema_name, t.table_name).where(t.source == source)
    gone = [{"its_id": r.id} for r in db.execute(query) if (r[1], r[2]) not in kept]
    if gone:
        db.execute(sa.delete(readings).where(t.id == sa.bindparam("its_id")), gone)


def save_memory(db: sa.Connection, model: bytes, figures: str, at: datetime) -> None:
    """Puts a learnt model in force in place of the one before, which is kept."""
    drop_memory(db)
    db.execute(
        sa.insert(memories).values(
            trained_at=at.isoformat(), active=True, model=model, figures=figures
        )
    )


def drop_memory(db: sa.Connection) -> None:
    """Takes the learnt model out of force."""
    db.execute(sa.update(memories).values(active=False))


def active_memory(db: sa.Connection) -> bytes | None:
    """Returns the model switched on, if any."""
    query = sa.select(memories.c.model).where(memories.c.active).order_by(memories.c.id.desc())
    return db.execute(query).scalar()
