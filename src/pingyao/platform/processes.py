"""Processes we started and must find again: by number and start time, so that no other is ever touched."""

import os
import signal
import time
from pathlib import Path

import msgspec

from pingyao.kernel.errors import Unavailable

_PATIENCE = 10.0


class Process(msgspec.Struct, frozen=True):
    """A process on this machine.

    Attributes:
        started: clock ticks since boot; with the number it names one process until the next boot.
        boot: which boot that was.
    """

    pid: int
    started: int
    boot: str


def remember(pid: int) -> Process:
    """Returns what tells a running process from a later one of the same number.

    Raises:
        Unavailable: it is gone already.
    """
    found = _look(pid)
    if found is None:
        raise Unavailable("process.gone", "进程刚启动就退出了", "请查看其日志")
    return found


def runs(process: Process) -> bool:
    """Tells whether this very process still runs."""
    return _look(process.pid) == process


def stop(process: Process) -> bool:
    """Ends a process: asks, waits, then insists; tells whether it ran at all.

    The handle is taken before the process is looked at, so that the signal cannot reach another that
    got its number meanwhile.
    """
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not runs(process):
            return False
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                signal.pidfd_send_signal(handle, sign)
            except ProcessLookupError:
                return True
            until = time.monotonic() + _PATIENCE
            while time.monotonic() < until:
                if not runs(process):
                    return True
                time.sleep(0.05)
        return True
    finally:
        os.close(handle)


def _look(pid: int) -> Process | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    if fields[0] in ("Z", "X"):  # ended, and nobody has asked how
        return None
    return Process(pid, int(fields[19]), boot)
