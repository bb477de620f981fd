"""Rows of a workbook are as high as what is wrapped in them, and no higher."""

import re
import zipfile
from pathlib import Path

import pytest
import xlsxwriter

from pingyao.protect.formats.certificate import told
from pingyao.protect.formats.sheets import OPTIONS, cover, formats, table


def heights(path: Path, sheet: int) -> dict[int, float]:
    with zipfile.ZipFile(path) as book:
        text = book.read(f"xl/worksheets/sheet{sheet}.xml").decode()
    return {int(r): float(h) for r, h in re.findall(r'<row r="(\d+)"[^>]* ht="([\d.]+)"', text)}


@pytest.mark.parametrize(
    ("cells", "height"),
    [
        (("短", "短"), None),
        (("", 12), None),
        (("很长的名称" * 20, "短"), None),  # a narrow column does not wrap
        (("短", "一" * 19), None),
        (("短", "一" * 20), 30),
        (("短", "x" * 100), 45),
        (("短", "一" * 10_000), 300),
    ],
)
def test_a_row_grows_with_what_it_wraps(
    tmp_path: Path, cells: tuple[str | int, ...], height: float | None
) -> None:
    path = tmp_path / "b.xlsx"
    with xlsxwriter.Workbook(path, OPTIONS) as book:
        styles = formats(book)
        cover(book, styles, "题", [("甲", "短"), ("乙", "一" * 120)])
        table(book, styles, "表", (("窄", 10), ("宽", 40)), [cells])
    assert heights(path, 1) == {1: 30, 4: 45}
    assert heights(path, 2).get(2) == height


def test_facts_of_a_certificate_read_as_words() -> None:
    facts = {
        "method": "overwrite",
        "exists": False,
        "attachments": [{"name": "a.pdf", "size": 12_000}, {"name": "b"}],
    }
    assert told(facts) == (
        "方法：随机数据覆写后删除；仍存在：否；附件：（文件：a.pdf；字节：12,000）、（文件：b）"
    )
    assert told({}) == ""
    assert told({"keys": []}) == "密钥：无"
