"""The audit trail: every event, kept in the transaction that caused it; read, searched, never changed."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import sqlalchemy as sa

from pingyao.kernel.event import EvidenceEvent

metadata = sa.MetaData()
trail = sa.Table(
    "audit_event",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.String(40), nullable=False, index=True),
    sa.Column("kind", sa.String(128), nullable=False, index=True),
    sa.Column("actor", sa.Text, nullable=False, index=True),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
_BATCH = 1000


class Entry(msgspec.Struct, frozen=True):
    """One line of the trail.

    Attributes:
        at: UTC, ISO 8601.
        kind: see ``docs/audit-events.md``.
        body: the facts, never a secret.
    """

    id: int
    at: str
    kind: str
    actor: str
    subject: str
    body: dict[str, object]


class Search(msgspec.Struct, frozen=True):
    """What to look for; what is empty does not count.

    Attributes:
        kind: the beginning of a kind, e.g. ``identity.``.
        words: part of the subject.
        since, until: days in UTC, both included.
    """

    kind: str = ""
    actor: str = ""
    words: str = ""
    since: date | None = None
    until: date | None = None


def keep(db: sa.Connection, events: Sequence[EvidenceEvent]) -> None:
    """Adds events to the trail, in the caller's transaction."""
    rows = [
        {
            "at": e.occurred_at.isoformat(timespec="microseconds"),
            "kind": e.kind,
            "actor": e.actor,
            "subject": e.subject,
            "body": msgspec.json.encode(e.body).decode(),
        }
        for e in events
    ]
    if rows:
        db.execute(sa.insert(trail), rows)


def read(db: sa.Connection, search: Search, *, before: int | None, limit: int) -> list[Entry]:
    """Returns lines of the trail, newest first.

    Args:
        db: an open connection.
        search: what to look for.
        before: only those numbered below.
        limit: at most so many.
    """
    query = sa.select(trail).order_by(trail.c.id.desc()).limit(limit)
    query = query.where(*_conditions(search))
    if before is not None:
        query = query.where(trail.c.id < before)
    return [_entry(row) for row in db.execute(query)]


def read_after(
    db: sa.Connection, position: int, limit: int, search: Search | None = None
) -> list[Entry]:
    """Returns lines in the order they were written, from after a number on."""
    query = sa.select(trail).where(trail.c.id > position).order_by(trail.c.id).limit(limit)
    query = query.where(*_conditions(search or Search()))
    return [_entry(row) for row in db.execute(query)]


def read_all(db: sa.Connection, search: Search, limit: int) -> Iterator[Entry]:
    """Yields what a search finds, newest first, a batch at a time."""
    before: int | None = None
    left = limit
    while left > 0:
        found = read(db, search, before=before, limit=min(_BATCH, left))
        yield from found
        if len(found) < _BATCH:
            return
        before, left = found[-1].id, left - len(found)


def _entry(row: Any) -> Entry:
    return Entry(row.id, row.at, row.kind, row.actor, row.subject, msgspec.json.decode(row.body))


def count(db: sa.Connection, kind: str = "") -> int:
    """Returns how many events of a kind, or of any, the trail holds."""
    query = sa.select(sa.func.count()).select_from(trail)
    return db.execute(query.where(trail.c.kind == kind) if kind else query).scalar_one()


def first(db: sa.Connection, kind: str = "") -> datetime | None:
    """Returns when the earliest event of a kind, or of any, was; None when there is none."""
    query = sa.select(sa.func.min(trail.c.at))
    at = db.execute(query.where(trail.c.kind == kind) if kind else query).scalar()
    return datetime.fromisoformat(at) if at else None


def _conditions(search: Search) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if search.kind:
        found.append(trail.c.kind.startswith(search.kind, autoescape=True))
    if search.actor:
        found.append(trail.c.actor == search.actor)
    if search.words:
        found.append(trail.c.subject.contains(search.words, autoescape=True))
    if search.since:
        found.append(trail.c.at >= search.since.isoformat())
    if search.until:
        found.append(trail.c.at < f"{search.until}T24")
    return found


@cache
def kinds() -> dict[str, dict[str, str]]:
    """Returns every kind of event that is published, with its words in Chinese and English."""
    raw = files("pingyao.platform").joinpath("audit_events.json").read_bytes()
    return msgspec.json.decode(raw, type=dict[str, dict[str, str]])
