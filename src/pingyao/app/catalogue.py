"""The commands ``pingyao catalogue …``: composition of the catalogue with a database and a reader."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import sqlalchemy as sa
from cyclopts import App, Parameter

from pingyao.app.migrations import migrate
from pingyao.classify import catalogue as use
from pingyao.classify import store
from pingyao.classify.catalogue import Decision
from pingyao.classify.formats.report_json import read_json
from pingyao.classify.packs import load_book
from pingyao.classify.rules.difference import Change, said
from pingyao.classify.store import Entry
from pingyao.platform.db import default_url, open_engine
from pingyao.platform.term import print_table, safe

app = App(
    name="catalogue",
    help="数据资产目录：记录扫描、确认与更正、查看差异与历史 · the data-asset catalogue",
)
Db = Annotated[
    str | None, Parameter(help="目录数据库地址；默认取 PINGYAO_DATABASE_URL 或本人数据目录")
]
Actor = Annotated[str | None, Parameter(help="经办人；默认为当前登录用户")]
Json = Annotated[bool, Parameter(help="以 JSON 输出到标准输出", negative="")]
_SHOWN = 60


@app.command
def record(result: Path, /, *, db: Db = None, actor: Actor = None, json: Json = False) -> None:
    """记录一次扫描的结果（scan --report 写出的 result.json），并显示与目录的差异。"""
    changes = use.record(_open(db), read_json(result), _who(actor))
    _show_changes(changes, json=json)


@app.command
def show(
    *,
    db: Db = None,
    source: Annotated[str | None, Parameter(help="只看某个数据源")] = None,
    level: Annotated[int | None, Parameter(help="只看该级别及以上")] = None,
    personal: Annotated[str | None, Parameter(help="只看该类别及以上：C1、C2、C3")] = None,
    review: Annotated[bool, Parameter(help="只看待复核的列", negative="")] = False,
    json: Json = False,
) -> None:
    """查看目录。"""
    with _open(db).connect() as connection:
        entries = store.read_entries(connection, source)
    least = {"C1": 1, "C2": 2, "C3": 3}.get((personal or "").upper(), 0)
    chosen = [
        e
        for e in entries
        if not e.gone
        and e.verdict.labels.level >= (level or 0)
        and e.verdict.labels.personal >= least
        and (e.verdict.abstained or not review)
    ]
    if json:
        _dump(chosen)
        return
    print_table(
        ("编号", "版本", "表", "字段", "说明", "结论", "锁定"),
        [_row(e) for e in chosen[:_SHOWN]],
    )
    print(
        f"共 {len(chosen):,} 列" + ("，其余请用 --json 或导出查看" if len(chosen) > _SHOWN else "")
    )


@app.command
def confirm(
    *columns: int, db: Db = None, actor: Actor = None, reason: str = "", json: Json = False
) -> None:
    """确认若干列的结论；确认后不再随扫描改变。"""
    _decide(_open(db), [(n, Decision(n, 0, reason)) for n in columns], _who(actor), json=json)


@app.command
def correct(
    column: int,
    /,
    *,
    reason: str,
    type: str | None = None,  # noqa: A002 - the word users type
    leaf: str | None = None,
    level: int | None = None,
    db: Db = None,
    actor: Actor = None,
    json: Json = False,
) -> None:
    """更正一列的数据类型、分类路径或级别，须写明理由；5 级与重要数据只能在此由人认定。"""
    decision = Decision(column, 0, reason, type, leaf, level)
    _decide(_open(db), [(column, decision)], _who(actor), json=json)


@app.command
def unlock(column: int, /, *, reason: str, db: Db = None, actor: Actor = None) -> None:
    """解除一列的人工结论，恢复为机器最近一次的意见。"""
    engine = _open(db)
    with engine.connect() as connection:
        (version,) = _versions(connection, [column])
    entry = use.unlock(engine, column, version, reason, _who(actor))
    print(f"{column}：{said(entry.verdict)}")


@app.command
def history(column: int, /, *, db: Db = None, json: Json = False) -> None:
    """查看一列的全部历史：每次扫描的变化、确认、更正与解除。"""
    with _open(db).connect() as connection:
        past = store.read_history(connection, column)
    if json:
        _dump(past)
        return
    from pingyao.classify.model import Verdict

    print_table(
        ("时间", "经办人", "动作", "结论", "理由"),
        [
            (
                row["at"][:19],
                row["actor"],
                row["act"],
                said(msgspec.json.decode(row["verdict"], type=Verdict)),
                row["reason"],
            )
            for row in past
        ],
    )


@app.command
def export(
    workbook: Path, /, *, db: Db = None, source: str | None = None, everything: bool = False
) -> None:
    """导出待复核的列（或 --everything 全部）为 Excel，供业务人员批量确认与更正。"""
    from pingyao.classify.formats.review_xlsx import write_review

    with _open(db).connect() as connection:
        entries = store.read_entries(connection, source)
    chosen = [
        e for e in entries if not e.gone and (everything or (e.verdict.abstained and not e.locked))
    ]
    write_review(chosen, load_book(), workbook)
    print(f"已导出 {len(chosen):,} 列到 {workbook}")


@app.command(name="import")
def import_(workbook: Path, /, *, db: Db = None, actor: Actor = None, json: Json = False) -> None:
    """导入填好的 Excel：逐行校验，全部无误才生效。"""
    from pingyao.classify.formats.review_xlsx import read_review

    decisions = read_review(workbook)
    done = use.decide(_open(db), decisions, load_book(), _who(actor))
    if json:
        _dump(done)
    else:
        print(f"已记录 {len(done):,} 列的人工结论")


def _open(url: str | None) -> sa.Engine:
    return open_engine(url or default_url(), migrate)


def _who(actor: str | None) -> str:
    return actor or getpass.getuser()


def _versions(connection: sa.Connection, columns: list[int]) -> list[int]:
    found = {e.id: e.version for e in store.read_entries(connection, ids=columns)}
    return [found.get(n, 0) for n in columns]


def _decide(
    engine: sa.Engine, chosen: list[tuple[int, Decision]], actor: str, *, json: bool
) -> None:
    with engine.connect() as connection:
        versions = _versions(connection, [n for n, _ in chosen])
    decisions = [
        msgspec.structs.replace(d, version=v) for (_, d), v in zip(chosen, versions, strict=True)
    ]
    done = use.decide(engine, decisions, load_book(), actor)
    if json:
        _dump(done)
    else:
        for entry in done:
            print(f"{entry.id}：{said(entry.verdict)}（已锁定）")


def _row(entry: Entry) -> tuple[str, ...]:
    id_ = entry.verdict.id
    table = f"{id_.schema}.{id_.table}" if id_.schema else id_.table
    return (
        str(entry.id),
        str(entry.version),
        table,
        id_.column,
        entry.verdict.comment,
        said(entry.verdict),
        "是" if entry.locked else "",
    )


_WORDS = {
    "added": "新增",
    "gone": "消失",
    "back": "重现",
    "changed": "变化",
    "differs": "与人工结论不同",
}


def _show_changes(changes: tuple[Change, ...], *, json: bool) -> None:
    if json:
        _dump(changes)
        return
    counts = {w: sum(c.what == w for c in changes) for w in _WORDS}
    print(
        "差异：" + "  ".join(f"{_WORDS[w]} {n:,}" for w, n in counts.items() if n)
        if changes
        else "没有差异"
    )
    for change in [c for c in changes if c.what != "added"][:_SHOWN]:
        name = safe("/".join(p for p in (change.id.schema, change.id.table, change.id.column) if p))
        print(f"  {_WORDS[change.what]} {name}：{change.old or '—'} → {change.new or '—'}")


def _dump(value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
