"""Export approvals: asked for by what is to go out, good for that one thing, once.

A command that lets data out calls `require_approval` when it starts, and `consume_approval` in the
transaction that records its run, just before the data is released.
"""

from datetime import date

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import Invalid, NotPermitted
from pingyao.protect import store
from pingyao.protect.acting import Hand, day, find, now, open_case, said, use
from pingyao.protect.lifecycle_model import Case, Export
from pingyao.protect.lifecycle_packs import Rules
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
    case = find(engine, approval)
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
    body = usable(case, today or now().astimezone().date())
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
