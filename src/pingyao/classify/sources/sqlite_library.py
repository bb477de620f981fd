"""The copy of SQLite that Python's own module uses, called without a Python object per cell.

It has to be that very copy. POSIX takes all of a process's locks on a file away when any descriptor
of the file is closed, and only within one copy does SQLite keep account of what is open: a second
copy could lose the first one's locks, and a writer could then change pages that are being read.

Cites:
    SQLite, "How To Corrupt An SQLite Database File", 2.2 and 2.2.1; C-language Interface.
"""

import _sqlite3
import ctypes
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_void_p
from functools import cache
from typing import Any

OK, ROW, DONE = 0, 100, 101
"""What SQLite answers when all is well: done as asked, a row is there, no further row is there."""

_NAMES = (
    *("OK", "ERROR", "INTERNAL", "PERM", "ABORT", "BUSY", "LOCKED", "NOMEM", "READONLY"),
    *("INTERRUPT", "IOERR", "CORRUPT", "NOTFOUND", "FULL", "CANTOPEN", "PROTOCOL", "EMPTY"),
    *("SCHEMA", "TOOBIG", "CONSTRAINT", "MISMATCH", "MISUSE", "NOLFS", "AUTH", "FORMAT"),
    *("RANGE", "NOTADB"),
)
"""Result codes in the order of their numbers."""
MISMATCH = _NAMES.index("MISMATCH")

_READONLY, _URI, _NO_MUTEX = 0x1, 0x40, 0x8000
TICK = 200_000
"""Steps of SQLite's machine between two looks at the clock."""
_LATE = ctypes.CFUNCTYPE(c_int, c_void_p)
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "sqlite3_libversion": (c_char_p, ()),
    "sqlite3_open_v2": (c_int, (c_char_p, POINTER(c_void_p), c_int, c_char_p)),
    "sqlite3_close_v2": (c_int, (c_void_p,)),
    "sqlite3_busy_timeout": (c_int, (c_void_p, c_int)),
    "sqlite3_limit": (c_int, (c_void_p, c_int, c_int)),
    "sqlite3_progress_handler": (None, (c_void_p, c_int, _LATE, c_void_p)),
    "sqlite3_errmsg": (c_char_p, (c_void_p,)),
    "sqlite3_prepare_v2": (c_int, (c_void_p, c_char_p, c_int, POINTER(c_void_p), c_void_p)),
    "sqlite3_step": (c_int, (c_void_p,)),
    "sqlite3_reset": (c_int, (c_void_p,)),
    "sqlite3_finalize": (c_int, (c_void_p,)),
    "sqlite3_column_type": (c_int, (c_void_p, c_int)),
    "sqlite3_column_int64": (ctypes.c_int64, (c_void_p, c_int)),
    "sqlite3_column_double": (ctypes.c_double, (c_void_p, c_int)),
    "sqlite3_column_text": (c_void_p, (c_void_p, c_int)),
    "sqlite3_column_blob": (c_void_p, (c_void_p, c_int)),
    "sqlite3_column_bytes": (c_int, (c_void_p, c_int)),
}


@cache
def copy_in_use() -> ctypes.CDLL | None:
    """Returns the library; None where Python has it built in and keeps its functions to itself."""
    try:
        # Names are looked for in the module and in what it is linked with.
        found = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        for name, (returned, taken) in _SIGNATURES.items():
            function = getattr(found, name)
            function.restype, function.argtypes = returned, taken
    except (OSError, AttributeError):
        return None
    same = found.sqlite3_libversion().decode() == sqlite3.sqlite_version
    return found if same else None


def addresses() -> dict[str, int]:
    """Returns where the functions are, by name, for compiled code."""
    found = {name: getattr(copy_in_use(), name) for name in _SIGNATURES}
    return {name: ctypes.cast(each, c_void_p).value or 0 for name, each in found.items()}


class Handle:
    """A connection to a file, read-only; used by one thread at a time.

    Args:
        library: what `library` returned.
        uri: of the file.
        busy: seconds to wait for somebody else's lock.
        longest: bytes of a cell or a row, at most.
        late: asked now and then whether to give up.

    Raises:
        sqlite3.Error: as Python's module would.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        uri: str,
        *,
        busy: float,
        longest: int,
        late: Callable[[], bool],
    ) -> None:
        self._library = library
        self._handle = c_void_p()
        # Kept: SQLite remembers only where it is.
        self._late = _LATE(lambda _: late())
        try:
            flags = _READONLY | _URI | _NO_MUTEX
            opened = library.sqlite3_open_v2(uri.encode(), byref(self._handle), flags, None)
            self.ok(opened)
            library.sqlite3_busy_timeout(self._handle, int(busy * 1000))
            library.sqlite3_limit(self._handle, sqlite3.SQLITE_LIMIT_LENGTH, longest)
            library.sqlite3_progress_handler(self._handle, TICK, self._late, None)
            self.run("pragma query_only = on")
            self.run("pragma trusted_schema = off")
        except BaseException:
            self.close()
            raise

    @contextmanager
    def statement(self, sql: str) -> Generator[int]:
        """Prepares a query; yields its address."""
        made = c_void_p()
        said = sql.encode("utf-8", "surrogatepass")
        self.ok(self._library.sqlite3_prepare_v2(self._handle, said, len(said), byref(made), None))
        try:
            yield made.value or 0
        finally:
            self._library.sqlite3_finalize(made)

    def again(self, statement: int) -> None:
        """Puts a query back before its first row."""
        self._library.sqlite3_reset(statement)

    def run(self, sql: str) -> None:
        """Runs a statement for its effect."""
        with self.statement(sql) as statement:
            answer = ROW
            while answer == ROW:
                answer = self._library.sqlite3_step(statement)
            self.ok(answer)

    def ok(self, answer: int) -> None:
        """Raises what a result code other than success says, as Python's module does."""
        if answer in (OK, ROW, DONE):
            return
        # Above the lowest byte there are only details.
        number = answer & 0xFF
        text = self._library.sqlite3_errmsg(self._handle) if self._handle else b""
        error = sqlite3.OperationalError((text or b"").decode("utf-8", "replace"))
        error.sqlite_errorcode = answer
        error.sqlite_errorname = f"SQLITE_{_NAMES[number] if number < len(_NAMES) else 'ERROR'}"
        raise error

    def close(self) -> None:
        """Closes the connection."""
        handle, self._handle = self._handle, c_void_p()
        self._library.sqlite3_close_v2(handle)
