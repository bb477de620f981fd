"""Workbooks against a library that holds them whole: the same cells, however they are written."""

import zipfile
from contextlib import closing
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import example, given, settings
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from pingyao.classify.model import Table
from pingyao.classify.sources import excel, xlsx
from pingyao.classify.sources.excel import open_excel

WIDTH = 4
HEADER = ["甲", "b", "c d", "e"]
Sheets = dict[str, list[tuple[str | None, ...]]]


def text(cell: object) -> str | None:
    match cell:
        case None | "":
            return None
        case float() if cell.is_integer() and abs(cell) < 2**53:
            return str(int(cell))
        case datetime() if cell.time() == time():
            return cell.date().isoformat()
        case datetime():
            return cell.isoformat(" ")
        case date() | time():
            return cell.isoformat()
    return str(cell)


def expected(path: Path) -> Sheets:
    """The rows below the header, which is the first row, of all sheets that have one."""
    with closing(CalamineWorkbook.from_path(str(path))) as book:
        sheets: Sheets = {}
        for name in book.sheet_names:
            sheet = book.get_sheet_by_name(name)
            rows = [tuple(map(text, row)) for row in sheet.iter_rows()]
            if rows:
                sheets[name] = [row[:WIDTH] for row in rows[1:] if any(c is not None for c in row)]
        return sheets


def got(path: Path) -> Sheets:
    sheets: Sheets = {}
    with closing(open_excel(path)) as source:
        for table in source.tables():
            assert isinstance(table, Table), table
            rows = sheets[table.name] = []
            for batch in source.batches(table):
                batch.validate(full=True)
                rows += zip(*(c.to_pylist() for c in batch.columns), strict=True)
    return sheets


