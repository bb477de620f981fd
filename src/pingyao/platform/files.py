"""Files written whole or not at all, readable by their owner only."""

import os
import tempfile
from pathlib import Path


def state_home() -> Path:
    """Returns where a user's unfinished work is kept."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "pingyao"


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that nobody ever sees half of it; mode 0600."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
