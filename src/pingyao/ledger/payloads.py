"""Sealed events as they are kept beside the log: found, opened, erased."""

from collections.abc import Iterator
from datetime import UTC
from typing import Any

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import NotFound, NotPermitted
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger.rules.sealing import (
    Opening,
    PrivateKey,
    unseal,
    unwrap,
)
from pingyao.ledger.tables import documents, payloads, wrappings

BATCH = 1000


class About(msgspec.Struct, frozen=True):
    """What an event is about, as the table of sealed events says in clear.

    Attributes:
        at: UTC, ISO 8601; None for what was sealed before this was kept, until the next drain.
    """

    kind: str = ""
    at: str | None = ""
    actor: str | None = ""
    subject: str | None = ""


class Payload(msgspec.Struct, frozen=True):
    """A sealed event as it is kept.

    Attributes:
        about: what of it can be searched for; empty once erased.
        entry: what the log holds, or will hold.
        wrapped: the event's key; None once erased.
        position: its index in the log; None until it is there.
    """

    key: str
    about: About
    entry: bytes
    cipher: bytes
    wrapped: bytes | None
    wrapping: str
    position: int | None


def about(event: EvidenceEvent) -> About:
    """Says what an event is about."""
    at = event.occurred_at.astimezone(UTC).isoformat(timespec="microseconds")
    return About(event.kind, at, event.actor, event.subject)


def find(db: sa.Connection, key: str) -> Payload:
    """Returns a sealed event by key.

    Raises:
        NotFound: no such event has been sealed here.
    """
    found = db.execute(sa.select(payloads).where(payloads.c.key == key)).first()
    if found is None:
        raise NotFound("ledger.no_event", f"没有编号 {key[:40]} 的存证", "请核对编号")
    return read_payload(found)


def find_at(db: sa.Connection, position: int) -> Payload:
    """Returns a sealed event by its position in the log.

    Raises:
        NotFound: no event of this database is there.
    """
    found = db.execute(sa.select(payloads).where(payloads.c.position == position)).first()
    if found is None:
        raise NotFound("ledger.no_event", f"账本第 {position:,} 条不是这里的存证", "请核对编号")
    return read_payload(found)


def count_from(db: sa.Connection, size: int) -> int:
    """Returns how many sealed events are beyond the first ``size`` entries of the log, or not in it yet."""
    t = payloads.c
    beyond = sa.or_(t.position >= size, t.position.is_(None))
    return db.execute(sa.select(sa.func.count()).where(beyond)).scalar_one()


def everything(db: sa.Connection) -> Iterator[Payload]:
    """Yields every sealed event, in the order they were sealed."""
    rows = db.execution_options(yield_per=BATCH).execute(
        sa.select(payloads).order_by(payloads.c.id)
    )
    yield from map(read_payload, rows)


def readers_of(db: sa.Connection) -> dict[str, dict[str, bytes]]:
    """Returns every batch key as it is wrapped, by batch and reader."""
    found: dict[str, dict[str, bytes]] = {}
    for row in db.execute(sa.select(wrappings)):
        found.setdefault(row.id, {})[row.recipient] = bytes(row.wrapped)
    return found


def is_sealed(db: sa.Connection, key: str) -> bool:
    """Tells whether an event has left the outbox."""
    query = sa.select(payloads.c.id).where(payloads.c.key == key)
    return db.execute(query).first() is not None


def open_payload(
    db: sa.Connection, payload: Payload, recipient: str, private: PrivateKey
) -> Opening:
    """Opens a sealed event with a recipient's key.

    Raises:
        NotFound: the event was erased.
        NotPermitted: it was not sealed for this recipient.
        IntegrityBroken: what is kept does not fit the entry.
    """
    if payload.wrapped is None:
        raise NotFound("ledger.erased", "该存证的内容已按规定销毁，仅余其存在的证明", "")
    query = sa.select(wrappings.c.wrapped).where(
        wrappings.c.id == payload.wrapping, wrappings.c.recipient == recipient
    )
    wrapped = db.execute(query).scalar()
    if wrapped is None:
        raise NotPermitted(
            "ledger.not_entitled", f"这份存证没有给 {recipient} 的密钥", "请用封存时所列成员的密钥"
        )
    key = unwrap(recipient, private, bytes(wrapped))
    return unseal(payload.entry, payload.cipher, payload.wrapped, key)


def erase(db: sa.Connection, key: str) -> None:
    """Destroys the key of a sealed event, and what else says what it was about.

    The log keeps its entry, which says nothing without the key.

    Raises:
        NotFound: no such event, or it was erased before.
    """
    statement = (
        sa.update(payloads)
        .where(payloads.c.key == key, payloads.c.wrapped.is_not(None))
        .values(wrapped=None, **msgspec.structs.asdict(About()))
    )
    if db.execute(statement).rowcount != 1:
        raise NotFound("ledger.no_event", f"没有编号 {key[:40]} 且未销毁的存证", "请核对编号")
    db.execute(sa.delete(documents).where(documents.c.key == key))


def read_payload(row: Any) -> Payload:
    """Returns a row of the table of sealed events."""
    return Payload(
        row.key,
        About(row.kind, row.at, row.actor, row.subject),
        bytes(row.entry),
        bytes(row.cipher),
        None if row.wrapped is None else bytes(row.wrapped),
        row.wrapping,
        row.position,
    )