def streamed(path: Path) -> Sheets:
    """What is read without the library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(excel, "CalamineWorkbook", None)
        return got(path)


FORMATS = [
    *("General", "0.00", "@", "#,##0", "0.00E+00", "yyyy-mm-dd", "yyyy/m/d h:mm", "h:mm:ss"),
    *("[h]:mm:ss", "[mm]:ss", "[Red]0.0", "[$-804]yyyy年m月d日", '0"days"', r"0\d", "_d0", "0;d"),
    *("mm:ss.0", "h:mm AM/PM", "上午/下午", "[Red]yyyy", "[ss]", "[hm]", "[h]d", "d[h]", '"a"0"b'),
    *("[Magenta]0", "[$¥-804]#,##0.00", "A/P", "a", "p", "AAAA", "m", "[h", "]h", "[[h]]"),
]
times = st.sampled_from(
    (
        *(
            0.0,
            0.5,
            1.0,
            59.0,
            60.0,
            61.0,
            45000.0,
            45000.25,
            45000.123456789,
            2958465.0,
            2958466.0,
        ),
        *(-1.0, -0.25, 0.1234567891, 44927.999999999, 1e-9, 36526.00001157407, 1e7),
    )
)
strings = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t_x0AD<>&\"' "),
    max_size=30,
)
texts = strings | st.sampled_from(
    ["_x000D_", "_x005F_x000D_", "_xD800_", "&amp;", " ", "]]>", "1", "0"]
)
values = (
    texts
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(10**17), 10**17)
    | st.integers(0, 10**8).map(lambda n: n / 100)
)
# The library breaks down over times beyond all years.
cells = st.tuples(values, st.integers(0, 4)) | st.tuples(
    st.none() | texts | st.booleans() | times, st.integers(0, len(FORMATS) - 1)
)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.lists(cells, max_size=WIDTH), max_size=9),
    inline=st.booleans(),
    block=st.sampled_from([100, 1_000, 1 << 21]),
    some=st.sampled_from([16, 1 << 20]),
)
@example([[(n, f)] for f in range(len(FORMATS)) for n in (0.25, 60.5, 45000.0)], False, 1 << 21, 16)
@example([[(10.0**-n, 0), (1.5 * 10**n, 0), (-(10.0**n), 0)] for n in range(25)], True, 100, 16)
def test_what_a_program_writes_is_read_row_by_row(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[tuple[object, int]]],
    inline: bool,
    block: int,
    some: int,
) -> None:
    path = tmp_path_factory.mktemp("law") / "x.xlsx"
    with xlsxwriter.Workbook(path, {"constant_memory": inline}) as book:
        formats = [book.add_format({"num_format": code}) for code in FORMATS]
        sheet = book.add_worksheet("一")
        sheet.write_row(0, 0, HEADER)
        for r, row in enumerate(rows, 1):
            for c, (value, style) in enumerate(row):
                if isinstance(value, str):
                    sheet.write_string(r, c, value, formats[style])
                elif isinstance(value, bool):
                    sheet.write_boolean(r, c, value, formats[style])
                elif value is None:
                    sheet.write_blank(r, c, None, formats[style])
                else:
                    sheet.write_number(r, c, value, formats[style])
        book.add_worksheet("空")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(excel, "_HEADER_WITHIN", 1)
        patch.setattr(xlsx, "_BLOCK", max(block, 4_000))
        patch.setattr(xlsx, "_MOST_CELLS", some)
        assert streamed(path) == expected(path)


def test_dates_times_errors_formulas_and_rich_text(tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd hh:mm:ss"}) as book:
        bold, span = book.add_format({"bold": True}), book.add_format({"num_format": "[h]:mm"})
        sheet = book.add_worksheet("s")
        sheet.write_row(0, 0, HEADER)
        days = "2024-02-29", "1999-12-31 23:59:59.500000"
        sheet.write_row(2, 0, list(map(datetime.fromisoformat, days)))
        sheet.write_row(3, 0, [date(2024, 2, 29), time(1, 2, 3)])
        sheet.write(3, 2, timedelta(days=40, hours=3), span)
        sheet.write_formula(4, 0, "=1/0", None, "#DIV/0!")
        sheet.write_formula(4, 1, '="a"&"<b>"', None, "a<b>")
        sheet.write_formula(4, 2, "=1>0", None, True)
        sheet.write_formula(4, 3, "=0.1+0.2", None, 0.1 + 0.2)
        sheet.write_rich_string(5, 0, "王", bold, "建 ", "国&", bold, "<")
        sheet.write(5, 1, "x" * 32_767)
        sheet.write_formula(6, 0, "=1/0", None, "#N/A")
        sheet.write(8, 9, "beyond the header")
        hidden = book.add_worksheet("hidden")
        hidden.hide()
        hidden.write_row(0, 0, HEADER)
        chart = book.add_chart({"type": "line"})
        chart.add_series({"values": "=s!$A$1:$A$3"})
        book.add_chartsheet("chart").set_chart(chart)
    assert streamed(path) == expected(path)
    assert streamed(path)["s"][:2] == [
        ("2024-02-29", "1999-12-31 23:59:59.500000", None, None),
        ("2024-02-29", "01:02:03", "40 days, 3:00:00", None),
    ]


MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
TOP = '<row r="1"><c r="A1" t="inlineStr"><is><t>h</t></is></c><c r="B1" t="str"><v>i</v></c></row>'


def write_parts(
    path: Path, rows: str, strings: str = "", sheet: str = "", book: str = "", drop: str = ""
) -> Path:
    """Writes a workbook by hand."""
    types = f"{PACKAGE}/content-types"
    plain = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{types}"><Default Extension="xml" '
        f'ContentType="{plain}.sheet.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" '
        f'Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}">{book}<sheets>'
        '<sheet name="s" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="r2" Type="{OFFICE}/sharedStrings" Target="/xl/sharedStrings.xml"/>'
        "</Relationships>",
        "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{strings}</sst>',
        "xl/worksheets/sheet1.xml": sheet
        or f'<worksheet xmlns="{MAIN}"><dimension ref="A1"/><sheetData>{TOP}{rows}</sheetData>'
        "</worksheet>",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            if name != drop:
                archive.writestr(name, content)
    return path


def row(inner: str, number: int = 2) -> str:
    return f'<row r="{number}">{inner}</row>'


@pytest.mark.parametrize(
    ("rows", "strings"),
    [
        (row("<c><v>1</v></c><c><v>2</v></c>"), ""),
        ("<row><c><v>1</v></c></row><row/><row></row><row><c/><c><v>2</v></c></row>", ""),
        ('<row r="2" spans="1:2" >\n <c r="A2" s="9" >\r\n<v >1</v> </c>\t</row>\n', ""),
        ("<row r='7'><c r='B7' t='str'><v xml:space='preserve'> a </v></c></row>", ""),
        (row('<c r="A2"><f>IF(A1&lt;1,"&gt;",2)</f><v>3</v></c><c r="B2"><f/><v>4</v></c>'), ""),
        (row('<c r="A2"><v/></c><c r="B2" t="s"><v>1</v></c>'), "<si><t/></si><si><t>x</t></si>"),
        (row('<c r="A2" t="s"><v>0</v></c>'), "<si/><si><t>x</t></si>"),
        (
            row('<c r="A2" t="s"><v>0</v></c>'),
            "<si><t>東京</t><rPh sb='0' eb='1'><t>トウ</t></rPh><phoneticPr/></si>",
        ),
        (
            row('<c r="A2" t="s"><v>0</v></c>'),
            "<si><r><rPr><b/></rPr><t>a&amp;</t></r><r><t>&#x738B;</t></r><r><t>c</t></r></si>",
        ),
        (
            row(
                '<c r="A2" t="inlineStr"><is><r><t>a</t></r><r><t xml:space="preserve"> b</t></r></is></c>'
            ),
            "",
        ),
        (row('<c r="A2" t="str"><v>&#20013;&#x1F600;&quot;&apos;&gt;</v></c>'), ""),
        (row('<c r="A2" t="b"><v>1</v></c><c r="B2" t="b"><v>0</v></c>'), ""),
        (row('<c r="A2" t="e"><v>#REF!</v></c>') + row('<c r="B3" t="n"><v>-0.50</v></c>', 3), ""),
        (row('<c r="A2"><v>1E3</v></c><c r="B2"><v>00012</v></c>'), ""),
        (row('<c r="XFD2"><v>1</v></c>'), ""),
    ],
)
def test_sheets_written_by_other_programs(tmp_path: Path, rows: str, strings: str) -> None:
    path = write_parts(tmp_path / "x.xlsx", rows, strings)
    assert streamed(path) == {"s": [r[:2] for r in expected(path)["s"]]}


@pytest.mark.parametrize(
    ("rows", "strings"),
    [
        (row('<c r="A2"><!-- --><v>1</v></c>'), ""),
        (row('<c r="A2" t="str"><v><![CDATA[</row>]]></v></c>'), ""),
        (row('<c r="A2" t="d"><v>2024-01-01</v></c>'), ""),
        (row('<c r="A2" t="b"><v>true</v></c>'), ""),
        (row('<c r="B2"><v>1</v></c><c r="A2"><v>2</v></c>'), ""),
        (row('<c r="A3"><v>1</v></c>', 3) + row('<c r="A2"><v>2</v></c>'), ""),
        (row('<c r="A2"><v>one</v></c>'), ""),
        (row('<c r="A2"><v>1</v><extLst/></c>'), ""),
        (row('<c r="A2" t="s"><v>5</v></c>'), "<si><t>x</t></si>"),
        (row('<c r="A2" t="s"><v>-1</v></c>'), "<si><t>x</t></si>"),
        (row('<c r="A2" t="str"><v>&nbsp;</v></c>'), ""),
        (row('<c r="A2" t="str"><v>&#xD800;</v></c>'), ""),
        (row('<c r="A2" t="str"><v>a</c>'), ""),
        (row('<c r="A2"><v>1</v>'), ""),
        (row('<c r="AAAA2"><v>1</v></c>'), ""),
        (row('<c r="2"><v>1</v></c>'), ""),
        (row('<c r="A2" s="x"><v>1</v></c>'), ""),
        ("<row r='x'><c><v>1</v></c></row>", ""),
        (row('<c r="A2" t="s"><v>0</v></c>'), "<si><t>x</si>"),
        ("<c><v>1</v></c>", ""),
        ("<row", ""),
        ("\0" + row('<c r="A2"><v>1</v></c>'), ""),
        (row('<c r="A2" t="s"><v>0</v></c>'), "\0<si><t>x</t></si>"),
    ],
)
def test_what_is_unusual_is_left_to_the_library(
    tmp_path: Path, rows: str, strings: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx, "_MOST_CELLS", 16)
    good = "".join(row(f'<c r="A{n}"><v>{n}</v></c>', n) for n in range(2, 20))
    late = rows.replace('2"', '30"').replace("A3", "A31").replace('r="3"', 'r="31"')
    for sheet in (rows, good + late):
        path = write_parts(tmp_path / "x.xlsx", sheet, strings)
        try:
            should = {name: [r[:2] for r in of] for name, of in expected(path).items()}
        except Exception:
            should = None
        if should is None:
            with closing(open_excel(path)) as source:
                told = [t for t in source.tables() if not isinstance(t, Table)]
                for table in source.tables():
                    if isinstance(table, Table):
                        with pytest.raises(excel.PingyaoError):
                            list(source.batches(table))
                        told.append(table)
            assert told
        else:
            assert got(path) == should


@pytest.mark.parametrize(
    "parts",
    [
        {"book": '<workbookPr date1904="1"/>'},
        {
            "sheet": f'<x:worksheet xmlns:x="{MAIN}"><x:sheetData><x:row r="1"><x:c r="A1" t="str">'
            "<x:v>h</x:v></x:c></x:row></x:sheetData></x:worksheet>"
        },
        {"sheet": '<?xml version="1.0" encoding="UTF-16"?><worksheet/>'},
        {"sheet": f'<worksheet xmlns="{MAIN}"/>'},
        {"sheet": f'<worksheet xmlns="{MAIN}"><sheetData/></worksheet>'},
        {"book": '<!DOCTYPE x [<!ENTITY a "b">]>'},
        {"drop": "xl/sharedStrings.xml"},
        {"drop": "xl/workbook.xml"},
        {"drop": "xl/worksheets/sheet1.xml"},
    ],
)
def test_books_that_are_unusual_as_a_whole(tmp_path: Path, parts: dict[str, str]) -> None:
    rows = row('<c r="A2"><v>45000</v></c>')
    path = write_parts(tmp_path / "x.xlsx", rows, **parts)
    try:
        should = expected(path)
    except Exception:
        with pytest.raises((excel.PingyaoError, AssertionError)):
            got(path)
    else:
        assert got(path) == {name: [r[:2] for r in of] for name, of in should.items()}


def test_a_date_beyond_all_years_is_told_or_read(tmp_path: Path) -> None:
    rows = row('<c r="A2" t="d"><v>9</v></c>') + row('<c r="A3" s="0"><v>1e300</v></c>', 3)
    path = write_parts(tmp_path / "x.xlsx", rows)
    assert len(got(path)["s"]) == 2
    panic = type("PanicException", (BaseException,), {})
    with pytest.MonkeyPatch.context() as patch, closing(open_excel(path)) as source:
        (table,) = source.tables()
        patch.setattr(excel, "_text", lambda _: (_ for _ in ()).throw(panic()))
        with pytest.raises(excel.PingyaoError) as told:
            list(source.batches(table))
    assert told.value.code == "scan.damaged"


def test_one_long_string_in_every_cell_stays_within_bounds(tmp_path: Path) -> None:
    rows = "".join(row('<c t="s"><v>0</v></c>' * 2, n) for n in range(2, 3_002))
    path = write_parts(tmp_path / "x.xlsx", rows, f"<si><t>{'长' * 32_767}</t></si>")
    with closing(open_excel(path)) as source:
        (table,) = source.tables()
        assert isinstance(table, Table)
        read = 0
        for batch in source.batches(table):
            assert batch.nbytes <= 33 * 1024**2
            read += batch.num_rows
    assert read == 3_000


def test_a_damaged_stream_is_told_after_the_rows_before_it(tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    with xlsxwriter.Workbook(path, {"constant_memory": True}) as book:
        sheet = book.add_worksheet("s")
        sheet.write_row(0, 0, HEADER)
        for r in range(1, 20_000):
            sheet.write_row(r, 0, [f"{r * 7919 % 10_007}", r * 31 % 1_009, "王建国", r])
    raw = bytearray(path.read_bytes())
    info = zipfile.ZipFile(path).getinfo("xl/worksheets/sheet1.xml")
    at = info.header_offset + info.compress_size // 2
    raw[at : at + 64] = bytes(64)
    path.write_bytes(raw)
    with closing(open_excel(path)) as source:
        tables = list(source.tables())
        for table in tables:
            if isinstance(table, Table):
                with pytest.raises(excel.PingyaoError) as told:
                    list(source.batches(table))
                assert told.value.code == "scan.damaged"
            else:
                assert table.code == "scan.damaged"
