"""Export approvals: asked for by what is to go out, good for that one thing, once.

A command that lets data out calls `require_approval` when it starts, and `consume_approval` in the
transaction that records its run, just before the data is released.
"""

import re
from datetime import date

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import Invalid, NotPermitted
from pingyao.protect import store
from pingyao.protect.acting import Hand, day, find, now, open_case, put_to_use, said
from pingyao.protect.lifecycle_model import Case, Export
from pingyao.protect.lifecycle_packs import Rules
from pingyao.protect.model import Use
from pingyao.protect.rules.cases import usable


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
        said(given, name)
    if not re.fullmatch(r"(plan|file):[0-9a-f]{64}|table:.{1,500}", body.bound):
        raise Invalid(
            "approval.bad_bound",
            "没有指明批准的是哪一份方案、文件或哪张表",
            "请给出 --plan、--file 或 --table",
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
    start, end = day(body.from_on), day(body.until_on)
    most = min((a.days for a in fit), default=366)
    if end < start or (end - start).days >= most or end < now().astimezone().date():
        raise Invalid(
            "approval.bad_period",
            f"有效期有误：应自起日起至多 {most} 天，且尚未过期",
            "请改正起止日期",
        )
    roles = tuple(dict.fromkeys(role for a in fit for role in a.roles))
    if not roles:
        raise Invalid("approval.no_rule", "没有适用的审批规则", "请在本机构的规则包中写明由谁审批")
    with store.explained(), engine.begin() as db:
        return open_case(db, who, msgspec.structs.replace(body, roles=roles), rules, "EX")


def require_approval(engine: sa.Engine, use: Use, today: date | None = None) -> Export:
    """Refuses unless an export is approved; uses nothing up. For the start of a run.

    Raises:
        NotFound: no such approval.
        NotYet: not approved yet, or not valid yet.
        NotPermitted: refused, revoked, expired, or for other data, another purpose or recipient, or
            fewer rows.
        Conflict: used already.
        IntegrityBroken: somebody altered it.
    """
    return _covers(find(engine, use.number), use, today)


def consume_approval(db: sa.Connection, use: Use, actor: str, today: date | None = None) -> Case:
    """Uses an approval up, in the caller's transaction, just before the data is let out.

    Everything `require_approval` checks is checked again; of two runs at once, one is refused.

    Raises:
        As `require_approval`.
    """
    case, _ = store.find_case(db, use.number)
    body = _covers(case, use, today)
    facts = {"bound": body.bound, "recipient": use.recipient, "rows": use.rows}
    return put_to_use(db, use.number, actor, facts)


def _covers(case: Case, use: Use, today: date | None) -> Export:
    body = usable(case, today or now().astimezone().date())
    kind = body.bound.partition(":")[0]
    if body.bound not in use.bound or (kind != "file" and use.source != body.source):
        raise NotPermitted(
            "approval.other_data",
            f"{case.id} 批准的是 {body.source[:60]} 的另一份方案、文件或表",
            "方案有改动的，请重新申请",
        )
    if use.purpose != body.purpose:
        raise NotPermitted(
            "approval.other_purpose",
            f"{case.id} 批准的是另一用途（{body.purpose}）",
            "请核对用途，或另行申请",
        )
    if use.recipient and use.recipient.strip() != body.recipient:
        raise NotPermitted(
            "approval.other_recipient",
            f"{case.id} 批准的接收方是“{body.recipient[:60]}”",
            "请核对接收方，或另行申请",
        )
    if use.rows is not None and use.rows > body.rows:
        raise NotPermitted(
            "approval.too_much",
            f"{use.rows:,} 行超出 {case.id} 批准的 {body.rows:,} 行",
            "请另行申请",
        )
    return body
