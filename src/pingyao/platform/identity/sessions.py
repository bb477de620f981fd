"""Signing in and out: sessions on the server, and lock-out."""

import hashlib
import secrets
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from pingyao.kernel.errors import NotPermitted
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.identity import overrides, passkeys, passwords, pending, store, totp
from pingyao.platform.identity.model import SecondStep, Session
from pingyao.platform.outbox import emit
from pingyao.platform.policy import Actor

IDLE_SECONDS = 15 * 60
WHOLE_SECONDS = 8 * 3600
FAILURES, LOCKED_SECONDS = 5, 15 * 60
PASSWORD_SECONDS = 90 * 86_400
_SEEN_SECONDS = 30  # what a session's use is written down by, at most


def sign_in(
    engine: sa.Engine, key: bytes, name: str, password: str, code: str, address: str
) -> Session:
    """Starts a session, under a token nobody has seen before.

    Every refusal says the same, whichever part was wrong, and takes as long.

    Raises:
        NotPermitted: name, password or code is wrong, or the account does not work.
    """
    begun = begin(engine, key, name, password, code, address)
    if isinstance(begun, SecondStep):
        raise refused()
    return begun


def begin(
    engine: sa.Engine,
    key: bytes,
    name: str,
    password: str,
    code: str,
    address: str,
    site: str = "",
) -> Session | SecondStep:
    """Starts a session, or goes on to ask for a passkey where one is registered under this site."""
    name, at = name.strip().lower()[:64], datetime.now(UTC)
    now = int(at.timestamp())
    with engine.connect() as db:  # no lock is held for the time a digest takes
        kept = db.execute(
            sa.select(store.accounts.c.password).where(store.accounts.c.name == name)
        ).scalar()
    right = passwords.matches(kept or "", password)
    with engine.begin() as db:
        row = store.find(db, name)
        why, step = _refusal(row, kept or "", key, code, now, right=right)
        if why == "passkey" and passkeys.known(db, row.id, site):
            return passkeys.challenge(db, row.id, site)
        if not why:
            store.update(db, row.id, totp_step=step)
            return start(db, row, at, address, "code" if step else "")
        count_failure(db, row, why, address, at)
    raise refused()


def finish(
    engine: sa.Engine, key: bytes, ticket: str, shown: str, origin: str, address: str
) -> Session:
    """Ends the second step of a sign-in, right or wrong; the ticket is good for one try.

    Args:
        engine: the database.
        key: what second factors are sealed with.
        ticket: of the step.
        shown: a six-digit code, or a security key's answer as JSON.
        origin: scheme, name and port the node was called by.
        address: where the person is.

    Raises:
        NotPermitted: it is not right, not in time, or the account does not work any more.
    """
    at = datetime.now(UTC)
    now = int(at.timestamp())
    with engine.begin() as db:
        held = pending.take(db, "second", ticket)
        row = store.get(db, held[0]) if held and held[0] else None
        if held is not None and row is not None:
            works = row.state == "active" and row.locked_until <= now
            factor = _shown(db, row, held[1], key, shown, origin, now) if works else ""
            if factor:
                return start(db, row, at, address, factor, held[1]["way"])
            count_failure(db, row, "code" if works else "locked", address, at)
    raise refused()


def _shown(
    db: sa.Connection, row: Any, held: dict[str, str], key: bytes, shown: str, origin: str, now: int
) -> str:
    """Returns by what the second factor was shown, empty if it was not."""
    if shown.startswith("{"):
        answers = "challenge" in held and passkeys.answered(db, row, held, shown, origin)
        return "passkey" if answers else ""
    step = None
    if row.totp_step:
        step = totp.accepted(totp.unseal(key, row.totp, row.id), shown, now, row.totp_step)
    if step is None:
        return ""
    store.update(db, row.id, totp_step=step)
    return "code"


def start(
    db: sa.Connection, row: Any, at: datetime, address: str, factor: str, way: str = "password"
) -> Session:
    """Starts the session of somebody who has shown who she is.

    Args:
        db: an open transaction.
        row: her account, held for change.
        at: now.
        address: where she is.
        factor: what second factor she showed; empty for none.
        way: how she came: ``password`` or ``oidc``.
    """
    now, token = int(at.timestamp()), secrets.token_urlsafe(32)
    store.update(db, row.id, failures=0, locked_until=0)
    values = {"digest": digest_of(token), "account": row.id, "started_at": now, "seen_at": now}
    db.execute(sa.insert(store.sessions).values(**values))
    t = store.sessions.c
    db.execute(sa.delete(store.sessions).where(t.started_at < now - WHOLE_SECONDS))
    body: dict[str, object] = {"from": address, "way": way, "second_factor": factor}
    emit(db, [EvidenceEvent("identity.session.started", row.name, row.name, at, body)])
    return _session(db, token, row, now)


