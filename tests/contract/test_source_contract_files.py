"""Every file source reads the same authored table the same way."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from pingyao.classify.model import Table, Unread
from pingyao.classify.sources import limits
from pingyao.classify.sources.open import open_path
from pingyao.kernel.errors import Invalid, PingyaoError

HEADER = ["客户号", "姓名", "余额", "备注"]
ROWS = [
    ["0000000001", "王建国", "1234.56", "联系电话13800138000，请致电"],
    ["0000000002", "欧阳丽", "0.00", ""],
    ["0000000003", "李,明", "-5.10", '含"引号"与，逗号'],
]


def csv_text(delimiter: str = ",") -> str:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if any(c in text for c in '",\n|\t;^') else text

    return "\n".join(delimiter.join(map(cell, row)) for row in [HEADER, *ROWS]) + "\n"


def write_csv(encoding: str, delimiter: str = ",") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "客户.csv"
        path.write_bytes(csv_text(delimiter).encode(encoding))
        return path

    return write


def write_gz(folder: Path) -> Path:
    path = folder / "客户.csv.gz"
    path.write_bytes(gzip.compress(csv_text().encode("gb18030")))
    return path


def write_xlsx(folder: Path) -> Path:
    path = folder / "客户.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("客户")
        sheet.write(0, 0, "客户清单（截至年末）")
        for r, row in enumerate([HEADER, *ROWS], 1):
            for c, text in enumerate(row):
                sheet.write_string(r, c, text)
        book.add_worksheet("空白")
    return path


def write_parquet(folder: Path) -> Path:
    path = folder / "客户.parquet"
    columns = {name: [row[i] for row in ROWS] for i, name in enumerate(HEADER)}
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def write_jsonl(folder: Path) -> Path:
    path = folder / "客户.jsonl"
    lines = [json.dumps(dict(zip(HEADER, row, strict=True)), ensure_ascii=False) for row in ROWS]
    path.write_text("\n".join(lines), "utf-8")
    return path


WRITERS = {
    "utf-8": write_csv("utf-8"),
    "bom": write_csv("utf-8-sig"),
    "gb18030": write_csv("gb18030"),
    "utf-16": write_csv("utf-16"),
    "tab": write_csv("utf-8", "\t"),
    "pipe": write_csv("gb18030", "|"),
    "semicolon": write_csv("utf-8", ";"),
    "caret": write_csv("utf-8", "^"),
    "soh": write_csv("utf-8", "\x01"),
    "gz": write_gz,
    "xlsx": write_xlsx,
    "parquet": write_parquet,
    "jsonl": write_jsonl,
}


@pytest.fixture(params=sorted(WRITERS))
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return WRITERS[request.param](tmp_path)


def read(path: Path, limit: int | None = None) -> tuple[Table, list[dict[str, str | None]]]:
    source = open_path(path)
    (table,) = source.tables()
    assert isinstance(table, Table)
    rows = [row for batch in source.batches(table, limit) for row in batch.to_pylist()]
    source.close()
    return table, rows


def test_some_columns_are_read_as_all_are(path: Path) -> None:
    table, rows = read(path)
    some = msgspec.structs.replace(table, columns=(table.columns[3], table.columns[1]))
    source = open_path(path)
    batches = [*source.batches(some, after=1)]
    source.close()
    assert all(b.schema.names == ["备注", "姓名"] for b in batches)
    found = [row for batch in batches for row in batch.to_pylist()]
    assert found == [{"备注": row["备注"], "姓名": row["姓名"]} for row in rows[1:]]


def test_a_header_may_break_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('"客户\n姓名","证件\r\n号码"\n王建国,1\n"欧\n阳",2\n')
    table, rows = read(path)
    assert [c.name for c in table.columns] == ["客户姓名", "证件号码"]
    assert [[*row.values()] for row in rows] == [["王建国", "1"], ["欧\n阳", "2"]]


def drain(path: Path) -> tuple[list[dict[str, str | None]], PingyaoError | None]:
    """Reads a file's one table as far as it goes; returns what stopped it."""
    rows: list[dict[str, str | None]] = []
    try:
        source = open_path(path)
        for table in source.tables():
            assert isinstance(table, Table)
            for batch in source.batches(table):
                rows += batch.to_pylist()
    except PingyaoError as error:
        return rows, error
    return rows, None


def test_reads_every_cell(path: Path) -> None:
    table, rows = read(path)
    assert [c.name for c in table.columns][:4] == HEADER
    assert [[row[n] or "" for n in HEADER] for row in rows] == ROWS


def test_batches_carry_the_columns_of_the_table(path: Path) -> None:
    source = open_path(path)
    (table,) = source.tables()
    assert isinstance(table, Table)
    for batch in source.batches(table):
        assert batch.schema.names == [c.name for c in table.columns]


@pytest.mark.parametrize("limit", [0, 1, 2, 99])
def test_a_limit_holds(path: Path, limit: int) -> None:
    assert len(read(path, limit)[1]) == min(limit, len(ROWS))


def test_reads_twice_the_same(path: Path) -> None:
    assert read(path) == read(path)


