"""Keeping accounts: the system administrator makes and stops them, the security administrator grants.

Neither alone can make an account that works, nor take over one that does: a new or a reset account
waits until the other of the two has acted.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from pingyao.kernel.errors import Conflict, Invalid, NotFound, NotPermitted
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.identity import overrides, passwords, store
from pingyao.platform.identity.model import Account, Institution, Issued
from pingyao.platform.outbox import emit
from pingyao.platform.policy import ADMINISTRATORS, ROLES, Actor, require

_NAME = re.compile(r"[a-z][a-z0-9._-]{1,31}")


def found(
    engine: sa.Engine, institution: Institution, people: list[tuple[str, str, str]], actor: str
) -> list[Issued]:
    """Makes a node of an empty database: whose it is, and its first administrators.

    Args:
        engine: the database.
        institution: whose node it is.
        people: account name, person and role of each, one of every administrator's role at least.
        actor: who runs the machine.

    Raises:
        Conflict: there is a node already.
    """
    missing = set(ADMINISTRATORS) - {role for _, _, role in people}
    if missing:
        raise Invalid("node.three", "三员须各有其人", "请给出系统、安全、审计三名管理员")
    at = datetime.now(UTC)
    made = [(passwords.make(), *each) for each in people]
    with engine.begin() as db:
        if store.read_institution(db) is not None:
            raise Conflict("node.exists", "此数据库已是一个节点", "请换一个数据库，或直接启动")
        values = {f: getattr(institution, f) for f in institution.__struct_fields__}
        db.execute(sa.insert(store.institutions).values(id=1, **values))
        body: dict[str, object] = {"uscc": institution.uscc, "role": institution.role}
        events = [EvidenceEvent("node.founded", institution.name, actor, at, body)]
        issued: list[Issued] = []
        for password, name, person, role in made:
            row = _new(name, person, at) | {"role": role, "state": "active"}
            number = store.insert(db, **row | {"password": passwords.digest(password)})
            events.append(EvidenceEvent("identity.role.granted", name, actor, at, {"role": role}))
            issued.append(Issued(store.to_account(store.get(db, number)), password))
        emit(db, events)
    return issued


def create(engine: sa.Engine, actor: Actor, name: str, person: str) -> Account:
    """Makes an account that waits for a role."""
    require(actor, "account.create")
    at = datetime.now(UTC)
    with engine.begin() as db:
        row = _new(name, person, at)
        if store.find(db, row["name"]) is not None:
            raise Conflict("identity.name_taken", f"账号 {row['name']} 已存在", "请换一个账号名")
        number = store.insert(db, **row)
        emit(db, [_event("identity.account.created", row["name"], actor, at)])
        return store.to_account(store.get(db, number))


def suspend(engine: sa.Engine, actor: Actor, number: int) -> Account:
    """Stops an account; it is signed out at once."""

    def change(db: sa.Connection, row: Any) -> dict[str, object]:
        _keep_one(db, row)
        _stop(db, row, actor)
        return {"state": "suspended", "password": ""}

    return _change(engine, actor, "account.suspend", number, "identity.account.suspended", change)


def reset(engine: sa.Engine, actor: Actor, number: int) -> Account:
    """Takes password and second factor away; the security administrator must grant anew.

    The role is kept to be granted again or not.
    """

    def change(db: sa.Connection, row: Any) -> dict[str, object]:
        _keep_one(db, row)
        _stop(db, row, actor)
        store.forget_devices(db, number)
        return {"state": "waiting", "password": "", "totp": None, "totp_step": 0}

    return _change(engine, actor, "account.reset", number, "identity.account.reset", change)


def grant(engine: sa.Engine, actor: Actor, number: int, role: str) -> Issued:
    """Gives an account that waits its one role, and a one-time password to hand over.

    Raises:
        Conflict: the account does not wait: a role is never changed for another in one step.
    """
    if role not in ROLES:
        raise Invalid("identity.no_such_role", f"没有角色 {role[:20]}", "可选：" + "、".join(ROLES))
    password = passwords.make()
    kept = passwords.digest(password)

    def change(db: sa.Connection, row: Any) -> dict[str, object]:
        if row.state != "waiting":
            raise Conflict(
                "identity.not_waiting",
                "该账号不在待授权状态",
                "须先由系统管理员新建或重置该账号，再行授权",
            )
        now = int(datetime.now(UTC).timestamp())
        fresh: dict[str, object] = {"failures": 0, "locked_until": 0, "password_at": now}
        return fresh | {"role": role, "state": "active", "password": kept, "must_change": True}

    account = _change(
        engine, actor, "account.grant", number, "identity.role.granted", change, {"role": role}
    )
    return Issued(account, password)


def recover(engine: sa.Engine, vouching: list[Actor], name: str) -> Issued:
    """Gives an administrator who lost password or device a one-time password, her role unchanged.

    The way for a role's only administrator, whom nobody can reset: the administrators of both other
    roles vouch for her. So no one person, and nobody with the database alone, gains a role by it.

    Raises:
        NotPermitted: not both other roles vouch.
        Conflict: the account is no administrator's that works.
    """
    password, at = passwords.make(), datetime.now(UTC)
    kept = passwords.digest(password)
    with engine.begin() as db:
        row = store.find(db, name.strip().lower())
        if row is None or row.role not in ADMINISTRATORS or row.state != "active":
            raise Conflict(
                "identity.not_recoverable",
                "只能找回状态正常的管理员账号",
                "其他账号请由系统管理员重置、安全管理员重新授权",
            )
        for actor in vouching:
            require(actor, "account.vouch", row.id)
        if {a.role for a in vouching} != {*ADMINISTRATORS} - {row.role}:
            raise NotPermitted(
                "identity.two_vouch", "须由另外两个角色的管理员共同作保", "请两人到场办理"
            )
        by = "、".join(sorted(a.name for a in vouching))
        store.stop(db, row.id)
        store.forget_devices(db, row.id)
        overrides.end_all(db, row.id, by)
        fresh: dict[str, object] = {"failures": 0, "locked_until": 0, "totp": None, "totp_step": 0}
        now = {"password_at": int(at.timestamp()), "must_change": True, "password": kept}
        store.update(db, row.id, **fresh | now)
        body: dict[str, object] = {"vouched": sorted(a.name for a in vouching), "role": row.role}
        emit(db, [EvidenceEvent("identity.account.recovered", row.name, by, at, body)])
        return Issued(store.to_account(store.get(db, row.id)), password)


def revoke(engine: sa.Engine, actor: Actor, number: int) -> Account:
    """Takes an account's role; it may do nothing until it is reset and granted another."""

    def change(db: sa.Connection, row: Any) -> dict[str, object]:
        _keep_one(db, row)
        _stop(db, row, actor)
        return {"role": "", "state": "suspended", "password": ""}

    return _change(engine, actor, "account.revoke", number, "identity.role.revoked", change)


