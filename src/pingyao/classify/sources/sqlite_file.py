"""A SQLite file held open for reading, and left as it is: not even a log is created beside it."""

import math
import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from pingyao.classify.sources import limits, sqlite_library
from pingyao.classify.sources.failures import failure
from pingyao.classify.sources.sqlite_errors import explain
from pingyao.classify.sources.sqlite_locks import held

_HEADER_BYTES = 20
_CHARACTER_BYTES = 4
"""Bytes of a character in UTF-8, at most."""


class Stamp(NamedTuple):
    """What tells that a file is still the one it was, and how it is to be opened."""

    inode: int
    size: int
    modified_ns: int
    log: bool
    immutable: bool


class Opened:
    """A file, opened: by Python's module for what is small, by its library for the rows."""

    def __init__(self, path: Path, stamp: Stamp, busy: int) -> None:
        self._uri = f"file:{quote(str(path))}?mode=ro{'&immutable=1' if stamp.immutable else ''}"
        self._busy = busy
        self._longest = _CHARACTER_BYTES * limits.CELL_CHARACTERS
        self._rows: sqlite_library.Handle | None = None
        self.stamp = stamp
        self.deadline = math.inf
        self.connection = sqlite3.connect(
            self._uri, uri=True, timeout=busy, isolation_level=None, check_same_thread=False
        )
        try:
            self.connection.text_factory = bytes
            self.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self._longest)
            self.connection.set_progress_handler(self._late, sqlite_library.TICK)
            self.connection.execute("pragma query_only = on")
            self.connection.execute("pragma trusted_schema = off")
        except BaseException:
            self.close()
            raise

    def rows(self) -> sqlite_library.Handle | None:
        """Returns the connection for rows; None where the library cannot be reached."""
        found = sqlite_library.copy_in_use()
        if self._rows is None and found is not None:
            self._rows = sqlite_library.Handle(
                found, self._uri, busy=self._busy, longest=self._longest, late=self._late
            )
        return self._rows

    def close(self) -> None:
        """Closes what is open."""
        if self._rows is not None:
            self._rows.close()
        self.connection.close()

    def _late(self) -> bool:
        return time.monotonic() > self.deadline


class SQLiteFile:
    """A file that is opened when it is read, and kept open as long as nobody touches it.

    With thousands of tables, reading the schema anew for each would cost more than the rows.
    """

    def __init__(self, path: Path, busy: int) -> None:
        self.path = path
        self._busy = busy
        self._idle: list[Opened] = []

    @contextmanager
    def reading(self, seconds: int, what: str, *, view: bool) -> Generator[Opened]:
        """Lends the file opened, for so long.

        Raises:
            PingyaoError: what SQLite says, translated; or the file changed though nothing held it.
        """
        deadline = time.monotonic() + seconds
        with held(self.path):
            before = self._stamp()
            try:
                opened = self._lend(before)
                opened.deadline = deadline
                try:
                    yield opened
                except BaseException:
                    opened.close()
                    raise
                self._take_back(opened)
            except sqlite3.Error as error:
                raise explain(error, what, view=view) from None
            if before.immutable and before != self._stamp():
                raise failure("scan.file_changed", what)

    def close(self) -> None:
        """Closes the file."""
        while self._idle:
            self._idle.pop().close()

    def _lend(self, stamp: Stamp) -> Opened:
        while self._idle:
            opened = self._idle.pop()
            if opened.stamp == stamp:
                return opened
            opened.close()
        return Opened(self.path, stamp, self._busy)

    def _take_back(self, opened: Opened) -> None:
        # Where somebody keeps a log beside the file, to hold it open would keep the log there.
        if opened.stamp.log:
            opened.close()
        else:
            self._idle.append(opened)

    def _stamp(self) -> Stamp:
        with held(self.path) as descriptor:
            header = os.pread(descriptor, _HEADER_BYTES, 0)
            state = os.fstat(descriptor)
        log = Path(f"{self.path}-wal").exists()
        # In WAL mode with no log beside it, nobody has the file open. Opened the ordinary way,
        # SQLite would create that log, in a directory that is not ours.
        immutable = header[18:] == b"\2\2" and not log
        return Stamp(state.st_ino, state.st_size, state.st_mtime_ns, log, immutable)
