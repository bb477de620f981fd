"""The plan as a workbook: the technique of each column is chosen from a list, and read back checked.

The plan itself travels in a hidden sheet; of the visible one only the two open columns are read, so
nobody lowers a grade by typing over it.
"""

import base64
import zlib
from pathlib import Path
from typing import Any

import xlsxwriter
from python_calamine import CalamineError, CalamineWorkbook
from xlsxwriter.utility import xl_col_to_name

from pingyao.kernel.errors import Invalid
from pingyao.protect.formats.plan_json import decode_plan, encode_plan
from pingyao.protect.formats.sheets import OPTIONS, cited, cover, formats, plain, put, table
from pingyao.protect.model import Choice, Place, Plain, Plan
from pingyao.protect.rules.policy import Policy

_SHEET, _LISTS, _HIDDEN = "方案", "词表", "_plan"
_COLUMNS = (
    *(("库/模式/文件", 22), ("表", 22), ("字段", 22), ("字段说明", 20), ("数据类型", 18)),
    *(("级别", 6), ("类别", 6), ("待复核", 8), ("选用技术", 16), ("参数", 22)),
    *(("可用技术（损失由小到大）", 44), ("必须做到", 60), ("建议", 44), ("依据", 60)),
)
_TECHNIQUE, _PARAMS = 8, 9
_PIECE = 30_000
_LARGEST = 512 * 1024**2
_MOST_ROWS = 1_000_000


def write_plan_xlsx(plan: Plan, policy: Policy, path: Path) -> None:
    """Writes the workbook; a column's drop-down offers only what its rules allow."""
    with xlsxwriter.Workbook(path, OPTIONS) as book:
        styles = formats(book)
        aim = policy.purposes[plan.purpose]
        chosen = [c.technique for c in plan.choices]
        facts = [
            ("数据源", f"{plan.source}（{plan.kind}）"),
            ("用途", aim.zh + ("，数据离开本机构" if aim.leaves else "，数据在本机构内")),
            ("制定时间", f"{plan.made_at:%Y-%m-%d %H:%M} UTC，pingyao {plan.version}"),
            ("规则包", "、".join(plan.packs)),
            (
                "列",
                f"共 {len(chosen):,} 列："
                + "，".join(
                    f"{policy.techniques[t].zh} {chosen.count(t):,}"
                    for t in policy.techniques
                    if t in chosen
                ),
            ),
            ("未读取", "；".join(f"{u.where}：{u.detail}" for u in plan.unseen) or "无"),
            (
                "怎样填",
                "在“方案”页黄色的“选用技术”“参数”两列改选，其余各列改动无效；级别、类型有误的，请在数据资产目录更正后重新制定方案。",
            ),
            (
                "然后",
                "pingyao protect run 数据源 目标 --plan 本文件；每一列都会按规则重新核验，不合规则的改选不予执行。",
            ),
        ]
        cover(book, styles, "数据保护方案", facts)
        _choices(book, styles, plan, policy)
        table(
            book,
            styles,
            "须另行完成",
            (("措施", 26), ("程度", 10), ("要求", 70), ("依据", 50), ("落实情况", 40)),
            (
                (
                    policy.controls[c.control][0],
                    plan.demands[c.demand].strength,
                    plan.demands[c.demand].text,
                    cited(plan.demands[c.demand].citation),
                    "",
                )
                for c in plan.conditions
            ),
        )
        table(
            book,
            styles,
            "技术与威胁",
            (("技术", 18), ("攻击者仍能做到的", 110)),
            ((t.zh, t.threat) for t in policy.techniques.values()),
        )
        _hidden(book, plan)
    path.chmod(0o600)


def _choices(book: Any, styles: dict[str, Any], plan: Plan, policy: Policy) -> None:
    rows = [_row(plan, choice, policy) for choice in plan.choices]
    sheet = table(book, styles, _SHEET, _COLUMNS, rows, frozenset({5}))
    lists = book.add_worksheet(_LISTS)
    lists.hide()
    places: dict[tuple[str, ...], str] = {}
    for row, choice in enumerate(plan.choices, 1):
        put(sheet, row, _TECHNIQUE, policy.techniques[choice.technique].zh, styles["open"])
        put(sheet, row, _PARAMS, written(choice.params), styles["open"])
        if choice.allowed not in places:
            column = len(places)
            for number, technique in enumerate(choice.allowed):
                lists.write_string(number, column, policy.techniques[technique].zh)
            letter = xl_col_to_name(column, True)
            places[choice.allowed] = f"={_LISTS}!{letter}$1:{letter}${len(choice.allowed)}"
        sheet.data_validation(
            row,
            _TECHNIQUE,
            row,
            _TECHNIQUE,
            {
                "validate": "list",
                "source": places[choice.allowed],
                "error_title": "不可选用",
                "error_message": "该列的规则不允许这项技术，请从列表中选择。",
            },
        )
    sheet.freeze_panes(1, 3)
    allow = {"autofilter": True, "sort": True, "format_columns": True, "format_rows": True}
    sheet.protect("", allow)
    sheet.activate()


