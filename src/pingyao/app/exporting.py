"""``pingyao lifecycle export``: approvals of what is to go out."""

from datetime import date
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from pingyao.app.evidence import settle
from pingyao.app.opening import open_catalogue
from pingyao.app.retaining import find_table, holdings
from pingyao.app.signing import (
    Id,
    Own,
    Reason,
    Signer,
    act_on,
    rules_in_force,
)
from pingyao.kernel.errors import Invalid
from pingyao.platform.settings import load_settings
from pingyao.protect.model import Purpose

export = App(name="export", help="导出审批：申请、按级别由相应角色批准、一次有效")


@export.command(name="request")
def request_(
    *,
    recipient: Annotated[str, Parameter(help="接收方")],
    reason: Reason,
    rows: Annotated[int, Parameter(help="至多多少行")],
    until: Annotated[str, Parameter(help="有效至，如 2026-12-31")],
    by: Signer,
    from_: Annotated[str, Parameter("--from", help="自何日起有效；默认今天")] = "",
    plan: Annotated[Path | None, Parameter(help="保护方案：.xlsx 或 .json")] = None,
    file: Annotated[
        Path | None, Parameter(help="要封装或交付的文件，与 --source、--for 同用")
    ] = None,
    table: Annotated[
        str, Parameter(help="要直接取用的一张表，或 模式.表名，与 --source、--for 同用")
    ] = "",
    source: Annotated[str, Parameter(help="该文件或表所属的目录中的数据源")] = "",
    for_: Annotated[Purpose, Parameter("--for", help="该文件或表的用途")] = "sharing",
    policy: Own = (),
) -> None:
    """申请导出：给出方案、文件或一张表；方案、文件改动一个字节，批准即不适用。"""
    from pingyao.protect.approvals import request_export
    from pingyao.protect.erasing import file_facts
    from pingyao.protect.lifecycle_model import Export

    if (plan is not None) + (file is not None) + bool(table) != 1 or (plan is None and not source):
        raise Invalid(
            "lifecycle.bad_option",
            "请给出 --plan，或 --file、--table 之一与 --source",
            "请改正后再试",
        )
    rules, engine = rules_in_force(policy), open_catalogue(by.db)
    from pingyao.app.protection import policy as protection

    aims = protection(tuple(Path(p) for p in load_settings().policies))
    if plan is not None:
        from pingyao.app.protect.plans import read_choices
        from pingyao.protect.planning import digest

        made = read_choices(plan, aims)
        given = [c.field for c in made.choices if c.technique != "withhold"]
        level, personal = (
            max((f.level for f in given), default=1),
            max((f.personal for f in given), default=0),
        )
        source, for_, bound = made.source, made.purpose, f"plan:{digest(made)}"
    else:
        with engine.connect() as connection:
            found = holdings(connection, source)
        at = find_table(found, source, table)
        mine = [h for h in found if not table or (h.schema, h.table) == at]
        level, personal = max(h.level for h in mine), max(h.personal for h in mine)
        bound = f"file:{file_facts(file)['sha256']}" if file else f"table:{at[0]}/{at[1]}"
    today = f"{date.today()}"  # noqa: DTZ011 - the institution's own day
    body = Export(
        for_,
        recipient.strip(),
        source,
        bound,
        level,
        personal,
        rows,
        from_ or today,
        until,
        reason,
        (),
    )
    leaves = aims.purposes[for_].leaves
    case = request_export(engine, by.hand(), body, rules, leaves=leaves)
    settle(engine)
    roles = case.body.roles if isinstance(case.body, Export) else ()
    print(f"已受理 {case.id}：{level} 级，须经 {'、'.join(roles)} 批准")
    print(f"绑定 {bound}")


@export.command(name="approve")
def approve_(
    id_: Id,
    /,
    *,
    role: Annotated[str, Parameter(help="以何角色批准")],
    by: Signer,
) -> None:
    """以某一角色批准；各角色须是不同的人，均不是申请人。"""
    act_on(id_, by.hand(), "approve", by.db, role=role)


@export.command(name="refuse")
def refuse_(id_: Id, /, *, reason: Reason, by: Signer) -> None:
    """不批准。"""
    act_on(id_, by.hand(), "refuse", by.db, reason=reason)


@export.command
def revoke(id_: Id, /, *, reason: Reason, by: Signer) -> None:
    """撤销尚未使用的批准。"""
    act_on(id_, by.hand(), "revoke", by.db, reason=reason)
