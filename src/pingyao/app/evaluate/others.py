"""The other evaluations: secrets, texts, the example bank by values only, start-up time."""

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.resources import files
from pathlib import Path

import msgspec

from pingyao.app.evaluate.metrics import Share, confusions, macro_f1_share, wilson
from pingyao.app.example.generate import generate
from pingyao.classify.knowledge import Knowledge
from pingyao.classify.model import Column, Table
from pingyao.classify.rules import values
from pingyao.classify.rules.fuse import decide
from pingyao.classify.service import judge
from pingyao.classify.sources.open import open_path
from pingyao.kernel.labels import PersonalClass

# Values cannot tell an amount that moved from one that stands.
_ALIKE = {"transaction_amount": "amount_balance"}


class Section(msgspec.Struct, frozen=True):
    """One evaluation: its title, what was done, its figures with their targets, its worst errors."""

    title: str
    note: str
    figures: tuple[tuple[str, Share, str], ...]
    worst: tuple[tuple[str, str, int], ...] = ()


def secrets(knowledge: Knowledge) -> Section:
    """Tells columns that hold a secret from columns that only speak of one."""
    text = files("pingyao.app.evaluate").joinpath("data/secrets.txt").read_text("utf-8")
    holds = False
    said: list[tuple[bool, bool, str]] = []
    for line in text.splitlines():
        if line.startswith("["):
            holds = line == "[holds]"
        elif not line.startswith("#"):
            for word in line.split():
                name, _, comment = word.partition("=")
                table = Table("", "t_x", columns=(Column(name, "varchar(128)", comment),))
                verdict = judge("eval", table, None, knowledge, "metadata").columns[0]
                said.append((holds, verdict.labels.personal is PersonalClass.C3, name))
    hits = sum(h and s for h, s, _ in said)
    precision = wilson(hits, sum(s for _, s, _ in said))
    recall = wilson(hits, sum(h for h, _, _ in said))
    wrong = tuple((n, "C3" if s else "非 C3", 1) for h, s, n in said if h != s)
    return Section(
        "存放秘密与谈及秘密的列",
        f"自编 {len(said)} 列（{sum(h for h, _, _ in said)} 列存放），单列成表，不给表名线索。",
        (("C3 精确率", precision, "0.95"), ("C3 召回", recall, "0.95")),
        wrong[:10],
    )


def finance_texts(shared: Path, knowledge: Knowledge) -> Section | None:
    """Grades the labelled finance texts; None where they are not at hand."""
    path = shared / "data" / "texts" / "finance-texts-labelled.jsonl"
    if not path.exists():
        return None
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    topics = knowledge.topics
    read = [(row, topics.rank(topics.count(row["text"]))) for row in rows]

    def figures(seen: bool | None, words: str) -> list[tuple[str, Share, str]]:
        some = [(r, x) for r, x in read if seen is None or (r["id"] % 4 == 0) == seen]
        levels = sum(
            bool(x) and knowledge.book.leaves[x[0].topic.leaf] == r["level"] for r, x in some
        )
        among = sum(_plain(r["category"]) in [_plain(t.name) for t, _ in x[:3]] for r, x in some)
        return [
            (f"级别一致{words}", wilson(levels, len(some)), "0.75"),
            (f"类目在前三{words}", wilson(among, len(some)), "0.70"),
        ]

    top = Counter(
        (r["category"], x[0].topic.name if x else "—")
        for r, x in read
        if not x or _plain(x[0].topic.name) != _plain(r["category"])
    )
    return Section(
        "金融文本",
        "词表按类目名称与通用业务知识编写；编写时浏览过编号能被 4 整除的文本各类目的开头，"
        "其余文本未看过，故分列两部分。",
        (*figures(None, ""), *figures(True, "（浏览过的部分）"), *figures(False, "（未看的部分）")),
        tuple((a, b, n) for (a, b), n in top.most_common(10)),
    )


def _plain(name: str) -> str:
    return name.replace(" ", "").upper()


def bank_values(knowledge: Knowledge, customers: int = 20_000) -> Section:
    """Tells the example bank's columns by their values alone: names and comments withheld."""
    truth: list[str] = []
    said: list[str] = []
    asserted: list[bool] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "bank"
        known = {(t.source, t.table, t.column): t for t in generate(folder, customers, 11)}
        source = open_path(folder)
        for table in source.tables():
            if not isinstance(table, Table):
                continue
            profiles = [values.EMPTY] * len(table.columns)
            for batch in source.batches(table):
                profiles = [
                    values.merge(p, values.profile(a))
                    for p, a in zip(profiles, batch.columns, strict=True)
                ]
            for column, profile in zip(table.columns, profiles, strict=True):
                fact = known[table.schema, table.name, column.name]
                if fact.by_value:
                    decision = decide(values.weigh(profile), knowledge.types)
                    truth.append(_ALIKE.get(fact.type, fact.type))
                    said.append(_ALIKE.get(decision.type, decision.type))
                    asserted.append(not decision.abstained)
    right = sum(t == s for t, s, sure in zip(truth, said, asserted, strict=True) if sure)
    return Section(
        "示例银行（仅凭取值）",
        f"{customers:,} 名客户的示例银行，名称与注释全部隐去；只计可凭取值识别的 {len(truth)} 列。"
        "示例银行由本软件生成，脏值与形态由我们设定，数字偏乐观。代码与金额仅凭取值分不清属于哪一种，"
        "多数不作断言、转入待复核。",
        (
            ("类型宏平均 F1（取最可能的类型）", macro_f1_share(truth, said), "0.95"),
            ("断言覆盖率", wilson(sum(asserted), len(asserted)), "—"),
            ("断言精确率", wilson(right, sum(asserted)), "—"),
        ),
        tuple(confusions(truth, said)),
    )


def start_up() -> float:
    """Returns the seconds ``pingyao --help`` takes, the best of five."""
    command = [sys.executable, "-c", "from pingyao.app.cli import main; main()", "--help"]

    def once() -> float:
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own program
        return time.perf_counter() - begun

    return min(once() for _ in range(5))
