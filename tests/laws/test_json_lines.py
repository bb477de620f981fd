"""JSON lines against a parser that takes every line as an object of its own: the same cells, the same complaints."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pingyao.classify.model import Column, Table
from pingyao.classify.sources import encoding, json_lines, jsonl, lines
from pingyao.classify.sources.encoding import open_text
from pingyao.classify.sources.jsonl import JsonlSource
from pingyao.kernel.errors import PingyaoError

PROBED, DEEPEST = 2, 4
DECODE = msgspec.json.Decoder(float_hook=lambda text: msgspec.Raw(text.encode())).decode


class Read(NamedTuple):
    """What a file holds: names, rows, and the numbers of lines that are broken and of those late."""

    names: list[str]
    rows: list[tuple[str | None, ...]]
    broken: list[int]
    late: int


def flat(value: dict[str, Any], prefix: str = "", depth: int = 1) -> dict[str, str | None]:
    result: dict[str, str | None] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict) and depth < DEEPEST:
            result.update(flat(item, f"{name}.", depth + 1))
        elif item is None or isinstance(item, str):
            result[name] = item
        else:
            result[name] = msgspec.json.encode(item).decode()
    return result


def objects(path: Path) -> Iterator[tuple[int, dict[str, str | None] | None]]:
    with open_text(path) as text:
        for number, line in enumerate(text, 1):
            if not line.strip():
                continue
            try:
                value = DECODE(line)
            except (msgspec.DecodeError, RecursionError):
                value = None
            yield number, flat(value) if isinstance(value, dict) else None


def expected(path: Path, chosen: list[str] | None) -> Read:
    all_of = [*objects(path)]
    names = [*dict.fromkeys(name for _, row in all_of[:PROBED] for name in row or ())][:2_000]
    wanted = names if chosen is None else chosen
    rows = [row for _, row in all_of if row is not None]
    return Read(
        names,
        [tuple(row.get(name) for name in wanted) for row in rows],
        [number for number, row in all_of if row is None],
        sum(not row.keys() <= {*names} for row in rows),
    )


def got(path: Path, chosen: list[str] | None, limit: int | None = None) -> tuple[Read, str]:
    source = JsonlSource(path)
    names = [c.name for table in source.tables() for c in table.columns]
    wanted = names if chosen is None else chosen
    table = Table("", "x", columns=tuple(map(Column, wanted)))
    rows: list[tuple[str | None, ...]] = []
    told = ""
    counted: list[jsonl._Lines] = []

    class Counted(jsonl._Lines):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            counted.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "_Lines", Counted)
        try:
            for batch in source.batches(table, limit):
                batch.validate(full=True)
                rows += zip(*(c.to_pylist() for c in batch.columns), strict=True)
        except PingyaoError as error:
            told = error.detail
    (of,) = counted
    assert of.broken >= len(of.first_broken)
    return Read(names, rows, of.first_broken, of.late), told


def check(path: Path, chosen: list[str] | None = None) -> None:
    should = expected(path, chosen)
    read, told = got(path, chosen)
    assert read.names == should.names
    if should.names or chosen:
        assert read.rows == should.rows
    assert read.broken == should.broken[:5]
    assert read.late == should.late
    assert bool(told) == bool(should.broken or should.late)


@pytest.fixture(autouse=True)
def _probed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_PROBED_LINES", PROBED)


keys = st.sampled_from(
    ["a", "b", "a.b", "", ".", "b.", "姓名", 'q"', "\\", "\n", "😀", "x" * 40, "é"]
)
texts = st.text(st.sampled_from('ab"\\/\n\t\b\0\x1f\x7f王é\u2028😀 {}[]:,'), max_size=70)
numbers = st.sampled_from(
    ["0", "-0", "-0.0", "1.50", "1e5", "1E+400", "-12", "9" * 30, "0.1e-7", "1" * 301, "1" * 5000]
)
blanks = st.sampled_from(["", "", "", " ", "\t", "  "])


@st.composite
def written(draw: st.DrawFn, deep: int = 6) -> str:
    """A value, as somebody might write it."""
    kind = draw(st.integers(0, 9 if deep else 5))
    before, after = draw(blanks), draw(blanks)
    if kind <= 2:
        text = json.dumps(draw(texts), ensure_ascii=draw(st.booleans()))
    elif kind == 3:
        text = draw(numbers)
    elif kind <= 5:
        text = draw(st.sampled_from(["true", "false", "null", "{}", "[]"]))
    elif kind == 6:
        text = "[" + ",".join(draw(st.lists(written(deep - 1), max_size=3))) + "]"
    else:
        text = draw(an_object(deep - 1))
    return before + text + after


@st.composite
def an_object(draw: st.DrawFn, deep: int = 6) -> str:
    parts = [
        f"{draw(blanks)}{json.dumps(draw(keys), ensure_ascii=draw(st.booleans()))}"
        f"{draw(blanks)}:{draw(written(deep))}"
        for _ in range(draw(st.integers(0, 4)))
    ]
    return "{" + ",".join(parts) + "}"


breaks = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\n \t\n", "\n\u3000\n"])
whole = st.lists(st.tuples(an_object(), breaks), max_size=6).map(
    lambda pairs: "".join(line + end for line, end in pairs)
)
# Few letters, so that what breaks a line meets in every way.
scraps = st.lists(
    st.sampled_from(
        (
            *'{}[]:,"\\ae.0-+ \t\n\r\0\x0b\ufeff\u3000😀',
            *('{"a":', '"b"', "null", "tru", "NaN", "1.", "01", "\\u", "d83d", '\\"', "{}", "}\n{"),
            *("\\ud83d\\ude00", "\\udc00", '{"a":{"b":1},"a.b":2}'),
        )
    ),
    max_size=40,
).map("".join)


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    """Whole lines, with something put in somewhere, or taken out."""
    text = draw(whole)
    at = draw(st.integers(0, len(text)))
    return (
        text[:at] + draw(scraps.filter(lambda s: len(s) < 5)) + text[at + draw(st.integers(0, 2)) :]
    )


@settings(max_examples=500, deadline=None)
@given(
    text=whole | spoilt() | scraps,
    where=st.sampled_from(["utf-8", "utf-8-sig", "gb18030", "utf-16"]),
    block=st.integers(1, 300),
    cells=st.sampled_from([1, 7, 1 << 20]),
    chosen=st.none() | st.lists(keys, min_size=1, max_size=3, unique=True),
)
@example('{"a":{"b":1},"a.b":2,"a":3}\n{"a":1,"a":{"c":2}}\n', "utf-8", 9, 1, None)
@example('{"a":":\\"x"}\n{"a":"x","":1,"":{}}\n', "utf-8", 9, 1, ['a":"x'])
def test_lines_are_read_as_a_parser_reads_each(
    tmp_path_factory: pytest.TempPathFactory,
    text: str,
    where: str,
    block: int,
    cells: int,
    chosen: list[str] | None,
) -> None:
    path = tmp_path_factory.mktemp("law") / "x.jsonl"
    path.write_bytes(text.encode(where))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_BLOCK", block)
        patch.setattr(json_lines, "_MOST_CELLS", cells)
        check(path, chosen)


@settings(max_examples=300, deadline=None)
@given(
    parts=st.lists(
        st.binary(max_size=4) | st.sampled_from(['{"a":"', '"}', "\n", "\r", "王", "建国"]),
        max_size=30,
    ),
    where=st.sampled_from(["utf-8", "gb18030", "utf-16"]),
    block=st.integers(1, 30),
)
def test_bytes_nobody_can_explain_are_read_as_text_files_are(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes | str], where: str, block: int
) -> None:
    path = tmp_path_factory.mktemp("law") / "x.jsonl"
    begin = '{"a":"王建国王建国王建国王建国","b":1}\n'.encode(where)
    path.write_bytes(begin + b"".join(p.encode(where) if isinstance(p, str) else p for p in parts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_BLOCK", block)
        check(path)


@settings(max_examples=100, deadline=None)
@given(text=whole | spoilt(), limit=st.integers(0, 5))
def test_a_limit_stops_where_the_last_row_was_read(
    tmp_path_factory: pytest.TempPathFactory, text: str, limit: int
) -> None:
    path = tmp_path_factory.mktemp("law") / "x.jsonl"
    path.write_text('{"a":1}\n' + text, "utf-8")
    read, _ = got(path, ["a"], limit)
    assert read.rows == expected(path, ["a"]).rows[:limit]


@pytest.mark.parametrize(
    "line",
    [
        "[" * 1_000_000,
        '{"a":' * 1_000_000,
        '{"a":' + "[" * 63 + "]" * 63 + "}",
        '{"a":' + "[" * 70 + "]" * 70 + "}",
        '{"a":[' + ",".join('{"k":1,"l":[]}' for _ in range(3_000)) + "]}",
        '{"a":[{' + ",".join(f'"k{i}":{i}' for i in range(3_000)) + "}]}",
        '{"a":[{"k":1,"l":2,"k":3}]}',
        '{"a":[{"k":1,"\\u006b":3}]}',
        "{" + ",".join(f'"k{i}":{i}' for i in range(3_000)) + "}",
        '{"' + "k" * 5_000 + '":1,"a":{"' + "l" * 4_093 + '":{"m":2}}}',
        '{"a":"' + "王" * 3_000_000 + '\\n"}',
        '{"a":"\\ud83d\\ude00","b":"\\ud83d"}',
        '{"a":"\\ude00"}',
        '{"a":"\\ud83d\\u0041"}',
        '{"a":"\\u12"}',
        '{"a":"\\x"}',
        '{"a":-}',
        '{"a":+1}',
        '{"a":1.e5}',
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":1,}',
        '{"a":[1,]}',
        '{"a":[1}}',
        '{"a":1]',
        '{,"a":1}',
        '{"a" 1}',
        "{a:1}",
        "{'a':1}",
        '{"a":1} {"a":2}',
        '{"a":1}x',
        '{"a":"\x01"}',
        '{"a":"b',
        '{"a":tru',
        '{"a":nulL}',
        '"a"',
        "1",
        "null",
        "{",
        "",
        "\ufeff{}",
        "\xa0",
    ],
)
def test_lines_made_to_hurt(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a":1}\n' + line + '\n{"b":2}\n' + line, "utf-8")
    check(path)


def test_ordinary_lines_are_not_left_to_the_parser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.jsonl"
    row = {
        "姓名": '王\n"建国" 😀',
        "d": {"e": {"f": {"g": {"h": [1, 2.50]}}}},
        "l": [{"a": "\u0001/"}, {"a": []}, {}],
        "n": -1.5e-7,
        "t": True,
        "z": None,
    }
    texts = [json.dumps(row, ensure_ascii=plain) for plain in (True, False)]
    path.write_text("\r\n".join([*texts, "", *texts, '{"late": {"x": 1}}']), "utf-8")
    should = expected(path, None)
    names = JsonlSource(path)._names()
    monkeypatch.setattr(JsonlSource, "_names", lambda _: names)
    monkeypatch.setattr(jsonl, "parsed", None)
    read, _ = got(path, None)
    assert read == should
    assert read.late == 1


def test_a_line_too_long_to_hold_is_one_broken_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LONGEST_LINE", 1_000)
    monkeypatch.setattr(lines, "_BLOCK", 100)
    for end in "\n", "\r\n", "\r":
        for size in range(1_000, 1_300, 7):
            path = tmp_path / "x.jsonl"
            long = '{"a":"' + "x" * size + '"}'
            good = '{"a":1}'
            path.write_bytes(end.join([good, good, long, good, long, long, good]).encode())
            read, _ = got(path, None)
            held = 3 - len(read.broken)
            assert len(read.rows) == 4 + held
            assert size < 1_100 or read.broken == [3, 5, 6]


def test_memory_follows_the_block_and_not_the_number_of_columns(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    names = json.dumps({f"k{i}": i for i in range(jsonl._MOST_COLUMNS)})
    path.write_text(names + "\n" + "{}\n" * 50_000, "utf-8")
    source = JsonlSource(path)
    (table,) = source.tables()
    rows = 0
    for batch in source.batches(table):
        assert batch.nbytes <= 32 * 1024**2
        rows += batch.num_rows
    assert rows == 50_001
    assert encoding.LONGEST_LINE == 32 * 1024**2
