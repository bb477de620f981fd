"""How far a scan came, kept in files, so that it goes on where it was interrupted."""

import fcntl
import hashlib
import os
import shutil
import time
from pathlib import Path
from types import TracebackType

import msgspec

from pingyao.classify.model import Column, Table
from pingyao.classify.reading import Part
from pingyao.platform.files import write_atomically

_EVERY_SECONDS = 5.0
_ENCODE = msgspec.json.Encoder().encode


class _Entry(msgspec.Struct, frozen=True):
    """What was seen of a table, and the columns it had then."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    part: Part


_DECODE = msgspec.json.Decoder(_Entry).decode


def scan_key(*words: object) -> str:
    """Returns the name of the folder for a scan of this source, in this way."""
    text = "\0".join(map(str, words))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class FileJournal:
    """Keeps every finished table in one file and the one being read in another.

    What is kept holds no values, but hashes of some of them: files are their owner's alone, and
    are removed when the scan is complete. Nothing is flushed to the disk for every table: a power
    failure costs some tables' reading, never a wrong result.

    Args:
        folder: of this scan alone.
        resume: go on from what is there; otherwise begin anew.
        every: seconds between two records of the table being read.
    """

    def __init__(self, folder: Path, *, resume: bool, every: float = _EVERY_SECONDS) -> None:
        self._folder = folder
        self._every = every
        self._last = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise
        self._current = folder / "current.json"
        done = folder / "done.jsonl"
        if not resume:
            self._current.unlink(missing_ok=True)
            done.unlink(missing_ok=True)
        self._known = _read(done) | _read(self._current)
        self.found = len(self._known)
        self._done = os.fdopen(os.open(done, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")

    def __enter__(self) -> "FileJournal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def restore(self, table: Table) -> Part | None:
        """Returns how far a table was read; what failed is tried again from there."""
        entry = self._known.get((table.schema, table.name))
        if entry is None or entry.columns != table.columns:
            return None
        if entry.part.failure is not None:
            return msgspec.structs.replace(entry.part, failure=None, done=False)
        return entry.part

    def due(self) -> bool:
        """Tells whether the seconds between two records have passed."""
        return time.monotonic() - self._last >= self._every

    def keep(self, table: Table, part: Part) -> None:
        """Keeps how far a table was read."""
        write_atomically(self._current, _line(table, part))
        self._last = time.monotonic()

    def finish(self, table: Table, part: Part) -> None:
        """Keeps a table that was read to its end, or as far as it could be."""
        self._done.write(_line(table, part))
        self._done.flush()
        self._current.unlink(missing_ok=True)

    def discard(self) -> None:
        """Removes everything: the scan is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Lets go of the files."""
        self._done.close()
        os.close(self._lock)


def _line(table: Table, part: Part) -> bytes:
    return _ENCODE(_Entry(table.schema, table.name, table.columns, part)) + b"\n"


def _read(path: Path) -> dict[tuple[str, str], _Entry]:
    """Reads what is whole; a line that was being written when the power went is cut off."""
    found: dict[tuple[str, str], _Entry] = {}
    whole = 0
    if not path.exists():
        return found
    with path.open("r+b") as file:
        for line in file:
            try:
                entry = _DECODE(line) if line.endswith(b"\n") else None
            except msgspec.DecodeError:
                entry = None
            if entry is None:
                break
            whole += len(line)
            found[entry.schema, entry.name] = entry
        file.truncate(whole)
    return found
