"""People: tokens for programs, emergency overrides, passkeys, sign-ins under way; answers kept; forwarding."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "identity_token",
        sa.Column("id", sa.Integer, primary_key=True),
        _account(),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("account", "name"),
    )
    op.create_table(
        "identity_override",
        sa.Column("id", sa.Integer, primary_key=True),
        _account(),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("minutes", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("decided_by", sa.Text, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "identity_passkey",
        sa.Column("id", sa.Integer, primary_key=True),
        _account(),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("credential", sa.Text, nullable=False, unique=True),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("sign_count", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "identity_pending",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("account", sa.Integer, sa.ForeignKey("identity_account.id"), index=True),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("held", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "identity_federated",
        sa.Column("issuer", sa.String(255), primary_key=True),
        sa.Column("subject", sa.String(255), primary_key=True),
        _account(),
        sa.Column("linked_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "web_answer",
        sa.Column("account", sa.Integer, sa.ForeignKey("identity_account.id"), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False, index=True),
        # 0 while the request is under way.
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("answer", sa.LargeBinary),
    )
    op.create_table(
        "audit_forward",
        sa.Column("target", sa.String(255), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
    )


def _account() -> sa.Column[int]:
    return sa.Column(
        "account", sa.Integer, sa.ForeignKey("identity_account.id"), nullable=False, index=True
    )