def refused() -> NotPermitted:
    """The one refusal of every sign-in."""
    return NotPermitted(
        "identity.refused",
        "账号、口令或动态口令不对，或账号已停用、已锁定",
        f"请核对后重试；连续 {FAILURES} 次不对即锁定 {LOCKED_SECONDS // 60} 分钟，安全管理员可提前解锁",
    )


def resume(engine: sa.Engine, token: str, touch: bool = True) -> Session | None:
    """Returns the session of a token while it lasts: in use, and not too old in all.

    Args:
        touch: whether this is a use of it.
    """
    now, digest = _now(), digest_of(token)
    s, a = store.sessions, store.accounts
    query = (
        sa.select(a, store.KEYED, s.c.started_at, s.c.seen_at)
        .join(s, s.c.account == a.c.id)
        .where(s.c.digest == digest)
    )
    with engine.connect() as db:
        row = db.execute(query).one_or_none()
        if row is None:
            return None
        over = now - row.seen_at > IDLE_SECONDS or now - row.started_at > WHOLE_SECONDS
        session = _session(db, token, row, now)
    if over or row.state != "active":
        with engine.begin() as db:
            db.execute(sa.delete(s).where(s.c.digest == digest))
        return None
    if touch and now - row.seen_at > _SEEN_SECONDS:
        with engine.begin() as db:
            db.execute(sa.update(s).where(s.c.digest == digest).values(seen_at=now))
    return session


def clear(db: sa.Connection, now: int) -> int:
    """Removes the sessions that are over; returns how many."""
    t = store.sessions.c
    over = sa.or_(t.started_at < now - WHOLE_SECONDS, t.seen_at < now - IDLE_SECONDS)
    return db.execute(sa.delete(store.sessions).where(over)).rowcount


def sign_out(engine: sa.Engine, session: Session) -> None:
    """Ends a session."""
    actor = session.actor
    with engine.begin() as db:
        db.execute(
            sa.delete(store.sessions).where(store.sessions.c.digest == digest_of(session.token))
        )
        at = datetime.now(UTC)
        emit(db, [EvidenceEvent("identity.session.ended", actor.name, actor.name, at, {})])


def _refusal(
    row: Any, checked: str, key: bytes, code: str, now: int, *, right: bool
) -> tuple[str, int]:
    """Returns why somebody may not sign in, empty if she may, and the step of her code."""
    if row is None:
        return "unknown", 0
    if row.state != "active" or row.password != checked:
        return row.state if row.state != "active" else "changed", 0
    if row.locked_until > now:
        return "locked", 0
    if not right:
        return "password", 0
    if row.keyed and not code:
        return "passkey", 0
    if not row.totp_step:
        return ("code" if row.keyed else ""), 0
    step = totp.accepted(totp.unseal(key, row.totp, row.id), code, now, row.totp_step)
    return ("", step) if step else ("code", 0)


def count_failure(db: sa.Connection, row: Any, why: str, address: str, at: datetime) -> bool:
    """Notes a refused sign-in, and locks the account out when it is one too many."""
    # What was typed as a name may be a password: only names that exist are written down.
    name = row.name if row is not None else ""
    body: dict[str, object] = {"from": address, "why": why}
    events = [EvidenceEvent("identity.session.refused", name, name, at, body)]
    locks = False
    if row is not None and why in ("password", "code"):
        locks = row.failures + 1 >= FAILURES
        until = int(at.timestamp()) + LOCKED_SECONDS if locks else row.locked_until
        store.update(db, row.id, failures=0 if locks else row.failures + 1, locked_until=until)
        if locks:
            events.append(
                EvidenceEvent("identity.account.locked", name, name, at, {"from": address})
            )
    emit(db, events)
    return locks


def _session(db: sa.Connection, token: str, row: Any, now: int) -> Session:
    institution = store.read_institution(db)
    why = ""
    if row.must_change or now - row.password_at > PASSWORD_SECONDS:
        why = "password"
    elif institution is not None and institution.second_factor and not (row.totp_step or row.keyed):
        why = "second_factor"
    csrf = hashlib.sha256(b"csrf:" + token.encode()).hexdigest()
    lent = overrides.lent(db, row.id, row.role, now)
    actor = Actor(row.id, row.name, row.role, not why, lent=lent)
    return Session(token, csrf, actor, row.person, why)


def digest_of(token: str) -> str:
    """Returns what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _now() -> int:
    return int(datetime.now(UTC).timestamp())
