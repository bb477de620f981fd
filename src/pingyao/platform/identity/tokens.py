"""Tokens for programs: made by a person for herself, never more than her role, seen once, revoked at will."""

import hashlib
import re
import secrets
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import Conflict, Invalid, NotFound, NotPermitted
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.identity import store
from pingyao.platform.identity.model import MadeToken, Session, Token
from pingyao.platform.outbox import emit
from pingyao.platform.policy import SCOPES, Actor, permits, require

PREFIX = "pyt_"
MOST, MOST_DAYS = 20, 365
_DAY = 86_400
_SEEN_SECONDS = 60  # what a token's use is written down by, at most
_NAME = re.compile(r"[a-z][a-z0-9._-]{1,31}")


def make(
    engine: sa.Engine, actor: Actor, name: str, scopes: tuple[str, ...], days: int
) -> MadeToken:
    """Makes a token; its text is in the answer and nowhere else.

    Args:
        engine: the database.
        actor: whose it is.
        name: what it is for, e.g. ``report.job``.
        scopes: what it may do: acts of ``policy.SCOPES`` that the actor's role may.
        days: how long it lasts.

    Raises:
        Invalid: a scope is none or beyond the role, or name or days are out of bounds.
        Conflict: she has a token of that name, or too many.
    """
    require(actor, "own.tokens")
    name, wanted = name.strip().lower(), tuple(sorted({*scopes}))
    if not _NAME.fullmatch(name):
        raise Invalid(
            "identity.bad_token_name",
            "令牌名称写法有误",
            "请用 2 至 32 个小写字母、数字、点、横线或下划线，以字母开头",
        )
    if not wanted or not all(s in SCOPES and permits(_unaided(actor), s) for s in wanted):
        raise Invalid(
            "identity.bad_scope", "令牌的范围为空或超出本人的角色", "请在列出的范围内选择"
        )
    if not 1 <= days <= MOST_DAYS:
        raise Invalid("identity.bad_days", f"有效期须为 1 至 {MOST_DAYS} 天", "请改正有效期")
    at, text = datetime.now(UTC), PREFIX + secrets.token_urlsafe(32)
    now = int(at.timestamp())
    with engine.begin() as db:
        store.get(db, actor.id)  # one at a time for each account
        t = store.tokens.c
        db.execute(sa.delete(store.tokens).where(t.account == actor.id, t.expires_at <= now))
        names = db.execute(sa.select(t.name).where(t.account == actor.id)).scalars().all()
        if name in names:
            raise Conflict("identity.token_exists", f"已有名为 {name} 的令牌", "请换一个名称")
        if len(names) >= MOST:
            raise Conflict(
                "identity.too_many_tokens", f"每人至多 {MOST} 个令牌", "请先收回不用的令牌"
            )
        values: dict[str, object] = {
            "account": actor.id,
            "name": name,
            "digest": _digest(text),
            "scopes": " ".join(wanted),
            "created_at": now,
            "expires_at": now + days * _DAY,
            "used_at": 0,
        }
        db.execute(sa.insert(store.tokens).values(**values))
        body: dict[str, object] = {"token": name, "scopes": list(wanted), "days": days}
        emit(db, [EvidenceEvent("identity.token.made", actor.name, actor.name, at, body)])
        made = db.execute(sa.select(store.tokens).where(t.digest == values["digest"])).one()
        return MadeToken(_token(made), text)


def listed(engine: sa.Engine, actor: Actor) -> list[Token]:
    """Returns one's own tokens by name."""
    require(actor, "own.tokens")
    t = store.tokens.c
    query = sa.select(store.tokens).where(t.account == actor.id).order_by(t.name)
    with engine.connect() as db:
        return [_token(row) for row in db.execute(query)]


def choices(actor: Actor) -> list[str]:
    """Returns the scopes a token of this person may have."""
    return [s for s in SCOPES if permits(_unaided(actor), s)]


def revoke(engine: sa.Engine, actor: Actor, number: int) -> None:
    """Ends one of one's own tokens at once."""
    require(actor, "own.tokens")
    t = store.tokens.c
    with engine.begin() as db:
        mine = (t.id == number, t.account == actor.id)
        name = db.execute(sa.select(t.name).where(*mine)).scalar_one_or_none()
        if name is None:
            raise NotFound("identity.no_such_token", "没有这个令牌", "请刷新列表后重试")
        db.execute(sa.delete(store.tokens).where(*mine))
        body: dict[str, object] = {"token": name}
        at = datetime.now(UTC)
        emit(db, [EvidenceEvent("identity.token.revoked", actor.name, actor.name, at, body)])


def resume(engine: sa.Engine, text: str) -> Session:
    """Returns the session of a program that shows a token.

    A token does not wait for its owner's password: it has an expiry of its own, and ends whenever
    the account is suspended, reset or loses its role.

    Raises:
        NotPermitted: the token is none, has expired or was revoked.
    """
    now, t, a = int(datetime.now(UTC).timestamp()), store.tokens, store.accounts
    query = (
        sa.select(a, t.c.id.label("token"), t.c.name.label("called"), t.c.scopes, t.c.used_at)
        .join(t, t.c.account == a.c.id)
        .where(t.c.digest == _digest(text), t.c.expires_at > now, a.c.state == "active")
    )
    with engine.connect() as db:
        row = db.execute(query).one_or_none()
    if row is None:
        raise NotPermitted(
            "identity.bad_token", "令牌无效、已过期或已收回", "请由本人登录控制台另建令牌"
        )
    if now - row.used_at > _SEEN_SECONDS:
        with engine.begin() as db:
            db.execute(sa.update(t).where(t.c.id == row.token).values(used_at=now))
    actor = Actor(row.id, row.name, row.role, scopes=tuple(row.scopes.split()))
    return Session("", "", actor, row.person, program=row.called)


def _unaided(actor: Actor) -> Actor:
    """What an emergency lends is not to be handed on."""
    return msgspec.structs.replace(actor, lent=())


def _token(row: Any) -> Token:
    scopes = tuple(row.scopes.split())
    return Token(row.id, row.name, scopes, row.created_at, row.expires_at, row.used_at)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
