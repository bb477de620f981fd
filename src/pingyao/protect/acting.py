"""Cases opened and acted on: signed by who acts, each act one transaction with its evidence."""

import secrets
from collections.abc import Mapping
from datetime import UTC, date, datetime

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import Invalid, NotPermitted
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.crypto.keystore import KeyStore
from pingyao.platform.crypto.signers import Algorithm, Signer, open_signer
from pingyao.platform.outbox import emit
from pingyao.protect import store
from pingyao.protect.lifecycle_model import (
    Act,
    Case,
    Clock,
    Destruction,
    Export,
    Person,
    Step,
)
from pingyao.protect.lifecycle_packs import Rules
from pingyao.protect.rules.cases import admit, message, request_message, state, usable

SIGNING = (Algorithm.ED25519, Algorithm.SM2)
_LONGEST = 500


class Hand(msgspec.Struct, frozen=True):
    """A person with his key in hand."""

    name: str
    signer: Signer


def hand(keys: KeyStore, name: str, key: str) -> Hand:
    """Takes a person's signing key out of a keystore.

    Raises:
        Invalid: it is no signing key.
        NotFound: there is no such key.
    """
    held = keys.get(key)
    if held.info.kind not in SIGNING:
        raise Invalid(
            "lifecycle.not_signing",
            f"{key} 不是签名密钥",
            f"请以 keys create 生成 {'、'.join(SIGNING)}",
        )
    return Hand(name.strip(), open_signer(Algorithm(held.info.kind), held.secret))


def register(engine: sa.Engine, who: Hand, roles: tuple[str, ...], actor: str) -> Person:
    """Registers a person under his key, or changes his roles; ``actor`` has checked who he is.

    Raises:
        Conflict: the name or the key is taken.
    """
    key = who.signer.public_key.hex()
    person = Person(_said(who.name, "姓名", 100), roles, who.signer.algorithm.value, key)
    return _keep_person(engine, person, actor, "protect.person.registered")


def retire(engine: sa.Engine, name: str, actor: str) -> Person:
    """Ends what a person's key may sign; what it signed stands."""
    with store.explained(), engine.begin() as db:
        held = _known(store.find_person(db, name), name)
    gone = msgspec.structs.replace(held, active=False)
    return _keep_person(engine, gone, actor, "protect.person.retired")


def _keep_person(engine: sa.Engine, person: Person, actor: str, kind: str) -> Person:
    with store.explained(), engine.begin() as db:
        store.save_person(db, person)
        facts: dict[str, object] = {
            "roles": list(person.roles),
            "algorithm": person.algorithm,
            "public_key": person.public_key,
        }
        emit(db, [EvidenceEvent(kind, person.name, actor, _now(), facts)])
    return person


def set_clock(engine: sa.Engine, clock: Clock) -> None:
    """Registers when a period began, or that deletion is suspended or goes on.

    Raises:
        Invalid: no date, no reason, or a date to come.
    """
    _said(clock.reason, "理由")
    if clock.started_on and _day(clock.started_on) > clock.at.date():
        raise Invalid("lifecycle.bad_date", "起算日在将来", "请核对日期")
    facts: dict[str, object] = {
        name: getattr(clock, name)
        for name in ("schema", "table", "trigger", "started_on", "hold", "reason")
    }
    with store.explained(), engine.begin() as db:
        store.save_clock(db, clock)
        emit(
            db,
            [EvidenceEvent("protect.retention.set", clock.source, clock.actor, clock.at, facts)],
        )


def request_destruction(engine: sa.Engine, who: Hand, body: Destruction, rules: Rules) -> Case:
    """Asks that something be deleted or destroyed.

    Raises:
        Invalid: something is not said.
        NotPermitted: the method will not do for the level, deletion is suspended, or it asks without
            being registered.
    """
    _said(body.reason, "理由")
    fit = [m for m in rules.methods if m.end == body.end and body.level >= m.level]
    rule = max(fit, key=lambda m: m.level, default=None)
    if rule is not None and body.method not in rule.methods:
        said = {
            "delete": "删除",
            "overwrite": "覆写",
            "crypto_erase": "销毁密钥",
            "physical": "物理销毁",
        }
        raise NotPermitted(
            "lifecycle.weak_method",
            f"{body.level} 级数据的{'销毁' if body.end == 'destruction' else '删除'}"
            f"不能采用“{said[body.method]}”：{rule.text}",
            f"可用：{'、'.join(said[m] for m in sorted(rule.methods))}；或由本机构的规则包作出规定",
        )
    with store.explained(), engine.begin() as db:
        _not_held(db, body)
        return _open(db, who, body, rules, "DS")


