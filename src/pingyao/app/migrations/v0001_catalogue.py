"""The catalogue's first tables."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Creates scans, columns, their history, learnt models and the evidence outbox."""
    op.create_table(
        "classify_scan",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("source", sa.Text, nullable=False, index=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("coverage", sa.String(16), nullable=False),
        sa.Column("finished_at", sa.String(40), nullable=False),
        sa.Column("version", sa.String(40), nullable=False),
        sa.Column("packs", sa.Text, nullable=False),
    )
    op.create_table(
        "classify_column",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("schema_name", sa.Text, nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("column_name", sa.Text, nullable=False),
        sa.Column("table_comment", sa.Text, nullable=False),
        sa.Column("first_scan", sa.Integer, nullable=False),
        sa.Column("last_scan", sa.Integer, nullable=False),
        sa.Column("gone", sa.Boolean, nullable=False),
        sa.Column("locked", sa.Boolean, nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("personal", sa.Integer, nullable=False),
        sa.Column("abstained", sa.Boolean, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("opinion", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.UniqueConstraint("source", "schema_name", "table_name", "column_name"),
    )
    op.create_table(
        "classify_history",
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
    op.create_table(
        "evidence_outbox",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("event", sa.Text, nullable=False),
    )
    op.create_table(
        "classify_memory",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("trained_at", sa.String(40), nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("model", sa.LargeBinary, nullable=False),
        sa.Column("figures", sa.Text, nullable=False),
    )
