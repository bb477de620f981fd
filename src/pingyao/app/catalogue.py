"""The commands ``pingyao catalogue …``: composition of the catalogue with a database and a reader."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import sqlalchemy as sa
from cyclopts import App, Parameter

from pingyao.app.evidence import settle
from pingyao.app.opening import Db, Pack, open_catalogue, packs
from pingyao.classify import catalogue as use
from pingyao.classify import learning, store
from pingyao.classify.catalogue import Decision
from pingyao.classify.cli import show_changes
from pingyao.classify.formats.report_json import read_json
from pingyao.classify.formats.words import say_short, type_names
from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.packs import load_book
from pingyao.classify.rules.difference import Change, short
from pingyao.classify.rules.memory import LEAST_TABLES
from pingyao.classify.store import Entry
from pingyao.kernel.errors import Invalid
from pingyao.platform.term import print_table

app = App(
    name="catalogue",
    help="数据资产目录：记录扫描、确认与更正、查看差异与历史 · the data-asset catalogue",
)
Actor = Annotated[str | None, Parameter(help="经办人；默认为当前登录用户")]
Json = Annotated[bool, Parameter(help="以 JSON 输出到标准输出", negative="")]
_SHOWN = 60


@app.command
def record(result: Path, /, *, db: Db = None, actor: Actor = None, json: Json = False) -> None:
    """记录一次扫描的结果（scan --report 写出的 result.json），并显示与目录的差异。"""
    engine = open_catalogue(db)
    changes = use.record(engine, read_json(result), _who(actor))
    _show_changes(changes, json=json)
    settle(engine)


@app.command
def diff(result: Path, /, *, db: Db = None, json: Json = False) -> None:
    """只看一次扫描的结果与目录有何差异，不作记录。"""
    _show_changes(use.preview(open_catalogue(db), read_json(result)), json=json)


@app.command
def reevaluate(
    *,
    pack: Pack = (),
    dry_run: Annotated[bool, Parameter(help="只显示差异，不改目录", negative="")] = False,
    db: Db = None,
    actor: Actor = None,
    json: Json = False,
) -> None:
    """规则包或学习结果变化后，重新评定未锁定的列；不再读取数据源。"""
    engine = open_catalogue(db)
    knowledge = learning.remembering(engine, load_knowledge(packs(pack)))
    changes = use.reevaluate(engine, knowledge, _who(actor), keep=not dry_run)
    _show_changes(changes, json=json)
    settle(engine)


@app.command
def learn(
    *,
    switch_on: Annotated[bool, Parameter(help="交叉验证确有改善时启用", negative="")] = False,
    switch_off: Annotated[bool, Parameter(help="停用已启用的学习结果", negative="")] = False,
    pack: Pack = (),
    db: Db = None,
    actor: Actor = None,
    json: Json = False,
) -> None:
    """从人工确认与更正中学习；先以整表为单位交叉验证，有改善才可启用。"""
    engine = open_catalogue(db)
    if switch_off:
        learning.forget(engine, _who(actor))
        settle(engine)
        print("已停用学习结果，人工结论不受影响")
        return
    figures = learning.learn(engine, load_knowledge(packs(pack)), _who(actor), switch_on=switch_on)
    settle(engine)
    if json:
        _dump(figures)
        return
    print(f"依据 {figures.tables:,} 张表中 {figures.columns:,} 列的人工结论，按表交叉验证：")
    print_table(
        ("", "不用学习结果", "用学习结果"),
        [
            ("断言正确", f"{figures.right_before:,}", f"{figures.right_after:,}"),
            ("断言错误", f"{figures.wrong_before:,}", f"{figures.wrong_after:,}"),
        ],
    )
    print(f"净改善 {figures.gain:+.1%}（95% 区间 {figures.low:+.1%} 至 {figures.high:+.1%}）")
    if switch_on:
        print("已启用：scan --record 与 catalogue reevaluate 将采用")
    elif figures.helps:
        print("确有改善，可加 --switch-on 启用")
    else:
        print(f"尚不能证明有改善（至少需 {LEAST_TABLES} 张表，且区间下限不低于零），不宜启用")


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
    with open_catalogue(db).connect() as connection:
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
    _decide(
        open_catalogue(db), [(n, Decision(n, 0, reason)) for n in columns], _who(actor), json=json
    )


@app.command
def correct(
    column: int,
    /,
    *,
    reason: str,
    type: Annotated[  # noqa: A002 - the word users type
        str | None, Parameter(help="数据类型，编号或中文名称皆可，如 mobile、手机号码")
    ] = None,
    leaf: str | None = None,
    level: int | None = None,
    db: Db = None,
    actor: Actor = None,
    json: Json = False,
) -> None:
    """更正一列的数据类型、分类路径或级别，须写明理由；5 级与重要数据只能在此由人认定。"""
    decision = Decision(column, 0, reason, type and _type_id(type), leaf, level)
    _decide(open_catalogue(db), [(column, decision)], _who(actor), json=json)


def _type_id(name: str) -> str:
    """Returns the id of a data type by its id or its name; what is unknown comes with what is near."""
    names = type_names()
    by_name = {n.casefold(): id_ for id_, both in names.items() for n in (id_, *both)}
    if name.casefold() in by_name:
        return by_name[name.casefold()]
    near = [f"{names[i][0]}（{i}）" for n, i in by_name.items() if name.casefold() in n]
    raise Invalid(
        "catalogue.unknown_type",
        f"没有数据类型 {name[:40]}",
        "相近的有：" + "、".join(dict.fromkeys(near[:8]))
        if near
        else "可选的有：" + "、".join(names),
    )


@app.command
def unlock(column: int, /, *, reason: str, db: Db = None, actor: Actor = None) -> None:
    """解除一列的人工结论，恢复为机器最近一次的意见。"""
    engine = open_catalogue(db)
    with engine.connect() as connection:
        (version,) = _versions(connection, [column])
    entry = use.unlock(engine, column, version, reason, _who(actor))
    print(f"{column}：{say_short(short(entry.verdict))}")
    settle(engine)


@app.command
def history(column: int, /, *, db: Db = None, json: Json = False) -> None:
    """查看一列的全部历史：每次扫描的变化、确认、更正与解除。"""
    with open_catalogue(db).connect() as connection:
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
                say_short(short(msgspec.json.decode(row["verdict"], type=Verdict))),
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

    with open_catalogue(db).connect() as connection:
        entries = store.read_entries(connection, source)
    chosen = [
        e for e in entries if not e.gone and (everything or (e.verdict.abstained and not e.locked))
    ]
    write_review(chosen, load_book(packs()), workbook)
    print(f"已导出 {len(chosen):,} 列到 {workbook}")


@app.command(name="import")
def import_(workbook: Path, /, *, db: Db = None, actor: Actor = None, json: Json = False) -> None:
    """导入填好的 Excel：逐行校验，全部无误才生效。"""
    from pingyao.classify.formats.review_xlsx import read_review

    decisions = read_review(workbook)
    engine = open_catalogue(db)
    done = use.decide(engine, decisions, load_book(packs()), _who(actor))
    settle(engine)
    if json:
        _dump(done)
    else:
        print(f"已记录 {len(done):,} 列的人工结论")


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
    done = use.decide(engine, decisions, load_book(packs()), actor)
    settle(engine)
    if json:
        _dump(done)
    else:
        for entry in done:
            print(f"{entry.id}：{say_short(short(entry.verdict))}（已锁定）")


def _row(entry: Entry) -> tuple[str, ...]:
    id_ = entry.verdict.id
    table = f"{id_.schema}.{id_.table}" if id_.schema else id_.table
    return (
        str(entry.id),
        str(entry.version),
        table,
        id_.column,
        entry.verdict.comment,
        say_short(short(entry.verdict)),
        "是" if entry.locked else "",
    )


def _show_changes(changes: tuple[Change, ...], *, json: bool) -> None:
    if json:
        _dump(changes)
    else:
        show_changes(changes)


def _dump(value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
