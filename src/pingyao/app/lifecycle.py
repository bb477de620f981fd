"""``pingyao lifecycle``: retention, destruction with two signatures, export approvals, assessment."""

import getpass
import os
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import sqlalchemy as sa
from cyclopts import App, Parameter

from pingyao.app.evidence import settle
from pingyao.app.opening import Db, open_catalogue
from pingyao.kernel.errors import Conflict, Invalid, NotFound, NotPermitted
from pingyao.platform.settings import load_settings
from pingyao.platform.term import print_table, safe
from pingyao.protect.model import Purpose

if TYPE_CHECKING:  # commands import what they need when they run
    from pingyao.platform.crypto.keystore import KeyStore
    from pingyao.protect.acting import Hand
    from pingyao.protect.lifecycle_model import Act, Case, Due, Holding
    from pingyao.protect.lifecycle_packs import Rules

app = App(
    name="lifecycle",
    help="数据的留存、删除与销毁、导出审批、生命周期评估 · retention, destruction, approvals, assessment",
)
person = App(name="person", help="登记可以签名的人员及其密钥、角色")
retention = App(name="retention", help="留存期限：规则、起算日、到期清单、暂缓删除")
destroy = App(name="destroy", help="删除与销毁：申请、两人批准、执行、核实、凭证")
export = App(name="export", help="导出审批：申请、按级别由相应角色批准、一次有效")
for _each in (person, retention, destroy, export):
    app.command(_each)
app.command(
    "pingyao.app.assessing:assess", name="assess", help="JR/T 0223 生命周期评估：由证据与人作答"
)

As = Annotated[str, Parameter("--as", help="本人姓名，须已登记")]
Key = Annotated[str, Parameter(help="本人签名密钥在密钥库中的名称（ed25519 或 sm2）")]
Keystore = Annotated[Path | None, Parameter(help="本人的密钥库；默认取 PINGYAO_KEYSTORE")]
DataKeystore = Annotated[
    Path | None,
    Parameter(
        help="销毁密钥时，存放该密钥的密钥库；口令取自 PINGYAO_DATA_KEYSTORE_PASSPHRASE（_FILE）"
    ),
]
Own = Annotated[
    tuple[Path, ...], Parameter(help="本机构的生命周期规则包；默认取 PINGYAO_LIFECYCLE")
]
Json = Annotated[bool, Parameter(help="以 JSON 输出到标准输出", negative="")]
Reason = Annotated[str, Parameter(help="理由")]
_SHOWN = 60


def rules_in_force(own: tuple[Path, ...]) -> "Rules":
    """Loads the packs given, or those of the settings, over the shipped ones."""
    from pingyao.protect.lifecycle_packs import load_rules

    return load_rules(own or tuple(Path(p) for p in load_settings().lifecycle))


def open_keys(given: Path | None, variable: str = "PINGYAO_KEYSTORE") -> "KeyStore":
    """Opens a keystore; its passphrase stands in the variable that goes with it."""
    from pingyao.platform.crypto.keystore import default_path, open_keystore
    from pingyao.platform.crypto.passphrases import passphrase

    where = given or Path(os.environ.get("PINGYAO_KEYSTORE") or default_path())
    return open_keystore(where, passphrase(f"{variable}_PASSPHRASE", f"密钥库 {where.name} 的口令"))


def _hand(name: str, key: str, keystore: Path | None) -> "Hand":
    from pingyao.protect.acting import hand

    return hand(open_keys(keystore), name, key)


# Persons


@person.command(name="register")
def register_(
    name: str,
    /,
    *,
    key: Key,
    role: Annotated[tuple[str, ...], Parameter(help="审批导出的角色，可重复给出")] = (),
    keystore: Keystore = None,
    db: Db = None,
) -> None:
    """登记一名人员的公钥与角色；登记人须当面核实其身份。私钥不离开本人的密钥库。"""
    from pingyao.protect.acting import register
    from pingyao.protect.formats.certificate import fingerprint

    engine = open_catalogue(db)
    made = register(engine, _hand(name, key, keystore), role, getpass.getuser())
    settle(engine)
    print(f"已登记 {made.name}（{made.algorithm}），公钥指纹 {fingerprint(made.public_key)}")


