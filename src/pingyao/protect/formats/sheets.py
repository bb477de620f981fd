"""What the workbooks of this room share: looks, safe cells, plain sheets."""

from collections.abc import Iterable, Sequence
from typing import Any

from pingyao.kernel.citation import Citation
from pingyao.platform.sheets import printable

Cell = str | int | float
OPTIONS = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
LEVEL_COLOURS = {1: "#E6F4EA", 2: "#F1F8E9", 3: "#FFF3CD", 4: "#F8D7DA", 5: "#E0B4E0"}


def formats(book: Any) -> dict[str, Any]:
    """Returns the cell formats by use."""
    base = {"font_name": "微软雅黑", "font_size": 10, "valign": "top"}
    made = {
        "head": {"bold": True, "bg_color": "#1F3A5F", "font_color": "#FFFFFF", "text_wrap": True},
        "cell": {},
        "wrap": {"text_wrap": True},
        "open": {"bg_color": "#FFFBE6", "border": 1, "border_color": "#D9C36A", "locked": False},
        "good": {"bold": True, "font_color": "#1B7F3B", "font_size": 12},
        "bad": {"bold": True, "font_color": "#B42318", "font_size": 12},
        "title": {"bold": True, "font_size": 18, "font_color": "#1F3A5F"},
        "label": {"bold": True, "font_color": "#52606D"},
    }
    result = {name: book.add_format(base | extra) for name, extra in made.items()}
    for level, colour in LEVEL_COLOURS.items():
        result[f"level{level}"] = book.add_format(
            base | {"bg_color": colour, "align": "center", "bold": True}
        )
    return result


def plain(text: str) -> str:
    """Returns text a cell can hold: control characters made visible, at most 32,000 long."""
    return "".join(c if c >= " " else f"\\x{ord(c):02x}" for c in text)[:32_000]


def put(sheet: Any, row: int, column: int, cell: Cell, format_: Any) -> None:
    """Writes a cell as what it is, never as a formula."""
    if isinstance(cell, str):
        sheet.write_string(row, column, plain(cell), format_)
    else:
        sheet.write_number(row, column, cell, format_)


def cover(book: Any, styles: dict[str, Any], title: str, facts: Sequence[tuple[str, Cell]]) -> Any:
    """Adds the first sheet: a title and facts."""
    sheet = book.add_worksheet("说明")
    sheet.set_column(0, 0, 22)
    sheet.set_column(1, 1, 100)
    sheet.hide_gridlines(2)
    printable(sheet, plain(title), header=False)
    sheet.write_string(0, 0, title, styles["title"])
    sheet.set_row(0, 30)
    for row, (label, fact) in enumerate(facts, 2):
        sheet.write_string(row, 0, label, styles["label"])
        put(sheet, row, 1, fact, styles["wrap"])
    return sheet


def table(
    book: Any,
    styles: dict[str, Any],
    name: str,
    columns: Sequence[tuple[str, int]],
    rows: Iterable[Sequence[Cell]],
    levels: frozenset[int] = frozenset(),
) -> Any:
    """Adds a sheet with a header and rows; columns at ``levels`` are coloured by level."""
    sheet = book.add_worksheet(name)
    printable(sheet, name)
    for column, (header, width) in enumerate(columns):
        sheet.write_string(0, column, header, styles["head"])
        sheet.set_column(column, column, width)
    last = 0
    for last, cells in enumerate(rows, 1):
        for column, cell in enumerate(cells):
            wide = columns[column][1] >= 40
            style = styles["wrap" if wide else "cell"]
            if column in levels and isinstance(cell, int):
                style = styles.get(f"level{cell}", style)
            put(sheet, last, column, cell, style)
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, max(1, last), len(columns) - 1)
    return sheet


def cited(citation: Citation) -> str:
    """Returns a citation in words: standard, clause, how sure, whether checked."""
    if not citation.standard:
        return "产品默认"
    where = f"{citation.standard}{'，' + citation.clause if citation.clause else ''}"
    checked = "已核对" if citation.verified else "待核对"
    return f"{where}（把握 {citation.confidence:.0%}，{checked}）"
