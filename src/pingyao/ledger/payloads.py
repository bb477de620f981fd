"""What is kept beside the log: sealed events, the keys that open them, and marks of documents.

An event moves in two transactions. In the first it leaves the outbox and is sealed here; in the
second, after the log holds it durably, its place in the log is noted. Killed at any point between,
the next run goes on with the very bytes it would have logged, and the log knows an entry it holds already.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import NotFound, NotPermitted, PingyaoError
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger.formats.documents import Document, Part
from pingyao.ledger.formats.opening import read_event
from pingyao.ledger.rules.sealing import (
    Opening,
    PrivateKey,
    PublicKey,
    digest_readers,
    seal,
    unseal,
    unwrap,
    wrap_for,
)
from pingyao.platform import outbox

metadata = sa.MetaData()
BATCH = 1000
# Makes entries durable and returns their indices; for an entry it holds already, the old one.
Append = Callable[[Sequence[bytes]], Sequence[int]]
_PARTS = msgspec.msgpack.Decoder(tuple[Part, ...])

wrappings = sa.Table(
    "ledger_wrapping",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("recipient", sa.String(64), primary_key=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)
payloads = sa.Table(
    "ledger_payload",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(32), nullable=False, unique=True),
    # What it is about, as is searched for; empty once the event has been erased.
    sa.Column("kind", sa.String(128), nullable=False, index=True),
    sa.Column("at", sa.String(32), index=True),
    sa.Column("actor", sa.Text),
    sa.Column("subject", sa.Text),
    sa.Column("entry", sa.LargeBinary, nullable=False),
    sa.Column("cipher", sa.LargeBinary, nullable=False),
    # None once the event has been erased.
    sa.Column("wrapped", sa.LargeBinary),
    sa.Column("wrapping", sa.String(32), nullable=False),
    # None until the log holds the entry.
    sa.Column("position", sa.BigInteger, unique=True),
)
documents = sa.Table(
    "ledger_document",
    metadata,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False, index=True),
    sa.Column("parts", sa.LargeBinary, nullable=False),
)


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


def drain(
    engine: sa.Engine,
    append: Append,
    member: str,
    recipients: Mapping[str, PublicKey],
) -> int:
    """Moves every event that waits into the log, each exactly once.

    Args:
        engine: the database with the outbox.
        append: puts entries into the log.
        member: who submits them.
        recipients: who can open them later.

    Returns:
        How many entries the log took in.
    """
    moved = _append(engine, append)  # what an earlier run sealed and did not get to append
    while _seal(engine, member, recipients):
        moved += _append(engine, append)
    return moved


def _seal(engine: sa.Engine, member: str, recipients: Mapping[str, PublicKey]) -> int:
    batch, key = secrets.token_hex(16), secrets.token_bytes(32)
    at = datetime.now(UTC)
    with engine.begin() as db:
        events = outbox.waiting(db, BATCH)
        if not events:
            return 0
        wrapped = wrap_for(recipients, key)
        readers = digest_readers(wrapped)
        rows: list[dict[str, object]] = []
        for each in events:
            sealed = seal(each.event, each.key, member, at, key, readers)
            rows.append(
                {
                    "key": each.key,
                    **msgspec.structs.asdict(
                        about(msgspec.json.decode(each.event, type=EvidenceEvent))
                    ),
                    "entry": sealed.entry,
                    "cipher": sealed.cipher,
                    "wrapped": sealed.wrapped,
                    "wrapping": batch,
                }
            )
        db.execute(sa.insert(payloads), rows)
        db.execute(
            sa.insert(wrappings),
            [{"id": batch, "recipient": n, "wrapped": w} for n, w in wrapped.items()],
        )
        outbox.take_out(db, [e.key for e in events])
    return len(events)


def about(event: EvidenceEvent) -> About:
    """Says what an event is about."""
    at = event.occurred_at.astimezone(UTC).isoformat(timespec="microseconds")
    return About(event.kind, at, event.actor, event.subject)


def describe(engine: sa.Engine, recipient: str, private: PrivateKey) -> int:
    """Fills in what was sealed before it could be searched for; returns how many events that were.

    What this recipient cannot open stays as it is; a check of the rows says why.
    """
    table, last, done = payloads.c, 0, 0
    waiting = sa.select(payloads).where(table.at.is_(None), table.wrapped.is_not(None))
    while True:
        with engine.begin() as db:
            query = waiting.where(table.id > last).order_by(table.id).limit(BATCH)
            rows = db.execute(query).all()
            if not rows:
                return done
            for row in rows:
                with suppress(PingyaoError):
                    payload = _payload(row)
                    event = read_event(open_payload(db, payload, recipient, private))
                    values = msgspec.structs.asdict(about(event))
                    db.execute(sa.update(payloads).where(table.id == row.id).values(values))
                    done += 1
            last = rows[-1].id


def _append(engine: sa.Engine, append: Append) -> int:
    moved = 0
    query = (
        sa.select(payloads.c.key, payloads.c.entry)
        .where(payloads.c.position.is_(None))
        .order_by(payloads.c.id)
        .limit(BATCH)
    )
    noted = (
        sa.update(payloads)
        .where(payloads.c.key == sa.bindparam("noted"))
        .values(position=sa.bindparam("place"))
    )
    while True:
        with engine.connect() as db:
            found = db.execute(query).all()
        if not found:
            return moved
        positions = append([bytes(row.entry) for row in found])
        rows = [{"noted": r.key, "place": p} for r, p in zip(found, positions, strict=True)]
        with engine.begin() as db:
            db.execute(noted, rows)
        moved += len(rows)


def find(db: sa.Connection, key: str) -> Payload:
    """Returns a sealed event by key.

    Raises:
        NotFound: no such event has been sealed here.
    """
    found = db.execute(sa.select(payloads).where(payloads.c.key == key)).first()
    if found is None:
        raise NotFound("ledger.no_event", f"没有编号 {key[:40]} 的存证", "请核对编号")
    return _payload(found)


def find_at(db: sa.Connection, position: int) -> Payload:
    """Returns a sealed event by its position in the log.

    Raises:
        NotFound: no event of this database is there.
    """
    found = db.execute(sa.select(payloads).where(payloads.c.position == position)).first()
    if found is None:
        raise NotFound("ledger.no_event", f"账本第 {position:,} 条不是这里的存证", "请核对编号")
    return _payload(found)


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
    yield from map(_payload, rows)


def readers_of(db: sa.Connection) -> dict[str, dict[str, bytes]]:
    """Returns every batch key as it is wrapped, by batch and reader."""
    found: dict[str, dict[str, bytes]] = {}
    for row in db.execute(sa.select(wrappings)):
        found.setdefault(row.id, {})[row.recipient] = bytes(row.wrapped)
    return found


def indexed(db: sa.Connection) -> dict[str, tuple[str, str, str]]:
    """Returns what the index of documents says of each: SHA-256, name, and the hash of its marks."""
    return {
        row.key: (row.sha256, row.name, hashlib.sha256(bytes(row.parts)).hexdigest())
        for row in db.execute(sa.select(documents))
    }


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


def add_document(db: sa.Connection, key: str, document: Document) -> None:
    """Keeps the marks of a document recorded under a key."""
    db.execute(
        sa.insert(documents).values(
            key=key,
            sha256=document.sha256,
            name=document.name,
            parts=msgspec.msgpack.encode(document.parts),
        )
    )


def same_documents(db: sa.Connection, sha256: str) -> list[str]:
    """Returns the keys under which exactly this document was recorded, oldest first."""
    query = sa.select(documents.c.key).where(documents.c.sha256 == sha256)
    return _in_order(db, query)


def like_documents(db: sa.Connection, name: str) -> list[str]:
    """Returns the keys under which documents of this name were recorded, oldest first."""
    return _in_order(db, sa.select(documents.c.key).where(documents.c.name == name))


def parts_of(db: sa.Connection, key: str) -> tuple[bytes, tuple[Part, ...]]:
    """Returns the marks of a recorded document, as kept and as read."""
    query = sa.select(documents.c.parts).where(documents.c.key == key)
    kept = bytes(db.execute(query).scalar_one())
    return kept, _PARTS.decode(kept)


def _in_order(db: sa.Connection, keys: sa.Select[tuple[str]]) -> list[str]:
    """Sorts keys by when they were sealed; those still waiting come last."""
    found: Sequence[str] = db.execute(keys).scalars().all()
    query = sa.select(payloads.c.key, payloads.c.id).where(payloads.c.key.in_(found))
    order: dict[str, int] = {row.key: row.id for row in db.execute(query)}
    return sorted(found, key=lambda key: order.get(key, 1 << 62))


def _payload(row: Any) -> Payload:
    return Payload(
        row.key,
        About(row.kind, row.at, row.actor, row.subject),
        bytes(row.entry),
        bytes(row.cipher),
        None if row.wrapped is None else bytes(row.wrapped),
        row.wrapping,
        row.position,
    )
