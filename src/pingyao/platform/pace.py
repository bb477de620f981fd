"""Holds work back: so many rows a second, and none at all in quiet hours."""

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from datetime import time as clock

from pingyao.kernel.errors import Invalid

_SPAN = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)")

_NAP = 1.0


def quiet_span(text: str) -> tuple[clock, clock]:
    """Reads ``08:30-20:00``; the end may be before the beginning, for a span over midnight.

    Raises:
        Invalid: it is not such a span, or has no length.
    """
    found = _SPAN.fullmatch(text.strip())
    begin, end = clock(), clock()
    if found:
        hours = [int(n) for n in found.groups()]
        begin, end = clock(hours[0], hours[1]), clock(hours[2], hours[3])
    if begin == end:
        raise Invalid(
            "scan.bad_quiet_hours", f"时段“{text[:20]}”写法有误", "请写成 08:30-20:00，当地时间"
        )
    return begin, end


def quiet_until(now: datetime, span: tuple[clock, clock]) -> datetime | None:
    """Returns when the quiet hours that ``now`` lies in end; None outside of them."""
    begin, end = span
    today = now.time()
    over_midnight = end < begin
    inside = (today >= begin or today < end) if over_midnight else begin <= today < end
    if not inside:
        return None
    day = now.date() + timedelta(days=over_midnight and today >= begin)
    return datetime.combine(day, end, now.tzinfo)


class Pace:
    """Returns from a call when work may go on.

    Args:
        rows_per_second: at most, over the whole run; None for no bound.
        quiet: hours of the local day in which nothing is read.
        waiting: told until when it waits, once for each wait.
    """

    def __init__(
        self,
        rows_per_second: float | None = None,
        quiet: tuple[clock, clock] | None = None,
        waiting: Callable[[datetime], None] | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._rate = rows_per_second
        self._quiet = quiet
        self._waiting = waiting
        self._sleep, self._monotonic, self._now = sleep, monotonic, now
        self._free_at = monotonic()

    def __call__(self, rows: int, /) -> bool:
        """Waits as long as these rows, just read, take at the rate allowed.

        Returns:
            Whether the quiet hours have begun: let go of what is read, and `wait`.
        """
        if self._rate:
            self._free_at = max(self._free_at, self._monotonic()) + rows / self._rate
            # In short naps: a slow pace must not sleep through the beginning of the quiet hours.
            rest = self._free_at - self._monotonic()
            while rest > 0 and self._until() is None:
                nap = min(rest, _NAP)
                self._sleep(nap)
                rest -= nap
        return self._until() is not None

    def wait(self) -> None:
        """Waits through quiet hours."""
        until = self._until()
        if until is not None and self._waiting is not None:
            self._waiting(until)
        while until is not None:
            self._sleep(min(30.0, max(0.1, (until - self._now()).total_seconds())))
            until = self._until()

    def _until(self) -> datetime | None:
        return quiet_until(self._now(), self._quiet) if self._quiet else None