@person.command(name="retire")
def retire_(name: str, /, *, db: Db = None) -> None:
    """停用一名人员的密钥；此前的签名仍然有效。"""
    from pingyao.protect.acting import retire

    engine = open_catalogue(db)
    retire(engine, name, getpass.getuser())
    settle(engine)
    print(f"已停用 {name}")


@person.command(name="list")
def list_persons(*, db: Db = None) -> None:
    """列出已登记的人员。"""
    from pingyao.protect import store
    from pingyao.protect.formats.certificate import fingerprint

    with open_catalogue(db).connect() as connection:
        rows = [
            (p.name, "、".join(p.roles), p.algorithm, fingerprint(p.public_key), "" if p.active else "已停用")
            for p in store.read_persons(connection)
        ]  # fmt: skip
    print_table(("姓名", "角色", "算法", "公钥指纹", "状态"), rows)


# Retention


def holdings(db: sa.Connection, source: str | None = None) -> "list[Holding]":
    """Returns the tables of the catalogue as retention sees them."""
    from pingyao.classify import store as catalogue
    from pingyao.protect.lifecycle_model import Held, Holding

    tables: dict[tuple[str, str, str], tuple[str, list[Held]]] = {}
    for entry in catalogue.read_entries(db, source):
        if not entry.gone:
            id_, verdict = entry.verdict.id, entry.verdict
            held = Held(verdict.type, verdict.leaf, int(verdict.labels.level), int(verdict.labels.personal))  # fmt: skip
            at = (id_.source, id_.schema, id_.table)
            tables.setdefault(at, (entry.table_comment, []))[1].append(held)
    return [Holding(*at, comment, tuple(held)) for at, (comment, held) in tables.items()]


def dues(db: sa.Connection, rules: "Rules", today: date, source: str | None = None) -> "list[Due]":
    """Returns how every table stands, the most pressing first."""
    from pingyao.protect import store
    from pingyao.protect.formats.due_xlsx import STATUS
    from pingyao.protect.rules.retention import due

    clocks = store.read_clocks(db)
    found = [due(rules.retention, clocks, h, today) for h in holdings(db, source)]
    order = [*STATUS]
    return sorted(found, key=lambda d: (order.index(d.status), d.due_on or date.max))


@retention.command(name="list")
def list_rules(*, policy: Own = (), json: Json = False) -> None:
    """列出在用的留存规则与依据。"""
    from pingyao.protect.formats.due_xlsx import period
    from pingyao.protect.formats.sheets import cited

    schedules = rules_in_force(policy).retention
    if json:
        _dump(schedules)
        return
    print_table(
        ("编号", "界限", "期限", "起算", "内容", "依据"),
        [
            (s.id, "至少" if s.bound == "least" else "至多", period(s), s.trigger, s.text, cited(s.citation))
            for s in schedules
        ],
    )  # fmt: skip


@retention.command(name="due")
def due_(
    *,
    source: Annotated[str | None, Parameter(help="只看某个数据源")] = None,
    on: Annotated[str, Parameter(help="截至哪一天；默认今天")] = "",
    out: Annotated[Path | None, Parameter(help="写出 Excel 清单")] = None,
    policy: Own = (),
    db: Db = None,
    json: Json = False,
) -> None:
    """哪些表到期应删、为什么；起算日未登记的也一并列出。"""
    from pingyao.protect.formats.due_xlsx import STATUS, write_due

    today, rules = _day(on) if on else date.today(), rules_in_force(policy)  # noqa: DTZ011 - the institution's own day
    with open_catalogue(db).connect() as connection:
        found = dues(connection, rules, today, source)
    if not found:
        raise NotFound(
            "lifecycle.no_tables", "目录中没有表", "请先 scan --record 或 catalogue record"
        )
    if out is not None:
        write_due(found, rules.retention, today, out)
    if json:
        _dump(found)
        return
    counts = Counter(d.status for d in found)
    print("  ".join(f"{zh} {counts[s]:,}" for s, zh in STATUS.items() if counts[s]))
    print_table(
        ("状态", "数据源", "表", "级别", "到期", "早于此日", "原因"),
        [
            (STATUS[d.status], d.holding.source, d.holding.table, str(d.holding.level),
             str(d.due_on or ""), str(d.cutoff or ""), d.why)
            for d in found[:_SHOWN]
        ],
    )  # fmt: skip
    if len(found) > _SHOWN:
        print(f"……其余 {len(found) - _SHOWN:,} 张表请以 --out 写出")
    if out is not None:
        print(f"清单：{out}")


