"""What is known of a file at the moment it is taken in: its hashes, its name, who, where, by which clock."""

import ctypes
import getpass
import hashlib
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pingyao.kernel.errors import Conflict, Invalid, NotFound
from pingyao.ledger.formats.record import Facts

_BLOCK = 1 << 20
# adjtimex(2): the clock is not synchronised.
_TIME_ERROR = 5


def take_in(path: Path, operator: str = "", progress: Callable[[int], None] | None = None) -> Facts:
    """Reads a file once and says what is known of it.

    Args:
        operator: who submits it; by default who is signed in.
        progress: is told how many bytes were read.

    Raises:
        NotFound: there is no such file.
        Invalid: it is no file, or cannot be read.
        Conflict: it changed while it was read.
    """
    sha256, sm3, size = hashlib.sha256(), hashlib.new("sm3"), 0
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            while block := file.read(_BLOCK):
                sha256.update(block)
                sm3.update(block)
                size += len(block)
                if progress is not None:
                    progress(size)
            after = os.fstat(file.fileno())
    except FileNotFoundError:
        raise NotFound("ledger.no_file", f"没有文件 {path.name}", "请核对路径") from None
    except OSError:
        raise Invalid("ledger.unreadable", f"{path.name} 无法读取", "请检查文件与权限") from None
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise Conflict("ledger.file_changing", f"{path.name} 正被改写", "请待其写完后再登记")
    return Facts(
        name=path.name.encode("utf-8", "replace").decode(),
        size=size,
        sha256=sha256.hexdigest(),
        sm3=sm3.hexdigest(),
        modified_at=_utc(after.st_mtime),
        operator=operator or getpass.getuser(),
        system=f"{platform.node()} pingyao/{version('pingyao')}",
        time_source=time_source(),
    )


def time_source() -> str:
    """Says what set the clock, as far as the kernel knows: it knows only whether something keeps it."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        # struct timex begins with the modes; all zero only asks. It is 208 bytes at most.
        state = libc.adjtimex(ctypes.create_string_buffer(256))
    except (OSError, AttributeError):
        return "system clock, synchronisation unknown"
    if state < 0:
        return "system clock, synchronisation unknown"
    return "system clock, " + ("not synchronised" if state == _TIME_ERROR else "synchronised")


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
