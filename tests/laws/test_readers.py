"""Readers against slow and obvious references: the same cells come out of any bytes."""

import csv
import io
import sqlite3
from contextlib import closing

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingyao.classify.model import Column, Table
from pingyao.classify.sources import encoding
from pingyao.classify.sources.bytes import gb18030_to_utf8, is_utf8, rows_end
from pingyao.classify.sources.csv import CsvSource
from pingyao.classify.sources.relational import Field, parse_rows
from pingyao.classify.sources.sqlite import open_sqlite
from pingyao.kernel.errors import PingyaoError

# Few letters, so that quotes, delimiters and line breaks meet in every way.
scraps = st.text(st.sampled_from('a,"\n\r;王€😀 '), max_size=60)
ENCODINGS = ("utf-8", "utf-8-sig", "gb18030", "utf-16")


def split(text: str) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(text, newline="")) if row]


@settings(max_examples=400, deadline=None)
@given(text=scraps, where=st.sampled_from(ENCODINGS), block=st.integers(1, 40))
def test_delimited_text_is_split_as_the_standard_library_does(
    tmp_path_factory: pytest.TempPathFactory, text: str, where: str, block: int
) -> None:
    path = tmp_path_factory.mktemp("law") / "x.csv"
    content = 'k,"甲",z\n' + text
    path.write_bytes(content.encode(where))
    rows = split(content)[1:]
    table = Table("", "x", columns=tuple(map(Column, ("k", "甲", "z"))))
    got: list[list[str]] = []
    told = ""
    source = CsvSource(path)
    # What the beginning looks like decides on encoding, delimiter and header: not what is tried.
    layout = source._layout()._replace(
        encoding=where, names=["k", "甲", "z"], delimiter=",", has_header=True
    )
    source._layout = lambda: layout
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "_BLOCK", block)
        try:
            for batch in source.batches(table):
                got += map(list, zip(*(c.to_pylist() for c in batch.columns), strict=True))
        except PingyaoError as error:
            told = error.code
    assert got == [row for row in rows if len(row) == 3]
    if any(len(row) != 3 for row in rows):
        assert told == "scan.odd_rows"


@settings(max_examples=400, deadline=None)
@given(scraps)
def test_rows_end_where_the_standard_library_ends_one(text: str) -> None:
    end = rows_end(text.encode(), ",")
    head, tail = text.encode()[:end].decode(), text.encode()[end:].decode()
    assert split(head) + split(tail) == split(text)
    assert not end or head[-1] in "\n\r"


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda t: t.encode("gb18030")))
def test_bytes_are_read_as_the_codecs_do(raw: bytes) -> None:
    try:
        expected = raw.decode("gb18030").encode()
    except UnicodeDecodeError:
        expected = None
    quick = gb18030_to_utf8(raw)
    assert quick in (expected, None)
    if expected is not None and all(len(c.encode("gb18030")) < 4 for c in expected.decode()):
        assert quick == expected
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        assert not is_utf8(raw)
    else:
        assert is_utf8(raw)


def test_every_character_of_gb18030_in_one_or_two_bytes() -> None:
    pairs = [bytes((a, b)) for a in range(0x81, 0xFF) for b in range(0x40, 0xFF) if b != 0x7F]
    for pair in [bytes((n,)) for n in range(128)] + pairs:
        assert gb18030_to_utf8(pair) == pair.decode("gb18030").encode(), pair


cells = st.none() | st.text(max_size=12)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_rows_of_servers_keep_null_and_nothing_apart(rows: list[tuple[str | None, ...]]) -> None:
    def wire(cell: str | None) -> str:
        return "" if cell is None else '"' + cell.replace('"', '""') + '"'

    text = "".join(",".join(map(wire, row)) + "\n" for row in rows)
    fields = [Field(name, name, pa.string()) for name in "ab"]
    batch = parse_rows(text.encode(), fields)
    assert [*zip(*(c.to_pylist() for c in batch.columns), strict=True)] == rows


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | st.binary(max_size=9), min_size=1, max_size=9), st.booleans())
def test_bytes_of_servers_arrive_from_their_digits(cells: list[bytes | None], upper: bool) -> None:
    digits = [None if c is None else c.hex().upper() if upper else c.hex() for c in cells]
    text = "".join("\n" if d is None else f'"{d}"\n' for d in digits)
    batch = parse_rows(text.encode(), [Field("a", "a", pa.binary())])
    assert batch.column(0).to_pylist() == cells


@pytest.mark.parametrize("digits", ["0", "0g", "0123 ", "é", "0\n", "abc"])
def test_what_are_no_digits_is_refused(digits: str) -> None:
    with pytest.raises(pa.ArrowInvalid):
        parse_rows(f'"00"\n"{digits}"\n"{digits}"\n'.encode(), [Field("a", "a", pa.binary())])


stored = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(stored, stored), min_size=1, max_size=30),
    st.sampled_from(["INTEGER", "TEXT", "NUMERIC(9,2)", ""]),
)
def test_a_database_file_gives_what_it_holds(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[object, ...]], declared: str
) -> None:
    path = tmp_path_factory.mktemp("law") / "x.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"CREATE TABLE t (a {declared}, b)")
        db.executemany("INSERT INTO t VALUES (?, ?)", rows)
        db.commit()
        held = db.execute("SELECT a, b, CAST(a AS TEXT), CAST(b AS TEXT) FROM t").fetchall()
    with closing(open_sqlite(path)) as source:
        (table,) = source.tables()
        assert isinstance(table, Table)
        batches = list(source.batches(table))
    for at in range(2):
        column = [cell for batch in batches for cell in batch.column(at).to_pylist()]
        kinds = {type(row[at]) for row in held} - {type(None)}
        if kinds == {int} or (kinds <= {int, float} and pa.float64() == batches[0].column(at).type):
            assert column == [row[at] for row in held]
        else:
            assert column == [row[at + 2] for row in held]
