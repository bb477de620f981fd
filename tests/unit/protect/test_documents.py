"""Identifiers in documents are hidden, everything else and its form stays, nothing is overwritten."""

import json
from pathlib import Path

import docx
import pytest

from pingyao.kernel.errors import PingyaoError
from pingyao.protect.formats.documents import mask_document

SECRET = "13812345678"


def test_text_json_and_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"请致电{SECRET}，第3页\n第二行 a@b.cn", "utf-8")
    assert mask_document(tmp_path / "a.txt", tmp_path / "b.txt") == 2
    assert (tmp_path / "b.txt").read_text("utf-8") == "请致电***********，第3页\n第二行 ******"
    body = {"tel": int(SECRET), "n": 3, "ok": True, "x": [None, f"电{SECRET}"], SECRET: 1.5}
    (tmp_path / "a.json").write_text(json.dumps(body))
    assert mask_document(tmp_path / "a.json", tmp_path / "b.json") == 3
    assert json.loads((tmp_path / "b.json").read_text()) == {
        "tel": "*" * 11,
        "n": 3,
        "ok": True,
        "x": [None, "电" + "*" * 11],
        "*" * 11: 1.5,
    }
    (tmp_path / "a.jsonl").write_text(f'{{"a":"{SECRET}"}}\n\n{{"b":1}}\n')
    assert mask_document(tmp_path / "a.jsonl", tmp_path / "b.jsonl") == 1
    assert (tmp_path / "b.jsonl").read_text() == '{"a":"***********"}\n\n{"b":1}\n'


def test_a_docx_keeps_its_runs(tmp_path: Path) -> None:
    document = docx.Document()
    paragraph = document.add_paragraph("电话")
    paragraph.add_run(SECRET[:5]).bold = True
    paragraph.add_run(SECRET[5:] + "，谢谢")
    table = document.add_table(1, 1)
    table.cell(0, 0).text = "身份证11010519491231002X"
    document.sections[0].header.paragraphs[0].text = f"经办 {SECRET}"
    document.save(str(tmp_path / "a.docx"))
    assert mask_document(tmp_path / "a.docx", tmp_path / "b.docx") == 3
    made = docx.Document(str(tmp_path / "b.docx"))
    assert [r.text for r in made.paragraphs[0].runs] == ["电话", "*****", "******，谢谢"]
    assert made.paragraphs[0].runs[1].bold
    assert made.tables[0].cell(0, 0).text == "身份证" + "*" * 18
    assert made.sections[0].header.paragraphs[0].text == "经办 " + "*" * 11


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.pdf", b"%PDF", "protect.unknown_document"),
        ("a.txt", b"\xff\xfe\x00", "protect.damaged_document"),
        ("a.json", b"{", "protect.damaged_document"),
        ("a.json", b"[" * 100_000, "protect.damaged_document"),
        ("a.json", b"[" * 300 + b"]" * 300, "protect.too_deep"),
        ("a.docx", b"PK\x03\x04", "protect.damaged_document"),
        ("a.docx", b"", "protect.damaged_document"),
        ("gone.txt", None, "protect.no_document"),
    ],
)
def test_what_cannot_be_masked_is_said(
    tmp_path: Path, name: str, content: bytes | None, code: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PingyaoError) as refusal:
        mask_document(tmp_path / name, tmp_path / f"out{Path(name).suffix}")
    assert refusal.value.code == code
    assert not (tmp_path / f"out{Path(name).suffix}").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(PingyaoError) as refusal:
        mask_document(tmp_path / "a.txt", tmp_path / "a.txt")
    assert refusal.value.code == "protect.target_exists"
