"""Numbers of a workbook (.xlsx) as a person reads them: what a style makes of them, days and durations."""

import re
from datetime import datetime, timedelta
from math import floor
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingyao.classify.sources.xlsx_bytes import DATE, DURATION, NUMBER

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_BUILT_IN = {**dict.fromkeys([*range(14, 23), 45, 47], DATE), 46: DURATION}
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - a sheet knows no time zones
_DAY = 86_400_000.0


class Unusual(Exception):
    """Something is written in a way that is not read here."""


def said(numbers: pa.StringArray, kinds: NDArray[np.int64]) -> pa.StringArray:
    """Returns numbers as a person would read them: whole ones as such, dates as ISO text.

    Args:
        numbers: as they are written, perhaps with seventeen digits.
        kinds: what the style of each makes of it.

    Raises:
        Unusual: one is no number.
    """
    try:
        values = numbers.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise Unusual from error
    plain = kinds == NUMBER
    with np.errstate(invalid="ignore"):
        whole = plain & (np.floor(values) == values) & (np.abs(values) < 2**53)
        common = plain & ~whole & (np.abs(values) >= 1e-4) & (np.abs(values) < 1e10)
    other = ~whole & ~common
    # Few are different: days, and numbers that Arrow writes with powers of ten.
    pairs = np.stack([values[other].view(np.int64), kinds[other]], 1)
    distinct, which = np.unique(pairs, axis=0, return_inverse=True)
    words = [
        _worded(value, kind)
        for value, kind in zip(
            distinct[:, 0].copy().view(np.float64).tolist(), distinct[:, 1], strict=True
        )
    ]
    told = pa.concat_arrays(
        [
            pa.array(values[whole].astype(np.int64)).cast(pa.string()),
            pa.array(values[common]).cast(pa.string()),
            pa.array(words, pa.string()).take(pa.array(which.reshape(-1))),
        ]
    )
    order = np.concatenate([np.flatnonzero(each) for each in (whole, common, other)])
    return told.take(pa.array(np.argsort(order)))


def _worded(value: float, kind: int) -> str:
    days = value if value >= 60 or kind != DATE else value + 1
    try:
        # Half a millisecond is rounded away from nothing.
        passed = timedelta(milliseconds=floor(abs(days) * _DAY + 0.5) * (1 if days >= 0 else -1))
        if kind == DURATION:
            return str(passed)
        if kind == DATE:
            moment = _EPOCH + passed
            clock = moment.time()
            if value < 1:
                return clock.isoformat()
            return (
                moment.isoformat(" ") if clock != datetime.min.time() else moment.date().isoformat()
            )
    except (OverflowError, ValueError):
        pass
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else str(value)


def kinds_of(styles: ElementTree.Element) -> NDArray[np.uint8]:
    """Returns what every style makes of a number."""
    own = {
        each.attrib["numFmtId"]: _kind(each.attrib["formatCode"])
        for each in styles.iterfind(f"{MAIN}numFmts/{MAIN}numFmt")
    }
    ids = [each.get("numFmtId", "0") for each in styles.iterfind(f"{MAIN}cellXfs/{MAIN}xf")]
    return np.array([own.get(i, _BUILT_IN.get(int(i), NUMBER)) for i in ids], np.uint8)


_QUOTED = re.compile(r'"[^"]*"?|[\\_].?')
_ELAPSED = re.compile(r"\[(h+|m+|s+)\]", re.I)
_BRACKETS = re.compile(r"\[[^\]]*\]?")
_HALF_DAY = re.compile(r"a[^;]*?[pm/]|[dmhys]", re.I)


def _kind(code: str) -> int:
    """Returns what a number format makes of a number, by the first of its sections."""
    code = _QUOTED.sub("", code).partition(";")[0]
    if (elapsed := _ELAPSED.search(code)) and not _HALF_DAY.search(
        _BRACKETS.sub("", code[: elapsed.start()])
    ):
        return DURATION
    return DATE if _HALF_DAY.search(_BRACKETS.sub("", code)) else NUMBER
