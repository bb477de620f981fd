"""Controls of a system answered: by evidence where there is some, else by persons; and scored.

Scores are the product's own: the standard sets none.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from pingyao.protect.assessment_model import (
    Answer,
    Assessment,
    Change,
    Chapter,
    Control,
    Found,
    Mark,
    Score,
    Statement,
)

_SHOWN = 5
_YEAR = timedelta(days=365)
MARKS: tuple[Mark, ...] = ("符合", "部分", "不符合", "不适用", "待答")
# From worst to best, among the answers that can be compared.
_RANK: Mapping[Mark, int] = {"不符合": 0, "部分": 1, "符合": 2}
CHAPTERS: Mapping[Chapter, str] = {
    "collection": "采集",
    "transmission": "传输",
    "storage": "存储",
    "access": "使用·访问",
    "export": "使用·导出",
    "processing": "使用·加工",
    "display": "使用·展示",
    "testing": "使用·开发测试",
    "fusion": "使用·汇聚融合",
    "disclosure": "使用·公开披露",
    "transfer": "使用·转让",
    "entrusting": "使用·委托处理",
    "sharing": "使用·共享",
    "deletion": "删除",
    "destruction": "销毁",
    "organisation": "组织保障",
    "operation": "运维保障",
}


class Run(msgspec.Struct, frozen=True):
    """A protection run of the system's data, from its record."""

    link: str
    purpose: str
    finished_at: datetime
    released: bool


class KeyFact(msgspec.Struct, frozen=True):
    """The active version of a key, from a keystore."""

    name: str
    version: int
    created_at: datetime


class Facts(msgspec.Struct, frozen=True):
    """The evidence there is of a system; None where nothing was looked at.

    Attributes:
        columns, unsure: columns of the catalogue, and those still for review.
        confirmed: columns that a person decided.
        scanned_at: when it was last scanned.
        sealed: files checked as encrypted: name and root.
        events: of all systems together, those proved by the ledger and those still waiting.
        overdue, undated: tables due and still there; tables whose period has no start.
        destroyed, unverified: cases of destruction, verified or carried out and not verified.
        exports, used: case ids of exports asked for, and of those used under an approval.
    """

    at: datetime
    columns: int
    unsure: int
    confirmed: int
    scanned_at: datetime | None
    runs: tuple[Run, ...] = ()
    keys: tuple[KeyFact, ...] | None = None
    sealed: tuple[str, ...] | None = None
    events: tuple[int, int] | None = None
    overdue: tuple[str, ...] = ()
    undated: tuple[str, ...] = ()
    destroyed: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    used: tuple[str, ...] = ()


def _graded(facts: Facts) -> Found | None:
    link = (f"目录 {facts.columns:,} 列",)
    if facts.unsure:
        return Found("部分", f"{facts.columns:,} 列已定级，{facts.unsure:,} 列待复核", link)
    return Found("符合", f"{facts.columns:,} 列均已定级，其中 {facts.confirmed:,} 列经人确认", link)


def _fresh(facts: Facts) -> Found | None:
    if facts.scanned_at is None:
        return None
    said = f"最近一次扫描 {facts.scanned_at:%Y-%m-%d}"
    late = facts.at - facts.scanned_at > _YEAR
    return Found("部分" if late else "符合", said + ("，已逾一年" if late else ""), (said,))


def _ran(purposes: frozenset[str]) -> Callable[[Facts], Found | None]:
    def probe(facts: Facts) -> Found | None:
        mine = [r for r in facts.runs if r.purpose in purposes]
        if not mine:
            return None
        bad = [r for r in mine if not r.released]
        links = tuple(r.link for r in mine[:_SHOWN])
        if bad and len(bad) == len(mine):
            return Found("不符合", f"{len(mine)} 次保护均未放行", links)
        # Runs shown prove that these were protected, never that all others were.
        said = f"{len(mine) - len(bad)} 次保护经复扫放行；是否全部经此办理须由人说明"
        return Found("部分", said, links)

    return probe


def _encrypted(facts: Facts) -> Found | None:
    if not facts.sealed:
        return None
    said = f"{len(facts.sealed)} 个文件核对为整体加密；数据库内的加密须由人说明"
    return Found("部分", said, facts.sealed[:_SHOWN])


def _rotated(facts: Facts) -> Found | None:
    if not facts.keys:
        return None
    late = [k.name for k in facts.keys if facts.at - k.created_at > _YEAR]
    links = tuple(f"{k.name} 版本 {k.version}（{k.created_at:%Y-%m-%d}）" for k in facts.keys)
    if late:
        said = f"{len(late)} 把密钥一年未轮换：{'、'.join(late[:_SHOWN])}"
        return Found("部分", said, links[:_SHOWN])
    return Found("符合", f"{len(facts.keys)} 把密钥均在一年内生成或轮换", links[:_SHOWN])


