"""A node: whose it is, its people, their sessions, the audit trail; the catalogue gets what lists need."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Creates the tables of a node, and the index that the console's lists and counts live by."""
    op.create_table(
        "node_institution",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("uscc", sa.String(18), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("second_factor", sa.Boolean, nullable=False),
    )
    op.create_table(
        "identity_account",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("password_at", sa.BigInteger, nullable=False),
        sa.Column("must_change", sa.Boolean, nullable=False),
        sa.Column("totp", sa.LargeBinary),
        sa.Column("totp_step", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("locked_until", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "identity_session",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column(
            "account",
            sa.Integer,
            sa.ForeignKey("identity_account.id"),
            nullable=False,
            index=True,
        ),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.String(40), nullable=False, index=True),
        sa.Column("kind", sa.String(128), nullable=False, index=True),
        sa.Column("actor", sa.Text, nullable=False, index=True),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    # Rows are kilobytes of verdict: lists and counts must never have to walk over them.
    op.create_index(
        "classify_column_listed",
        "classify_column",
        [
            "gone",
            "source",
            "schema_name",
            "table_name",
            "column_name",
            "level",
            "personal",
            "abstained",
            "locked",
            "type",
        ],
    )
    op.create_index("classify_column_queue", "classify_column", ["gone", "abstained", "locked"])
