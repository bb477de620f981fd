"""``pingyao protect``: plans, runs with their proof, and what the rules ask for."""

import getpass
import os
import secrets
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from pingyao.app.opening import Db, Pack, open_catalogue, packs
from pingyao.app.protection import (
    Aes,
    Rescan,
    SourceReading,
    field_of,
    inventory_of,
    open_keys,
    policy,
)
from pingyao.classify.knowledge import load_knowledge
from pingyao.kernel.errors import Conflict, Invalid, NotFound
from pingyao.platform.settings import load_settings
from pingyao.protect.model import Asset, Inventory, Place, Plain, Plan, Purpose, Stage
from pingyao.protect.rules.policy import Policy
from pingyao.protect.service import Refused, Run, choose, keyed_by, make_plan
from pingyao.protect.service import run as carry_out

if TYPE_CHECKING:
    from pingyao.protect.marking import Marking
    from pingyao.protect.rules.keyed import Prf

app = App(name="protect", help="保护数据：按用途与级别给出方案，执行并证明 · protect data")

KeyFile = Annotated[Path | None, Parameter(help="密钥文件；默认取 PINGYAO_PROTECT_KEY_FILE")]
Own = Annotated[
    tuple[Path, ...], Parameter(help="本机构策略包，可重复给出；默认取 PINGYAO_POLICIES")
]


def _policy(own: tuple[Path, ...]) -> Policy:
    return policy(own or tuple(Path(p) for p in load_settings().policies))


@app.command
def plan(
    source: str,
    /,
    *,
    for_: Annotated[
        Purpose,
        Parameter(
            "--for",
            help="用途：testing 开发测试、display 展示、sharing 共享、entrusting 委托处理、"
            "modelling 加工建模、disclosure 公开披露",
        ),
    ],
    out: Annotated[
        Path | None, Parameter(help="写出方案：.xlsx 供人改选，.json 供程序读取")
    ] = None,
    catalogue: Annotated[
        bool, Parameter(help="SOURCE 是数据资产目录中数据源的名称，不再扫描", negative="")
    ] = False,
    policy: Own = (),
    pack: Pack = (),
    db: Db = None,
    json: Annotated[bool, Parameter(help="把方案以 JSON 写到标准输出", negative="")] = False,
) -> None:
    """逐列说明该用途下必须怎样处理、为什么，并提出损失最小的技术。

    SOURCE：scan 写出的 result.json，或可扫描的数据源（将全量扫描），或以 --catalogue 指明目录中的数据源。
    """
    from pingyao.protect.cli import show_plan
    from pingyao.protect.formats.plan_json import encode_plan, write_plan
    from pingyao.protect.formats.plan_xlsx import write_plan_xlsx

    if out is not None and out.suffix not in (".xlsx", ".json"):
        raise Invalid("protect.bad_option", "--out 应为 .xlsx 或 .json", "请改正文件名")
    rules = _policy(policy)
    inventory = _catalogued(source, db) if catalogue else _graded(source, pack)
    made = make_plan(inventory, for_, rules)
    if out is not None and out.suffix == ".xlsx":
        write_plan_xlsx(made, rules, out)
    elif out is not None:
        write_plan(made, out)
    if json:
        sys.stdout.buffer.write(encode_plan(made) + b"\n")
        return
    show_plan(made, rules)
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


