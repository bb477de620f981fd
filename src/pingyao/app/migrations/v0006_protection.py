"""The records of protection."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Creates the table of runs, releases, refusals and restorations."""
    op.create_table(
        "protect_run",
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("record", sa.Text, nullable=False),
    )
