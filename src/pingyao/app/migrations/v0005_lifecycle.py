"""The end of data: persons, clocks, cases, statements and assessments."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Creates what retention, destruction, export approvals and assessments keep."""
    op.create_table(
        "protect_person",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("public_key", sa.Text, nullable=False, unique=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "protect_clock",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("schema_name", sa.Text, nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("trigger_name", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.UniqueConstraint("source", "schema_name", "table_name", "trigger_name"),
    )
    op.create_table(
        "protect_case",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("source", sa.Text, nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    for name in ("protect_statement", "protect_assessment"):
        op.create_table(
            name,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("system", sa.Text, nullable=False, index=True),
            sa.Column("body", sa.Text, nullable=False),
        )
