"""What the command line shows of plans and runs."""

from collections import Counter
from collections.abc import Sequence

from pingyao.platform.term import print_table, safe
from pingyao.protect.anonymising import Outcome, Wanted
from pingyao.protect.formats.sheets import cited
from pingyao.protect.model import Plan, Record, Stage
from pingyao.protect.rules.anonymity import Anonymity, Risk
from pingyao.protect.rules.policy import Policy, applying
from pingyao.protect.rules.private import Answer

_SHOWN = 60


def show_plan(plan: Plan, policy: Policy) -> None:
    """Prints what must happen to each column, the hardest first."""
    aim = policy.purposes[plan.purpose]
    counts = Counter(c.technique for c in plan.choices)
    print(f"{safe(plan.source)} 用于{aim.zh}：{len(plan.choices):,} 列")
    print("  ".join(f"{t.zh} {counts[t.id]:,}" for t in policy.techniques.values() if counts[t.id]))
    listed = sorted(plan.choices, key=lambda c: -policy.techniques[c.technique].loss)
    rows: list[tuple[str, ...]] = []
    for choice in listed:
        if choice.technique == "keep":
            continue
        field = choice.field
        why = next((plan.demands[n] for n in choice.demands if _decides(plan, n, policy)), None)
        rows.append(
            (
                f"{field.place.table}.{field.place.column}",
                policy.names.get(field.type, field.type) + ("" if field.sure else "？"),
                f"{field.level}{f' C{field.personal}' if field.personal else ''}",
                policy.techniques[choice.technique].zh,
                f"{why.text}（{why.citation.standard or '产品默认'}）" if why else "",
            )
        )
    print_table(("列", "类型", "级别", "技术", "为何"), rows[:_SHOWN])
    if len(rows) > _SHOWN:
        print(f"……其余 {len(rows) - _SHOWN:,} 列见方案文件")
    print("须另行完成：" + "、".join(policy.controls[c.control][0] for c in plan.conditions))
    for each in plan.unseen:
        print(f"未读取、不在方案内：{safe(each.where)}：{safe(each.detail, 200)}")


def _decides(plan: Plan, number: int, policy: Policy) -> bool:
    demand = plan.demands[number]
    return demand.act != "advise" and any(policy.controls[c][1] == "data" for c in demand.controls)


def show_record(record: Record, policy: Policy) -> None:
    """Prints what was done and what the proof found."""
    rows = sum(m.rows for m in record.made)
    print(f"已写入 {safe(record.target)}：{len(record.made):,} 张表，{rows:,} 行")
    print("复扫：未见不允许的内容，已放行")
    before = Counter(d.level_before for d in record.done if d.technique != "withhold")
    after = Counter(d.level for d in record.done if d.technique != "withhold")
    print(
        "级别："
        + "  ".join(
            f"{n} 级 {before[n]:,} → {after[n]:,} 列"
            for n in range(5, 0, -1)
            if before[n] + after[n]
        )
    )
    if record.conditions:
        print("须另行完成：" + "、".join(policy.controls[c.control][0] for c in record.conditions))


def show_controls(policy: Policy, stage: Stage, level: int, personal: int) -> None:
    """Prints the controls of a stage for data of a level and class."""
    rows = [
        (
            {"forbid": "禁止", "require": "要求", "advise": "建议"}[rule.act],
            rule.strength,
            rule.text,
            "、".join(policy.controls[c][0] for c in rule.controls),
            cited(rule.citation),
        )
        for rule in applying(policy, stage, level, personal)
    ]
    print_table(("", "程度", "要求", "措施", "依据"), rows)


def show_risk(found: Anonymity, chances: Risk, wanted: Wanted) -> None:
    """Prints how well a table hides its people, and each attacker's chance."""
    print(f"{found.rows:,} 行，准标识 {'、'.join(map(safe, wanted.quasi))}")
    _show_anonymity(found, wanted)
    print_table(
        ("攻击者", "他知道什么", "成功的可能"),
        [
            (
                "检察官",
                "目标在表中",
                f"最高 {chances.prosecutor_highest:.2%}，平均 {chances.prosecutor_average:.2%}",
            ),
            ("记者", "目标不一定在表中", _journalist(chances)),
            ("营销者", "想认出尽量多的人", f"平均 {chances.marketer:.2%} 的行"),
        ],
    )
    print(f"检察官风险高于 {chances.threshold:.0%} 的行占 {chances.above:.2%}")


def _journalist(chances: Risk) -> str:
    if chances.journalist_highest is None:
        return "未给出总体人数（--population），不作估计"
    return f"最高约 {chances.journalist_highest:.2%}（假定各类随总体同比放大）"


def show_outcome(outcome: Outcome, wanted: Wanted) -> None:
    """Prints a table's anonymity before and after, and what it cost."""
    print("处理前：", end="")
    _show_anonymity(outcome.before, wanted)
    print("处理后：", end="")
    _show_anonymity(outcome.after, wanted)
    print(f"信息损失 {outcome.loss:.2%}（归一化确定性惩罚，0 为无损）")


def _show_anonymity(found: Anonymity, wanted: Wanted) -> None:
    parts = [f"k={found.k:,}", f"{found.classes:,} 类", f"独一无二 {found.unique:,} 行"]
    if found.l is not None:
        parts.append(
            f"敏感列 {safe(wanted.sensitive)}：l={found.l:,}，熵 l={found.entropy_l}，t={found.t}"
        )
    print("，".join(parts))
    small = "、".join(f"<{bound} 的类中 {rows:,} 行" for bound, rows in found.below if rows)
    if small:
        print(f"　小类：{small}")


def show_answers(answers: Sequence[Answer]) -> None:
    """Prints answers with how far from the truth they may be."""
    print_table(
        ("组", "回答", "误差（95%）"),
        [
            (
                "其他" if a.group is None else a.group or "全部",
                f"{a.value:,.10g}",
                f"±{a.margin:,.10g}",
            )
            for a in answers
        ],
    )
