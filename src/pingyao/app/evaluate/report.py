"""Puts the measured figures into docs/accuracy.md (Chinese, with an English summary)."""

from collections.abc import Mapping

from pingyao.app.evaluate.columns import Scores
from pingyao.app.evaluate.metrics import Share

_HEAD = "# 准确度\n\n由 `make eval` 生成。区间为 95 %：比例用 Wilson，宏平均 F1 用自助法。\n"
_DEV = (
    "这些列是开发时看过的数据，数字偏乐观，不代表未见过的库。"
    "宏平均 F1 只计样本不少于 5 行的类型；不确定行指标注者把握低于 0.6 的行。\n"
)
_LEFT = "## 尚未测量\n\n秘密与谈及秘密的列、文本、生成的银行数据（仅取值）、命令行启动时间：尚无结果。\n"
_ENGLISH = (
    "## Summary in English\n\nColumns judged from metadata only, on labels seen during development, "
    "so the figures are optimistic. Secrets, texts, value-only columns and start-up time are not "
    "measured yet.\n"
)


def report(runs: Mapping[tuple[bool, bool], Scores]) -> str:
    """Returns the report of the column runs, keyed by (comments given, unsure rows counted)."""
    parts = [_HEAD, "## 标注列（仅元数据）\n", _DEV]
    for (comments, unsure), s in runs.items():
        title = ("有注释" if comments else "无注释") + ("，全部行" if unsure else "，不含不确定行")
        parts.append(f"### {title}\n\n{_table(s, comments)}\n{_worst(s)}")
    return "\n".join([*parts, _LEFT, _ENGLISH])


def _table(s: Scores, comments: bool) -> str:
    rows: list[tuple[str, Share, str]] = [
        ("类型宏平均 F1", s.types, "0.85" if comments else "0.60"),
        ("级别一致", s.levels, "0.90" if comments else "—"),
        ("3 级及以上召回", s.sensitive, "0.95" if comments else "—"),
        ("C2 召回", s.personal, "0.92" if comments else "—"),
        ("断言精确率", s.asserted, "—" if comments else "0.85"),
        ("断言覆盖率", s.coverage, "—"),
    ]
    lines = ["| 指标 | 值 | 95 % 区间 | 样本 | 目标 |", "|---|---|---|---|---|"]
    lines += [
        f"| {name} | {x.value:.3f} | {x.low:.3f}–{x.high:.3f} | {x.n} | {goal} |"
        for name, x, goal in rows
    ]
    return "\n".join(lines) + "\n"


def _worst(s: Scores) -> str:
    pairs = "；".join(f"{t} → {said}（{n}）" for t, said, n in s.worst) or "无"
    kinds = "；".join(f"约定 {k}：{n} 列" for k, n in sorted(s.conventions.items())) or "无"
    return f"主要混淆：{pairs}。\n\n可能仅属标注约定的级别差异（类型一致且差一级）：{kinds}。\n"
