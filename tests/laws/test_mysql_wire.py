"""MySQL's text protocol, split in compiled code, against bytes put together by the book."""

import io
from types import SimpleNamespace
from typing import Any

import pymysql
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingyao.classify.sources import mysql_wire

Row = tuple[bytes | None, ...]
FULL = 0xFFFFFF
END = b"\xfe\0\0\2\0"


def cell(value: bytes | None) -> bytes:
    if value is None:
        return b"\xfb"
    size = len(value)
    for limit, mark, width in ((251, b"", 1), (2**16, b"\xfc", 2), (2**24, b"\xfd", 3)):
        if size < limit:
            return mark + size.to_bytes(width, "little") + value
    return b"\xfe" + size.to_bytes(8, "little") + value


def packets(payloads: list[bytes], number: int) -> bytes:
    sent = bytearray()
    for payload in payloads:
        for start in range(0, len(payload) + 1, FULL):
            part = payload[start : start + FULL]
            sent += len(part).to_bytes(3, "little") + bytes([number]) + part
            number = (number + 1) % 256
    return bytes(sent)


def answer(rows: list[Row], last: bytes = END, number: int = 0) -> bytes:
    return packets([*(b"".join(map(cell, row)) for row in rows), last], number)


def split(
    sent: bytes, columns: int, *, number: int = 0, lines: bool = False, piece: int = 9999
) -> tuple[list[Any], Any]:
    class Stream(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return super().read1(min(size or 0, piece))

    connection = SimpleNamespace(_rfile=Stream(sent), _next_seq_id=number)
    result = SimpleNamespace(connection=connection, unbuffered_active=True)
    cursor: Any = SimpleNamespace(connection=connection, _result=result)
    try:
        return list(mysql_wire.cells(cursor, columns, lines=lines)), connection
    finally:
        assert not result.unbuffered_active


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=9) | st.sampled_from(
    ["长" * 100, "y" * 250, "z" * 251, "x" * 65_535, "w" * 65_536]
)
cells = st.none() | texts.map(str.encode)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[cells] * n), max_size=9)),
    number=st.integers(0, 255),
    piece=st.sampled_from([1, 5, 70_000]),
)
def test_cells_come_as_they_were_sent(rows: list[Row], number: int, piece: int) -> None:
    columns = len(rows[0]) if rows else 1
    if piece == 1:
        rows = [tuple(c and c[:250] for c in row) for row in rows]
        rows = [tuple(c and c.decode("utf-8", "ignore").encode() for c in row) for row in rows]
    found, connection = split(answer(rows, number=number), columns, number=number, piece=piece)
    got = [
        row
        for block in found
        for row in zip(*(block.texts(n).to_pylist() for n in range(columns)), strict=True)
    ]
    assert got == [tuple(None if c is None else c.decode() for c in row) for row in rows]
    assert connection._next_seq_id == (number + len(rows) + 1) % 256


@pytest.mark.parametrize("size", [FULL - 5, FULL - 4, FULL, 2 * FULL - 9, 2 * FULL + 7])
def test_a_row_of_several_packets_is_one_row(size: int) -> None:
    rows: list[Row] = [(b"a" * size,), (b"b",)]
    found, _ = split(answer(rows), 1, piece=1 << 20)
    assert [c.as_py() for b in found for c in b.texts(0)] == ["a" * size, "b"]


def test_rows_that_could_not_be_packed_are_counted() -> None:
    found, _ = split(answer([(b"1,2", b"x"), (None, b"y"), (b"", None)]), 2, lines=True)
    assert [(b.lines(), b.rows, b.lost, b.texts(1).to_pylist()) for b in found] == [
        (b"1,2\n\n", 2, 1, ["x", None])
    ]


WHOLE = answer([(b"one", b"two"), (b"three", None)])
ERROR = b"\xff" + (1317).to_bytes(2, "little") + b"#70100Query was interrupted"


@pytest.mark.parametrize("kept", [0, 1, 4, 9, len(WHOLE) - 1])
def test_a_connection_that_breaks_is_told(kept: int) -> None:
    with pytest.raises(pymysql.err.OperationalError) as caught:
        split(WHOLE[:kept], 2)
    assert caught.value.args[0] == 2013


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x01a",
        b"\x01a\x09b",
        b"\x01a\xfc\xff",
        b"\x01a\xfd\xff\xff\xff",
        b"\x01a\xfe" + b"\xff" * 8,
        b"\x01a\xfe" + b"\0" * 7 + b"\x80",
        b"\x01a\xff",
    ],
)
def test_what_is_no_row_is_refused(payload: bytes) -> None:
    with pytest.raises(pymysql.err.OperationalError) as caught:
        split(packets([payload, END], 0), 2)
    assert caught.value.args[0] == 2013


def test_packets_out_of_order_are_refused() -> None:
    with pytest.raises(pymysql.err.OperationalError):
        split(answer([(b"a",)], number=3), 1, number=2)


def test_an_error_among_the_rows_is_the_servers() -> None:
    with pytest.raises(pymysql.err.OperationalError) as caught:
        split(answer([(b"a",), (b"b",)], last=ERROR), 1)
    assert caught.value.args[0] == 1317


def test_bytes_that_are_no_text_are_refused() -> None:
    found, _ = split(answer([(b"\xff\xfe",)]), 1)
    with pytest.raises(ValueError, match="UTF8"):
        found[0].texts(0)