def test_cut_in_half_never_fails_silently(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    rows, error = drain(path)
    assert error is None or error.remedy
    assert len(rows) <= len(ROWS)


def test_a_folder_holds_them_all_and_names_what_it_cannot_read(tmp_path: Path) -> None:
    inner = tmp_path / "贷款"
    inner.mkdir()
    write_csv("gb18030")(inner)
    write_parquet(tmp_path)
    (tmp_path / "芯片.bin").write_bytes(b"\x00\x01\x02")
    (tmp_path / ".hidden.csv").write_text("a,b\n1,2\n")
    (tmp_path / "坏.xlsx").write_bytes(b"PK\x03\x04 not a workbook")
    source = open_path(tmp_path)
    found = list(source.tables())
    tables = [t for t in found if isinstance(t, Table)]
    assert {t.schema for t in tables} == {"贷款/客户.csv", "客户.parquet"}
    for table in tables:
        assert sum(b.num_rows for b in source.batches(table)) == len(ROWS)
    unread = {u.where: u.code for u in found if isinstance(u, Unread)}
    assert unread == {"芯片.bin": "scan.unknown_file", "坏.xlsx": "scan.damaged"}


def test_documents_are_read_by_paragraph(tmp_path: Path) -> None:
    from docx import Document

    document = Document()
    document.add_paragraph("关于客户王建国的说明")
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text = "电话"
    table.rows[0].cells[1].text = "13800138000"
    document.save(str(tmp_path / "说明.docx"))
    (tmp_path / "记录.txt").write_bytes("第一行\n\n第二行\n".encode("gb18030"))
    source = open_path(tmp_path)
    texts = {
        t.name: [v for b in source.batches(t) for v in b.column(0).to_pylist()]
        for t in source.tables()
        if isinstance(t, Table)
    }
    assert texts == {
        "说明.docx": ["关于客户王建国的说明", "电话 13800138000"],
        "记录.txt": ["第一行", "第二行"],
    }


@pytest.mark.parametrize(
    ("content", "code", "kept"),
    [
        (b"a,b\n1,2\n3\n4,5\n", "scan.odd_rows", 2),
        (b"a,b\n1,2\n3,4,5\n", "scan.odd_rows", 1),
        (
            "姓名,b\n张三,1\n张四,1\n".encode() + "李四五六,2\n".encode("gb18030"),
            "scan.odd_rows",
            3,
        ),
        (b'a,b\n1,"never closed\n2,3\n', "scan.odd_rows", 1),
    ],
)
def test_odd_rows_are_told(tmp_path: Path, content: bytes, code: str, kept: int) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    rows, error = drain(path)
    assert error is not None
    assert error.remedy
    assert (error.code, len(rows)) == (code, kept)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_has_no_table(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    assert list(open_path(path).tables()) == []


def test_a_monstrous_cell_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n1," + b"x" * 10_000_000 + b"\n2,y\n")
    assert [len(row["b"] or "") for row in read(path)[1]] == [10_000_000, 1]


def test_a_million_columns_are_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    names = ",".join(f"c{i}" for i in range(1_000_000))
    (tmp_path / "wide.csv").write_text(f"{names}\n{names}\n")
    (tmp_path / "wide.jsonl").write_text(json.dumps(dict.fromkeys(names.split(","), 1)) + "\n")
    (tmp_path / "plain.csv").write_text("a,b\n1,2\n")
    source = open_path(tmp_path)
    tables = [t for t in source.tables() if isinstance(t, Table)]
    unread = [t for t in source.tables() if isinstance(t, Unread)]
    assert [u.code for u in unread] == ["scan.too_many_columns"]
    assert sorted(len(t.columns) for t in tables) == [2, 2_000]
    wide = next(t for t in tables if len(t.columns) == 2_000)
    with pytest.raises(Invalid) as told:
        list(source.batches(wide))
    assert "2,000" in told.value.detail


def test_no_header_gives_numbered_columns(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("1,张三\n2,李四\n", "utf-8")
    table, rows = read(path)
    assert [c.name for c in table.columns] == ["col_1", "col_2"]
    assert len(rows) == 2


def test_namesakes_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,a,b\n1,2,3\n", "utf-8")
    assert [c.name for c in read(path)[0].columns] == ["a", "a_2", "b"]


def test_broken_json_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": {"b": 1}}\nnot json\n[1]\n{"a": {"b": 2}, "c": null}\n', "utf-8")
    rows, error = drain(path)
    assert error is not None
    assert "2 行" in error.detail
    assert [row["a.b"] for row in rows] == ["1", "2"]


cells = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r\n", exclude_categories=["Cs"])
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(cells, cells), min_size=2, max_size=20),
    st.sampled_from(["utf-8", "gb18030"]),
)
def test_a_csv_comes_back_as_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], encoding: str
) -> None:
    path = tmp_path_factory.mktemp("law") / "x.csv"
    quoted = [",".join('"' + c.replace('"', '""') + '"' for c in row) for row in rows]
    path.write_bytes(("客户编号,客户姓名\n" + "\n".join(quoted) + "\n").encode(encoding))
    assert [tuple(row.values()) for row in read(path)[1]] == rows


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
def test_the_number_of_rows_is_guessed_from_the_first(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "x.csv"
    lines = (f"{i:06d},王建国{i:06d}" for i in range(300_000))
    path.write_text("客户号,姓名\n" + "\n".join(lines), encoding)
    (table,) = open_path(path).tables()
    assert isinstance(table, Table)
    assert table.estimated_rows == pytest.approx(300_000, rel=0.1)


def test_parquet_is_decoded_in_pieces_and_bytes_are_cut(tmp_path: Path) -> None:
    picture = b"\x89PNG" + bytes(range(256)) * 500
    rows = 200
    columns = {
        "编号": range(rows),
        "照片": [picture, None] * (rows // 2),
        "说明": ["长" * 50_000] * rows,
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet", use_dictionary=False)
    source = open_path(tmp_path / "t.parquet")
    (table,) = source.tables()
    assert isinstance(table, Table)
    batches = [*source.batches(table)]
    assert max(b.nbytes for b in batches) <= limits.BYTES
    whole = pa.Table.from_batches(batches).to_pydict()
    assert whole["编号"] == [*range(rows)]
    assert whole["照片"] == [picture[: limits.BINARY_BYTES], None] * (rows // 2)
    assert whole["说明"] == ["长" * 50_000] * rows
