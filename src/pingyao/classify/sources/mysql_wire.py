"""Rows of MySQL's text protocol, split into cells by compiled code as they come from the socket.

The driver logs in, encrypts and asks; of the answer it reads what the columns are. From there on
its own loop would make Python objects of every row and cell.

Cites:
    MySQL, Client/Server Protocol: MySQL Packets, Text Resultset Row, EOF_Packet, ERR_Packet.
"""

# pyright: basic
# Numba compiles these functions with types of its own; what the driver keeps to itself has none.

from collections.abc import Generator
from typing import Any

import numpy as np
import pyarrow as pa
import pymysql
from numba import njit
from pymysql.cursors import SSCursor

from pingyao.classify.sources.copying import copy
from pingyao.classify.sources.relational import BLOCK_BYTES

_ROWS = 65_536
_READ_BYTES = 256 * 1024
_HEADER, _FULL = 4, 0xFFFFFF
_MOST_BYTES = 2**30
"""Bytes of a row that are waited for: more than a server packs."""
# What a length can be instead: no value, or the length of the length.
_NULL, _LONG, _ERROR, _LONG_BYTES = 0xFB, 0xFE, 0xFF, 9
_NEWLINE = np.frombuffer(b"\n", np.uint8)
_LOST = 2013
"""The driver's number for a connection that broke off in an answer."""

_MORE, _ENDED, _FAILED, _DISORDER, _FILLED = range(5)
"""Where splitting stopped: for want of bytes, at the end, at an error, at nonsense, for want of room."""
# The first byte not split yet, the number of the next packet, whole rows, and rows left out.
_AT, _NEXT, _COUNT, _OUT, _STATE = range(5)