def _row(plan: Plan, choice: Choice, policy: Policy) -> tuple[str | int, ...]:
    field = choice.field
    demands = [plan.demands[n] for n in choice.demands]
    deciding = [d for d in demands if d.act != "advise"]
    data = [d for d in deciding if any(policy.controls[c][1] == "data" for c in d.controls)]
    return (
        field.place.schema,
        field.place.table,
        field.place.column,
        field.comment,
        policy.names.get(field.type, field.type),
        field.level,
        f"C{field.personal}" if field.personal else "",
        "" if field.sure else "待复核",
        "",
        "",
        "、".join(policy.techniques[t].zh for t in choice.allowed),
        "；".join(f"【{d.strength}】{d.text}" for d in data) or "无数据处理要求",
        "；".join(f"【{d.strength}】{d.text}" for d in demands if d.act == "advise"),
        "；".join(dict.fromkeys(cited(d.citation) for d in data)),
    )


def written(params: dict[str, Plain]) -> str:
    """Returns parameters as a person types them: ``days=180; by=cust_no``."""
    return "; ".join(f"{name}={value}" for name, value in params.items())


def _hidden(book: Any, plan: Plan) -> None:
    sheet = book.add_worksheet(_HIDDEN)
    sheet.very_hidden()
    text = base64.b64encode(zlib.compress(encode_plan(plan), 6)).decode()
    for row in range(0, len(text), _PIECE):
        sheet.write_string(row // _PIECE, 0, text[row : row + _PIECE])


def read_plan_xlsx(
    path: Path, policy: Policy
) -> tuple[Plan, dict[Place, tuple[str, dict[str, Plain] | None]]]:
    """Reads a workbook back: the plan it was made from, and what a person chose in it.

    Raises:
        Invalid: it is no such workbook, or cells cannot be understood; all of them are named.
    """
    try:
        book = CalamineWorkbook.from_path(str(path))
        rows = book.get_sheet_by_name(_SHEET).to_python()
        hidden = book.get_sheet_by_name(_HIDDEN).to_python()
        packed = base64.b64decode("".join(str(row[0]) for row in hidden), validate=True)
        inflate = zlib.decompressobj()
        raw = inflate.decompress(packed, _LARGEST)
    except (CalamineError, OSError, ValueError, IndexError, zlib.error):
        raise Invalid(
            "plan.unreadable",
            f"{path.name} 不是保护方案工作簿",
            "请使用 protect plan --out 写出的文件",
        ) from None
    if not rows or tuple(str(c) for c in rows[0][: len(_COLUMNS)]) != tuple(h for h, _ in _COLUMNS):
        raise Invalid(
            "plan.other_columns",
            f"{path.name} 的表头被改动过",
            "请勿增删或改名各列，重新导出后再填",
        )
    if len(rows) > _MOST_ROWS:
        raise Invalid("plan.too_large", f"超过 {_MOST_ROWS:,} 行", "请按系统分别制定方案")
    plan = decode_plan(raw, path.name)
    return plan, _wanted(plan, policy, rows[1:])


def _wanted(
    plan: Plan, policy: Policy, rows: list[list[Any]]
) -> dict[Place, tuple[str, dict[str, Plain] | None]]:
    by_name = {t.zh: t.id for t in policy.techniques.values()}
    # A cell shows control characters as \x…; the place is found by what the cell shows.
    shown = {tuple(plain(str(p)) for p in _row(plan, c, policy)[:3]): c for c in plan.choices}
    wanted: dict[Place, tuple[str, dict[str, Plain] | None]] = {}
    wrong: list[str] = []
    for number, row in enumerate(rows, 2):
        cells = [*row, *[""] * len(_COLUMNS)][: len(_COLUMNS)]
        choice = shown.get(tuple(str(c) for c in cells[:3]))
        if choice is None:
            if any(str(c).strip() for c in cells):
                wrong.append(f"第 {number} 行不是方案中的列")
            continue
        named = str(cells[_TECHNIQUE]).strip()
        params = parsed(str(cells[_PARAMS]))
        if named not in by_name:
            wrong.append(f"第 {number} 行没有技术“{named[:20]}”")
        elif params is None:
            wrong.append(f"第 {number} 行的参数应写成 名称=值; 名称=值")
        else:
            technique = by_name[named]
            # Parameters left over from another technique are not those of the new one.
            kept = params != choice.params or technique == choice.technique
            wanted[choice.field.place] = (technique, params if kept else None)
    if wrong:
        more = f"；另有 {len(wrong) - 20} 处" if len(wrong) > 20 else ""
        raise Invalid(
            "plan.bad_rows", "；".join(wrong[:20]) + more, "请改正这些行后重试；尚未作任何处理"
        )
    return wanted


def parsed(text: str) -> dict[str, Plain] | None:
    """Reads parameters; None when they are not written as ``name=value; …``."""
    result: dict[str, Plain] = {}
    for part in text.replace("；", ";").split(";"):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        if not equals or not value.strip():
            return None
        result[name.strip()] = _typed(value.strip())
    return result


def _typed(value: str) -> Plain:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
