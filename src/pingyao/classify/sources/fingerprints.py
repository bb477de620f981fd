"""Fingerprints of files: what changes whenever a file's content does."""

import hashlib
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

_WHOLE_BYTES = 16 * 1024 * 1024
"""Up to this size a file is hashed, which takes a hundredth of a second."""
_SETTLED_SECONDS = 2.0
"""Coarsest time a file system keeps; a file written since may be written again unnoticed."""
_BESIDE = ("-wal", "-journal", ".wal")
"""Logs beside a database file, part of its content until they are merged into it."""


def file_fingerprint(path: Path, content: Callable[[Path], bytes] = Path.read_bytes) -> str | None:
    """Returns the fingerprint of a file and of the logs beside it.

    Small files are known by their content, wherever they are copied. Large ones by inode, size,
    and the times of the last change of content and of state; the latter no program can set back.
    Parquet's footer would not do: it holds no checksum of the pages.

    Args:
        path: of the file.
        content: reads a small file whole.

    Returns:
        None for a large file written a moment ago, or one that cannot be read.
    """
    try:
        parts = [
            (suffix, _fingerprint(each, content))
            for suffix in ("", *_BESIDE)
            if (each := path.with_name(path.name + suffix)).exists()
        ]
    except OSError:
        return None
    if not parts or any(part is None for _, part in parts):
        return None
    return " ".join(f"{suffix}{part}" for suffix, part in parts)


def _fingerprint(path: Path, content: Callable[[Path], bytes]) -> str | None:
    state = path.stat()
    if state.st_size <= _WHOLE_BYTES:
        return _digest(
            path, content, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
        )
    changed = max(state.st_mtime_ns, state.st_ctime_ns)
    # A time in the future says nothing of what happens until then.
    if time.time_ns() - changed < _SETTLED_SECONDS * 1e9:
        return None
    return f"stat:{state.st_ino}.{state.st_size}.{state.st_mtime_ns}.{state.st_ctime_ns}"


@lru_cache(maxsize=64)
def _digest(path: Path, content: Callable[[Path], bytes], *state: int) -> str:
    """Hashes a file once for all its tables, as long as its state stays the same."""
    del state
    return "sha256:" + hashlib.sha256(content(path)).hexdigest()