def unlock(engine: sa.Engine, actor: Actor, number: int) -> Account:
    """Ends a lock-out before its time."""

    def change(_: sa.Connection, row: Any) -> dict[str, object]:
        if not row.locked_until:
            raise Conflict("identity.not_locked", "该账号没有被锁定", "无需解锁")
        return {"failures": 0, "locked_until": 0}

    return _change(engine, actor, "account.unlock", number, "identity.account.unlocked", change)


def listed(engine: sa.Engine, actor: Actor) -> list[Account]:
    """Returns all accounts."""
    require(actor, "people.list")
    with engine.connect() as db:
        return store.read_accounts(db)


def _change(
    engine: sa.Engine,
    actor: Actor,
    action: str,
    number: int,
    kind: str,
    change: Callable[[sa.Connection, Any], dict[str, object]],
    body: dict[str, object] | None = None,
) -> Account:
    require(actor, action, number)
    at = datetime.now(UTC)
    with engine.begin() as db:
        row = store.get(db, number)
        if row is None:
            raise NotFound("identity.no_such_account", "没有这个账号", "请刷新列表后重试")
        store.update(db, number, **change(db, row))
        emit(db, [_event(kind, row.name, actor, at, {"held": row.role} | (body or {}))])
        return store.to_account(store.get(db, number))


def _stop(db: sa.Connection, row: Any, actor: Actor) -> None:
    store.stop(db, row.id)
    overrides.end_all(db, row.id, actor.name)


def _keep_one(db: sa.Connection, row: Any) -> None:
    """Refuses to leave an administrator's role without anybody who works."""
    if (
        row.role in ADMINISTRATORS
        and row.state == "active"
        and store.count_active(db, row.role) < 2
    ):
        raise Conflict(
            "identity.last_administrator",
            "这是该角色唯一可用的管理员",
            "请先设立另一名同角色的管理员",
        )


def _event(
    kind: str, subject: str, actor: Actor, at: datetime, body: dict[str, object] | None = None
) -> EvidenceEvent:
    return EvidenceEvent(kind, subject, actor.name, at, {"by": actor.role} | (body or {}))


def _new(name: str, person: str, at: datetime) -> dict[str, Any]:
    name, person = name.strip().lower(), " ".join(person.split())
    if not _NAME.fullmatch(name):
        raise Invalid(
            "identity.bad_name",
            "账号名写法有误",
            "请用 2 至 32 个小写字母、数字、点、横线或下划线，以字母开头",
        )
    if not 1 <= len(person) <= 64 or not person.isprintable():
        raise Invalid("identity.bad_person", "姓名须为 1 至 64 个可见字符", "请改正姓名")
    now = int(at.timestamp())
    return {
        "name": name,
        "person": person,
        "role": "",
        "state": "waiting",
        "password": "",
        "password_at": now,
        "must_change": True,
        "totp": None,
        "totp_step": 0,
        "failures": 0,
        "locked_until": 0,
        "created_at": now,
    }
