"""Events get keys; recorded payloads, their keys and documents get tables."""

import hashlib
import secrets

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Names the events that wait already, and creates what the ledger keeps beside its log."""
    op.add_column("evidence_outbox", sa.Column("key", sa.String(32)))
    outbox = sa.table("evidence_outbox", sa.column("id"), sa.column("key"), sa.column("event"))
    db = op.get_bind()
    for id_, event in db.execute(sa.select(outbox.c.id, outbox.c.event)).all():
        draw = secrets.token_hex(8)
        key = draw + hashlib.sha256((draw + event).encode()).hexdigest()[:16]
        db.execute(sa.update(outbox).where(outbox.c.id == id_).values(key=key))
    op.create_index("evidence_outbox_key", "evidence_outbox", ["key"], unique=True)
    op.create_table(
        "ledger_wrapping",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("recipient", sa.String(64), primary_key=True),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "ledger_payload",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(32), nullable=False, unique=True),
        sa.Column("kind", sa.String(128), nullable=False),
        sa.Column("entry", sa.LargeBinary, nullable=False),
        sa.Column("cipher", sa.LargeBinary, nullable=False),
        sa.Column("wrapped", sa.LargeBinary),
        sa.Column("wrapping", sa.String(32), nullable=False),
        sa.Column("position", sa.BigInteger, unique=True),
    )
    op.create_table(
        "ledger_document",
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False, index=True),
        sa.Column("name", sa.Text, nullable=False, index=True),
        sa.Column("parts", sa.LargeBinary, nullable=False),
    )
