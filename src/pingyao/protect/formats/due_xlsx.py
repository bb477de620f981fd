"""What is due for deletion, and why: a workbook."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import xlsxwriter

from pingyao.protect.formats.sheets import OPTIONS, cited, cover, formats, table
from pingyao.protect.lifecycle_model import Due, Schedule

STATUS = {
    "due": "到期应删",
    "keep": "留存期内",
    "hold": "暂缓删除",
    "conflict": "部分应删",
    "no_start": "起算日未登记",
    "no_rule": "无规则",
}


def write_due(dues: Sequence[Due], schedules: Sequence[Schedule], today: date, path: Path) -> None:
    """Writes holdings, the due first, and the schedules they were judged by."""
    with xlsxwriter.Workbook(path, OPTIONS) as book:
        styles = formats(book)
        counts = [(STATUS[s], sum(d.status == s for d in dues)) for s in STATUS]
        cover(
            book,
            styles,
            "数据留存与到期",
            [
                ("截至", f"{today}"),
                *((name, f"{count:,} 张表") for name, count in counts),
                (
                    "说明",
                    "最低期限届满前不得删除，最高期限届满即应删除；引用的法规与标准均待核对，由机构确认后执行",
                ),
                ("怎样读", "“早于此日”一列：在该日或之前触发的记录，已满全部最低期限，可按行删除"),
            ],
        )
        columns = (
            *(
                ("状态", 12),
                ("数据源", 14),
                ("模式/文件", 16),
                ("表", 22),
                ("说明", 18),
                ("级别", 7),
            ),
            *(
                ("类别", 7),
                ("到期日", 11),
                ("至少留存到", 11),
                ("至多留存到", 11),
                ("早于此日", 11),
            ),
            *(("原因", 30), ("依据", 52)),
        )
        table(book, styles, "各表", columns, (_row(d) for d in dues), frozenset({5}))
        rows = (
            (
                s.id,
                "至少" if s.bound == "least" else "至多",
                period(s),
                s.trigger,
                s.strength,
                s.text,
                cited(s.citation),
            )
            for s in schedules
        )
        table(
            book,
            styles,
            "留存规则",
            (
                ("编号", 16),
                ("界限", 7),
                ("期限", 9),
                ("起算", 18),
                ("程度", 9),
                ("内容", 46),
                ("依据", 46),
            ),
            rows,
        )
    path.chmod(0o600)


def period(schedule: Schedule) -> str:
    """Returns a period in words."""
    parts = ((schedule.years, "年"), (schedule.months, "个月"), (schedule.days, "天"))
    return "".join(f"{n} {unit}" for n, unit in parts if n) or "即时"


def _row(due: Due) -> tuple[str | int, ...]:
    holding = due.holding
    return (
        STATUS[due.status],
        holding.source,
        holding.schema,
        holding.table,
        holding.comment,
        holding.level,
        f"C{holding.personal}" if holding.personal else "",
        *(str(d or "") for d in (due.due_on, due.keep_until, due.delete_by, due.cutoff)),
        due.why,
        "；".join(f"{s.text}——{cited(s.citation)}" for s in due.schedules),
    )
