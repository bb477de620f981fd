"""The commands of the watermark: a table marked for its recipient, and a copy traced to it."""

import getpass
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pingyao.app.opening import Approve, Db, Pack, Store, packs
from pingyao.app.protect.options import Approval, For, Key, Own, Table, names, rules, use_of
from pingyao.app.protection import Rescan, SourceReading
from pingyao.kernel.errors import Conflict, Invalid, NotFound
from pingyao.protect.model import Place

if TYPE_CHECKING:
    from pingyao.protect.marking import Marking
    from pingyao.protect.ports import Keys
    from pingyao.protect.rules.watermark import Marks

Columns = Annotated[str, Parameter(help="承载水印的数值列，以逗号分隔")]
RowKey = Annotated[str, Parameter(help="标识各行的列；不给则按数值自身定位，单列外泄也可追溯")]
Unit = Annotated[float, Parameter(help="数值的最小单位；带水印的单元格至多改变一个单位")]


def watermark(
    source: str,
    target: str,
    /,
    *,
    for_: For,
    recipient: Annotated[str, Parameter(help="接收方名称；追溯时据此指认")],
    columns: Columns,
    row_key: RowKey = "",
    unit: Unit = 0.01,
    table: Table = "",
    record: Annotated[
        Path | None, Parameter(help="SOURCE 由 protect run 写出时，它的 record.json")
    ] = None,
    key: Key = "protect",
    policy: Own = (),
    pack: Pack = (),
    approval: Approval = "",
    approve: Approve = (),
    store: Store = None,
    db: Db = None,
) -> None:
    """为一张表加上指明接收方的水印；删去三成行、打乱顺序后仍可追溯。复扫后该用途允许的才写入。

    已保护的列以 --record 为证；没有记录的，按原值从严判断。
    """
    from pingyao.app.keeping import open_keys, open_recorder
    from pingyao.classify.knowledge import load_knowledge
    from pingyao.classify.sources.open import open_source
    from pingyao.protect.marking import mark
    from pingyao.protect.releasing import Terms
    from pingyao.protect.sinks.open import open_sink

    marking, name = _marking(columns, row_key, unit), recipient.strip()
    if not name:
        raise Invalid("protect.bad_option", "--recipient 不能为空", "请写明接收方")
    in_force, protected = rules(policy), _protected(record, Path(source))
    marks, recorder = _marks(open_keys(key, store, approve)), open_recorder(db)
    with closing(open_source(source)) as opened:
        reading = SourceReading(opened)
        scanner = Rescan(load_knowledge(packs(pack)), reading)
        use = use_of(approval, for_, source, recipient=name, opened=(opened.name, reading, table))
        actor = getpass.getuser()
        terms = Terms(opened.name, for_, in_force, recorder, actor, recorder.require(use))
        at = {
            Place(s, t, c): protected[t, c]
            for s, t, cs in reading.columns()
            for c in cs
            if (t, c) in protected
        }
        sink = open_sink(target, "parquet")
        done = mark(reading, table, marking, marks, name, sink, terms, scanner, at)
    print(f"已写入 {target}：{sum(m.rows for m in done.made):,} 行，水印指向“{name}”")
    recorder.settle()


def trace(
    source: str,
    /,
    *,
    recipients: Annotated[Path, Parameter(help="接收方名单，UTF-8 文本，一行一个")],
    columns: Columns,
    row_key: RowKey = "",
    unit: Unit = 0.01,
    table: Table = "",
    key: Key = "protect",
    approve: Approve = (),
    store: Store = None,
) -> None:
    """从外泄的数据中认出接收方；没有足够把握时不指认任何人（退出码 4）。"""
    from pingyao.app.keeping import open_keys
    from pingyao.classify.sources.open import open_source
    from pingyao.protect.marking import trace as find
    from pingyao.protect.rules.watermark import surest

    try:
        listed = [n.strip() for n in recipients.read_text("utf-8-sig").splitlines() if n.strip()]
    except (OSError, UnicodeDecodeError):
        raise Invalid(
            "protect.bad_option", f"无法读取名单 {recipients.name}", "请给出 UTF-8 文本"
        ) from None
    marking = _marking(columns, row_key, unit)
    marks = _marks(open_keys(key, store, approve))
    with closing(open_source(source)) as opened:
        found = find(SourceReading(opened), table, marking, marks, listed)
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


def _marking(columns: str, row_key: str, unit: float) -> "Marking":
    from pingyao.protect.marking import Marking
    from pingyao.protect.rules.watermark import Spot

    if not 1e-9 <= unit <= 1e9:
        raise Invalid("protect.bad_option", "--unit 应为正数，如 0.01", "请改正后再试")
    return Marking(names(columns), row_key, Spot(unit))


def _marks(keys: "Keys") -> "Marks":
    from pingyao.protect.rules.watermark import Marks

    return Marks(keys)


def _protected(record: Path | None, source: Path) -> dict[tuple[str, str], str]:
    """Returns by which techniques the columns of a file were protected, as its record has it."""
    if record is None:
        return {}
    from pingyao.protect.formats.record import read_record
    from pingyao.protect.sinks.files import sha256_of

    run = read_record(record)
    digest = sha256_of(source) if source.is_file() else ""
    made = next((m for m in run.made if m.sha256 and m.sha256 == digest), None)
    if made is None:
        raise Conflict(
            "protect.other_record",
            f"{source.name} 不是 {record.name} 所记的文件，或此后被改动过",
            "请给出写出该文件的那次 protect run 的记录",
        )
    return {
        (Path(made.file).stem, d.place.column): d.technique
        for d in run.done
        if (d.place.schema, d.place.table) == (made.schema, made.table)
    }
