"""Events on their way from the outbox into the log.

An event moves in two transactions. In the first it leaves the outbox and is sealed here; in the
second, after the log holds it durably, its place in the log is noted. Killed at any point between,
the next run goes on with the very bytes it would have logged, and the log knows an entry it holds already.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import PingyaoError
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger.formats.opening import read_event
from pingyao.ledger.payloads import BATCH, about, open_payload, read_payload
from pingyao.ledger.rules.sealing import PrivateKey, PublicKey, digest_readers, seal, wrap_for
from pingyao.ledger.tables import payloads, wrappings
from pingyao.platform import outbox

# Makes entries durable and returns their indices; for an entry it holds already, the old one.
Append = Callable[[Sequence[bytes]], Sequence[int]]


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
                    payload = read_payload(row)
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
