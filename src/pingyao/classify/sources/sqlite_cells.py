"""The compiled loop over SQLite's rows: every cell goes from SQLite's page into an Arrow buffer."""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

from functools import cache

import llvmlite.binding as llvm
import numpy as np
import pyarrow as pa
from numba import njit, types

from pingyao.classify.sources import limits, sqlite_library
from pingyao.classify.sources.copying import copy
from pingyao.classify.sources.sqlite_library import DONE, ROW, Handle
from pingyao.classify.sources.sqlite_text import as_utf8

WHOLE, REAL, TEXT, BLOB, NULL = 1, 2, 3, 4, 5
"""Kinds of cells, as SQLite counts them."""
WIDE = 1 << 6
"""Stands beside the kinds met: a number too large to be exact as floating point."""
_EXACT = 2**53
_FULL_BYTES = limits.BYTES * 3 // 4
"""A block ends where it is this large, so that its last row seldom makes it larger than allowed."""
_BLOB_BYTES = limits.BINARY_BYTES
_CELL_BYTES, _SPARE = 16, 64 * 1024
_NUMBER_BYTES = 8

_CRAMPED = -1
"""The loop's answer where a column's buffer is too small for the next cell."""
# Where the loop stands: whole rows, the column it goes on at (or between rows), bytes so far; of a
# cell that found no room, how much it wants and what kind it was.
_ROWS, _AT, _SIZE, _WANTED, _FOUND, _STATE = range(6)
_BETWEEN = -1
# What is known of the buffer of a column's text or blobs: its address, room and use.
_PLACE, _ROOM, _USED, _BUFFER = range(4)


def _function(name: str, returned, *taken):
    return types.ExternalFunction(f"sqlite3_{name}", returned(*taken))


# Found by name when the compiled code is loaded, wherever it was compiled: see `_linked`.
_step = _function("step", types.intc, types.intp)
_type = _function("column_type", types.intc, types.intp, types.intc)
_whole = _function("column_int64", types.int64, types.intp, types.intc)
_real = _function("column_double", types.float64, types.intp, types.intc)
_text = _function("column_text", types.intp, types.intp, types.intc)
_blob = _function("column_blob", types.intp, types.intp, types.intc)
_bytes = _function("column_bytes", types.intc, types.intp, types.intc)


@cache
def _linked() -> None:
    for name, place in sqlite_library.addresses().items():
        llvm.add_symbol(name, place)


