"""What changed in a document is told by sheet and row; saved again unchanged, a workbook's rows stay equal."""

import zipfile
from pathlib import Path

import pytest
import xlsxwriter

from pingyao.kernel.errors import NotFound
from pingyao.ledger.formats import documents
from pingyao.ledger.formats.documents import Difference, differences, read_document


def workbook(path: Path, rows: list[list[object]], second: str = "清单") -> Path:
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("目录")
        for i, row in enumerate(rows):
            sheet.write_row(i, 0, row)
        book.add_worksheet(second).write(0, 0, "x")
    return path


def changed(old: Path, new: Path) -> list[Difference]:
    return differences(read_document(old).parts, read_document(new).parts)


ROWS: list[list[object]] = [["字段", "级别"], ["mobile", 3], ["card_no", 4], ["name", 3]]


def test_a_lowered_level_is_found_by_sheet_and_row(tmp_path: Path) -> None:
    old = workbook(tmp_path / "a.xlsx", ROWS)
    new = workbook(tmp_path / "b.xlsx", [*ROWS[:2], ["card_no", 2], *ROWS[3:]])
    assert changed(old, new) == [Difference("目录", "changed", "row", 3, 3)]


def test_a_row_taken_out_is_found(tmp_path: Path) -> None:
    old = workbook(tmp_path / "a.xlsx", ROWS)
    new = workbook(tmp_path / "b.xlsx", [*ROWS[:1], *ROWS[2:]])
    assert changed(old, new) == [Difference("目录", "changed", "row", 2, 2)]


def test_a_sheet_renamed_came_and_went(tmp_path: Path) -> None:
    old, new = workbook(tmp_path / "a.xlsx", ROWS), workbook(tmp_path / "b.xlsx", ROWS, "别的")
    assert set(changed(old, new)) == {Difference("清单", "removed"), Difference("别的", "added")}


def test_packed_again_the_cells_are_the_same(tmp_path: Path) -> None:
    old, new = workbook(tmp_path / "a.xlsx", ROWS), tmp_path / "b.xlsx"
    with zipfile.ZipFile(old) as before, zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as after:
        for name in before.namelist():
            after.writestr(name, before.read(name))
    assert read_document(old).sha256 != read_document(new).sha256
    assert changed(old, new) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "found"),
    [
        ("x.csv", b"a\nb\nc\n", b"a\nB\nc\n", Difference("", "changed", "line", 2, 2)),
        ("x.csv", b"a\nb\n", b"a\nb\nc\nd\n", Difference("", "changed", "line", 3, 4)),
        ("x.json", b'{"t":[1,2]}', b'{"t":[1,3]}', Difference("t", "changed", "item", 2, 2)),
        ("x.json", b'{"t":1}', b'{"u":1,"t":1}', Difference("u", "added")),
        ("x.json", b"{", b"[", Difference("", "changed", "block", 1, 1)),
        ("x.json", b"[" * 100_000, b"{", Difference("", "changed", "block", 1, 1)),
        ("x.xlsx", b"PK", b"PK\x03", Difference("", "changed", "block", 1, 1)),
        ("x.parquet", b"1", b"2", Difference("", "changed", "block", 1, 1)),
        (
            "x.parquet",
            b"1" * (3 << 20),
            b"1" * (2 << 20) + b"2" * (1 << 20),
            Difference("", "changed", "block", 3, 3),
        ),
        ("x.txt", b"", b"a", Difference("", "changed", "line", 1, 1)),
    ],
)
def test_what_differs(tmp_path: Path, name: str, old: bytes, new: bytes, found: Difference) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    for folder, content in (("old", old), ("new", new)):
        (tmp_path / folder / name).write_bytes(content)
    assert changed(tmp_path / "old" / name, tmp_path / "new" / name) == [found]


def test_members_in_another_order_are_the_same_document(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": {"x": 1, "y": 2}, "b": 3}')
    (tmp_path / "b.json").write_text('{"b":3,"a":{"y":2,"x":1}}')
    assert changed(tmp_path / "a.json", tmp_path / "b.json") == []


def test_marks_stay_few_however_many_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\n".join(b"%d" % i for i in range(200_000)))
    (part,) = read_document(path).parts
    assert (part.each, part.units, len(part.marks)) == (4, 200_000, 8 * 50_000)


def test_an_archive_that_unpacks_beyond_measure_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = workbook(tmp_path / "a.xlsx", ROWS)
    monkeypatch.setattr(documents, "_UNPACKED", 1000)
    assert [p.unit for p in read_document(path).parts] == ["block"]


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_document(tmp_path / "none.csv")
