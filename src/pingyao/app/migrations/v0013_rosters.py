"""Members that a centre vouches for: its roster, who was introduced by it, keys revoked one by one."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Creates the table of rosters, and adds what is known of members and keys from now on."""
    op.create_table(
        "members_roster",
        sa.Column("centre", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("serial", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("taken_at", sa.BigInteger, nullable=False),
        sa.Column("checked_at", sa.BigInteger, nullable=False),
    )
    op.add_column(
        "members_member", sa.Column("via", sa.Integer, nullable=False, server_default="0")
    )
    op.add_column(
        "members_member", sa.Column("heard", sa.Integer, nullable=False, server_default="0")
    )
    op.add_column("members_key", sa.Column("why", sa.Text, nullable=False, server_default=""))
    op.add_column("members_own_key", sa.Column("why", sa.Text, nullable=False, server_default=""))
    for name in ("revoked_at", "listed_at"):
        op.add_column(
            "members_own_key", sa.Column(name, sa.BigInteger, nullable=False, server_default="0")
        )
