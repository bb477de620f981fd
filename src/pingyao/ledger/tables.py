"""What the database keeps beside the log: sealed events, the keys that open them, marks of documents."""

import sqlalchemy as sa

metadata = sa.MetaData()
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
