"""What a sealed event is about is found without opening every event."""

import sqlalchemy as sa
from alembic import op

_TABLE = "ledger_payload"


def upgrade() -> None:
    """Adds what is searched for; the next drain fills it in for what was sealed before."""
    for column in (
        sa.Column("at", sa.String(32)),
        sa.Column("actor", sa.Text),
        sa.Column("subject", sa.Text),
    ):
        op.add_column(_TABLE, column)
    op.create_index("ledger_payload_at", _TABLE, ["at"])
    op.create_index("ledger_payload_kind", _TABLE, ["kind"])