class Cells:
    """Cells of some rows, column by column.

    Attributes:
        rows: how many.
        lost: rows beside them that the server could not pack into their first cell.
    """

    def __init__(self, columns: int) -> None:
        self.rows = self.lost = 0
        self.ends = np.zeros((columns, _ROWS + 1), np.int32)
        self.valid = np.zeros((columns, _ROWS // 8), np.uint8)
        self.places = np.zeros(columns, np.int64)
        self._held = [np.empty(0, np.uint8)] * columns

    def lines(self) -> bytes:
        """Returns the first column as lines of text."""
        return self._held[0][: self.ends[0, self.rows]].tobytes()

    def texts(self, position: int) -> pa.Array:
        """Returns a column as text.

        Raises:
            pa.ArrowInvalid: it is no UTF-8.
        """
        ends = self.ends[position, : self.rows + 1]
        held = (self.valid[position], ends, self._held[position][: ends[-1]])
        found = pa.Array.from_buffers(pa.string(), self.rows, [*map(pa.py_buffer, held)])
        found.validate(full=True)
        return found

    @property
    def full(self) -> bool:
        """Tells whether it holds as much as is given out at once."""
        return self.ends[:, self.rows].sum(dtype=np.int64) >= BLOCK_BYTES

    def make_room(self, wanted: int) -> None:
        """Makes sure that every column has room for so many bytes more."""
        for position, buffer in enumerate(self._held):
            used = int(self.ends[position, self.rows])
            if used + wanted > len(buffer):
                wider = np.empty(max(2 * len(buffer), used + wanted), np.uint8)
                wider[:used] = buffer[:used]
                self._held[position] = wider
                self.places[position] = wider.ctypes.data


def cells(cursor: SSCursor, columns: int, *, lines: bool) -> Generator[Cells]:
    """Yields the rows of a query that was just executed, about `BLOCK_BYTES` at a time.

    Args:
        cursor: which executed it.
        columns: it has.
        lines: the first column is a line of text, to be ended as one; a row without is left out.

    Raises:
        pymysql.Error: what the server says, or that the connection broke.
    """
    # The driver keeps its stream to itself.
    driver: Any = cursor
    connection, result = driver.connection, driver._result
    # What is left unread cannot be made sense of any longer: the driver is not to try.
    result.unbuffered_active = False
    block, filled = np.empty(_READ_BYTES, np.uint8), 0
    state = np.zeros(_STATE, np.int64)
    state[_NEXT] = connection._next_seq_id
    found, outcome = Cells(columns), _MORE
    while outcome != _ENDED:
        if outcome == _MORE:
            block, filled = _read(connection, block, state[_AT], filled)
            state[_AT] = 0
        found.make_room(filled)
        outcome = _split(
            block, filled, state, found.ends, found.valid, found.places, lines, _NEWLINE
        )
        found.rows, found.lost = int(state[_COUNT]), int(state[_OUT])
        if outcome == _FAILED:
            pymysql.err.raise_mysql_exception(block[state[_AT] + _HEADER : filled].tobytes())
        if outcome == _DISORDER:
            raise pymysql.err.OperationalError(_LOST, "Packets out of order")
        if outcome in (_ENDED, _FILLED) or found.full:
            yield found
            found, state[_COUNT], state[_OUT] = Cells(columns), 0, 0
    connection._next_seq_id = int(state[_NEXT])
    result.connection = None


def _read(connection: Any, block: np.ndarray, at: int, filled: int) -> tuple[np.ndarray, int]:
    """Reads more behind what is not split yet; returns the block and how far it is filled."""
    rest = block[at:filled]
    wider = np.empty(2 * len(block), np.uint8) if len(rest) == len(block) else block
    wider[: len(rest)] = rest
    try:
        # What has arrived; its readinto1 would wait for more behind what it already holds.
        came = connection._rfile.read1(len(wider) - len(rest))
    except OSError:
        came = b""
    if not came or len(wider) > _MOST_BYTES:
        raise pymysql.err.OperationalError(_LOST, "Lost connection during query")
    filled = len(rest) + len(came)
    wider[len(rest) : filled] = np.frombuffer(came, np.uint8)
    return wider, filled


@njit(cache=True, nogil=True)
def _split(block, size, state, ends, valid, places, lines, newline) -> int:
    """Splits the whole rows that a block holds."""
    most = ends.shape[1] - 1
    while state[_COUNT] < most:
        first, number = state[_AT], state[_NEXT]
        # A row may be of several packets: all full but the last.
        end, length = first, _FULL
        while length == _FULL:
            if end + _HEADER > size:
                return _MORE
            length = _little(block, end, 3)
            if block[end + 3] != number:
                return _DISORDER
            if end + _HEADER + length > size:
                return _MORE
            number = (number + 1) & 0xFF
            end += _HEADER + length
        begin, last = first + _HEADER, end
        if end - begin > _FULL:
            last = _join(block, begin, end)
        mark = block[begin] if last > begin else 0
        if mark == _ERROR:
            return _FAILED
        state[_AT], state[_NEXT] = end, number
        if mark == _LONG and last - begin < _LONG_BYTES:
            return _ENDED
        if lines and mark == _NULL:
            state[_OUT] += 1
            continue
        row = state[_COUNT]
        if not _row(block, begin, last, row, ends, valid, places):
            return _DISORDER
        if lines:
            copy(places[0] + ends[0, row + 1], newline.ctypes.data, 1)
            ends[0, row + 1] += 1
        state[_COUNT] += 1
    return _FILLED


@njit(cache=True, nogil=True)
def _join(block, begin, end) -> int:
    """Moves the parts of a row together, over the headers between them; returns its end."""
    to = begin + _FULL
    at = to
    while at < end:
        length = _little(block, at, 3)
        at += _HEADER
        for step in range(length):
            block[to + step] = block[at + step]
        to += length
        at += length
    return to


@njit(cache=True, nogil=True)
def _row(block, at, end, row, ends, valid, places) -> bool:
    """Copies a row's cells; tells whether they were what the protocol promises."""
    for column in range(len(places)):
        if at >= end:
            return False
        length, wide = np.int64(block[at]), 0
        used = ends[column, row]
        if length == _NULL:
            length = np.int64(0)
        else:
            valid[column, row >> 3] |= 1 << (row & 7)
            if length > _NULL:
                wide = 2 if length == 0xFC else 3 if length == 0xFD else 8
                if length == _ERROR or at + 1 + wide > end:
                    return False
                length = _little(block, at + 1, wide)
        at += 1 + wide
        if length < 0 or length > end - at:
            return False
        copy(places[column] + used, block.ctypes.data + at, length)
        ends[column, row + 1] = used + length
        at += length
    return True


@njit(cache=True, nogil=True)
def _little(block, at, size):
    """Reads a number of so many bytes, the lowest first."""
    number = np.int64(0)
    for step in range(size):
        number |= np.int64(block[at + step]) << 8 * step
    return number