Table = Annotated[str, Parameter(help="表名，或 模式.表名；不给则为数据源的全部表")]


@retention.command
def start(
    source: str,
    /,
    *,
    on: Annotated[str, Parameter(help="起算日，如 2015-06-30")],
    reason: Reason,
    table: Table = "",
    trigger: Annotated[str, Parameter(help="何种起算，如 业务关系结束；不给则用于全部")] = "",
    db: Db = None,
) -> None:
    """登记留存期限的起算日：整张表的数据都已发生该事件。"""
    _day(on)
    _set(source, table, trigger, on, "", reason, db)
    print(f"已登记 {safe(source)} 自 {on} 起算")


@retention.command
def hold(source: str, /, *, reason: Reason, table: Table = "", db: Db = None) -> None:
    """暂缓删除：因诉讼、协查、审计等，期满也不得删除。"""
    _set(source, table, "暂缓删除", "", reason, reason, db)
    print(f"{safe(source)} 已暂缓删除")


@retention.command
def release(source: str, /, *, reason: Reason, table: Table = "", db: Db = None) -> None:
    """解除暂缓删除。"""
    _set(source, table, "暂缓删除", "", "", reason, db)
    print(f"{safe(source)} 已解除暂缓删除")


def _set(
    source: str, table: str, trigger: str, on: str, held: str, reason: str, url: str | None
) -> None:
    from pingyao.protect.acting import set_clock
    from pingyao.protect.lifecycle_model import Clock

    engine = open_catalogue(url)
    with engine.connect() as connection:
        schema, name = _find_table(holdings(connection, source), source, table)
    at = datetime.now(UTC)
    clock = Clock(source, schema, name, trigger, on, held, reason, getpass.getuser(), at)
    set_clock(engine, clock)
    settle(engine)


def _find_table(found: "Sequence[Holding]", source: str, table: str) -> tuple[str, str]:
    """Returns schema and name of a table of the catalogue; of all tables, two empty names."""
    if not found:
        raise NotFound(
            "lifecycle.no_source", f"目录中没有数据源 {source[:80]}", "请先 scan --record"
        )
    if not table:
        return "", ""
    mine = [h for h in found if table in (h.table, f"{h.schema}.{h.table}")]
    if len(mine) != 1:
        raise NotFound(
            "lifecycle.no_table", f"{source[:60]} 中{'有多张' if mine else '没有'}表 {table[:80]}",
            "同名的表请写成 模式.表名",
        )  # fmt: skip
    return mine[0].schema, mine[0].table


# Destruction


