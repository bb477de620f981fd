"""How often somebody may ask: so many times a minute, counted in this process, in bounded memory."""

import time
from collections.abc import Callable
from threading import Lock

_SECONDS = 60
_MOST_KEYS = 10_000


class Window:
    """Counts by the minute.

    Args:
        most: how often in a minute.
        monotonic: the clock.
    """

    def __init__(self, most: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most, self._now = most, monotonic
        self._minute, self._lock = 0.0, Lock()
        self._counts: dict[object, int] = {}

    def take(self, key: object) -> int:
        """Counts one request; returns 0 if it may pass, else the seconds to wait."""
        with self._lock:
            now = self._now()
            if now >= self._minute + _SECONDS:
                self._minute = now
                self._counts.clear()
            # Whoever comes from ever new addresses shares one count with all that do.
            if key not in self._counts and len(self._counts) >= _MOST_KEYS:
                key = None
            count = self._counts.get(key, 0) + 1
            self._counts[key] = count
            return 0 if count <= self._most else int(self._minute + _SECONDS - now) + 1


class Limits:
    """The counts of a node: strangers by address, people and programs by account.

    What is open to all has a count of its own: whoever mirrors a log shuts nobody out.
    """

    def __init__(self) -> None:
        self.sign_ins = Window(60)
        self.strangers = Window(600)
        self.open = Window(1200)
        self.nodes = Window(6000)
        self.accounts = Window(1200)
