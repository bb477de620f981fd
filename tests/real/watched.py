"""A process that tells what it has done, and is killed after it did some of it: whatever the machine's speed."""

import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from typing import Any

Tell = Callable[..., None]
# A trial that gets nowhere in this time is a failure, not a slow machine.
PATIENCE = 120.0


class Watched:
    """Runs in a process of its own until it is killed.

    Args:
        run: is given what it tells its progress with.
        room: no file of it may grow beyond so many bytes.
    """

    def __init__(self, run: Callable[[Tell], None], room: int | None = None) -> None:
        self._reading, writing = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._reading)
            _work(run, writing, room)
        os.close(writing)
        self._data, self._read, self._ended = b"", 0, False
        self.told: list[list[Any]] = []

    def wait_for(self, kind: str, count: int) -> bool:
        """Waits until it told something so many times; returns whether it did before it ended of itself."""
        until = time.monotonic() + PATIENCE
        while self.count(kind) < count and not self._ended:
            if time.monotonic() > until:
                raise AssertionError(f"no progress: {self.told[-3:]}")
            self._gather(1.0)
        return self.count(kind) >= count

    def count(self, kind: str) -> int:
        """Returns how often it told something."""
        return sum(t[0] == kind for t in self.told)

    def kill(self, after: float = 0.0) -> list[list[Any]]:
        """Kills it, some seconds from now; returns all that it told."""
        time.sleep(after)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        while not self._ended:
            self._gather(1.0)
        os.close(self._reading)
        return self.told

    def _gather(self, seconds: float) -> None:
        if not select.select([self._reading], [], [], seconds)[0]:
            return
        more = os.read(self._reading, 1 << 20)
        self._ended = not more
        *lines, self._data = (self._data + more).split(b"\n")
        self.told += map(json.loads, lines)
        for told in self.told:
            if told[0] == "failed":
                raise AssertionError(told[1])


def _work(run: Callable[[Tell], None], out: int, room: int | None) -> None:
    def tell(*what: object) -> None:
        os.write(out, json.dumps(what).encode() + b"\n")

    try:
        if room is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        run(tell)
    except BaseException as error:
        tell("failed", repr(error))
    finally:
        os._exit(1)
