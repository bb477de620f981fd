"""Dates moved or rounded, in text as well as in Arrow's own types; the form stays as it was."""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

from datetime import date

import numpy as np
import pyarrow as pa
from numba import njit

from pingyao.protect.rules.arrays import built, pc, text

UNITS = {"month": 0, "quarter": 1, "year": 2, "decade": 3}
_STAR = 42
_OLDEST = 130


def shift(array: pa.Array, days: np.ndarray) -> tuple[pa.Array, int]:
    """Moves each date by so many days of its own; a time of day stays.

    Returns:
        The dates in the form they had, and how many cells were no dates and are hidden instead.
    """
    return _changed(array, days.astype(np.int64), -1)


def period(array: pa.Array, unit: str) -> tuple[pa.Array, int]:
    """Rounds each date down to the first day of its month, quarter, year or decade.

    Returns:
        The dates in the form they had, and how many cells were no dates and are hidden instead.
    """
    return _changed(array, np.zeros(len(array), np.int64), UNITS[unit])


def ages(array: pa.Array, on: date, width: int, top: int) -> tuple[pa.Array, int]:
    """Puts dates of birth into bands of age in whole years on a day; the oldest share one.

    Args:
        top: where the last, open band begins.

    Returns:
        The bands as text, and how many cells were no dates of birth and are hidden.
    """
    if pa.types.is_string(array.type):
        found = pc.extract_regex(array, r"^(?P<y>\d{4})[-/.]?(?P<m>\d{2})[-/.]?(?P<d>\d{2})")
        year, month, day = (_number(pc.struct_field(found, i)) for i in range(3))
    else:
        year, month, day = (_number(part(array)) for part in (pc.year, pc.month, pc.day))
    past = (month < on.month) | ((month == on.month) & (day <= on.day))
    age = on.year - year - np.where(past, 0, 1)
    real = (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31) & (age >= 0) & (age <= _OLDEST)
    lows = np.minimum(np.where(real, age, 0) // width * width, top // width * width)
    last = top // width
    names = [f"[{n * width},{(n + 1) * width})" for n in range(last)] + [f"≥{last * width}"]
    made = pa.array(names).take(pa.array(lows // width))
    given = pc.and_(array.is_valid(), pc.not_equal(pc.cast(array, pa.string()), ""))
    unfit = pc.and_(given, pa.array(~real)).fill_null(False)
    made = pc.if_else(pa.array(real), made, pc.if_else(unfit, "***", pc.cast(array, pa.string())))
    return pc.if_else(array.is_valid(), made, pa.scalar(None, pa.string())), pc.sum(
        unfit
    ).as_py() or 0


def _number(array: pa.Array):
    return pc.cast(array, pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)


def wrong_day(given: object) -> str:
    """Returns what is wrong with a day, in Chinese; empty when nothing is."""
    try:
        date.fromisoformat(str(given))
    except ValueError:
        return "参数 on 应为日期，如 2026-01-31"
    return ""


def _changed(array, days, unit):
    kind = array.type
    if pa.types.is_string(kind):
        view = text(array)
        data, offsets, hidden = _text(view.data, view.offsets, days, unit)
        return built(data, offsets, array), int(hidden)
    day = pc.cast(pc.cast(array, pa.date32(), safe=False), pa.int32()).fill_null(0)
    moved = _days(day.to_numpy(zero_copy_only=False).astype(np.int64), days, unit)
    dates = pa.array(moved.astype(np.int32), pa.int32()).cast(pa.date32())
    dates = pc.if_else(array.is_valid(), dates, pa.scalar(None, pa.date32()))
    if pa.types.is_timestamp(kind) and unit < 0:
        delta = pc.subtract(array, pc.floor_temporal(array, unit="day"))
        midnight = dates.cast(pa.timestamp(kind.unit))
        # Local midnight of a zone may not exist; moved by whole days, instants keep their hour in UTC.
        if kind.tz:
            midnight = midnight.cast(pa.int64()).cast(kind)
        return pc.add(midnight, delta), 0
    return dates.cast(kind) if not (pa.types.is_timestamp(kind) and kind.tz) else dates.cast(
        pa.timestamp(kind.unit)
    ).cast(pa.int64()).cast(kind), 0


@njit(cache=True, nogil=True)
def civil_days(year, month, day):
    """Returns the days from 1970-01-01 to a day of the Gregorian calendar."""
    y = year - (month <= 2)
    era = y // 400
    of_era = y - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


@njit(cache=True, nogil=True)
def civil(days):
    """Returns year, month and day of so many days from 1970-01-01."""
    z = days + 719468
    era = z // 146097
    of_era = z - era * 146097
    y = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * y + y // 4 - y // 100)
    m = (5 * of_year + 2) // 153
    month = m + (3 if m < 10 else -9)
    return y + era * 400 + (month <= 2), month, of_year - (153 * m + 2) // 5 + 1


@njit(cache=True, nogil=True)
def _rounded(days, unit):
    if unit < 0:
        return days
    year, month, _ = civil(days)
    if unit == 0:
        return civil_days(year, month, 1)
    if unit == 1:
        return civil_days(year, (month - 1) // 3 * 3 + 1, 1)
    if unit == 2:
        return civil_days(year, 1, 1)
    return civil_days(year // 10 * 10, 1, 1)


@njit(cache=True, nogil=True)
def _days(values, shifts, unit):
    made = np.empty_like(values)
    for i in range(len(values)):
        made[i] = _rounded(values[i] + shifts[i], unit)
    return made


@njit(cache=True, nogil=True)
def _value(data, start, end):
    value = 0
    for i in range(start, end):
        if not 48 <= data[i] <= 57:
            return -1
        value = value * 10 + data[i] - 48
    return value


@njit(cache=True, nogil=True)
def _put(data, at, value, width):
    for i in range(width - 1, -1, -1):
        data[at + i] = 48 + value % 10
        value //= 10


@njit(cache=True, nogil=True)
def _text(data, offsets, shifts, unit):
    """YYYYMMDD or YYYY?MM?DD with one mark, either with a time after it; else it is hidden."""
    count = len(offsets) - 1
    base = offsets[0]
    made = data[base : offsets[count]].copy()
    places = np.empty(count + 1, np.int32)
    hidden = 0
    for row in range(count):
        start, end = offsets[row], offsets[row + 1]
        places[row] = start - base
        size = end - start
        if size == 0:
            continue
        month_at = day_at = -1
        if size >= 10 and data[start + 4] == data[start + 7] and data[start + 4] in (45, 46, 47):
            month_at, day_at, after = start + 5, start + 8, start + 10
        elif size >= 8:
            month_at, day_at, after = start + 4, start + 6, start + 8
        year = month = day = -1
        if month_at > 0:
            year = _value(data, start, start + 4)
            month = _value(data, month_at, month_at + 2)
            day = _value(data, day_at, day_at + 2)
        # A placeholder for no date stays one.
        endless = year in (9999, 0)
        if not endless and (
            year < 1800 or year > 2200 or not 1 <= month <= 12 or not 1 <= day <= 31
        ):
            hidden += 1
            for i in range(start - base, end - base):
                made[i] = _STAR
            continue
        if endless:
            continue
        y, m, d = civil(_rounded(civil_days(year, month, day) + shifts[row], unit))
        _put(made, start - base, y, 4)
        _put(made, month_at - base, m, 2)
        _put(made, day_at - base, d, 2)
        if unit >= 0:
            for i in range(after - base, end - base):
                if 48 <= made[i] <= 57:
                    made[i] = 48
    places[count] = offsets[count] - base
    return made, places, hidden
