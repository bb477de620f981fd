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
from pingyao.protect.lifecycle_model import Act, Case, Clock, Destruction, Export, Person, Step
from pingyao.protect.lifecycle_packs import Rules
from pingyao.protect.rules.cases import admit, check_signatures, message, request_message, state

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
    person = Person(said(who.name, "姓名", 100), roles, who.signer.algorithm.value, key)
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
        emit(db, [EvidenceEvent(kind, person.name, actor, now(), facts)])
    return person


def set_clock(engine: sa.Engine, clock: Clock) -> None:
    """Registers when a period began, or that deletion is suspended or goes on.

    Raises:
        Invalid: no date, no reason, or a date to come.
    """
    said(clock.reason, "理由")
    if clock.started_on and day(clock.started_on) > clock.at.date():
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
    said(body.reason, "理由")
    fit = [m for m in rules.methods if m.end == body.end and body.level >= m.level]
    rule = max(fit, key=lambda m: m.level, default=None)
    if rule is not None and body.method not in rule.methods:
        words = {
            "delete": "删除",
            "overwrite": "覆写",
            "crypto_erase": "销毁密钥",
            "physical": "物理销毁",
        }
        raise NotPermitted(
            "lifecycle.weak_method",
            f"{body.level} 级数据的{'销毁' if body.end == 'destruction' else '删除'}"
            f"不能采用“{words[body.method]}”：{rule.text}",
            f"可用：{'、'.join(words[m] for m in sorted(rule.methods))}；或由本机构的规则包作出规定",
        )
    with store.explained(), engine.begin() as db:
        _not_held(db, body)
        return open_case(db, who, body, rules, "DS")


def open_case(
    db: sa.Connection, who: Hand, body: Destruction | Export, rules: Rules, prefix: str
) -> Case:
    """Opens a case, signed, with its evidence, in the caller's transaction."""
    _signs(db, who)
    at = now()
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
        case, seen = _checked(db, id_)
        registered = _signs(db, who)
        given = dict(facts or {})
        if what == "approve" and isinstance(case.body, Export):
            role = str(given.get("role", ""))
            if role not in registered.roles:
                raise NotPermitted(
                    "lifecycle.no_role",
                    f"{who.name} 没有登记“{role}”这一角色",
                    f"登记的角色：{'、'.join(registered.roles) or '无'}",
                )
        if what == "start" and isinstance(case.body, Destruction):
            _not_held(db, case.body)
        at = now()
        key = who.signer.public_key.hex()
        step = Step(what, who.name, at, given, who.signer.algorithm.value, key)
        admit(case, step)
        step = msgspec.structs.replace(step, signature=who.signer.sign(message(case, step)).hex())
        return _kept(db, case, seen, step)


def put_to_use(db: sa.Connection, id_: str, actor: str, facts: Mapping[str, object]) -> Case:
    """Uses up an approval in the caller's transaction."""
    case, seen = _checked(db, id_)
    return _kept(db, case, seen, Step("use", actor, now(), dict(facts)))


def _kept(db: sa.Connection, case: Case, seen: int, step: Step) -> Case:
    new = admit(case, step)
    store.save_case(db, new, seen)
    facts = {"state": state(new), **step.facts}
    emit(db, [_event(case, step.act, step.actor, step.at, facts)])
    return new


def _not_held(db: sa.Connection, body: Destruction) -> None:
    thing = body.thing
    for clock in store.read_clocks(db):
        whole = not clock.table or not thing.table
        same = whole or (clock.schema, clock.table) == (thing.schema, thing.table)
        if clock.hold and clock.source == body.source and same:
            raise NotPermitted(
                "lifecycle.held",
                f"{body.source} 已暂缓删除：{clock.hold[:100]}",
                "须先由登记人解除（retention release）",
            )


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


def said(text: str, name: str, longest: int = _LONGEST) -> str:
    """Returns what must be said, or refuses when it is not."""
    if not text.strip() or len(text) > longest:
        raise Invalid("lifecycle.not_said", f"{name}应为 1 至 {longest} 字", f"请写明{name}")
    return text.strip()


def day(text: str) -> date:
    """Reads an ISO date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid("lifecycle.bad_date", "日期应写成 2026-01-31", "请改正日期") from None


def _event(
    case: Case, what: str, actor: str, at: datetime, facts: dict[str, object]
) -> EvidenceEvent:
    kind = "export" if isinstance(case.body, Export) else "destruction"
    return EvidenceEvent(f"protect.{kind}.{what}", case.id, actor, at, facts)


def now() -> datetime:
    """Returns the time."""
    return datetime.now(UTC)


def find(engine: sa.Engine, id_: str) -> Case:
    """Returns a case.

    Raises:
        NotFound: no such case.
        IntegrityBroken: it was altered.
    """
    with store.explained(), engine.connect() as db:
        return _checked(db, id_)[0]


def _checked(db: sa.Connection, id_: str) -> tuple[Case, int]:
    """Returns a case whose signatures hold: who can write to the database is not believed."""
    case, version = store.find_case(db, id_)
    check_signatures(case)
    return case, version
