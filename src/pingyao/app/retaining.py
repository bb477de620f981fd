"""``pingyao lifecycle retention``: how long, since when, and what is due."""

import getpass
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import sqlalchemy as sa
from cyclopts import App, Parameter

from pingyao.app.evidence import settle
from pingyao.app.opening import Db, open_catalogue
from pingyao.app.signing import (
    Json,
    Own,
    Reason,
    day,
    dump,
    rules_in_force,
)
from pingyao.kernel.errors import NotFound
from pingyao.platform.term import print_table, safe

if TYPE_CHECKING:  # commands import what they need when they run
    from pingyao.protect.lifecycle_model import Due, Holding
    from pingyao.protect.lifecycle_packs import Rules

retention = App(name="retention", help="留存期限：规则、起算日、到期清单、暂缓删除")
_SHOWN = 60


def holdings(db: sa.Connection, source: str | None = None) -> "list[Holding]":
    """Returns the tables of the catalogue as retention sees them."""
    from pingyao.classify import store as catalogue
    from pingyao.protect.lifecycle_model import Held, Holding

    tables: dict[tuple[str, str, str], tuple[str, list[Held]]] = {}
    for entry in catalogue.read_entries(db, source):
        if not entry.gone:
            id_, verdict = entry.verdict.id, entry.verdict
            held = Held(
                verdict.type, verdict.leaf, int(verdict.labels.level), int(verdict.labels.personal)
            )
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
        dump(schedules)
        return
    print_table(
        ("编号", "界限", "期限", "起算", "内容", "依据"),
        [
            (
                s.id,
                "至少" if s.bound == "least" else "至多",
                period(s),
                s.trigger,
                s.text,
                cited(s.citation),
            )
            for s in schedules
        ],
    )


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

    today, rules = day(on) if on else date.today(), rules_in_force(policy)  # noqa: DTZ011 - the institution's own day
    with open_catalogue(db).connect() as connection:
        found = dues(connection, rules, today, source)
    if not found:
        raise NotFound(
            "lifecycle.no_tables", "目录中没有表", "请先 scan --record 或 catalogue record"
        )
    if out is not None:
        write_due(found, rules.retention, today, out)
    if json:
        dump(found)
        return
    counts = Counter(d.status for d in found)
    print("  ".join(f"{zh} {counts[s]:,}" for s, zh in STATUS.items() if counts[s]))
    print_table(
        ("状态", "数据源", "表", "级别", "到期", "早于此日", "原因"),
        [
            (
                STATUS[d.status],
                d.holding.source,
                d.holding.table,
                str(d.holding.level),
                str(d.due_on or ""),
                str(d.cutoff or ""),
                d.why,
            )
            for d in found[:_SHOWN]
        ],
    )
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
    day(on)
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
        schema, name = find_table(holdings(connection, source), source, table)
    at = datetime.now(UTC)
    clock = Clock(source, schema, name, trigger, on, held, reason, getpass.getuser(), at)
    set_clock(engine, clock)
    settle(engine)


def find_table(found: "Sequence[Holding]", source: str, table: str) -> tuple[str, str]:
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
            "lifecycle.no_table",
            f"{source[:60]} 中{'有多张' if mine else '没有'}表 {table[:80]}",
            "同名的表请写成 模式.表名",
        )
    return mine[0].schema, mine[0].table
