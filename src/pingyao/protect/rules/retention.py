"""How long a holding must and may be kept, and whether it is due."""

import calendar
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from fnmatch import fnmatchcase

from pingyao.protect.lifecycle_model import Clock, Due, Held, Holding, Schedule


def applying(schedules: Iterable[Schedule], holding: Holding) -> tuple[Schedule, ...]:
    """Returns the schedules that speak of a holding: of any of its columns."""
    return tuple(s for s in schedules if _fits(s, holding))


def _fits(schedule: Schedule, holding: Holding) -> bool:
    when = schedule.when
    return (
        (not when.source or any(fnmatchcase(holding.source, p) for p in when.source))
        and (not when.table or any(fnmatchcase(holding.table, p) for p in when.table))
        and any(_speaks(schedule, column) for column in holding.columns)
    )


def _speaks(schedule: Schedule, column: Held) -> bool:
    when = schedule.when
    return (
        column.level >= when.level
        and column.personal >= when.personal
        and (not when.type or column.type in when.type)
        and (not when.leaf or column.leaf.startswith(when.leaf))
    )


def after(start: date, schedule: Schedule, sign: int = 1) -> date:
    """Returns the day a period that began on ``start`` ends; with ``-1``, when it must have begun.

    29 February counts as the last of February in other years; beyond the calendar, its end.
    """
    months = (start.year * 12 + start.month - 1) + sign * (schedule.years * 12 + schedule.months)
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        return date.max if sign > 0 else date.min
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    try:
        return date(year, month + 1, day) + sign * timedelta(schedule.days)
    except OverflowError:
        return date.max if sign > 0 else date.min


def due(
    schedules: Iterable[Schedule], clocks: Sequence[Clock], holding: Holding, today: date
) -> Due:
    """Tells whether a holding is due for deletion; never before every least period has ended."""
    found = applying(schedules, holding)
    mine = [c for c in clocks if _counts(c, holding)]
    hold = next((c for c in mine if c.hold), None)
    starts = {s.id: _start(mine, s) for s in found}
    least = [s for s in found if s.bound == "least"]
    keep = [_end(s, starts) for s in least]
    most = [e for s in found if s.bound == "most" and (e := _end(s, starts)) is not None]
    known = [e for e in keep if e is not None]
    keep_until = max(known) if known and len(known) == len(keep) else None
    delete_by = min(most, default=None)
    cutoff = min((after(today, s, -1) for s in least), default=None)
    status, due_on, why = "keep", None, ""
    if hold is not None:
        status, why = "hold", f"暂缓删除：{hold.hold}"
    elif not found:
        status, why = "no_rule", "没有适用的留存规则"
    elif None in keep or not (known or most):
        missing = sorted({s.trigger for s in found if starts[s.id] is None})
        status, why = "no_start", f"起算日未登记：{'、'.join(missing)}"
    elif keep_until is not None and delete_by is not None and delete_by <= today < keep_until:
        status = "conflict"
        why = f"须留存到 {keep_until}，而其中部分数据应于 {delete_by} 前删除：只清除这些列，或由机构裁定"
    else:
        due_on = keep_until or delete_by
        if due_on is not None and today >= due_on:
            status = "due"
        why = f"{'已' if status == 'due' else '将'}于 {due_on} 到期"
    return Due(holding, status, found, keep_until, delete_by, due_on, cutoff, why)


def _end(schedule: Schedule, starts: dict[str, date | None]) -> date | None:
    start = starts[schedule.id]
    return None if start is None else after(start, schedule)


def _counts(clock: Clock, holding: Holding) -> bool:
    return clock.source == holding.source and (
        not clock.table or (clock.schema, clock.table) == (holding.schema, holding.table)
    )


def _start(clocks: Iterable[Clock], schedule: Schedule) -> date | None:
    """Returns the start registered for the trigger, of the table before the source."""
    fits = [c for c in clocks if c.started_on and c.trigger in ("", schedule.trigger)]
    best = max(fits, key=lambda c: (bool(c.table), bool(c.trigger)), default=None)
    return None if best is None else date.fromisoformat(best.started_on)
