"""The commands that plan, run and quote the rules."""

import getpass
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pingyao.app.opening import Approve, Db, Pack, Store, open_catalogue, packs
from pingyao.app.protect.options import Approval, For, Json, Key, Own, rules
from pingyao.app.protection import Rescan, SourceReading, field_of, inventory_of
from pingyao.classify.knowledge import load_knowledge
from pingyao.kernel.errors import Invalid, NotFound
from pingyao.protect.model import Asset, Inventory, Place, Plain, Plan, Stage
from pingyao.protect.planning import choose, make_plan
from pingyao.protect.rules.policy import Policy
from pingyao.protect.service import Refused, Run, use_of
from pingyao.protect.service import run as carry_out

_MOST_LETTERS = 100


def plan(
    source: str,
    /,
    *,
    for_: For,
    recipient: Annotated[
        str, Parameter(help="接收方名称：金额列加上指明它的水印，执行时默认以它为关联范围")
    ] = "",
    out: Annotated[
        Path | None, Parameter(help="写出方案：.xlsx 供人改选，.json 供程序读取")
    ] = None,
    catalogue: Annotated[
        bool, Parameter(help="SOURCE 是数据资产目录中数据源的名称，不再扫描", negative="")
    ] = False,
    policy: Own = (),
    pack: Pack = (),
    db: Db = None,
    json: Json = False,
) -> None:
    """逐列说明该用途下必须怎样处理、为什么，并提出损失最小的技术。

    SOURCE：scan 写出的 result.json，或可扫描的数据源（将全量扫描），或以 --catalogue 指明目录中的数据源。
    """
    from pingyao.protect.cli import show_plan
    from pingyao.protect.formats.plan_json import encode_plan, write_plan
    from pingyao.protect.formats.plan_xlsx import write_plan_xlsx

    if out is not None and out.suffix not in (".xlsx", ".json"):
        raise Invalid("protect.bad_option", "--out 应为 .xlsx 或 .json", "请改正文件名")
    if len(recipient) > _MOST_LETTERS:
        raise Invalid("protect.bad_option", "--recipient 至多 100 个字符", "请改正后再试")
    in_force = rules(policy)
    inventory = _catalogued(source, db) if catalogue else _graded(source, pack)
    made = make_plan(inventory, for_, in_force, recipient.strip())
    if out is not None and out.suffix == ".xlsx":
        write_plan_xlsx(made, in_force, out)
    elif out is not None:
        write_plan(made, out)
    if json:
        sys.stdout.buffer.write(encode_plan(made) + b"\n")
        return
    show_plan(made, in_force)
    if out is not None:
        print(f"方案：{out}")


def _graded(source: str, pack: tuple[Path, ...]) -> Inventory:
    if source.endswith(".json") and Path(source).is_file():
        from pingyao.classify.formats.report_json import read_json

        return inventory_of(read_json(Path(source)))
    from pingyao.classify.service import scan
    from pingyao.classify.sources.open import open_source
    from pingyao.platform.term import scan_progress

    with closing(open_source(source)) as opened, scan_progress(enabled=True) as progress:
        return inventory_of(scan(opened, load_knowledge(packs(pack)), progress=progress))


def _catalogued(source: str, db: str | None) -> Inventory:
    """Returns a source as the catalogue has it: what people decided stands."""
    from pingyao.classify import store

    with open_catalogue(db).connect() as connection:
        entries = [e for e in store.read_entries(connection, source) if not e.gone]
    if not entries:
        raise NotFound(
            "protect.not_catalogued", f"目录中没有数据源 {source[:80]}", "请先 scan --record"
        )
    tables: dict[tuple[str, str], list[store.Entry]] = {}
    for entry in entries:
        id_ = entry.verdict.id
        tables.setdefault((id_.schema, id_.table), []).append(entry)
    assets = tuple(
        Asset(schema, name, tuple(field_of(e.verdict) for e in members), members[0].table_comment)
        for (schema, name), members in tables.items()
    )
    return Inventory(source, "catalogue", "full", assets)


