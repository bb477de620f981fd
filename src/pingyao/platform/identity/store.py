"""The tables of identity and their queries; SQLAlchemy Core, the same on SQLite and PostgreSQL."""

from typing import Any

import sqlalchemy as sa

from pingyao.platform.identity.model import Account, Institution

metadata = sa.MetaData()
institutions = sa.Table(
    "node_institution",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("uscc", sa.String(18), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("second_factor", sa.Boolean, nullable=False),
)
accounts = sa.Table(
    "identity_account",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    # Empty while no password works.
    sa.Column("password", sa.Text, nullable=False),
    sa.Column("password_at", sa.BigInteger, nullable=False),
    sa.Column("must_change", sa.Boolean, nullable=False),
    sa.Column("totp", sa.LargeBinary),
    # The step of the latest code taken; 0 while the device has not been confirmed.
    sa.Column("totp_step", sa.BigInteger, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("locked_until", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)
sessions = sa.Table(
    "identity_session",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column(
        "account", sa.Integer, sa.ForeignKey("identity_account.id"), nullable=False, index=True
    ),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
)


def _account() -> "sa.Column[int]":
    return sa.Column(
        "account", sa.Integer, sa.ForeignKey("identity_account.id"), nullable=False, index=True
    )


tokens = sa.Table(
    "identity_token",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _account(),
    sa.Column("name", sa.String(32), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("used_at", sa.BigInteger, nullable=False),
)
overrides = sa.Table(
    "identity_override",
    metadata,
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
passkeys = sa.Table(
    "identity_passkey",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _account(),
    sa.Column("name", sa.Text, nullable=False),
    # A key answers to the name of the site it was registered under, and to no other.
    sa.Column("site", sa.Text, nullable=False),
    sa.Column("credential", sa.Text, nullable=False, unique=True),
    sa.Column("public_key", sa.LargeBinary, nullable=False),
    sa.Column("sign_count", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("used_at", sa.BigInteger, nullable=False),
)
pending = sa.Table(
    "identity_pending",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("account", sa.Integer, sa.ForeignKey("identity_account.id"), index=True),
    sa.Column("purpose", sa.String(16), nullable=False),
    sa.Column("held", sa.Text, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
)
federated = sa.Table(
    "identity_federated",
    metadata,
    sa.Column("issuer", sa.String(255), primary_key=True),
    sa.Column("subject", sa.String(255), primary_key=True),
    _account(),
    sa.Column("linked_at", sa.BigInteger, nullable=False),
)


KEYED = sa.exists().where(passkeys.c.account == accounts.c.id).label("keyed")
"""Whether an account has a passkey."""


def to_account(row: Any) -> Account:
    """Returns a row as what may be shown of it."""
    return Account(
        id=row.id,
        name=row.name,
        person=row.person,
        role=row.role,
        state=row.state,
        must_change=row.must_change,
        second_factor=row.totp_step > 0 or row.keyed,
        locked_until=row.locked_until,
        created_at=row.created_at,
    )


def find(db: sa.Connection, name: str) -> Any:
    """Returns the row of a name, for change; None if there is none."""
    query = sa.select(accounts, KEYED).where(accounts.c.name == name).with_for_update()
    return db.execute(query).one_or_none()


def get(db: sa.Connection, number: int) -> Any:
    """Returns the row of a number, for change; None if there is none."""
    query = sa.select(accounts, KEYED).where(accounts.c.id == number).with_for_update()
    return db.execute(query).one_or_none()


def read_accounts(db: sa.Connection) -> list[Account]:
    """Returns all accounts by name."""
    return [to_account(r) for r in db.execute(sa.select(accounts, KEYED).order_by(accounts.c.name))]


def insert(db: sa.Connection, **values: object) -> int:
    """Adds an account and returns its number."""
    key = db.execute(sa.insert(accounts).values(**values)).inserted_primary_key
    if key is None:
        raise RuntimeError("an inserted account has a number")
    return int(key[0])


def update(db: sa.Connection, number: int, **values: object) -> None:
    """Changes an account."""
    db.execute(sa.update(accounts).where(accounts.c.id == number).values(**values))


def count_active(db: sa.Connection, role: str) -> int:
    """Returns how many accounts with a role work."""
    query = sa.select(sa.func.count()).select_from(accounts)
    return db.execute(
        query.where(accounts.c.role == role, accounts.c.state == "active")
    ).scalar_one()


def end_sessions(db: sa.Connection, number: int, but: str = "") -> None:
    """Signs an account out everywhere, or everywhere but in one session."""
    t = sessions.c
    db.execute(sa.delete(sessions).where(t.account == number, t.digest != but))


def stop(db: sa.Connection, number: int) -> None:
    """Ends all that acts for an account: sessions, tokens, sign-ins under way."""
    end_sessions(db, number)
    for table in (tokens, pending):
        db.execute(sa.delete(table).where(table.c.account == number))


def forget_devices(db: sa.Connection, number: int) -> None:
    """Takes away what else an account could be opened with."""
    for table in (passkeys, federated):
        db.execute(sa.delete(table).where(table.c.account == number))


def read_institution(db: sa.Connection) -> Institution | None:
    """Returns whose node this is, None before ``node init``."""
    row = db.execute(sa.select(institutions)).one_or_none()
    if row is None:
        return None
    return Institution(row.name, row.uscc, row.role, row.second_factor)
