"""The high-water mark: the last head this sequencer signed, kept apart from the log's own folder.

A log restored from an old backup would sign a smaller tree than the world has seen. The mark lies
elsewhere, so that one restore does not take both back; where a whole machine was taken back, what the
witnesses hold tells. The mark is also the lock that keeps a second sequencer of the same log, in another
folder, from starting.
"""

import fcntl
import hashlib
import os
import sys
import time
from pathlib import Path

from pingyao.kernel.errors import Conflict
from pingyao.platform.files import state_home, write_atomically

_EVERY_SECONDS = 1.0


def default_mark(origin: str) -> Path:
    """Returns where a user's mark of a log lies, unless told otherwise."""
    return state_home() / "ledger" / hashlib.sha256(origin.encode()).hexdigest()[:24]


class Mark:
    """The mark of one log, locked while it is held.

    Raises:
        Conflict: another sequencer holds it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = folder / "head"
        self._lock = lock(folder / "lock")
        self._last = 0.0
        self._pending = ""

    def read(self) -> str | None:
        """Returns the note that was marked last; None when there is none."""
        try:
            return self._path.read_bytes().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return None

    def raise_to(self, note: str) -> None:
        """Marks a signed head; at most once a second it waits for the disk."""
        self._pending = note
        if time.monotonic() - self._last >= _EVERY_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Makes the last marked head durable."""
        if self._pending:
            write_atomically(self._path, self._pending.encode())
            self._pending, self._last = "", time.monotonic()

    def close(self) -> None:
        """Flushes, and lets others have it."""
        try:
            self.flush()
        except OSError:
            print("高水位未能落盘，下次签出检查点时补上", file=sys.stderr)
        finally:
            os.close(self._lock)


def lock(path: Path) -> int:
    """Takes a lock that ends with the process; returns its handle.

    Raises:
        Conflict: another process holds it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise Conflict(
            "ledger.second_sequencer",
            "这个账本正由另一个进程追加",
            "一个账本只能有一个追加者；请停掉另一个，或把条目交给它",
        ) from None
    return handle