@app.command
def run(
    source: str,
    target: str,
    /,
    *,
    plan: Annotated[Path, Parameter(help="方案：.xlsx 或 .json")],
    key_file: KeyFile = None,
    scope: Annotated[
        str, Parameter(help="关联范围：同一范围内相同的值处理后仍相同；每个接收方应各用一个")
    ] = "internal",
    format: Annotated[  # noqa: A002 - the option is called --format
        str, Parameter(help="目标为目录时的文件格式：parquet 或 csv")
    ] = "parquet",
    record: Annotated[Path | None, Parameter(help="保护记录的目录；默认为 目标名-record")] = None,
    policy: Own = (),
    pack: Pack = (),
) -> None:
    """执行方案，复扫结果，确认没有不允许的内容后才放行；目标要么完整，要么原样未动。

    TARGET：.parquet、.csv、.db 文件，目录，或 postgresql://用户@主机/库?schema=名称（口令取自
    PINGYAO_TARGET_PASSWORD）。目标须尚不存在。
    """
    from pingyao.classify.sources.open import open_source
    from pingyao.platform.term import scan_progress
    from pingyao.protect.cli import show_record
    from pingyao.protect.formats.record import write_record
    from pingyao.protect.sinks.open import open_sink

    if not 1 <= len(scope) <= 100:
        raise Invalid("protect.bad_option", "--scope 应为 1 至 100 个字符", "请改正后再试")
    rules = _policy(policy)
    made = _read_plan(plan, rules)
    keys = open_keys(key_file)
    knowledge = load_knowledge(packs(pack))
    folder = record or Path(f"{_stem(target)}-record")
    with closing(open_source(source)) as opened, scan_progress(enabled=True) as progress:
        reading = SourceReading(opened)
        job = Run(
            plan=made,
            policy=rules,
            reading=reading,
            sink=open_sink(target, format),
            scanner=Rescan(knowledge, reading, progress),
            keys=keys,
            cipher=Aes(),
            scope=scope,
            actor=getpass.getuser(),
            progress=progress,
            ready=lambda: print("已写入暂存，正在复扫……", file=sys.stderr),
        )
        try:
            done, event = carry_out(job)
        except Refused as refused:
            write_record(refused.record, None, rules, folder)
            print(f"未放行，记录：{folder / 'record.html'}", file=sys.stderr)
            raise
    paths = write_record(done, event, rules, folder)
    show_record(done, rules)
    print(f"保护记录：{paths[2]}、{paths[1]}")


def _stem(target: str) -> str:
    return Path(target).name if "://" in target else target.rstrip("/")


def _read_plan(path: Path, rules: Policy) -> Plan:
    from pingyao.protect.formats.plan_json import read_plan
    from pingyao.protect.formats.plan_xlsx import read_plan_xlsx

    if path.suffix == ".xlsx":
        made, wanted = read_plan_xlsx(path, rules)
    else:
        made = read_plan(path)
        wanted: dict[Place, tuple[str, dict[str, Plain] | None]] = {}
    return choose(made, wanted, rules)


@app.command
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
    show_controls(_policy(policy), stage, level, classes[personal.upper()])


Names = Annotated[str, Parameter(help="列名，以逗号分隔")]
Sensitive = Annotated[str, Parameter(help="敏感列：计量 l-多样性与 t-接近性")]
Table = Annotated[str, Parameter(help="数据源有多张表时，指明一张")]


def _names(text: str) -> tuple[str, ...]:
    return tuple(n.strip() for n in text.split(",") if n.strip())


@app.command
def risk(
    source: str,
    /,
    *,
    qi: Names,
    sensitive: Sensitive = "",
    table: Table = "",
    population: Annotated[int | None, Parameter(help="总体人数，用于记者与营销者模型")] = None,
    threshold: Annotated[float, Parameter(help="视为高风险的再识别概率")] = 0.2,
    json: Annotated[bool, Parameter(help="以 JSON 写到标准输出", negative="")] = False,
) -> None:
    """衡量一张表的再识别风险：k-匿名、l-多样性、t-接近性，及三种攻击者成功的可能。"""
    import msgspec

    from pingyao.classify.sources.open import open_source
    from pingyao.protect.anonymising import Wanted, assess
    from pingyao.protect.cli import show_risk

    if not 0 < threshold < 1 or (population is not None and population < 1):
        raise Invalid("protect.bad_option", "--threshold 应在 0 与 1 之间，--population 为正整数", "请改正后再试")  # fmt: skip
    wanted = Wanted(_names(qi), sensitive)
    with closing(open_source(source)) as opened:
        found, chances = assess(SourceReading(opened), table, wanted, threshold, population)
    if json:
        body = msgspec.json.encode({"anonymity": found, "risk": chances})
        sys.stdout.buffer.write(body + b"\n")
        return
    show_risk(found, chances, wanted)