@destroy.command
def request(
    source: str,
    where: str,
    /,
    *,
    reason: Reason,
    as_: As,
    key: Key,
    kind: Annotated[
        Literal["file", "sealed", "table", "rows", "media"],
        Parameter(help="file 文件、sealed 加密文件、table 数据库表、rows 表中的行、media 存储介质"),
    ] = "file",
    method: Annotated[
        Literal["delete", "overwrite", "crypto_erase", "physical"],
        Parameter(
            help="delete 删除、overwrite 覆写后删除、crypto_erase 销毁密钥、physical 物理销毁"
        ),
    ] = "delete",
    end: Annotated[
        Literal["deletion", "destruction"],
        Parameter(help="deletion 删除（系统中不可再访问）、destruction 销毁（不可恢复）"),
    ] = "deletion",
    table: Annotated[str, Parameter(help="数据库中的表，或 模式.表名")] = "",
    of: Annotated[str, Parameter(help="目录中对应的表；不给则按数据源的最高级别")] = "",
    column: Annotated[str, Parameter(help="按行删除时的日期列")] = "",
    before: Annotated[str, Parameter(help="按行删除：早于此日的行，如 2015-01-01")] = "",
    keystore: Keystore = None,
    policy: Own = (),
    db: Db = None,
) -> None:
    """申请删除或销毁。SOURCE 是目录中的数据源；WHERE 是文件、数据库地址或介质编号。

    留存期未满、暂缓删除的，不予受理；级别与类别取自目录。
    """
    from pingyao.protect.acting import request_destruction
    from pingyao.protect.erasing import FIT
    from pingyao.protect.lifecycle_model import Destruction, Thing

    rules, engine = rules_in_force(policy), open_catalogue(db)
    if method not in FIT[kind]:
        raise Invalid(
            "erase.bad_method",
            "这种对象不能用这种方法销毁",
            f"可用：{'、'.join(sorted(FIT[kind]))}",
        )
    if (kind in ("table", "rows")) != bool(table) or (kind == "rows") != bool(column and before):
        raise Invalid("lifecycle.bad_option", "table 须给出 --table，rows 另须 --column 与 --before", "请改正后再试")  # fmt: skip
    if before:
        _day(before)
    with engine.connect() as connection:
        found = dues(connection, rules, date.today(), source)  # noqa: DTZ011 - the institution's own day
    schema, name = _find_table([d.holding for d in found], source, of)
    mine = [d for d in found if not name or (d.holding.schema, d.holding.table) == (schema, name)]
    said = _may_go(mine, before)
    in_schema, _, in_table = table.rpartition(".")
    if kind in ("file", "sealed") or (kind != "media" and "://" not in where):
        where = str(Path(where).absolute())
    if "://" in where and "@" in where:  # a password in the address is nobody's to keep
        head, _, tail = where.partition("://")
        login, _, host = tail.rpartition("@")
        where = f"{head}://{login.partition(':')[0]}@{host}"
    body = Destruction(
        Thing(kind, where, in_schema, in_table, column, before),
        method,
        end,
        source,
        max(d.holding.level for d in mine),
        max(d.holding.personal for d in mine),
        reason,
        said,
    )
    case = request_destruction(engine, _hand(as_, key, keystore), body, rules)
    settle(engine)
    print(f"已受理 {case.id}：{body.level} 级数据，须由申请人以外的两人批准")


def _may_go(mine: "Sequence[Due]", before: str) -> str:
    """Returns what the schedules say, when they do not forbid it."""
    for each in mine:
        least = any(s.bound == "least" for s in each.schedules)
        old_enough = bool(before) and each.cutoff is not None and before <= f"{each.cutoff}"
        if each.status == "hold" or (least and each.status != "due" and not old_enough):
            raise NotPermitted(
                "lifecycle.must_keep",
                f"{each.holding.table} 不得删除：{each.why}",
                "留存期满、登记起算日（retention start）或解除暂缓后再申请；"
                f"按行删除的，--before 不得晚于 {each.cutoff}",
            )
    return "；".join(dict.fromkeys(d.why for d in mine))[:500]


Id = Annotated[str, Parameter(help="编号")]


def _act(id_: str, who: "Hand", what: "Act", db: str | None, **facts: object) -> "Case":
    from pingyao.protect.acting import act
    from pingyao.protect.rules.cases import STATES, needed, state

    engine = open_catalogue(db)
    case = act(engine, id_, who, what, facts)
    settle(engine)
    where = state(case)
    more = f"，尚需：{'、'.join(needed(case))}" if where == "requested" else ""
    print(f"{case.id} {STATES[where]}{more}")
    return case


