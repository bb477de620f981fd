"""What the command line shows of a scan."""

from collections import Counter

from pingyao.classify.model import ScanResult
from pingyao.platform.term import print_table, safe

_COVERAGE = {"full": "全量", "sample": "抽样", "metadata": "仅元数据"}
_TABLES_SHOWN = 40


def print_summary(result: ScanResult) -> None:
    """Prints what was found: levels, classes, the most sensitive tables, what was not read."""
    verdicts = [v for t in result.tables for v in t.columns]
    levels = Counter(int(v.labels.level) for v in verdicts)
    classes = Counter(v.labels.personal.name for v in verdicts if v.labels.personal)
    rows = sum(t.rows_read for t in result.tables)
    print(
        f"{safe(result.source)}：{len(result.tables):,} 张表，{len(verdicts):,} 列，"
        f"{_COVERAGE[result.coverage]}，读取 {rows:,} 行"
    )
    print(
        "级别："
        + "  ".join(f"{level} 级 {levels[level]:,}" for level in sorted(levels, reverse=True))
        + f"　整体 {int(result.labels.level)} 级"
    )
    print("个人金融信息：" + "  ".join(f"{c} {classes[c]:,}" for c in ("C3", "C2", "C1")))
    print(f"待复核：{sum(v.abstained for v in verdicts):,} 列")
    ranked = sorted(
        result.tables, key=lambda t: (-t.labels.level, -t.labels.personal, t.table.name)
    )
    print_table(
        ("表", "说明", "列", "行", "级别", "类别"),
        [
            (
                t.table.name,
                t.table.comment,
                f"{len(t.columns):,}",
                f"{t.rows_read:,}",
                f"{int(t.labels.level)}",
                t.labels.personal.name if t.labels.personal else "—",
            )
            for t in ranked[:_TABLES_SHOWN]
        ],
    )
    if len(ranked) > _TABLES_SHOWN:
        print(f"……其余 {len(ranked) - _TABLES_SHOWN:,} 张表见报告")
    for each in result.unread:
        print(f"未读取 {safe(each.where)}：{safe(each.detail, 200)}；{safe(each.remedy, 200)}")
