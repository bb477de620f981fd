"""The lines of a text are those a person sees, whatever ends them and however they are encoded."""

import re
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingyao.classify.model import Table
from pingyao.classify.sources.documents import lines, open_document

texts = st.lists(
    st.sampled_from(
        ["\n", "\r", "\r\n", " ", "\t", "\u3000", "张三", "a", "13812345678", "\U0001f600", "\0"]
    )
).map("".join)


def seen(text: str) -> list[str]:
    return [line for line in re.split(r"\r\n|\r|\n", text) if line.strip()]


@given(texts)
def test_lines_are_what_stands_between_line_breaks(text: str) -> None:
    assert lines(f"{text}\n".encode()).to_pylist() == seen(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_long_texts_come_whole_in_every_encoding(tmp_path: Path, encoding: str, end: str) -> None:
    text = end.join(f"第 {n} 行，回电 1381234{n:04}" for n in range(9_999)) * 13
    path = tmp_path / "x.txt"
    path.write_bytes(text.encode(encoding))
    with closing(open_document(path)) as source:
        (table,) = source.tables()
        assert isinstance(table, Table)
        found = [t for batch in source.batches(table) for t in batch.column(0).to_pylist()]
        few = [t for batch in source.batches(table, 7, 3) for t in batch.column(0).to_pylist()]
    assert found == seen(text)
    assert few == found[3:7]


@pytest.mark.parametrize("text", ["", "\n", " \r\n\u3000\n\t"])
def test_an_empty_text_has_no_lines(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.txt"
    path.write_text(text, newline="")
    with closing(open_document(path)) as source:
        (table,) = source.tables()
        assert isinstance(table, Table)
        assert not [t for batch in source.batches(table) for t in batch.column(0).to_pylist()]
