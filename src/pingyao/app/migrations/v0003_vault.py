"""The token vault's tables."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Creates vaults and their tokens."""
    op.create_table(
        "protect_vault",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("suite", sa.String(8), nullable=False),
        sa.Column("wrapped", sa.Text, nullable=False),
    )
    op.create_table(
        "protect_token",
        sa.Column("vault", sa.String(64), nullable=False),
        sa.Column("lookup", sa.LargeBinary(32), nullable=False),
        sa.Column("token", sa.String(32), primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("vault", "lookup"),
    )
