"""What was seen of tables when they were last read, for incremental scans and drift."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Creates the readings."""
    op.create_table(
        "classify_reading",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("schema_name", sa.Text, nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("sample_rows", sa.Integer, nullable=False),
        sa.Column("software", sa.String(80), nullable=False),
        sa.Column("columns", sa.Text, nullable=False),
        sa.Column("part", sa.Text, nullable=False),
        sa.UniqueConstraint("source", "schema_name", "table_name", "sample_rows"),
    )
