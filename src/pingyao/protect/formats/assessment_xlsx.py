"""The assessment workbook: every control with what the evidence says, filled in and read back."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import xlsxwriter
from python_calamine import CalamineError, CalamineWorkbook

from pingyao.kernel.errors import Invalid
from pingyao.platform.sheets import printable
from pingyao.protect.assessment_model import Answer, Assessment, Change, Control, Mark, Statement
from pingyao.protect.formats.sheets import OPTIONS, cited, cover, formats, plain, put
from pingyao.protect.rules.assessment import CHAPTERS, MARKS

_SHEET = "评估"
_HEADERS = (
    *("编号", "环节", "要求", "程度", "适用", "依据", "目前答复", "证据所见", "证据", "原答复"),
    *("答复", "理由", "佐证材料", "责任人"),
)
_WIDTHS = (16, 14, 52, 9, 9, 34, 10, 40, 40, 34, 10, 44, 32, 14)
_OPEN = 10  # the first column to be filled in
_MOST_ROWS = 5_000
_LONGEST = 1_000
_SHOWN_ERRORS = 20
_ANSWERS: dict[str, Mark] = {m: m for m in MARKS if m != "待答"}


def write_assessment(assessment: Assessment, changed: Sequence[Change], path: Path) -> None:
    """Writes the workbook; only the last four columns are to be filled in."""
    with xlsxwriter.Workbook(path, OPTIONS) as book:
        styles = formats(book)
        cover(
            book,
            styles,
            f"数据生命周期安全评估：{plain(assessment.system)}",
            _facts(assessment, changed),
        )
        sheet = book.add_worksheet(_SHEET)
        printable(sheet, _SHEET)
        for column, (header, width) in enumerate(zip(_HEADERS, _WIDTHS, strict=True)):
            sheet.write_string(0, column, header, styles["head"])
            sheet.set_column(column, column, width)
        for row, answer in enumerate(assessment.answers, 1):
            for column, cell in enumerate(_cells(answer)):
                style = styles["wrap" if _WIDTHS[column] >= 30 else "cell"]
                put(sheet, row, column, cell, style)
            for column in range(_OPEN, len(_HEADERS)):
                sheet.write_blank(row, column, None, styles["open"])
        last = max(1, len(assessment.answers))
        sheet.data_validation(1, _OPEN, last, _OPEN, {"validate": "list", "source": list(_ANSWERS)})
        sheet.freeze_panes(1, 3)
        sheet.autofilter(0, 0, last, len(_HEADERS) - 1)
        sheet.protect(
            "",
            {
                "format_cells": True,
                "format_columns": True,
                "format_rows": True,
                "autofilter": True,
                "sort": True,
            },
        )
    path.chmod(0o600)


def _facts(assessment: Assessment, changed: Sequence[Change]) -> list[tuple[str, str]]:
    told = sum(s.answered for s in assessment.scores)
    of = sum(s.of for s in assessment.scores)
    total = "—" if assessment.total is None else f"{assessment.total:.0%}"
    return [
        ("系统", assessment.system),
        (
            "数据最高级别",
            f"{assessment.level} 级" + (f"，C{assessment.personal}" if assessment.personal else ""),
        ),
        ("时间、经办", f"{assessment.at.astimezone():%Y-%m-%d %H:%M} {assessment.actor}"),
        ("得分", f"{total}（已答 {told} / 适用 {of} 项；分值为产品默认，不是标准的评分）"),
        ("与上次相比", f"{len(changed)} 项答复有变化"),
        ("规则包", f"{assessment.program}；{'、'.join(assessment.packs)}"),
        (
            "怎样填写",
            "只填黄色四列，不必填的行留空；答复为符合、部分、不符合或不适用，均须写明理由与责任人",
        ),
        ("然后", "pingyao lifecycle assess read 工作簿 --system 系统，再运行 assess run"),
        (
            "须知",
            "要求以产品自己的话概括，未与标准原文逐条核对；证据表明不符合的，人的答复不能改为更好",
        ),
    ]


def _cells(answer: Answer) -> tuple[str, ...]:
    control, found, said = answer.control, answer.found, answer.statement
    before = ""
    if said is not None:
        note = (
            "（已过期）"
            if answer.stale
            else "（与证据不符，以证据为准）"
            if answer.contradicted
            else ""
        )
        before = f"{said.mark}{note}：{said.reason}——{said.person} {said.at:%Y-%m-%d}"
    return (
        control.id,
        CHAPTERS[control.chapter],
        control.text,
        control.strength,
        f"≥{control.level} 级" + (f" C{control.personal}" if control.personal else ""),
        cited(control.citation),
        answer.mark,
        found.text if found else "",
        "\n".join(found.links) if found else "",
        before,
    )


def read_answers(
    path: Path, controls: Sequence[Control], entered_by: str, at: datetime
) -> tuple[Statement, ...]:
    """Reads the rows somebody answered.

    Raises:
        Invalid: it is no such workbook, or rows are wrong; all of them are named.
    """
    try:
        rows = CalamineWorkbook.from_path(str(path)).get_sheet_by_name(_SHEET).to_python()
    except (CalamineError, OSError, ValueError):
        raise Invalid(
            "assess.unreadable", f"{path.name} 不是评估工作簿", "请使用 assess run 写出的工作簿"
        ) from None
    if not rows or tuple(str(c) for c in rows[0][: len(_HEADERS)]) != _HEADERS:
        raise Invalid("assess.other_columns", f"{path.name} 的表头被改动过", "请重新写出后再填")
    if len(rows) > _MOST_ROWS:
        raise Invalid(
            "assess.too_long", f"超过 {_MOST_ROWS:,} 行", "请使用 assess run 写出的工作簿"
        )
    known = {c.id for c in controls}
    given: dict[str, Statement] = {}
    wrong: list[str] = []
    for number, row in enumerate(rows[1:], 2):
        cells = [str(c).strip() for c in [*row, *[""] * len(_HEADERS)][: len(_HEADERS)]]
        if not any(cells[_OPEN:]):
            continue
        why = _objection(cells, known, given.__contains__)
        if why:
            wrong.append(f"第 {number} 行{why}")
            continue
        mark, reason, evidence, person = cells[_OPEN:]
        given[cells[0]] = Statement(
            cells[0], _ANSWERS[mark], reason, evidence, person, entered_by, at
        )
    if wrong:
        more = f"；另有 {len(wrong) - _SHOWN_ERRORS} 处" if len(wrong) > _SHOWN_ERRORS else ""
        raise Invalid(
            "assess.bad_rows",
            "；".join(wrong[:_SHOWN_ERRORS]) + more,
            "请改正这些行后重新读入；本次未作任何改动",
        )
    return tuple(given.values())


def _objection(cells: Sequence[str], known: set[str], seen: Callable[[str], bool]) -> str:
    mark, reason, evidence, person = cells[_OPEN:]
    if cells[0] not in known:
        return f"的编号“{cells[0][:30]}”不存在或被改动"
    if seen(cells[0]):
        return f"的编号 {cells[0]} 重复"
    if mark not in _ANSWERS:
        return f"的答复应为{'、'.join(_ANSWERS)}之一"
    if not reason:
        return "没有写理由"
    if not person:
        return "没有写责任人"
    if max(len(reason), len(evidence), len(person)) > _LONGEST:
        return f"有超过 {_LONGEST:,} 字的单元格"
    return ""
