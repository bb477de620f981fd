"""Holding back: rates kept on average, quiet hours to the minute, midnight and all."""

from datetime import datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingyao.kernel.errors import Invalid
from pingyao.platform.pace import Pace, quiet_span, quiet_until

CHINA = timezone(timedelta(hours=8))


class Clock:
    """A clock that only moves when somebody sleeps."""

    def __init__(self, hour: int = 12, minute: int = 0) -> None:
        self.begun = datetime(2026, 3, 1, hour, minute, tzinfo=CHINA)
        self.slept = 0.0

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept += seconds

    def monotonic(self) -> float:
        return self.slept

    def now(self) -> datetime:
        return self.begun + timedelta(seconds=self.slept)


def pace(
    clock: Clock,
    rate: float | None = None,
    quiet: str | None = None,
    told: list[datetime] | None = None,
) -> Pace:
    return Pace(
        rate,
        quiet_span(quiet) if quiet else None,
        told.append if told is not None else None,
        sleep=clock.sleep,
        monotonic=clock.monotonic,
        now=clock.now,
    )


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=30), st.floats(10, 1e6))
def test_the_rate_is_kept_on_average(batches: list[int], rate: float) -> None:
    clock = Clock()
    keep = pace(clock, rate)
    for rows in batches:
        assert keep(rows) is False
    assert clock.slept == pytest.approx(sum(batches) / rate)


def test_without_bounds_nothing_waits() -> None:
    clock = Clock()
    keep = pace(clock)
    assert keep(10**9) is False
    keep.wait()
    assert clock.slept == 0


def test_in_quiet_hours_it_lets_go_and_waits_to_their_end() -> None:
    clock, told = Clock(8, 29), list[datetime]()
    keep = pace(clock, quiet="8:30-20:00", told=told)
    assert keep(1) is False
    clock.slept += 60
    assert keep(1) is True
    keep.wait()
    assert clock.now().time() >= time(20)
    assert clock.now().time() < time(20, 1)
    assert [t.time() for t in told] == [time(20)]
    assert keep(1) is False


def test_a_slow_pace_does_not_sleep_through_the_beginning_of_quiet_hours() -> None:
    clock = Clock(8, 29)
    assert pace(clock, rate=10, quiet="8:30-20:00")(65_536) is True
    assert clock.slept <= 61


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-03-01 21:59", None),
        ("2026-03-01 22:00", "2026-03-02 06:00"),
        ("2026-03-02 05:59", "2026-03-02 06:00"),
        ("2026-03-02 06:00", None),
    ],
)
def test_quiet_hours_may_go_over_midnight(now: str, end: str | None) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=CHINA)
    until = quiet_until(at, quiet_span("22:00-06:00"))
    assert until == (datetime.fromisoformat(end).replace(tzinfo=CHINA) if end else None)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)), st.times(), st.times())  # noqa: DTZ001 - given a zone below
def test_the_end_is_ahead_and_outside(at: datetime, begin: time, end: time) -> None:
    begin, end = begin.replace(microsecond=0), end.replace(microsecond=0)
    at = at.replace(tzinfo=CHINA)
    until = quiet_until(at, (begin, end))
    if until is not None:
        assert at < until <= at + timedelta(days=1)
        assert begin == end or quiet_until(until, (begin, end)) is None


@pytest.mark.parametrize(
    "text",
    ["", "8-20", "08:30", "25:00-06:00", "08:60-09:00", "08:30-08:30", "08:30~20:00", "x" * 999],
)
def test_a_span_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as told:
        quiet_span(text)
    assert told.value.code == "scan.bad_quiet_hours"
    assert len(told.value.detail) < 60
