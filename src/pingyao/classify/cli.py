"""What the command line shows of a scan."""

from collections import Counter
from collections.abc import Sequence

from pingyao.classify.formats.words import is_incremental, say_carried, say_drift, say_short
from pingyao.classify.model import ScanResult
from pingyao.classify.rules.difference import Change
from pingyao.platform.term import print_table, safe

_COVERAGE = {"full": "全量", "sample": "抽样", "metadata": "仅元数据"}
_TABLES_SHOWN = 40
_CHANGES_SHOWN = 60
_WORDS = {
    "added": "新增",
    "gone": "消失",
    "back": "重现",
    "changed": "变化",
    "differs": "与人工结论不同",
    "drifted": "取值漂移",
}


def print_summary(result: ScanResult) -> None:
    """Prints what was found: levels, classes, the most sensitive tables, what was not read."""
    verdicts = [v for t in result.tables for v in t.columns]
    levels = Counter(int(v.labels.level) for v in verdicts)
    classes = Counter(v.labels.personal.name for v in verdicts if v.labels.personal)
    rows = sum(t.rows_read for t in result.tables)
    if not result.tables:
        print(
            f"{safe(result.source)}：没有读到任何表（{_COVERAGE[result.coverage]}）；文件可能是空的，或没有可读的表"
        )
        _print_unread(result)
        return
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
    if is_incremental(result):
        print(f"增量：{say_carried(result.tables)}")
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
    _print_unread(result)


def _print_unread(result: ScanResult) -> None:
    for each in result.unread:
        print(
            f"未读取 {safe(each.where)}：{safe(each.detail.rstrip('。'), 200)}；{safe(each.remedy, 200)}"
        )


def show_changes(changes: Sequence[Change]) -> None:
    """Prints how a scan differs from the catalogue: counts, then the columns that changed."""
    counts = {w: sum(c.what == w for c in changes) for w in _WORDS}
    print(
        "与目录的差异：" + ("  ".join(f"{_WORDS[w]} {n:,}" for w, n in counts.items() if n) or "无")
    )
    listed = [c for c in changes if c.what != "added"]
    for change in listed[:_CHANGES_SHOWN]:
        name = "/".join(p for p in (change.id.schema, change.id.table, change.id.column) if p)
        said = "；".join(map(say_drift, change.drift))
        said = said or " → ".join(say_short(s) if s else "—" for s in (change.old, change.new))
        print(f"  {_WORDS[change.what]} {safe(name)}：{said}")
    if len(listed) > _CHANGES_SHOWN:
        print(f"……其余 {len(listed) - _CHANGES_SHOWN:,} 列请用 --json 查看")