@destroy.command
def approve(id_: Id, /, *, as_: As, key: Key, keystore: Keystore = None, db: Db = None) -> None:
    """批准。须两名不同的人，均不是申请人。"""
    _act(id_, _hand(as_, key, keystore), "approve", db)


@destroy.command
def refuse(
    id_: Id, /, *, reason: Reason, as_: As, key: Key, keystore: Keystore = None, db: Db = None
) -> None:
    """不批准。"""
    _act(id_, _hand(as_, key, keystore), "refuse", db, reason=reason)


@destroy.command
def withdraw(
    id_: Id, /, *, reason: Reason, as_: As, key: Key, keystore: Keystore = None, db: Db = None
) -> None:
    """由申请人撤回。"""
    _act(id_, _hand(as_, key, keystore), "withdraw", db, reason=reason)


Attachment = Annotated[tuple[Path, ...], Parameter(help="佐证文件，记其 SHA-256；可重复给出")]
Said = Annotated[str, Parameter("--statement", help="存储介质：由何机构、以何方法、在何处")]


@destroy.command
def carry_out(
    id_: Id,
    /,
    *,
    as_: As,
    key: Key,
    statement: Said = "",
    attachment: Attachment = (),
    data_keystore: DataKeystore = None,
    keystore: Keystore = None,
    db: Db = None,
) -> None:
    """执行已批准的删除或销毁；不可撤销。中断后可再次执行。"""
    from pingyao.protect import erasing
    from pingyao.protect.acting import find
    from pingyao.protect.lifecycle_model import Destruction
    from pingyao.protect.rules.cases import state

    case = find(open_catalogue(db), id_)
    if not isinstance(case.body, Destruction):
        raise Conflict("lifecycle.illegal", f"{case.id} 不是删除或销毁", "请核对编号")
    body, who = case.body, _hand(as_, key, keystore)
    keys = (
        open_keys(data_keystore, "PINGYAO_DATA_KEYSTORE") if body.thing.kind == "sealed" else None
    )
    if body.thing.kind == "media" and not (statement.strip() and attachment):
        raise Invalid("lifecycle.no_statement", "介质的销毁须有说明与佐证", "请给出 --statement 与 --attachment")  # fmt: skip
    facts = _attached(statement, attachment)
    seen: erasing.Facts = {} if state(case) == "started" else erasing.inspect(body, keys)
    _act(id_, who, "start", db, **seen)
    _act(id_, who, "carry_out", db, **erasing.carry_out(body, keys, case.id), **facts)


@destroy.command
def verify(
    id_: Id,
    /,
    *,
    as_: As,
    key: Key,
    statement: Said = "",
    attachment: Attachment = (),
    data_keystore: DataKeystore = None,
    keystore: Keystore = None,
    db: Db = None,
) -> None:
    """核实是否确已删除或不可恢复；须由执行人以外的人办理。未通过的退回执行。"""
    from pingyao.protect import erasing
    from pingyao.protect.acting import find
    from pingyao.protect.lifecycle_model import Destruction

    case = find(open_catalogue(db), id_)
    if not isinstance(case.body, Destruction):
        raise Conflict("lifecycle.illegal", f"{case.id} 不是删除或销毁", "请核对编号")
    body, who = case.body, _hand(as_, key, keystore)
    facts = _attached(statement, attachment)
    if body.thing.kind == "media":
        if not statement.strip():
            raise Invalid("erase.by_person", "介质须由人核实", "请以 --statement 写明如何核实")
        _act(id_, who, "verify", db, checked="statement", **facts)
        return
    keys = (
        open_keys(data_keystore, "PINGYAO_DATA_KEYSTORE") if body.thing.kind == "sealed" else None
    )
    gone, seen = erasing.look(body, keys)
    _act(id_, who, "verify" if gone else "fail", db, **seen, **facts)
    if not gone:
        raise Conflict(
            "lifecycle.not_gone", f"{case.id} 未通过核实，已退回执行", "请查明原因后再次 carry-out"
        )


