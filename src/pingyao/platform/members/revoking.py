"""Shutting out: a whole member, one of its keys, or one of our own."""

from datetime import UTC, datetime

import sqlalchemy as sa

from pingyao.kernel.errors import Conflict, Invalid, NotFound, NotPermitted
from pingyao.platform.members import documents, publishing, rotating, store
from pingyao.platform.members.client import Client
from pingyao.platform.members.model import Member
from pingyao.platform.members.proofs import event
from pingyao.platform.members.ring import Ring, add_generation, newest
from pingyao.platform.members.rotating import Told
from pingyao.platform.outbox import emit
from pingyao.platform.policy import Actor, require

_MOST_REASON = 500


def revoke(
    engine: sa.Engine, actor: Actor, number: int, why: str, since: int | None = None
) -> Member:
    """Shuts a member out: from now on nothing of its keys is believed.

    Args:
        engine: the database.
        actor: who does it.
        number: of the member.
        why: the reason, kept.
        since: when the keys were lost, if that was earlier; what was signed after it is not believed.

    Raises:
        Conflict: it is revoked already.
        NotPermitted: a centre vouches for it, and is the one to revoke it.
    """
    require(actor, "members.revoke")
    at = datetime.now(UTC)
    now = int(at.timestamp())
    why, since = _checked(why, since, now)
    with engine.begin() as db:
        member = _direct(db, number)
        if member.state == "revoked":
            raise Conflict("members.is_revoked", "该成员已被吊销", "无需再次吊销")
        store.update(db, number, state="revoked", revoked_at=now, why=why)
        for key in member.keys:
            if not key.revoked_at:
                store.revoke_key(db, key.id, since, why)
        body: dict[str, object] = {"why": why, "since": since}
        emit(db, [event("members.member.revoked", member.profile.uscc, actor, at, body)])
        publishing.publish(db, actor.name, at)
        return store.get(db, number) or member


def revoke_key(
    engine: sa.Engine, actor: Actor, number: int, key: str, why: str, since: int | None = None
) -> Member:
    """Revokes one key of a member; the member goes on with its others, if it has any.

    Args:
        engine: the database.
        actor: who does it.
        number: of the member.
        key: its name.
        why: the reason, kept.
        since: when it was lost; of one that is revoked already, an earlier moment than before.

    Raises:
        Conflict: it is revoked already, since then or earlier.
    """
    require(actor, "members.revoke")
    at = datetime.now(UTC)
    why, since = _checked(why, since, int(at.timestamp()))
    with engine.begin() as db:
        member = _direct(db, number)
        held = next((k for k in member.keys if k.id == key), None)
        if held is None:
            raise _no_key()
        if held.revoked_at and held.revoked_at <= since:
            raise _is_revoked()
        store.revoke_key(db, key, since, why)
        body: dict[str, object] = {"key": key, "why": why, "since": since}
        emit(db, [event("members.key.revoked", member.profile.uscc, actor, at, body)])
        publishing.publish(db, actor.name, at)
        return store.get(db, number) or member


def revoke_own(
    engine: sa.Engine,
    ring: Ring,
    actor: Actor,
    client: Client,
    key: str,
    why: str,
    since: int | None = None,
) -> list[Told]:
    """Revokes one of our own keys, after new ones are made if it is of the newest; tells every member.

    Raises:
        NotFound: we have no such key.
        Conflict: it is revoked already.
    """
    require(actor, "members.rotate")
    at = datetime.now(UTC)
    why, since = _checked(why, since, int(at.timestamp()))
    with engine.connect() as db:
        keys = store.read_own_keys(db)
    own = next((k for k in keys if k.id == key), None)
    if own is None:
        raise _no_key()
    if own.revoked_at:
        raise _is_revoked()
    if own.generation == newest(keys):  # its successor comes first, to sign that it is revoked
        add_generation(engine, ring, actor.name, "members.keys.rotated", own.generation + 1)
    with engine.begin() as db:
        store.change_own_key(db, key, revoked_at=since, why=why)
        body: dict[str, object] = {"key": key, "why": why, "since": since}
        emit(db, [event("members.keys.revoked", "", actor, at, body)])
    return rotating.tell(engine, ring, actor, client)


def _checked(why: str, since: int | None, now: int) -> tuple[str, int]:
    why = " ".join(why.split())
    if not 1 <= len(why) <= _MOST_REASON or not why.isprintable():
        raise Invalid("members.no_reason", "须写明理由，至多 500 字", "请写明理由")
    if since is not None and not 0 < since <= now:
        raise Invalid("members.bad_since", "失密时间不能晚于现在", "请改正时间")
    return why, since or now


def _direct(db: sa.Connection, number: int) -> Member:
    member = store.get(db, number, lock=True)
    if member is None:
        raise documents.unknown()
    if member.via:
        raise NotPermitted(
            "members.centre_revokes",
            "该成员由中心作保，由中心吊销",
            "请联系中心；名册每 5 分钟取一次，也可运行 pingyao members fetch",
        )
    return member


def _no_key() -> NotFound:
    return NotFound("members.no_such_key", "没有这把密钥", "请以 pingyao members keys 查看编号")


def _is_revoked() -> Conflict:
    return Conflict("members.key_is_revoked", "这把密钥已被吊销", "无需再次吊销")
