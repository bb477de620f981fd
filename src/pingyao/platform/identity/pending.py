"""What a browser has begun and must finish soon, once: named by a secret of which only a digest is kept."""

import hashlib
import secrets
import time

import msgspec
import sqlalchemy as sa

from pingyao.platform.identity.store import pending


def hold(
    db: sa.Connection,
    purpose: str,
    account: int | None,
    held: dict[str, str],
    seconds: int,
    secret: str = "",
) -> str:
    """Keeps something for a time and returns the secret that names it."""
    secret = secret or secrets.token_urlsafe(32)
    now = int(time.time())
    db.execute(sa.delete(pending).where(pending.c.expires_at <= now))
    values: dict[str, object] = {
        "digest": _digest(secret),
        "account": account,
        "purpose": purpose,
        "held": msgspec.json.encode(held).decode(),
        "expires_at": now + seconds,
    }
    db.execute(sa.insert(pending).values(**values))
    return secret


def take(db: sa.Connection, purpose: str, secret: str) -> tuple[int | None, dict[str, str]] | None:
    """Returns what was kept, and forgets it: nobody takes it twice; None if there is none."""
    t = pending.c
    mine = (t.digest == _digest(secret), t.purpose == purpose)
    row = db.execute(sa.select(pending).where(*mine)).one_or_none()
    if row is None or db.execute(sa.delete(pending).where(*mine)).rowcount != 1:
        return None
    if row.expires_at <= time.time():
        return None
    return row.account, msgspec.json.decode(row.held, type=dict[str, str])


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
