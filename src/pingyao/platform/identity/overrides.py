"""Emergency overrides: one act lent to one person for hours at most, asked by one and approved by another.

Request, approval, every use and the end are evidence; nothing that makes, takes over or empowers an
account can be lent, so two who plot get no further than one act for four hours, in plain sight.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import Conflict, Invalid, NotFound, NotPermitted
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.identity import store
from pingyao.platform.identity.model import Override
from pingyao.platform.outbox import emit
from pingyao.platform.policy import URGENT, Actor, permits, require

MOST_MINUTES = 4 * 60
WAITING_SECONDS = 24 * 3600
_MOST_OPEN = 5
_LEAST_REASON, _MOST_REASON = 10, 500
_SHOWN = 200


def ask(engine: sa.Engine, actor: Actor, action: str, reason: str, minutes: int) -> Override:
    """Asks for an act that one's role may not do.

    Args:
        engine: the database.
        actor: who asks.
        action: one of ``policy.URGENT``.
        reason: what has happened, 10 to 500 characters.
        minutes: for how long from the approval.

    Raises:
        Invalid: the act cannot be lent to this role, or reason or time are out of bounds.
        Conflict: she has asked for it already, or for too much.
    """
    require(actor, "own.override")
    reason = " ".join(reason.split())
    if action not in choices(actor):
        raise Invalid(
            "identity.not_lendable",
            "该操作不可越权，或本人的角色本就可做",
            "请在列出的操作中选择；建立、重置账号与授权一律不可越权",
        )
    if not _LEAST_REASON <= len(reason) <= _MOST_REASON:
        raise Invalid(
            "identity.no_reason",
            f"紧急越权须写明理由，{_LEAST_REASON} 至 {_MOST_REASON} 个字",
            "请说明发生了什么、为何等不及",
        )
    if not 1 <= minutes <= MOST_MINUTES:
        raise Invalid(
            "identity.bad_minutes", f"时长须为 1 至 {MOST_MINUTES} 分钟", "请缩短时长，到期可再申请"
        )
    at, t = datetime.now(UTC), store.overrides.c
    with engine.begin() as db:
        store.get(db, actor.id)  # one at a time for each account
        _end_over(db, at)
        live = (t.account == actor.id, t.state.in_(("asked", "granted")))
        actions = db.execute(sa.select(t.action).where(*live)).scalars().all()
        if action in actions or len(actions) >= _MOST_OPEN:
            raise Conflict(
                "identity.override_open", "已有同一操作的申请，或申请过多", "请先结束原来的申请"
            )
        values: dict[str, object] = {
            "account": actor.id,
            "role": actor.role,
            "action": action,
            "reason": reason,
            "minutes": minutes,
            "state": "asked",
            "asked_at": int(at.timestamp()),
            "decided_by": "",
            "until": 0,
        }
        key = db.execute(sa.insert(store.overrides).values(**values)).inserted_primary_key
        row = _get(db, int(key[0]) if key else 0)
        emit(db, [_event("identity.override.asked", row, actor.name, at, reason=reason)])
        return _override(row)


def decide(engine: sa.Engine, actor: Actor, number: int, *, approve: bool) -> Override:
    """Approves a request, which begins to run, or refuses it.

    Raises:
        NotPermitted: it is one's own, or of somebody of one's own role.
        Conflict: it is not waiting any more.
    """
    require(actor, "override.approve")
    at = datetime.now(UTC)
    now = int(at.timestamp())
    with engine.begin() as db:
        _end_over(db, at)
        row = _get(db, number)
        require(actor, "override.approve", row.account)
        if row.role == actor.role:
            raise NotPermitted(
                "identity.same_role", "须由另一角色的人批准", "请交由其他角色的人办理"
            )
        if row.state != "asked":
            raise Conflict("identity.override_decided", "该申请已处理或已过期", "请刷新列表")
        state = "granted" if approve else "refused"
        values = {"until": now + row.minutes * 60} if approve else {}
        _update(db, number, state=state, decided_by=actor.name, **values)
        row = _get(db, number)
        if approve:
            event = _event("identity.override.granted", row, actor.name, at, until=row.until)
        else:
            event = _event("identity.override.refused", row, actor.name, at)
        emit(db, [event])
        return _override(row)


def end(engine: sa.Engine, actor: Actor, number: int) -> Override:
    """Ends a request or an override before its time: one's own, or anybody's who may approve."""
    at = datetime.now(UTC)
    with engine.begin() as db:
        row = _get(db, number)
        require(actor, "own.override" if row.account == actor.id else "override.end")
        if row.state not in ("asked", "granted"):
            raise Conflict("identity.override_decided", "该申请已处理或已过期", "请刷新列表")
        _update(db, number, state="ended")
        emit(db, [_event("identity.override.ended", row, actor.name, at)])
        return _override(_get(db, number))


def listed(engine: sa.Engine, actor: Actor) -> list[Override]:
    """Returns the newest overrides: everybody's for who may see them, else one's own."""
    if not permits(actor, "override.list"):
        require(actor, "own.override")
    a, t = store.accounts.c, store.overrides
    query = sa.select(t, a.name.label("asker")).join(store.accounts, t.c.account == a.id)
    if not permits(actor, "override.list"):
        query = query.where(t.c.account == actor.id)
    with engine.begin() as db:
        _end_over(db, datetime.now(UTC))
        return [_override(r) for r in db.execute(query.order_by(t.c.id.desc()).limit(_SHOWN))]


def choices(actor: Actor) -> list[str]:
    """Returns the acts that may be lent to this person: she may not do them, and could if lent."""
    bare, lent = (msgspec.structs.replace(actor, lent=acts) for acts in ((), URGENT))
    return [act for act in URGENT if permits(lent, act) and not permits(bare, act)]


def lent(db: sa.Connection, account: int, role: str, now: int) -> tuple[str, ...]:
    """Returns what an account has been lent and may still use."""
    t = store.overrides.c
    live = (t.account == account, t.role == role, t.state == "granted", t.until > now)
    return tuple(db.execute(sa.select(t.action).where(*live)).scalars())


def note_use(engine: sa.Engine, actor: Actor, action: str, path: str) -> None:
    """Keeps evidence of one use."""
    at = datetime.now(UTC)
    body: dict[str, object] = {"action": action, "path": path[:200]}
    with engine.begin() as db:
        emit(db, [EvidenceEvent("identity.override.used", actor.name, actor.name, at, body)])


def end_over(engine: sa.Engine) -> None:
    """Ends what has run out, with evidence; what has run out lends nothing even before that."""
    with engine.begin() as db:
        _end_over(db, datetime.now(UTC))


def end_all(db: sa.Connection, account: int, by: str) -> None:
    """Ends what an account asked for or was lent, for its account has been stopped."""
    t, at = store.overrides.c, datetime.now(UTC)
    live = (t.account == account, t.state.in_(("asked", "granted")))
    for number in db.execute(sa.select(t.id).where(*live)).scalars().all():
        _update(db, number, state="ended")
        emit(db, [_event("identity.override.ended", _get(db, number), by, at)])


def _end_over(db: sa.Connection, at: datetime) -> None:
    t, now = store.overrides.c, int(at.timestamp())
    over = sa.or_(
        sa.and_(t.state == "granted", t.until <= now),
        sa.and_(t.state == "asked", t.asked_at <= now - WAITING_SECONDS),
    )
    for number in db.execute(sa.select(t.id).where(over)).scalars().all():
        row = _get(db, number)
        if row.state in ("granted", "asked"):  # nobody else ended it meanwhile
            _update(db, number, state="ended")
            emit(db, [_event("identity.override.ended", row, "", at, by_itself=True)])


def _get(db: sa.Connection, number: int) -> Any:
    a, t = store.accounts.c, store.overrides
    query = sa.select(t, a.name.label("asker")).join(store.accounts, t.c.account == a.id)
    row = db.execute(query.where(t.c.id == number).with_for_update(of=t)).one_or_none()
    if row is None:
        raise NotFound("identity.no_such_override", "没有这项越权申请", "请刷新列表后重试")
    return row


def _update(db: sa.Connection, number: int, **values: object) -> None:
    t = store.overrides
    db.execute(sa.update(t).where(t.c.id == number).values(**values))


def _override(row: Any) -> Override:
    return Override(
        *(row.id, row.asker, row.role, row.action, row.reason, row.minutes),
        *(row.state, row.asked_at, row.decided_by, row.until),
    )


def _event(kind: str, row: Any, by: str, at: datetime, **more: object) -> EvidenceEvent:
    body: dict[str, object] = {"override": row.id, "action": row.action, "minutes": row.minutes}
    return EvidenceEvent(kind, row.asker, by, at, body | more)