def request_export(
    engine: sa.Engine, who: Hand, body: Export, rules: Rules, *, leaves: bool
) -> Case:
    """Asks that data be let out; whose approval it takes follows from the policy.

    Args:
        leaves: whether the purpose takes the data out of the institution.

    Raises:
        Invalid: something is not said, or the period is wrong or too long.
        NotPermitted: C3 would leave.
    """
    for given, name in ((body.reason, "理由"), (body.recipient, "接收方"), (body.source, "数据集")):
        _said(given, name)
    kind, _, digest = body.bound.partition(":")
    if (
        kind not in ("plan", "file")
        or len(digest) != 64
        or not set(digest) <= set("0123456789abcdef")
    ):
        raise Invalid(
            "approval.bad_bound", "没有指明批准的是哪一份方案或文件", "请给出 --plan 或 --file"
        )
    if body.rows < 1:
        raise Invalid("approval.bad_rows", "数据量应为正数", "请写明至多多少行")
    if leaves and body.personal >= 3:
        raise NotPermitted(
            "approval.c3_leaves",
            "用户鉴别信息（C3）不得离开本机构，不予受理（JR/T 0171-2020，待核对）",
            "请在方案中不提供这些列",
        )
    fit = [
        a
        for a in rules.approvals
        if body.level >= a.level and body.personal >= a.personal and (leaves or not a.leaves)
    ]
    start, end = _day(body.from_on), _day(body.until_on)
    most = min((a.days for a in fit), default=366)
    if end < start or (end - start).days >= most or end < _now().astimezone().date():
        raise Invalid(
            "approval.bad_period",
            f"有效期有误：应自起日起至多 {most} 天，且尚未过期",
            "请改正起止日期",
        )
    roles = tuple(dict.fromkeys(role for a in fit for role in a.roles))
    if not roles:
        raise Invalid("approval.no_rule", "没有适用的审批规则", "请在本机构的规则包中写明由谁审批")
    with store.explained(), engine.begin() as db:
        return _open(db, who, msgspec.structs.replace(body, roles=roles), rules, "EX")


def _open(
    db: sa.Connection, who: Hand, body: Destruction | Export, rules: Rules, prefix: str
) -> Case:
    _signs(db, who)
    at = _now()
    case = Case(
        f"{prefix}-{at:%Y%m%d}-{secrets.token_hex(4).upper()}",
        who.name,
        at,
        body,
        who.signer.algorithm.value,
        who.signer.public_key.hex(),
        rules.separate if prefix == "DS" else (),
    )
    signature = who.signer.sign(request_message(case)).hex()
    case = msgspec.structs.replace(case, signature=signature)
    store.add_case(db, case)
    emit(db, [_event(case, "requested", who.name, at, msgspec.to_builtins(body))])
    return case


def act(
    engine: sa.Engine, id_: str, who: Hand, what: Act, facts: Mapping[str, object] | None = None
) -> Case:
    """Does an act in a case: checked, signed, kept and evidenced in one transaction.

    Raises:
        NotFound: no such case.
        NotPermitted: not his to do, or he is not registered with this key.
        Conflict: the case does not stand there, or somebody acted meanwhile.
    """
    with store.explained(), engine.begin() as db:
        case, seen = store.find_case(db, id_)
        registered = _signs(db, who)
        given = dict(facts or {})
        if what == "approve" and isinstance(case.body, Export):
            role = str(given.get("role", ""))
            if role not in registered.roles:
                raise NotPermitted(
                    "lifecycle.no_role", f"{who.name} 没有登记“{role}”这一角色",
                    f"登记的角色：{'、'.join(registered.roles) or '无'}",
                )  # fmt: skip
        if what == "start" and isinstance(case.body, Destruction):
            _not_held(db, case.body)
        at = _now()
        key = who.signer.public_key.hex()
        step = Step(what, who.name, at, given, who.signer.algorithm.value, key)
        admit(case, step)
        step = msgspec.structs.replace(step, signature=who.signer.sign(message(case, step)).hex())
        return _kept(db, case, seen, step)


def use(db: sa.Connection, id_: str, actor: str, facts: Mapping[str, object]) -> Case:
    """Uses up an approval in the caller's transaction."""
    case, seen = store.find_case(db, id_)
    return _kept(db, case, seen, Step("use", actor, _now(), dict(facts)))