def run(
    source: str,
    target: str,
    /,
    *,
    plan: Annotated[Path, Parameter(help="方案：.xlsx 或 .json")],
    key: Key = "protect",
    vault_key: Annotated[
        str, Parameter(help="新建令牌库所用的密钥名称；已有的令牌库不必给出")
    ] = "",
    scope: Annotated[
        str,
        Parameter(
            help="关联范围：同一范围内相同的值处理后仍相同；每个接收方应各用一个。"
            "默认为方案中的接收方，没有则为 internal"
        ),
    ] = "",
    format: Annotated[  # noqa: A002 - the option is called --format
        str, Parameter(help="目标为目录时的文件格式：parquet 或 csv")
    ] = "parquet",
    record: Annotated[Path | None, Parameter(help="保护记录的目录；默认为 目标名-record")] = None,
    policy: Own = (),
    pack: Pack = (),
    approval: Approval = "",
    approve: Approve = (),
    store: Store = None,
    db: Db = None,
) -> None:
    """执行方案，复扫结果，确认没有不允许的内容后才放行；目标要么完整，要么原样未动。

    TARGET：.parquet、.csv、.db 文件，目录，postgresql://用户@主机/库?schema=名称，或
    mysql://用户@主机/库（口令取自 PINGYAO_TARGET_PASSWORD）。目标须尚不存在。
    """
    from pingyao.app.keeping import open_keys, open_recorder, vaults
    from pingyao.classify.sources.open import open_source
    from pingyao.platform.term import scan_progress
    from pingyao.protect.cli import show_record
    from pingyao.protect.formats.record import write_record
    from pingyao.protect.sinks.open import open_sink

    in_force = rules(policy)
    made = read_choices(plan, in_force)
    within = scope or made.recipient or "internal"
    if len(within) > _MOST_LETTERS:
        raise Invalid("protect.bad_option", "--scope 至多 100 个字符", "请改正后再试")
    keys, recorder = open_keys(key, store, approve), open_recorder(db)
    knowledge = load_knowledge(packs(pack))
    folder = record or Path(f"{_stem(target)}-record")
    about = {"source": made.source, "purpose": made.purpose, "target": _stem(target)}
    with closing(open_source(source)) as opened, scan_progress(enabled=True) as progress:
        reading = SourceReading(opened)
        recorder.require(use_of(made, approval, opened.name))
        job = Run(
            plan=made,
            policy=in_force,
            reading=reading,
            sink=open_sink(target, format),
            scanner=Rescan(knowledge, reading, progress),
            keys=keys,
            vault=vaults(recorder.engine, store, keys, vault_key, approve),
            book=recorder,
            scope=within,
            actor=getpass.getuser(),
            progress=progress,
            ready=lambda: print("已写入暂存，正在复扫……", file=sys.stderr),
            approval=approval,
            name=opened.name,
        )
        try:
            done, event = carry_out(job)
        except Refused as refused:
            paths = write_record(refused.record, refused.event, in_force, folder)
            print(f"未放行，记录：{folder / 'record.html'}", file=sys.stderr)
            recorder.settle(paths, about)
            raise
    paths = write_record(done, event, in_force, folder)
    show_record(done, in_force)
    print(f"保护记录：{paths[2]}、{paths[1]}")
    recorder.settle(paths, about)


def _stem(target: str) -> str:
    return Path(target).name if "://" in target else target.rstrip("/")


def read_choices(path: Path, rules: Policy) -> Plan:
    """Reads a plan, as JSON or as a workbook filled in, and holds it to the rules."""
    from pingyao.protect.formats.plan_json import read_plan
    from pingyao.protect.formats.plan_xlsx import read_plan_xlsx

    if path.suffix == ".xlsx":
        made, wanted = read_plan_xlsx(path, rules)
    else:
        made = read_plan(path)
        wanted: dict[Place, tuple[str, dict[str, Plain] | None]] = {}
    return choose(made, wanted, rules)


def controls(
    *,
    stage: Annotated[Stage, Parameter(help="环节或使用场景")],
    level: Annotated[int, Parameter(help="级别 1–5")],
    personal: Annotated[str, Parameter("--class", help="个人金融信息类别 C1–C3")] = "",
    policy: Own = (),
) -> None:
    """列出某环节对某级别、某类别数据的禁止、要求与建议，连同依据。"""
    from pingyao.protect.cli import show_controls

    classes = {"": 0, "C1": 1, "C2": 2, "C3": 3}
    if not 1 <= level <= 5 or personal.upper() not in classes:
        raise Invalid(
            "protect.bad_option", "--level 为 1 至 5，--class 为 C1 至 C3", "请改正后再试"
        )
    show_controls(rules(policy), stage, level, classes[personal.upper()])
