"""What the adapters of database servers share: connections to reuse, rows that arrive as CSV text.

Both servers are asked to write rows as CSV themselves, and Arrow parses whole blocks of them: no
row and no cell becomes a Python object, and one parser settles NULL, quoting and types for both.
"""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Generic, Protocol, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow import compute, csv

from pingyao.classify.sources import limits

BLOCK_BYTES = 2 * 1024 * 1024
"""Bytes of text parsed at once, at least (the last row may exceed it): few enough for a CPU's cache."""

_NO_DIGIT = 0xFF
_DIGITS = np.full(256, _NO_DIGIT, np.uint8)
_DIGITS[np.frombuffer(b"0123456789abcdef", np.uint8)] = range(16)
_DIGITS[np.frombuffer(b"0123456789ABCDEF", np.uint8)] = range(16)


class Closable(Protocol):
    """A connection, as far as the pool cares."""

    def close(self) -> object:
        """Ends the connection."""
        ...


C = TypeVar("C", bound=Closable)


class Connections(Generic[C]):
    """Connections that are kept for the next table, unless something went wrong on them.

    Args:
        connect: opens one.
    """

    def __init__(self, connect: Callable[[], C]) -> None:
        self._connect = connect
        self._idle: list[C] = []

    @contextmanager
    def use(self) -> Generator[C]:
        """Lends a connection; one that failed, or whose reader left early, is closed for good."""
        connection = self._idle.pop() if self._idle else self._connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def close(self) -> None:
        """Closes all that are idle."""
        while self._idle:
            self._idle.pop().close()


class Field(msgspec.Struct, frozen=True):
    """How a column travels.

    Attributes:
        name: of the column.
        select: SQL that yields it as the parser expects it.
        type: Arrow type it is parsed to; binary arrives as hexadecimal digits.
    """

    name: str
    select: str
    type: pa.DataType


def parse_rows(text: bytes | bytearray, fields: list[Field]) -> pa.RecordBatch:
    """Parses CSV rows: an unquoted nothing is NULL, a quoted one the empty string.

    Text that is not UTF-8 (a database that never declared its encoding) is read as GB18030, and
    if it is not that either, what cannot be read becomes U+FFFD.

    Raises:
        pa.ArrowInvalid: when the text does not fit the fields.
    """
    try:
        columns = _parsed(text, fields)
    except pa.ArrowInvalid:
        mended = decoded(text).encode()
        if mended == text:
            raise
        columns = _parsed(mended, fields)
    arrays = [
        _unhexed(array) if pa.types.is_binary(field.type) else array
        for array, field in zip(columns, fields, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, names=[field.name for field in fields])


def _parsed(text: bytes | bytearray, fields: list[Field]) -> list[pa.Array]:
    positions = [str(number) for number in range(len(fields))]
    wire = [pa.string() if pa.types.is_binary(field.type) else field.type for field in fields]
    table = csv.read_csv(
        pa.BufferReader(text),
        csv.ReadOptions(column_names=positions, use_threads=False, block_size=len(text) + 1),
        csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        csv.ConvertOptions(
            column_types=dict(zip(positions, wire, strict=True)),
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return [column.combine_chunks() for column in table.columns]


def ahead(blocks: Generator[bytearray]) -> Generator[bytearray]:
    """Yields the blocks; from the second on, a thread fetches the next while one is parsed."""
    with closing(blocks):
        first = next(blocks, None)
        if first is None:
            return
        if len(first) < BLOCK_BYTES:
            yield first
            return
        with ThreadPoolExecutor(1) as fetcher:  # whose end is awaited before the blocks are closed
            block: bytearray | None = first
            while block is not None:
                coming = fetcher.submit(next, blocks, None)
                yield block
                block = coming.result()


def cut(batch: pa.RecordBatch) -> bool:
    """Tells whether a cell of the batch came cut at `limits.CELL_CHARACTERS`."""
    if batch.nbytes < limits.CELL_CHARACTERS:
        return False
    strings = (column for column in batch.columns if pa.types.is_string(column.type))
    return any(_longest(column) >= limits.CELL_CHARACTERS for column in strings)


def _longest(column: pa.Array) -> int:
    lengths = compute.call_function("utf8_length", [column])
    return compute.call_function("max", [lengths]).as_py() or 0


def decoded(text: bytes | bytearray) -> str:
    """Decodes UTF-8, or else GB18030; of what is neither, the unreadable becomes U+FFFD."""
    for encoding in ("utf-8", "gb18030"):
        try:
            return text.decode(encoding)
        except UnicodeDecodeError:
            continue
    return text.decode("utf-8", errors="replace")


def _unhexed(array: pa.Array) -> pa.Array:
    """Returns the bytes that hexadecimal digits stand for.

    Raises:
        pa.ArrowInvalid: they are no such digits, or an odd number of them.
    """
    _, places, text = array.buffers()
    ends = np.frombuffer(places, np.int32)[array.offset : array.offset + len(array) + 1]
    digits = np.frombuffer(text or b"", np.uint8)[ends[0] : ends[-1]]
    halves = _DIGITS[digits]
    ends = ends - ends[0]
    if (halves == _NO_DIGIT).any() or (ends % 2).any():
        raise pa.ArrowInvalid("no hexadecimal digits")
    held = pa.py_buffer(halves[::2] << 4 | halves[1::2])
    valid = pa.py_buffer(np.packbits(array.is_valid().to_numpy(False), bitorder="little"))
    return pa.Array.from_buffers(pa.binary(), len(array), [valid, pa.py_buffer(ends // 2), held])
