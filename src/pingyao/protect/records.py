"""Where records of protection are kept: one row for each run, release, refusal and restoration."""

import sqlalchemy as sa

from pingyao.kernel.event import EvidenceEvent
from pingyao.platform import outbox

metadata = sa.MetaData()
runs = sa.Table(
    "protect_run",
    metadata,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("record", sa.Text, nullable=False),
)


def keep(db: sa.Connection, event: EvidenceEvent, record: bytes) -> str:
    """Keeps a record and emits its evidence, in the caller's transaction.

    Returns:
        The event's key, under which the record is kept.
    """
    (key,) = outbox.emit(db, [event])
    db.execute(
        sa.insert(runs).values(
            key=key,
            kind=event.kind,
            target=event.subject,
            actor=event.actor,
            at=event.occurred_at,
            record=record.decode(),
        )
    )
    return key
