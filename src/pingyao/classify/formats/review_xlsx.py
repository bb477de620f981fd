"""The review workbook: columns out to the business, decisions back, every row checked."""

from collections.abc import Sequence
from pathlib import Path

import xlsxwriter
from python_calamine import CalamineError, CalamineWorkbook

from pingyao.classify.catalogue import Decision
from pingyao.classify.rules.book import RuleBook
from pingyao.classify.store import Entry
from pingyao.kernel.errors import Invalid
from pingyao.platform.sheets import printable

_SHEET = "复核"
_LISTS = "词表"
_HEADERS = (
    *("编号", "版本", "数据源", "表", "字段", "说明", "数据类型", "分类路径", "级别", "类别"),
    *("置信度", "决定", "更正为类型", "更正为路径", "更正为级别", "理由"),
)
_WIDTHS = (8, 6, 18, 24, 22, 24, 18, 40, 6, 6, 8, 8, 20, 40, 10, 30)
_CONFIRM, _CORRECT = "确认", "更正"
_MOST_ROWS = 200_000
_SHOWN_ERRORS = 20


def write_review(entries: Sequence[Entry], book: RuleBook, path: Path) -> None:
    """Writes columns with empty decision cells; drop-downs offer what may be chosen."""
    with xlsxwriter.Workbook(path, {"strings_to_formulas": False, "strings_to_urls": False}) as out:
        bold = out.add_format({"bold": True, "bg_color": "#E8EEF7", "border": 1})
        open_ = out.add_format({"bg_color": "#FFFBE6", "border": 1})
        sheet = out.add_worksheet(_SHEET)
        lists = out.add_worksheet(_LISTS)
        types, leaves = [*book.names], [*book.leaves]
        for row, type_ in enumerate(types):
            lists.write_string(row, 0, type_)
            lists.write_string(row, 1, book.names[type_])
        for row, leaf in enumerate(leaves):
            lists.write_string(row, 2, leaf)
        for column, (header, width) in enumerate(zip(_HEADERS, _WIDTHS, strict=True)):
            sheet.write_string(0, column, header, bold)
            sheet.set_column(column, column, width)
        printable(sheet, _SHEET)
        for row, entry in enumerate(entries, 1):
            for column, cell in enumerate(_cells(entry, book)):
                if isinstance(cell, str):
                    sheet.write_string(row, column, cell)
                else:
                    sheet.write_number(row, column, cell)
            for column in range(11, 16):
                sheet.write_blank(row, column, None, open_)
        last = max(1, len(entries))
        sheet.data_validation(1, 11, last, 11, {"validate": "list", "source": [_CONFIRM, _CORRECT]})
        sheet.data_validation(
            1, 12, last, 12, {"validate": "list", "source": f"={_LISTS}!$A$1:$A${len(types)}"}
        )
        sheet.data_validation(
            1, 13, last, 13, {"validate": "list", "source": f"={_LISTS}!$C$1:$C${len(leaves)}"}
        )
        sheet.data_validation(
            1,
            14,
            last,
            14,
            {"validate": "integer", "criteria": "between", "minimum": 1, "maximum": 5},
        )
        sheet.freeze_panes(1, 5)
        sheet.autofilter(0, 0, last, len(_HEADERS) - 1)


def _cells(entry: Entry, book: RuleBook) -> tuple[str | float, ...]:
    verdict, id_ = entry.verdict, entry.verdict.id
    table = f"{id_.schema}.{id_.table}" if id_.schema else id_.table
    return (
        entry.id,
        entry.version,
        _plain(id_.source),
        _plain(table),
        _plain(id_.column),
        _plain(verdict.comment),
        book.names.get(verdict.type, verdict.type),
        verdict.leaf,
        int(verdict.labels.level),
        verdict.labels.personal.name if verdict.labels.personal else "",
        verdict.confidence,
    )


def _plain(text: str) -> str:
    """Returns text a cell can hold: control characters made visible, at most 32,767 long."""
    return "".join(c if c >= " " else f"\\x{ord(c):02x}" for c in text)[:32_000]


def read_review(path: Path) -> tuple[Decision, ...]:
    """Reads the rows somebody decided.

    Raises:
        Invalid: it is no review workbook, or rows are wrong; all of them are named.
    """
    try:
        rows = CalamineWorkbook.from_path(str(path)).get_sheet_by_name(_SHEET).to_python()
    except (CalamineError, OSError, ValueError):
        raise Invalid(
            "review.unreadable", f"{path.name} 不是复核工作簿", "请使用 catalogue export 导出的文件"
        ) from None
    if not rows or tuple(str(c) for c in rows[0][: len(_HEADERS)]) != _HEADERS:
        raise Invalid(
            "review.other_columns",
            f"{path.name} 的表头被改动过",
            "请勿增删或改名各列，重新导出后再填",
        )
    if len(rows) > _MOST_ROWS:
        raise Invalid("review.too_long", f"超过 {_MOST_ROWS:,} 行", "请分批导入")
    decisions: list[Decision] = []
    wrong: list[str] = []
    seen: set[int] = set()
    for number, row in enumerate(rows[1:], 2):
        cells = [*row, *[""] * len(_HEADERS)][: len(_HEADERS)]
        if not str(cells[11]).strip():
            continue
        decision = _decision(cells)
        if isinstance(decision, str):
            wrong.append(f"第 {number} 行{decision}")
        elif decision.column in seen:
            wrong.append(f"第 {number} 行编号 {decision.column} 重复")
        else:
            seen.add(decision.column)
            decisions.append(decision)
    if wrong:
        more = f"；另有 {len(wrong) - _SHOWN_ERRORS} 处" if len(wrong) > _SHOWN_ERRORS else ""
        raise Invalid(
            "review.bad_rows",
            "；".join(wrong[:_SHOWN_ERRORS]) + more,
            "请改正这些行后重新导入；本次未作任何改动",
        )
    return tuple(decisions)


def _decision(cells: Sequence[object]) -> Decision | str:
    """Returns a row's decision, or what is wrong with it."""
    column, version = _whole(cells[0]), _whole(cells[1])
    if column is None or version is None:
        return "的编号或版本被改动"
    act, reason = str(cells[11]).strip(), str(cells[15]).strip()
    if act == _CONFIRM:
        return Decision(column, version, reason)
    if act != _CORRECT:
        return f"的决定应为“{_CONFIRM}”或“{_CORRECT}”"
    level = None if cells[14] in ("", None) else _whole(cells[14])
    if cells[14] not in ("", None) and (level is None or not 1 <= level <= 5):
        return "的级别应为 1 至 5"
    type_, leaf = str(cells[12]).strip() or None, str(cells[13]).strip() or None
    if type_ is None and leaf is None and level is None:
        return "选了更正而没有填写更正内容"
    if not reason:
        return "的更正没有理由"
    return Decision(column, version, reason, type_, leaf, level)


def _whole(cell: object) -> int | None:
    if isinstance(cell, bool) or not isinstance(cell, int | float) or cell != int(cell):
        return None
    return int(cell)