@app.command
def anonymise(
    source: str,
    target: str,
    /,
    *,
    qi: Names,
    sensitive: Sensitive = "",
    keep: Annotated[str, Parameter(help="原样保留的其他列；未列出的列不写入目标")] = "",
    table: Table = "",
    k: Annotated[int, Parameter(help="每类至少的行数")] = 5,
    l: Annotated[int, Parameter(help="每类至少的敏感取值数")] = 1,  # noqa: E741 - its name in the literature
    t: Annotated[float, Parameter(help="每类与整体的最大距离，0–1；按取值比例之差计")] = 1.0,
) -> None:
    """归并准标识，使每一行都与至少 k-1 行无法区分；写入新的文件。"""
    from pingyao.classify.sources.open import open_source
    from pingyao.protect.anonymising import Wanted
    from pingyao.protect.anonymising import anonymise as make
    from pingyao.protect.cli import show_outcome
    from pingyao.protect.sinks.open import open_sink

    if not 2 <= k <= 1_000_000 or not 1 <= l <= k or not 0 < t <= 1:
        raise Invalid("protect.bad_option", "应有 k≥2，1≤l≤k，0<t≤1", "请改正后再试")
    if (l > 1 or t < 1) and not sensitive:
        raise Invalid("protect.bad_option", "l、t 须与 --sensitive 同用", "请指明敏感列")
    wanted = Wanted(_names(qi), sensitive, _names(keep), k, l, t)
    with closing(open_source(source)) as opened:
        outcome = make(SourceReading(opened), table, wanted, open_sink(target, "parquet"))
    show_outcome(outcome, wanted)
    print(f"已写入 {target}：{sum(m.rows for m in outcome.made):,} 行")


Columns = Annotated[str, Parameter(help="承载水印的数值列，以逗号分隔")]
RowKey = Annotated[str, Parameter(help="标识各行的列；不给则按数值自身定位，单列外泄也可追溯")]
Unit = Annotated[float, Parameter(help="数值的最小单位；带水印的单元格至多改变一个单位")]


def _marking(columns: str, row_key: str, unit: float) -> "Marking":
    from pingyao.protect.marking import Marking
    from pingyao.protect.rules.watermark import Spot

    if not 1e-9 <= unit <= 1e9:
        raise Invalid("protect.bad_option", "--unit 应为正数，如 0.01", "请改正后再试")
    return Marking(_names(columns), row_key, Spot(unit))


def _prfs(key_file: Path | None, names: tuple[str, ...]) -> "dict[str, Prf]":
    keyed = keyed_by(open_keys(key_file), Aes(), "watermark")
    return {name: keyed(f"column/{name}" if name else "recipients") for name in ("", *names)}


@app.command
def watermark(
    source: str,
    target: str,
    /,
    *,
    recipient: Annotated[str, Parameter(help="接收方名称；追溯时据此指认")],
    columns: Columns,
    row_key: RowKey = "",
    unit: Unit = 0.01,
    table: Table = "",
    key_file: KeyFile = None,
) -> None:
    """为一张表加上指明接收方的水印；删去三成行、打乱顺序后仍可追溯。"""
    from pingyao.classify.sources.open import open_source
    from pingyao.protect.marking import mark
    from pingyao.protect.sinks.open import open_sink

    marking, name = _marking(columns, row_key, unit), recipient.strip()
    if not name:
        raise Invalid("protect.bad_option", "--recipient 不能为空", "请写明接收方")
    prfs = _prfs(key_file, marking.columns)
    with closing(open_source(source)) as opened:
        sink = open_sink(target, "parquet")
        made = mark(SourceReading(opened), table, marking, prfs, name, sink)
    print(f"已写入 {target}：{sum(m.rows for m in made):,} 行，水印指向“{name}”")


@app.command
def trace(
    source: str,
    /,
    *,
    recipients: Annotated[Path, Parameter(help="接收方名单，UTF-8 文本，一行一个")],
    columns: Columns,
    row_key: RowKey = "",
    unit: Unit = 0.01,
    table: Table = "",
    key_file: KeyFile = None,
) -> None:
    """从外泄的数据中认出接收方；没有足够把握时不指认任何人（退出码 4）。"""
    from pingyao.classify.sources.open import open_source
    from pingyao.protect.marking import trace as find
    from pingyao.protect.rules.watermark import surest

    try:
        names = [n.strip() for n in recipients.read_text("utf-8-sig").splitlines() if n.strip()]
    except (OSError, UnicodeDecodeError):
        raise Invalid(
            "protect.bad_option", f"无法读取名单 {recipients.name}", "请给出 UTF-8 文本"
        ) from None
    marking = _marking(columns, row_key, unit)
    prfs = _prfs(key_file, marking.columns)
    with closing(open_source(source)) as opened:
        found = find(SourceReading(opened), table, marking, prfs, names)
    best = surest(found)
    if best is None:
        raise NotFound(
            "protect.no_trace",
            f"{found[0].cells:,} 个候选单元格中，没有哪个接收方的吻合程度超出偶然",
            "请核对列、--row-key、--unit 与密钥是否与加水印时一致，或数据行数是否太少",
        )
    print(f"接收方：{best.recipient}")
    print(
        f"依据：{best.bits} 位中吻合 {best.agree} 位（{best.cells:,} 个单元格），"
        f"误指的可能 {best.chance:.1e}"
    )


