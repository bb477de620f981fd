"""The transactional outbox: an event waits here from the commit that caused it until it is proved."""

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from datetime import datetime

import msgspec
import sqlalchemy as sa

from pingyao.kernel.event import EvidenceEvent
from pingyao.platform import audit

metadata = sa.MetaData()
outbox = sa.Table(
    "evidence_outbox",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("event", sa.Text, nullable=False),
    # Names the event once and for all: however often it is handed on, it is recorded once.
    sa.Column("key", sa.String(32), nullable=False, unique=True),
)
program: ContextVar[str] = ContextVar("program", default="")
"""The name of the token a program acts with; whatever it causes says so, besides the account."""


class Waiting(msgspec.Struct, frozen=True):
    """An event not yet handed on.

    Attributes:
        key: its name, 32 hexadecimal digits.
        event: the event as JSON.
    """

    key: str
    event: bytes


def emit(db: sa.Connection, events: Iterable[EvidenceEvent]) -> list[str]:
    """Puts events where the ledger will collect them, and into the audit trail, in the caller's transaction.

    Returns:
        Their keys, in order.
    """
    listed = [_with_program(e, program.get()) for e in events]
    texts = [msgspec.json.encode(e).decode() for e in listed]
    rows = [{"key": _name(secrets.token_hex(8), t), "event": t} for t in texts]
    if rows:
        db.execute(sa.insert(outbox), rows)
        audit.keep(db, listed)
    return [row["key"] for row in rows]


def _with_program(event: EvidenceEvent, name: str) -> EvidenceEvent:
    if not name:
        return event
    return msgspec.structs.replace(event, body={**event.body, "program": name})


def _name(draw: str, event: str) -> str:
    """Half of a name is drawn, half tells whether the event is still the one that was named."""
    return draw + hashlib.sha256((draw + event).encode()).hexdigest()[:16]


def altered(db: sa.Connection) -> list[str]:
    """Returns the names of waiting events that are not what they were when they were named."""
    rows = db.execute(sa.select(outbox.c.key, outbox.c.event).order_by(outbox.c.id))
    return [row.key for row in rows if row.key != _name(row.key[:16], row.event)]


def waiting(db: sa.Connection, limit: int) -> list[Waiting]:
    """Returns the oldest events still here, at most so many; no other transaction is given them."""
    query = sa.select(outbox.c.key, outbox.c.event).order_by(outbox.c.id).limit(limit)
    query = query.with_for_update(skip_locked=True)  # SQLite has one writer, and ignores it
    return [Waiting(row.key, row.event.encode()) for row in db.execute(query)]


def count_waiting(db: sa.Connection) -> int:
    """Returns how many events are still here."""
    return db.execute(sa.select(sa.func.count()).select_from(outbox)).scalar_one()


def oldest(db: sa.Connection) -> datetime | None:
    """Returns when the oldest event still here happened; None when none is."""
    text = db.execute(sa.select(outbox.c.event).order_by(outbox.c.id).limit(1)).scalar()
    return msgspec.json.decode(text, type=EvidenceEvent).occurred_at if text else None


def take_out(db: sa.Connection, keys: Sequence[str]) -> None:
    """Removes events that are kept elsewhere by now."""
    if keys:
        statement = sa.delete(outbox).where(outbox.c.key == sa.bindparam("taken"))
        db.execute(statement, [{"taken": key} for key in keys])