class Block:
    """Rows of a query in Arrow's layout.

    Args:
        kinds: of the columns: as which of `WHOLE`, `REAL`, `TEXT` and `BLOB` they come.
        rows: it holds at most.
        widths: bytes a row that each column is expected to need; they grow where it needs more.
    """

    def __init__(self, kinds: list[int], rows: int, widths: list[int] | None = None) -> None:
        self._kinds = np.array(kinds, np.int8)
        self._most = rows
        self._met = np.zeros(len(kinds), np.int64)
        # Numbers, or else where cells end: then as half as wide integers, in the first half.
        self._fixed = np.empty((len(kinds), rows + 1), np.int64)
        self._ends = self._fixed.view(np.int32)
        self._ends[:, 0] = 0
        self._valid = np.zeros((len(kinds), rows // 8 + 1), np.uint8)
        self._buffers = np.zeros((len(kinds), _BUFFER), np.int64)
        self._held = [np.empty(0, np.uint8)] * len(kinds)
        expected = widths or [_CELL_BYTES] * len(kinds)
        likely = min(rows, _FULL_BYTES // sum(expected))
        for position, kind in enumerate(kinds):
            if kind in (TEXT, BLOB):
                self._place(position, np.empty(expected[position] * likely + _SPARE, np.uint8))
        self._state = np.zeros(_STATE, np.int64)
        self._state[_AT] = _BETWEEN

    def fill(self, handle: Handle, statement: int) -> bool:
        """Reads until the block is full; tells whether the query has ended.

        Raises:
            sqlite3.Error: what SQLite says.
        """
        _linked()
        answer = _CRAMPED
        while answer == _CRAMPED:
            answer = _filled(
                *(statement, self._kinds, self._met, self._fixed, self._fixed.view(np.float64)),
                *(self._ends, self._valid, self._buffers, self._state, self._most),
            )
            if answer == _CRAMPED:
                self._widen(self._state[_AT], self._state[_WANTED])
        handle.ok(answer)
        return answer == DONE

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        return int(self._state[_ROWS])

    @property
    def met(self) -> list[int]:
        """The kinds of cells met in each column, a bit for each, and `WIDE`."""
        return self._met.tolist()

    @property
    def widths(self) -> list[int]:
        """Bytes a row that each column took, with something to spare."""
        return (self._buffers[:, _USED] * 9 // (8 * max(self.rows, 1)) + 1).tolist()

    def batch(self, names: list[str]) -> pa.RecordBatch:
        """Returns the rows."""
        arrays = [self._array(position) for position in range(len(names))]
        return pa.RecordBatch.from_arrays(arrays, names=names)

    def _array(self, position: int) -> pa.Array:
        kind, rows = self._kinds[position], self.rows
        valid = pa.py_buffer(self._valid[position]) if self._met[position] & 1 << NULL else None
        if kind in (WHOLE, REAL):
            arrow = pa.int64() if kind == WHOLE else pa.float64()
            return pa.Array.from_buffers(arrow, rows, [valid, pa.py_buffer(self._fixed[position])])
        used = self._held[position][: self._buffers[position, _USED]]
        held = [valid, pa.py_buffer(self._ends[position, : rows + 1]), pa.py_buffer(used)]
        array = pa.Array.from_buffers(pa.string() if kind == TEXT else pa.binary(), rows, held)
        return as_utf8(array) if kind == TEXT else array

    def _widen(self, position: int, wanted: int) -> None:
        _, room, used = self._buffers[position]
        wider = np.empty(max(2 * room, used + wanted + _SPARE), np.uint8)
        wider[:used] = self._held[position][:used]
        self._place(position, wider)

    def _place(self, position: int, buffer: np.ndarray) -> None:
        self._held[position] = buffer
        self._buffers[position, _PLACE] = buffer.ctypes.data
        self._buffers[position, _ROOM] = len(buffer)


def look_through(handle: Handle, statement: int, places: list[int], met: list[int]) -> list[int]:
    """Returns the kinds of cells in some of a query's columns, with those met already.

    It ends early where all of them are to come as text whatever follows.

    Args:
        handle: which the query belongs to.
        statement: the query.
        places: the columns' positions in it.
        met: in these columns so far.

    Raises:
        sqlite3.Error: what SQLite says.
    """
    _linked()
    found = np.array(met, np.int64)
    handle.ok(_looked(statement, np.array(places, np.int64), found))
    return found.tolist()


@njit(cache=True, nogil=True)
def _filled(statement, kinds, met, whole, real, ends, valid, buffers, state, most) -> int:
    """Reads rows; left for want of room, it goes on at the same column of the same row."""
    row, at, size = state[_ROWS], state[_AT], state[_SIZE]
    while True:
        if at == _BETWEEN:
            answer = ROW
            if row < most and size < _FULL_BYTES:
                answer = _step(statement)
            if answer != ROW or row == most or size >= _FULL_BYTES:
                state[_ROWS], state[_AT], state[_SIZE] = row, at, size
                return answer
            at = 0
        for column in range(at, len(kinds)):
            kind = kinds[column]
            # A cell that was converted does not tell any longer what it was.
            found = state[_FOUND] if state[_FOUND] else _type(statement, column)
            state[_FOUND] = 0
            met[column] |= _seen(statement, column, found)
            length = _NUMBER_BYTES
            if kind == WHOLE:
                whole[column, row] = _whole(statement, column)
            elif kind == REAL:
                real[column, row] = _real(statement, column)
            else:
                cell, length = _varying(statement, column, kind, found)
                used = buffers[column, _USED]
                if used + length > buffers[column, _ROOM]:
                    state[_ROWS], state[_AT], state[_SIZE] = row, column, size
                    state[_WANTED], state[_FOUND] = length, found
                    return _CRAMPED
                if length > 0:
                    copy(buffers[column, _PLACE] + used, cell, length)
                buffers[column, _USED] = used + length
                ends[column, row + 1] = used + length
            if found != NULL:
                valid[column, row >> 3] |= 1 << (row & 7)
            size += length
        at = _BETWEEN
        row += 1


@njit(cache=True, nogil=True)
def _varying(statement, column, kind, found):
    """Where a cell's text or bytes are, and how many are taken."""
    if found == NULL:
        return 0, 0
    # The length is that of what was asked for last.
    if kind == TEXT:
        cell = _text(statement, column)
        return cell, _bytes(statement, column)
    cell = _blob(statement, column)
    return cell, min(_bytes(statement, column), _BLOB_BYTES)


@njit(cache=True, nogil=True)
def _looked(statement, places, met) -> int:
    while True:
        answer = _step(statement)
        if answer != ROW:
            return answer
        settled = True
        for order, column in enumerate(places):
            if not must_be_text(met[order]):
                met[order] |= _seen(statement, column, _type(statement, column))
                settled = False
        if settled:
            return DONE


@njit(cache=True, nogil=True)
def _seen(statement, column, kind) -> int:
    """The bits of a cell of this kind."""
    wide = False
    if kind == WHOLE:
        number = _whole(statement, column)
        wide = number <= -_EXACT or number >= _EXACT
    elif kind == REAL:
        value = _real(statement, column)
        wide = value <= -_EXACT or value >= _EXACT
    return 1 << kind | (WIDE if wide else 0)


@njit(cache=True, nogil=True)
def must_be_text(met) -> bool:
    """Tells whether a column that held these is text, whatever else it holds."""
    kinds = met & (1 << WHOLE | 1 << REAL | 1 << TEXT | 1 << BLOB)
    if kinds & 1 << TEXT or (kinds & 1 << BLOB and kinds != 1 << BLOB):
        return True
    return kinds & 1 << REAL != 0 and met & WIDE != 0