def _logged(facts: Facts) -> Found | None:
    if facts.events is None:
        return None
    proved, waits = facts.events
    links = (f"存证账本 {proved:,} 条",)
    if not proved:
        return Found("不符合", f"账本中没有事项，{waits:,} 件待存证", links)
    said = f"全机构 {proved:,} 件事项已存证，{waits:,} 件待存证；业务系统自身的日志须由人说明"
    return Found("部分", said, links)


def _approved(facts: Facts) -> Found | None:
    if not facts.used:
        return None
    said = f"{len(facts.used)} 次导出凭审批放行；是否全部经此办理须由人说明"
    return Found("部分", said, facts.used[:_SHOWN])


def _timely(facts: Facts) -> Found | None:
    if facts.overdue:
        listed = "、".join(facts.overdue[:_SHOWN])
        return Found(
            "不符合", f"{len(facts.overdue)} 张表到期未删：{listed}", facts.overdue[:_SHOWN]
        )
    if facts.undated:
        return Found("部分", f"{len(facts.undated)} 张表的留存起算日未登记", facts.undated[:_SHOWN])
    return Found("符合", "没有到期未删的表", ())


def _verified(facts: Facts) -> Found | None:
    if facts.unverified:
        said = f"{len(facts.unverified)} 件已执行而未核实"
        return Found("部分", said, facts.unverified[:_SHOWN])
    if not facts.destroyed:
        return None
    said = f"{len(facts.destroyed)} 件均经两人批准、另一人核实，签名可验"
    return Found("符合", said, facts.destroyed[:_SHOWN])


PROBES: Mapping[str, Callable[[Facts], Found | None]] = {
    "graded": _graded,
    "fresh": _fresh,
    "protected_testing": _ran(frozenset({"testing"})),
    "protected_display": _ran(frozenset({"display"})),
    "protected_sharing": _ran(frozenset({"sharing", "entrusting", "disclosure"})),
    "protected_modelling": _ran(frozenset({"modelling"})),
    "encrypted": _encrypted,
    "rotated": _rotated,
    "logged": _logged,
    "approved": _approved,
    "timely": _timely,
    "verified": _verified,
}


def applying(controls: Iterable[Control], level: int, personal: int) -> tuple[Control, ...]:
    """Returns the controls that data of a level and class calls for."""
    return tuple(c for c in controls if level >= c.level and personal >= c.personal)


def answer(
    control: Control, facts: Facts, statement: Statement | None, statement_days: int
) -> Answer:
    """Answers a control. Where a person says better than the evidence against it, evidence counts.

    Evidence of what was done well is no proof that nothing was done badly: it answers ``部分``
    where it cannot see everything, and a person may then state that it is complete.
    """
    found = PROBES[control.probe](facts) if control.probe else None
    old = statement is not None and facts.at - statement.at > timedelta(days=statement_days)
    said = None if statement is None or old or statement.mark == "待答" else statement
    if said is None:
        by = "evidence" if found else ""
        return Answer(control, found.mark if found else "待答", by, found, statement, stale=old)
    against = (
        found is not None
        and found.mark == "不符合"
        and (said.mark == "不适用" or _RANK[said.mark] > _RANK[found.mark])
    )
    if found is not None and against:
        return Answer(control, found.mark, "evidence", found, statement, contradicted=True)
    return Answer(control, said.mark, "person", found, statement)


def scored(
    answers: Sequence[Answer], marks: Mapping[Mark, float], strengths: Mapping[str, float]
) -> tuple[tuple[Score, ...], float | None]:
    """Returns each stage's score, and the whole's, weighed by strength over what was answered."""
    scores: list[Score] = []
    for chapter in CHAPTERS:
        mine = [a for a in answers if a.control.chapter == chapter]
        if mine:
            counts: dict[Mark, int] = {m: n for m in MARKS if (n := sum(a.mark == m for a in mine))}
            of = [a for a in mine if a.mark != "不适用"]
            told = sum(a.mark != "待答" for a in of)
            scores.append(Score(chapter, _mean(mine, marks, strengths), told, len(of), counts))
    return tuple(scores), _mean(answers, marks, strengths)


def _mean(
    answers: Sequence[Answer], marks: Mapping[Mark, float], strengths: Mapping[str, float]
) -> float | None:
    told = [a for a in answers if a.mark not in ("不适用", "待答")]
    weights = [strengths.get(a.control.strength, 1.0) for a in told]
    if not sum(weights):
        return None
    return sum(w * marks[a.mark] for a, w in zip(told, weights, strict=True)) / sum(weights)


def changes(before: Assessment | None, after: Assessment) -> tuple[Change, ...]:
    """Returns the controls answered otherwise than the last time, those that are new left out."""
    if before is None:
        return ()
    then: dict[str, Mark] = {a.control.id: a.mark for a in before.answers}
    return tuple(
        Change(a.control.id, then[a.control.id], a.mark)
        for a in after.answers
        if a.control.id in then and then[a.control.id] != a.mark
    )