def _attached(statement: str, attachments: Sequence[Path]) -> dict[str, object]:
    from pingyao.protect.erasing import file_facts

    facts: dict[str, object] = {"statement": statement.strip()[:500]} if statement.strip() else {}
    if attachments:
        facts["attachments"] = [file_facts(path) for path in attachments]
    return facts


@destroy.command
def certificate(id_: Id, folder: Path, /, *, db: Db = None) -> None:
    """出具凭证：.json 供核验，.html 供打印归档；只有核实之后才有。"""
    from pingyao.app.evidence import record_documents
    from pingyao.protect.acting import find
    from pingyao.protect.formats.certificate import write_certificate

    engine = open_catalogue(db)
    paths = write_certificate(find(engine, id_), folder)
    record_documents(engine, paths, {"case": id_})
    settle(engine)
    print(f"凭证：{paths[1]}、{paths[0]}")


@app.command
def check(file: Path, /) -> None:
    """离线核验一份销毁凭证：各步签名、办理次序与岗位分离。"""
    from pingyao.protect.formats.certificate import fingerprint, read_certificate
    from pingyao.protect.rules.cases import ACTS

    case = read_certificate(file)
    print(f"{case.id} 签名全部有效，次序与岗位分离无误；公钥指纹请与登记簿核对")
    rows = [("申请", case.requester, case.public_key), *((ACTS[s.act], s.actor, s.public_key) for s in case.steps)]  # fmt: skip
    print_table(("事项", "办理人", "公钥指纹"), [(a, w, fingerprint(k)) for a, w, k in rows])


# Export approvals


@export.command(name="request")
def request_(
    *,
    recipient: Annotated[str, Parameter(help="接收方")],
    reason: Reason,
    rows: Annotated[int, Parameter(help="至多多少行")],
    until: Annotated[str, Parameter(help="有效至，如 2026-12-31")],
    as_: As,
    key: Key,
    from_: Annotated[str, Parameter("--from", help="自何日起有效；默认今天")] = "",
    plan: Annotated[Path | None, Parameter(help="保护方案：.xlsx 或 .json")] = None,
    file: Annotated[
        Path | None, Parameter(help="要封装或交付的文件，与 --source、--for 同用")
    ] = None,
    source: Annotated[str, Parameter(help="该文件对应的目录中的数据源")] = "",
    for_: Annotated[Purpose, Parameter("--for", help="该文件的用途")] = "sharing",
    keystore: Keystore = None,
    policy: Own = (),
    db: Db = None,
) -> None:
    """申请导出：给出方案或文件；改动一个字节，批准即不适用。"""
    from pingyao.protect.acting import request_export
    from pingyao.protect.erasing import file_facts
    from pingyao.protect.lifecycle_model import Export

    if (plan is None) == (file is None) or (file is not None and not source):
        raise Invalid(
            "lifecycle.bad_option", "请给出 --plan，或 --file 与 --source", "请改正后再试"
        )
    rules, engine = rules_in_force(policy), open_catalogue(db)
    from pingyao.app.protection import policy as protection

    aims = protection(tuple(Path(p) for p in load_settings().policies))
    if plan is not None:
        from pingyao.protect.service import digest

        made = read_plan(plan)
        given = [c.field for c in made.choices if c.technique != "withhold"]
        level, personal = max((f.level for f in given), default=1), max((f.personal for f in given), default=0)  # fmt: skip
        source, for_, bound = made.source, made.purpose, f"plan:{digest(made)}"
    elif file is not None:
        with engine.connect() as connection:
            found = holdings(connection, source)
        _find_table(found, source, "")
        level, personal = max(h.level for h in found), max(h.personal for h in found)
        bound = f"file:{file_facts(file)['sha256']}"
    else:
        return
    today = f"{date.today()}"  # noqa: DTZ011 - the institution's own day
    body = Export(for_, recipient.strip(), source, bound, level, personal, rows, from_ or today, until, reason, ())  # fmt: skip
    leaves = aims.purposes[for_].leaves
    case = request_export(engine, _hand(as_, key, keystore), body, rules, leaves=leaves)
    settle(engine)
    roles = case.body.roles if isinstance(case.body, Export) else ()
    print(f"已受理 {case.id}：{level} 级，须经 {'、'.join(roles)} 批准")
    print(f"绑定 {bound}")


