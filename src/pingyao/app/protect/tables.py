"""The commands that measure, anonymise and count a table."""

import getpass
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pingyao.app.opening import Db, Pack, packs
from pingyao.app.protect.options import (
    Approval,
    For,
    Json,
    Own,
    Recipient,
    Table,
    names,
    rules,
    use_of,
)
from pingyao.app.protection import Rescan, SourceReading
from pingyao.kernel.errors import Invalid

Names = Annotated[str, Parameter(help="列名，以逗号分隔")]
Sensitive = Annotated[str, Parameter(help="敏感列：计量 l-多样性与 t-接近性")]


def risk(
    source: str,
    /,
    *,
    qi: Names,
    sensitive: Sensitive = "",
    table: Table = "",
    population: Annotated[int | None, Parameter(help="总体人数，用于记者与营销者模型")] = None,
    threshold: Annotated[float, Parameter(help="视为高风险的再识别概率")] = 0.2,
    json: Json = False,
) -> None:
    """衡量一张表的再识别风险：k-匿名、l-多样性、t-接近性，及三种攻击者成功的可能。"""
    import msgspec

    from pingyao.classify.sources.open import open_source
    from pingyao.protect.anonymising import Wanted, assess
    from pingyao.protect.cli import show_risk

    if not 0 < threshold < 1 or (population is not None and population < 1):
        raise Invalid(
            "protect.bad_option",
            "--threshold 应在 0 与 1 之间，--population 为正整数",
            "请改正后再试",
        )
    wanted = Wanted(names(qi), sensitive)
    with closing(open_source(source)) as opened:
        found, chances = assess(SourceReading(opened), table, wanted, threshold, population)
    if json:
        body = msgspec.json.encode({"anonymity": found, "risk": chances})
        sys.stdout.buffer.write(body + b"\n")
        return
    show_risk(found, chances, wanted)


def anonymise(
    source: str,
    target: str,
    /,
    *,
    for_: For,
    qi: Names,
    sensitive: Sensitive = "",
    keep: Annotated[str, Parameter(help="原样保留的其他列；未列出的列不写入目标")] = "",
    table: Table = "",
    k: Annotated[int, Parameter(help="每类至少的行数")] = 5,
    l: Annotated[int, Parameter(help="每类至少的敏感取值数")] = 1,  # noqa: E741 - its name in the literature
    t: Annotated[float, Parameter(help="每类与整体的最大距离，0–1；按取值比例之差计")] = 1.0,
    recipient: Recipient = "",
    approval: Approval = "",
    policy: Own = (),
    pack: Pack = (),
    db: Db = None,
) -> None:
    """归并准标识，使每一行都与至少 k-1 行无法区分；复扫后该用途允许的才写入新的文件。"""
    from pingyao.app.keeping import open_recorder
    from pingyao.classify.knowledge import load_knowledge
    from pingyao.classify.sources.open import open_source
    from pingyao.protect.anonymising import Wanted
    from pingyao.protect.anonymising import anonymise as make
    from pingyao.protect.cli import show_outcome
    from pingyao.protect.releasing import Terms
    from pingyao.protect.sinks.open import open_sink

    if not 2 <= k <= 1_000_000 or not 1 <= l <= k or not 0 < t <= 1:
        raise Invalid("protect.bad_option", "应有 k≥2，1≤l≤k，0<t≤1", "请改正后再试")
    if (l > 1 or t < 1) and not sensitive:
        raise Invalid("protect.bad_option", "l、t 须与 --sensitive 同用", "请指明敏感列")
    wanted = Wanted(names(qi), sensitive, names(keep), k, l, t)
    in_force, recorder = rules(policy), open_recorder(db)
    with closing(open_source(source)) as opened:
        reading = SourceReading(opened)
        scanner = Rescan(load_knowledge(packs(pack)), reading)
        use = use_of(
            approval, for_, source, recipient=recipient, opened=(opened.name, reading, table)
        )
        actor = getpass.getuser()
        terms = Terms(opened.name, for_, in_force, recorder, actor, recorder.require(use))
        outcome = make(reading, table, wanted, open_sink(target, "parquet"), terms, scanner)
    show_outcome(outcome, wanted)
    print(f"复扫无不允许的内容，已写入 {target}：{sum(m.rows for m in outcome.release.made):,} 行")
    recorder.settle()


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
    for_: For,
    recipient: Recipient = "",
    approval: Approval = "",
    policy: Own = (),
    db: Db = None,
) -> None:
    """以差分隐私回答计数、求和与直方图，并从隐私预算中扣除。

    噪声由 OpenDP 生成，需安装附加组件 pingyao[dp]。
    """
    from pingyao.app.keeping import open_recorder
    from pingyao.classify.sources.open import open_source
    from pingyao.protect.anonymising import ask
    from pingyao.protect.budget import charge
    from pingyao.protect.cli import show_answers
    from pingyao.protect.releasing import Terms
    from pingyao.protect.rules.private import Question

    known = names(groups)
    if not 0 < epsilon <= 20 or most < 1 or not unit > 0 or bool(by) != bool(known):
        raise Invalid(
            "protect.bad_option",
            "应有 0<ε≤20，--most≥1，--unit>0，--by 与 --groups 同用",
            "请改正后再试",
        )
    if total and not low < high:
        raise Invalid("protect.bad_option", "求和须给出 --low 与 --high", "请给出与数据无关的界限")
    question = Question(epsilon, total, low, high, unit, by, known, person, most)

    def charged(dataset: str) -> tuple[float, float]:
        book = charge(ledger, dataset, budget, epsilon, question.said, getpass.getuser())
        print(f"隐私预算 {book.budget:g}，已用 {book.spent:g}", file=sys.stderr)
        return book.budget, book.spent

    in_force, recorder = rules(policy), open_recorder(db)
    with closing(open_source(source)) as opened:
        reading = SourceReading(opened)
        use = use_of(
            approval, for_, source, recipient=recipient, opened=(opened.name, reading, table)
        )
        terms = Terms(
            opened.name, for_, in_force, recorder, getpass.getuser(), recorder.require(use)
        )
        answers = ask(reading, table, question, terms, charged)
    show_answers(answers)
    recorder.settle()
