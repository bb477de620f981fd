"""The workbook a bank hands to its regulator: catalogue, inventories, review queue, rules used."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import xlsxwriter
from xlsxwriter.utility import xl_col_to_name

from pingyao.classify.formats.words import (
    BECAUSE,
    COVERAGE,
    GENERAL,
    SUBJECTS,
    TIERS,
    cited,
    is_incremental,
    say_carried,
    say_drift,
    type_names,
    visible,
    why,
)
from pingyao.classify.model import ScanResult, TableVerdict, Verdict
from pingyao.classify.rules.summary import (
    Summary,
    hidden,
    is_candidate,
    is_personal,
    summarise,
)
from pingyao.platform.sheets import printable


class Linked(NamedTuple):
    """A number that leads to the rows it counts."""

    number: int
    place: str


Cell = str | int | float | Linked
_MOST_ROWS = 1_000_000
_TITLE = "数据分类分级结果"
_ASSETS = "数据资产目录"
_LEVELS = "按级别"
_PERSONAL = "个人信息清单"
_CANDIDATES = "重要数据候选"
_REVIEW = "待复核"
_HIDDEN = "隐藏发现"
_DRIFTED = "取值漂移"
_INCREMENTAL = "增量读取"
_UNREAD = "未读取"
_RULES = "规则依据"
_APPLIED = "规则适用"
_COLOURS = {1: "#E6F4EA", 2: "#F1F8E9", 3: "#FFF3CD", 4: "#F8D7DA", 5: "#E0B4E0"}

_WHERE = (("库/模式/文件", 22), ("表", 24), ("表说明", 20), ("字段", 22), ("字段说明", 22))
_COLUMNS = (
    *_WHERE,
    *(("声明类型", 14), ("数据类型", 18), ("主体", 6), ("JR/T 0197 类目", 44), ("级别", 6)),
    *(("JR/T 0171 类别", 10), ("金规层级", 12), ("央行业务数据层级", 10), ("高敏感性数据项", 10)),
    *(("GB/T 43697", 8), ("重要数据候选", 10), ("置信度", 8), ("待复核", 8), ("读取行数", 11)),
    *(("判定依据", 70), ("规则与条款", 70)),
)

_APPLIED_COLUMNS = (("规则包", 22), ("规则", 40), *_WHERE, ("所定标签", 24))


def write_xlsx(result: ScanResult, path: Path) -> None:
    """Writes the workbook; every untrusted text is a plain string, never a formula or a link."""
    summary = summarise(result)
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with xlsxwriter.Workbook(path, options) as book:
        book.set_properties({"title": "数据分类分级结果", "subject": visible(result.source, 200)})
        formats = _formats(book)
        _cover(book, formats, result, summary)
        rows = [(t, v) for t in result.tables for v in t.columns]
        _columns(book, formats, _ASSETS, rows)
        _columns(book, formats, _LEVELS, sorted(rows, key=lambda r: -r[1].labels.level))
        personal = [r for r in rows if is_personal(r[1])]
        _columns(book, formats, _PERSONAL, sorted(personal, key=lambda r: -r[1].labels.personal))
        _columns(book, formats, _CANDIDATES, [r for r in rows if is_candidate(r[1])])
        _review(book, formats, [r for r in rows if r[1].abstained])
        _hidden_findings(book, formats, rows)
        _drifted(book, formats, rows)
        if is_incremental(result):
            _incremental(book, formats, result.tables)
        _sheet(
            book,
            formats,
            _UNREAD,
            (("位置", 40), ("代码", 24), ("原因", 60), ("处理办法", 60), ("已读行数", 12)),
            ((u.where, u.code, u.detail, u.remedy, u.rows_read) for u in result.unread),
        )
        _rules(book, formats, summary)
        _applied(book, formats, rows, summary)
    path.chmod(0o600)


def _formats(book: Any) -> dict[str, Any]:
    base = {"font_name": "微软雅黑", "font_size": 10, "valign": "top"}
    made = {
        "head": {"bold": True, "bg_color": "#1F3A5F", "font_color": "#FFFFFF", "text_wrap": True},
        "cell": {},
        "wrap": {"text_wrap": True},
        "title": {"bold": True, "font_size": 18, "font_color": "#1F3A5F"},
        "label": {"bold": True, "font_color": "#52606D"},
        "link": {"font_color": "#1F5FBF", "underline": 1},
    }
    result = {name: book.add_format(base | extra) for name, extra in made.items()}
    for level, colour in _COLOURS.items():
        result[f"level{level}"] = book.add_format(
            base | {"bg_color": colour, "align": "center", "bold": True}
        )
    return result


def _cover(book: Any, formats: dict[str, Any], result: ScanResult, summary: Summary) -> None:
    sheet = book.add_worksheet("说明")
    sheet.set_column(0, 0, 26)
    sheet.set_column(1, 1, 90)
    sheet.hide_gridlines(2)
    sheet.write_string(0, 0, _TITLE, formats["title"])
    sheet.set_row(0, 30)
    coverage = COVERAGE[result.coverage]
    if result.sample_rows is not None:
        coverage += f"（每表至多 {result.sample_rows:,} 行）"
    facts: list[tuple[str, str, str]] = [
        ("数据源", f"{visible(result.source, 200)}（{result.kind}）", ""),
        ("读取范围", f"{coverage}；共读取 {summary.rows:,} 行", _ASSETS),
        (
            "扫描时间",
            f"{result.started_at:%Y-%m-%d %H:%M} 至 {result.finished_at:%H:%M}（UTC）",
            "",
        ),
        (
            "软件与规则包",
            f"pingyao {result.version}；"
            + "、".join(f"{p.name} {p.version}" for p in result.packs),
            "",
        ),
        ("表、列", f"{summary.tables:,} 张表，{summary.columns:,} 列", _ASSETS),
        *_parts(_LEVELS, ((f"{level} 级", n) for level, n in summary.by_level.items())),
        ("个人金融信息", f"{summary.personal:,} 列", _PERSONAL),
        *_parts(
            _PERSONAL,
            ((c, summary.by_personal[c]) for c in ("C3", "C2", "C1") if c in summary.by_personal),
        ),
        ("重要数据候选", f"{summary.candidates:,} 列；须由人判定", _CANDIDATES),
        ("待复核", f"{summary.review:,} 列；把握不足，不作断言", _REVIEW),
        ("隐藏发现", f"{summary.hidden:,} 处；备注等字段内的零星个人信息", _HIDDEN),
        ("取值漂移", f"{summary.drifted:,} 列；取值与上次记录的扫描相比有实质变化", _DRIFTED),
        *(
            [("增量读取", say_carried(result.tables), _INCREMENTAL)]
            if is_incremental(result)
            else ()
        ),
        ("未读取", f"{summary.unread:,} 处", _UNREAD),
        ("规则依据", f"{len(summary.rules):,} 条", _RULES),
        (
            "说明",
            "级别为参考级别；标“待核对”的规则尚未与标准原文逐条核对。5 级与重要数据只作候选，由人判定。",
            "",
        ),
    ]
    for row, (label, text, target) in enumerate(facts, 2):
        sheet.write_string(row, 0, label, formats["label"])
        if target:
            place = target if "!" in target else f"'{target}'!A1"
            sheet.write_url(row, 1, f"internal:{place}", formats["link"], text)
        else:
            sheet.write_string(row, 1, text, formats["wrap"])
    printable(sheet, _TITLE, header=False)


def _parts(name: str, counts: Iterable[tuple[str, int]]) -> Iterator[tuple[str, str, str]]:
    """Makes a line of the cover for each part of a sorted sheet, linked to exactly its rows."""
    start = 0
    for label, n in counts:
        yield label, f"{n:,} 列", _span(name, start, n, len(_COLUMNS))
        start += n


def _span(name: str, start: int, rows: int, columns: int) -> str:
    """Returns where rows of a sheet stand, counted from 0; of those on two sheets, the first."""
    number, row = divmod(start, _MOST_ROWS)
    last = min(row + rows, _MOST_ROWS)
    sheet = f"{name}{number + 1}" if number else name
    return f"'{sheet}'!A{row + 2}:{xl_col_to_name(columns - 1)}{last + 1}"


def _columns(
    book: Any, formats: dict[str, Any], name: str, rows: Sequence[tuple[TableVerdict, Verdict]]
) -> None:
    _sheet(book, formats, name, _COLUMNS, (_cells(t, v) for t, v in rows), level_at=9)


def _where(table: TableVerdict, verdict: Verdict) -> tuple[Cell, ...]:
    id_ = verdict.id
    return (id_.schema or id_.source, id_.table, table.table.comment, id_.column, verdict.comment)


def _cells(table: TableVerdict, verdict: Verdict) -> tuple[Cell, ...]:
    labels = verdict.labels
    proposed = "核心候选" if labels.proposed_core else "是" if labels.proposed_important else ""
    return (
        *_where(table, verdict),
        verdict.declared_type,
        type_names().get(verdict.type, (verdict.type,))[0],
        SUBJECTS[verdict.subject],
        verdict.leaf or "（记账性字段）",
        int(labels.level),
        labels.personal.name if labels.personal else "",
        TIERS[labels.tier.name],
        GENERAL[int(labels.business)],
        "是" if labels.high_sensitivity else "",
        GENERAL[int(labels.national)],
        proposed,
        verdict.confidence,
        "是" if verdict.abstained else "",
        verdict.rows_read,
        why(verdict),
        "；".join(f"{r.text}〔{cited(r)}〕" for r in verdict.rulings),
    )


def _review(
    book: Any, formats: dict[str, Any], rows: Iterable[tuple[TableVerdict, Verdict]]
) -> None:
    guesses = tuple((f"候选{n}", 26) for n in "一二三")
    names = type_names()

    def cells() -> Iterable[tuple[Cell, ...]]:
        for table, verdict in rows:
            said = [
                f"{names.get(g.type, (g.type,))[0]} {g.probability:.0%}" for g in verdict.guesses
            ]
            padded = [*said, "", "", ""][:3]
            level = int(verdict.labels.level)
            yield (*_where(table, verdict), verdict.declared_type, *padded, level, why(verdict))

    headers = (*_WHERE, ("声明类型", 14), *guesses, ("暂定级别", 9), ("已有依据", 80))
    _sheet(book, formats, _REVIEW, headers, cells(), level_at=9)


def _hidden_findings(
    book: Any, formats: dict[str, Any], rows: Iterable[tuple[TableVerdict, Verdict]]
) -> None:
    headers = (
        *_WHERE,
        *(("发现", 18), ("行数", 10), ("非空行数", 12), ("占比下限", 12), ("个数", 10)),
        *(("通过校验", 10), ("最先出现的行（自 0 起）", 40)),
    )

    def cells() -> Iterable[tuple[Cell, ...]]:
        for table, verdict in rows:
            for at in hidden(verdict):
                found = verdict.findings[at]
                yield (
                    *_where(table, verdict),
                    type_names().get(found.type, (found.type,))[0],
                    found.rows,
                    found.of_rows,
                    found.low,
                    found.count,
                    "" if found.valid is None else found.valid,
                    "、".join(str(n) for n in found.first_rows),
                )

    _sheet(book, formats, _HIDDEN, headers, cells())


def _drifted(
    book: Any, formats: dict[str, Any], rows: Iterable[tuple[TableVerdict, Verdict]]
) -> None:
    headers = (*_WHERE, ("级别", 6), ("变化", 70), ("变化至少（99.9% 置信）", 16))
    cells = (
        (*_where(t, v), int(v.labels.level), say_drift(d), d.low) for t, v in rows for d in v.drift
    )
    _sheet(book, formats, _DRIFTED, headers, cells, level_at=5)


def _incremental(book: Any, formats: dict[str, Any], tables: Iterable[TableVerdict]) -> None:
    headers = (
        *_WHERE[:3],
        *(("处理", 8), ("重读的原因", 22), ("沿用的取值读于（UTC）", 20), ("行数", 12)),
    )
    cells = (
        (
            t.table.schema,
            t.table.name,
            t.table.comment,
            "沿用" if t.carried_from else "重读",
            BECAUSE[t.read_because] if t.read_because else "",
            f"{t.carried_from:%Y-%m-%d %H:%M}" if t.carried_from else "",
            t.rows_read,
        )
        for t in tables
    )
    _sheet(book, formats, _INCREMENTAL, headers, cells)


def _rules(book: Any, formats: dict[str, Any], summary: Summary) -> None:
    headers = (
        *(("规则包", 22), ("规则", 40), ("内容", 70), ("标准", 26), ("条款", 12)),
        *(("可信度", 8), ("状态", 10), ("用到的列数", 11)),
    )
    starts = accumulate((n for _, n in summary.rules), initial=0)
    rows = (
        (
            ruling.pack,
            ruling.rule,
            ruling.text,
            ruling.citation.standard or "产品默认",
            ruling.citation.clause,
            ruling.citation.confidence,
            "已核对" if ruling.citation.verified else "待核对",
            Linked(count, _span(_APPLIED, start, count, len(_APPLIED_COLUMNS))),
        )
        for (ruling, count), start in zip(summary.rules, starts, strict=False)
    )
    _sheet(book, formats, _RULES, headers, rows)


def _applied(
    book: Any,
    formats: dict[str, Any],
    rows: Iterable[tuple[TableVerdict, Verdict]],
    summary: Summary,
) -> None:
    """Writes which columns each rule set a label of, rules in the order of their sheet."""
    place = {(r.pack, r.rule): at for at, (r, _) in enumerate(summary.rules)}
    uses = [(place[r.pack, r.rule], t, v, r.sets) for t, v in rows for r in v.rulings]
    uses.sort(key=lambda use: use[0])
    cells = (
        (*(summary.rules[at][0].pack, summary.rules[at][0].rule), *_where(t, v), sets)
        for at, t, v, sets in uses
    )
    _sheet(book, formats, _APPLIED, _APPLIED_COLUMNS, cells)


def _sheet(
    book: Any,
    formats: dict[str, Any],
    name: str,
    headers: Sequence[tuple[str, int]],
    rows: Iterable[Sequence[Cell]],
    level_at: int = -1,
) -> None:
    """Writes a sheet, and further ones when a sheet is full."""
    number, row, sheet = 1, 0, _open_sheet(book, formats, name, headers)
    for cells in rows:
        if row == _MOST_ROWS:
            sheet.autofilter(0, 0, row, len(headers) - 1)
            number, row = number + 1, 0
            sheet = _open_sheet(book, formats, f"{name}{number}", headers)
        row += 1
        for column, cell in enumerate(cells):
            if column == level_at:
                sheet.write_number(row, column, cell, formats[f"level{cell}"])
            elif isinstance(cell, Linked):
                sheet.write_url(row, column, f"internal:{cell.place}", formats["link"])
                sheet.write_number(row, column, cell.number, formats["link"])
            elif isinstance(cell, str):
                if cell:
                    sheet.write_string(row, column, visible(cell), formats["cell"])
            else:
                sheet.write_number(row, column, cell, formats["cell"])
    sheet.autofilter(0, 0, max(row, 1), len(headers) - 1)


def _open_sheet(
    book: Any, formats: dict[str, Any], name: str, headers: Sequence[tuple[str, int]]
) -> Any:
    sheet = book.add_worksheet(name)
    write: Callable[..., object] = sheet.write_string
    for column, (header, width) in enumerate(headers):
        sheet.set_column(column, column, width)
        write(0, column, header, formats["head"])
    sheet.freeze_panes(1, 4)
    printable(sheet, _TITLE)
    return sheet