@app.command(name="document")
def mask_one(source: Path, target: Path, /) -> None:
    """遮盖文档中的证件号、卡号、信用代码、手机号、邮箱：.txt、.md、.log、.json、.jsonl、.docx；写成新文件。

    姓名与叙述中的间接线索不在其列，公开前须人工阅读。
    """
    from pingyao.protect.formats.documents import mask_document

    found = mask_document(source, target)
    print(f"已写入 {target}：遮盖标识 {found:,} 处")


@app.command
def statistics(
    source: str,
    /,
    *,
    ledger: Annotated[Path, Parameter(help="该数据集的隐私预算账本")],
    epsilon: Annotated[float, Parameter(help="本次回答的花费")],
    budget: Annotated[float | None, Parameter(help="立账时的总预算")] = None,
    total: Annotated[str, Parameter("--sum", help="求和的数值列；不给则计数")] = "",
    low: Annotated[float, Parameter(help="求和的下界；不得取自数据")] = 0.0,
    high: Annotated[float, Parameter(help="求和的上界；不得取自数据")] = 0.0,
    unit: Annotated[float, Parameter(help="求和的最小单位")] = 1.0,
    by: Annotated[str, Parameter(help="分组的列，得到直方图")] = "",
    groups: Annotated[str, Parameter(help="各组的取值，事先已知，以逗号分隔")] = "",
    person: Annotated[str, Parameter(help="标识个人的列；一人多行时必须给出")] = "",
    most: Annotated[int, Parameter(help="每人至多计入的行数")] = 1,
    table: Table = "",
) -> None:
    """以差分隐私回答计数、求和与直方图，并从隐私预算中扣除。

    噪声由 OpenDP 生成，需安装附加组件 pingyao[dp]。
    """
    from pingyao.classify.sources.open import open_source
    from pingyao.protect.anonymising import ask
    from pingyao.protect.budget import charge
    from pingyao.protect.cli import show_answers
    from pingyao.protect.rules.private import Question

    names = _names(groups)
    if not 0 < epsilon <= 20 or most < 1 or not unit > 0 or bool(by) != bool(names):
        raise Invalid("protect.bad_option", "应有 0<ε≤20，--most≥1，--unit>0，--by 与 --groups 同用", "请改正后再试")  # fmt: skip
    if total and not low < high:
        raise Invalid("protect.bad_option", "求和须给出 --low 与 --high", "请给出与数据无关的界限")
    question = Question(epsilon, total, low, high, unit, by, names, person, most)

    def book(dataset: str) -> None:
        asked = f"sum({total})" if total else "count"
        book = charge(ledger, dataset, budget, epsilon, f"{asked} by {by}" if by else asked, getpass.getuser())  # fmt: skip
        print(f"隐私预算 {book.budget:g}，已用 {book.spent:g}", file=sys.stderr)

    with closing(open_source(source)) as opened:
        show_answers(ask(SourceReading(opened), opened.name, table, question, book))


@app.command(name="new-key")
def new_key(file: Path, /) -> None:
    """生成密钥文件，仅本人可读；丢失后假名与替换值无法再与原来一致。"""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Conflict(
            "protect.key_exists", f"{file.name} 已存在", "请另取名称；不会覆盖密钥"
        ) from None
    except OSError as error:
        raise Invalid(
            "protect.not_writable", f"无法写入 {file.name}：{error.strerror}", "请检查目录"
        ) from None
    with os.fdopen(handle, "w") as opened:
        opened.write(secrets.token_hex(32) + "\n")
    print(f"已生成密钥文件：{file}；请另行备份，并与数据分开保存")
