"""What somebody does with her own account: password and second factor."""

from datetime import UTC, datetime

import sqlalchemy as sa

from pingyao.kernel.errors import Conflict, Invalid, NotPermitted
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.identity import passwords, sessions, store, totp
from pingyao.platform.identity.model import Session
from pingyao.platform.outbox import emit
from pingyao.platform.policy import Actor, require


def change_password(engine: sa.Engine, session: Session, current: str, new: str) -> None:
    """Sets one's own password; every other session of the account ends.

    Raises:
        NotPermitted: the current password is wrong; counts as a failure to sign in.
        Invalid: the new one is too weak or the same.
    """
    actor = session.actor
    require(actor, "own.password")
    passwords.check(new, actor.name)
    with engine.connect() as db:
        kept = db.execute(
            sa.select(store.accounts.c.password).where(store.accounts.c.id == actor.id)
        ).scalar_one()
    right = passwords.matches(kept, current)
    if right and current == new:
        raise Invalid("identity.same_password", "新口令与原口令相同", "请另设一个口令")
    digest = passwords.digest(new) if right else ""
    at = datetime.now(UTC)
    with engine.begin() as db:
        row = store.get(db, actor.id)
        if right and row.password == kept and row.locked_until <= at.timestamp():
            values = {"password": digest, "password_at": int(at.timestamp()), "must_change": False}
            store.update(db, actor.id, **values)
            store.end_sessions(db, actor.id, but=sessions.digest_of(session.token))
            emit(db, [_own("identity.password.changed", actor)])
            return
        if sessions.count_failure(db, row, "password", "", at):
            store.end_sessions(db, actor.id)
    raise NotPermitted("identity.wrong_current", "原口令不对", "请核对后重试")


def begin_second_factor(engine: sa.Engine, session: Session, key: bytes) -> str:
    """Makes a secret for one's device, to be confirmed by a code from it; returns it in Base32.

    Raises:
        Conflict: there is one in use; only a reset of the account takes it away.
    """
    actor = session.actor
    require(actor, "own.second_factor")
    with engine.begin() as db:
        row = store.get(db, actor.id)
        if row.totp_step:
            raise Conflict(
                "identity.has_second_factor",
                "动态口令已启用",
                "更换设备须由系统管理员重置账号、安全管理员重新授权",
            )
        if row.totp is not None:
            return totp.unseal(key, row.totp, actor.id)
        secret = totp.make_secret()
        store.update(db, actor.id, totp=totp.seal(key, secret, actor.id))
        return secret


def confirm_second_factor(engine: sa.Engine, session: Session, key: bytes, code: str) -> None:
    """Puts one's device to use, once a code from it is right."""
    actor = session.actor
    require(actor, "own.second_factor")
    with engine.begin() as db:
        row = store.get(db, actor.id)
        step = None
        if row.totp is not None and not row.totp_step:
            step = totp.accepted(
                totp.unseal(key, row.totp, actor.id), code, int(datetime.now(UTC).timestamp()), 0
            )
        if step is None:
            raise Invalid(
                "identity.wrong_code",
                "动态口令不对",
                "请核对手机与本机的时间，再输入当前的六位数字",
            )
        store.update(db, actor.id, totp_step=step)
        emit(db, [_own("identity.second_factor.enabled", actor)])


def has_second_factor(engine: sa.Engine, session: Session) -> bool:
    """Tells whether one's own device is in use."""
    t = store.accounts.c
    with engine.connect() as db:
        return db.execute(sa.select(t.totp_step).where(t.id == session.actor.id)).scalar_one() > 0


def _own(kind: str, actor: Actor) -> EvidenceEvent:
    return EvidenceEvent(kind, actor.name, actor.name, datetime.now(UTC), {})