def read_plan(path: Path):
    """Reads a plan as ``protect run`` does, so that both name it by one digest."""
    from pingyao.app.protection import policy as protection
    from pingyao.protect.formats.plan_json import read_plan as read_json
    from pingyao.protect.formats.plan_xlsx import read_plan_xlsx
    from pingyao.protect.service import choose

    rules = protection(tuple(Path(p) for p in load_settings().policies))
    if path.suffix == ".xlsx":
        made, wanted = read_plan_xlsx(path, rules)
        return choose(made, wanted, rules)
    return choose(read_json(path), {}, rules)


@export.command(name="approve")
def approve_(
    id_: Id,
    /,
    *,
    role: Annotated[str, Parameter(help="以何角色批准")],
    as_: As,
    key: Key,
    keystore: Keystore = None,
    db: Db = None,
) -> None:
    """以某一角色批准；各角色须是不同的人，均不是申请人。"""
    _act(id_, _hand(as_, key, keystore), "approve", db, role=role)


@export.command(name="refuse")
def refuse_(
    id_: Id, /, *, reason: Reason, as_: As, key: Key, keystore: Keystore = None, db: Db = None
) -> None:
    """不批准。"""
    _act(id_, _hand(as_, key, keystore), "refuse", db, reason=reason)


@export.command
def revoke(
    id_: Id, /, *, reason: Reason, as_: As, key: Key, keystore: Keystore = None, db: Db = None
) -> None:
    """撤销尚未使用的批准。"""
    _act(id_, _hand(as_, key, keystore), "revoke", db, reason=reason)


# Cases


@app.command
def cases(
    *,
    kind: Annotated[Literal["destruction", "export", ""], Parameter(help="只看一种")] = "",
    source: Annotated[str, Parameter(help="只看某个数据源")] = "",
    db: Db = None,
    json: Json = False,
) -> None:
    """列出删除、销毁与导出的申请及其状态。"""
    from pingyao.protect import store
    from pingyao.protect.rules.cases import STATES, state

    with open_catalogue(db).connect() as connection:
        found = store.read_cases(connection, kind, source)
    if json:
        _dump([{"case": c, "state": state(c)} for c in found])
        return
    print_table(
        ("编号", "数据集", "级别", "申请人", "日期", "状态"),
        [
            (c.id, c.body.source, str(c.body.level), c.requester,
             f"{c.requested_at.astimezone():%Y-%m-%d}", STATES[state(c)])
            for c in found
        ],
    )  # fmt: skip


@app.command
def show(id_: Id, /, *, db: Db = None, json: Json = False) -> None:
    """查看一件申请的经过，并核验其签名。"""
    from pingyao.protect.acting import find
    from pingyao.protect.formats.certificate import told
    from pingyao.protect.rules.cases import ACTS, STATES, check_signatures, state

    case = find(open_catalogue(db), id_)
    check_signatures(case)
    if json:
        _dump(case)
        return
    print(f"{case.id} {STATES[state(case)]}；签名全部有效")
    rows = [("申请", case.requester, case.requested_at, case.body.reason)]
    rows += [(ACTS[s.act], s.actor, s.at, told(s.facts)) for s in case.steps]
    print_table(
        ("事项", "办理人", "时间", "说明"),
        [(a, w, f"{t.astimezone():%Y-%m-%d %H:%M:%S}", f) for a, w, t, f in rows],
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid("lifecycle.bad_date", "日期应写成 2026-01-31", "请改正日期") from None


def _dump(value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