def _kept(db: sa.Connection, case: Case, seen: int, step: Step) -> Case:
    new = admit(case, step)
    store.save_case(db, new, seen)
    said = {"state": state(new), **step.facts}
    emit(db, [_event(case, step.act, step.actor, step.at, said)])
    return new


def require_approval(
    engine: sa.Engine,
    approval: str,
    *,
    bound: str,
    recipient: str = "",
    rows: int | None = None,
    today: date | None = None,
) -> Export:
    """Refuses unless an export is approved; uses nothing up. For the start of a run.

    Args:
        approval: the case id.
        bound: ``plan:`` or ``file:`` and the SHA-256 of what is to go out.
        recipient: who gets it, where the command knows.
        rows: how many, where known already.

    Raises:
        NotFound: no such approval.
        NotYet: not approved yet, or not valid yet.
        NotPermitted: refused, revoked, expired, or for other data, another recipient or fewer rows.
        Conflict: used already.
    """
    with store.explained(), engine.connect() as db:
        case, _ = store.find_case(db, approval)
    return _covers(case, bound, recipient, rows, today)


def consume_approval(
    db: sa.Connection,
    approval: str,
    *,
    bound: str,
    actor: str,
    recipient: str = "",
    rows: int,
    today: date | None = None,
) -> Case:
    """Uses an approval up, in the caller's transaction, just before the data is let out.

    Everything `require_approval` checks is checked again; of two runs at once, one is refused.

    Raises:
        As `require_approval`.
    """
    case, _ = store.find_case(db, approval)
    _covers(case, bound, recipient, rows, today)
    return use(db, approval, actor, {"bound": bound, "recipient": recipient, "rows": rows})


def _covers(case: Case, bound: str, recipient: str, rows: int | None, today: date | None) -> Export:
    body = usable(case, today or _now().astimezone().date())
    if body.bound != bound:
        raise NotPermitted(
            "approval.other_data", f"{case.id} 批准的是另一份方案或文件", "方案有改动的，请重新申请"
        )
    if recipient and recipient.strip() != body.recipient:
        raise NotPermitted(
            "approval.other_recipient", f"{case.id} 批准的接收方是“{body.recipient[:60]}”",
            "请核对接收方，或另行申请",
        )  # fmt: skip
    if rows is not None and rows > body.rows:
        raise NotPermitted(
            "approval.too_much", f"{rows:,} 行超出 {case.id} 批准的 {body.rows:,} 行", "请另行申请"
        )
    return body


def _not_held(db: sa.Connection, body: Destruction) -> None:
    thing = body.thing
    for clock in store.read_clocks(db):
        whole = not clock.table or not thing.table
        same = whole or (clock.schema, clock.table) == (thing.schema, thing.table)
        if clock.hold and clock.source == body.source and same:
            raise NotPermitted(
                "lifecycle.held", f"{body.source} 已暂缓删除：{clock.hold[:100]}",
                "须先由登记人解除（retention release）",
            )  # fmt: skip


def _signs(db: sa.Connection, who: Hand) -> Person:
    held = _known(store.find_person(db, who.name), who.name)
    if not held.active or held.public_key != who.signer.public_key.hex():
        raise NotPermitted(
            "lifecycle.wrong_key",
            f"所用的不是 {who.name} 登记的密钥，或已停用",
            "请使用本人登记的密钥",
        )
    return held


def _known(person: Person | None, name: str) -> Person:
    if person is None:
        raise NotPermitted(
            "lifecycle.unknown_person", f"{name[:40]} 尚未登记", "请先以 person register 登记"
        )
    return person


def _said(text: str, name: str, longest: int = _LONGEST) -> str:
    if not text.strip() or len(text) > longest:
        raise Invalid("lifecycle.not_said", f"{name}应为 1 至 {longest} 字", f"请写明{name}")
    return text.strip()


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid("lifecycle.bad_date", "日期应写成 2026-01-31", "请改正日期") from None


def _event(
    case: Case, what: str, actor: str, at: datetime, facts: dict[str, object]
) -> EvidenceEvent:
    kind = "export" if isinstance(case.body, Export) else "destruction"
    return EvidenceEvent(f"protect.{kind}.{what}", case.id, actor, at, facts)


def _now() -> datetime:
    return datetime.now(UTC)


def find(engine: sa.Engine, id_: str) -> Case:
    """Returns a case.

    Raises:
        NotFound: no such case.
    """
    with store.explained(), engine.connect() as db:
        return store.find_case(db, id_)[0]
