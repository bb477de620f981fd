"""Files written whole or not at all, readable by their owner only."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def state_home() -> Path:
    """Returns where a user's unfinished work is kept."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "pingyao"


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """Gives a file to write that takes its name only when all of it is on disk; mode 0600.

    Whatever goes wrong meanwhile, nobody ever sees half of it.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that nobody ever sees half of it; mode 0600."""
    with replacing(path) as file:
        file.write(content)
