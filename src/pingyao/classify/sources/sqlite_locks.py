"""Looking into a database file without taking away the locks of whoever reads it in this process.

When any descriptor of a file is closed, POSIX lets go of all the locks that the process holds on
the file: SQLite's too, and with them the snapshot of a reader elsewhere in the process. So there is
one descriptor for a file, shared, and closed when nobody in the process reads the file any more.

Cites:
    SQLite, "How To Corrupt An SQLite Database File", 2.2.
"""

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class _Held:
    def __init__(self) -> None:
        self.readers = 0
        self.descriptors: list[int] = []


_held: dict[tuple[int, int], _Held] = {}
_changing = threading.Lock()


@contextmanager
def held(path: Path) -> Generator[int]:
    """Lends the descriptor of a file, for as long as SQLite has it open for reading."""
    with _changing:
        key = _key(path.stat())
        if key not in _held:
            opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            # Another file may have been put in its place just now: then there may be two.
            key = _key(os.fstat(opened))
            _held.setdefault(key, _Held()).descriptors.append(opened)
        file = _held[key]
        file.readers += 1
    try:
        yield file.descriptors[0]
    finally:
        with _changing:
            file.readers -= 1
            if not file.readers:
                del _held[key]
                for descriptor in file.descriptors:
                    os.close(descriptor)


def content(path: Path) -> bytes:
    """Returns all that is in a file."""
    with held(path) as descriptor:
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _key(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino
