"""What the workbooks of this room share: looks, safe cells, plain sheets."""

from collections.abc import Iterable, Sequence
from typing import Any
from unicodedata import east_asian_width

from pingyao.kernel.citation import Citation
from pingyao.platform.sheets import printable

Cell = str | int | float
_COVER = 100
_WRAPPED = 30
_LINE = 15  # points
_MOST_LINES = 20
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


def _grown(sheet: Any, row: int, cells: Iterable[tuple[Cell, int]]) -> None:
    """Makes a row as high as its wrapped cells need, which not every reader does by itself.

    Args:
        cells: each with the width it has, in characters.
    """
    lines = max((_lines(str(cell), width) for cell, width in cells), default=1)
    if lines > 1:
        sheet.set_row(row, _LINE * min(lines, _MOST_LINES))


def _lines(text: str, width: int) -> int:
    wide = sum(2 if east_asian_width(c) in "WF" else 1 for c in text)
    return max(1, -(-wide // (width - 2)))


def cover(book: Any, styles: dict[str, Any], title: str, facts: Sequence[tuple[str, Cell]]) -> Any:
    """Adds the first sheet: a title and facts."""
    sheet = book.add_worksheet("说明")
    sheet.set_column(0, 0, 22)
    sheet.set_column(1, 1, _COVER)
    sheet.hide_gridlines(2)
    printable(sheet, plain(title), header=False)
    sheet.write_string(0, 0, title, styles["title"])
    sheet.set_row(0, 30)
    for row, (label, fact) in enumerate(facts, 2):
        sheet.write_string(row, 0, label, styles["label"])
        put(sheet, row, 1, fact, styles["wrap"])
        _grown(sheet, row, [(fact, _COVER)])
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
            style = styles["wrap" if columns[column][1] >= _WRAPPED else "cell"]
            if column in levels and isinstance(cell, int):
                style = styles.get(f"level{cell}", style)
            put(sheet, last, column, cell, style)
        widths = (width for _, width in columns)
        _grown(sheet, last, [(c, w) for c, w in zip(cells, widths, strict=True) if w >= _WRAPPED])
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
