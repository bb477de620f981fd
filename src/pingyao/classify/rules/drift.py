"""Drift: a column that begins to hold something else. Sizes of change with bounds, not mere difference."""

import math
from collections.abc import Iterator

from pingyao.classify.model import Drift
from pingyao.classify.rules.values import Profile
from pingyao.classify.rules.values.profile import SpanCount

_Z = 3.290527
"""Two-sided 99.9 %: a source has ten thousands of shares to compare."""
_EFFECT = 0.10
"""A share that surely moved by less is no drift, however many rows prove that it moved."""
_RATIO = 2.0
"""Rare findings: so many times more frequent, at least."""
_FEW, _MANY = 200, 10.0

_SHARES = (
    *(("id_card_no", ("id",)), ("bank_card_no", ("card",)), ("uscc", ("uscc",))),
    *(("org_code", ("org",)), ("lei", ("lei",)), ("mobile", ("mobile",))),
    *(("landline", ("landline",)), ("email", ("email",)), ("vehicle_plate", ("plate",))),
    *(("passport_no", ("passport",)), ("hk_macao_permit_no", ("hk_macao",))),
    *(("person_name", ("name",)), ("org_name", ("org_name",)), ("address", ("address",))),
    *(("gender", ("gender",)), ("ethnicity_nationality", ("ethnic",)), ("ip", ("ip",))),
    *(("region_code", ("region",)), ("date_time", ("date", "datetime")), ("mac", ("mac",))),
    *(("amount_balance", ("money",)), ("password_or_secret", ("hash",))),
    *(("free_text_remark", ("text",)), ("masked", ("masked",))),
)
_PASSES = (
    *(("id_card_no", "id", "id_ok"), ("bank_card_no", "card", "card_ok")),
    *(("uscc", "uscc", "uscc_ok"), ("org_code", "org", "org_ok"), ("lei", "lei", "lei_ok")),
)
_Share = tuple[str, str, int, int]


def drift(before: Profile, now: Profile) -> tuple[Drift, ...]:
    """Returns in what the values of a column changed since they were last read.

    Where the rows read before seem to be still there, those added since are also judged by
    themselves, so that a large table does not hide what it begins to hold.
    """
    found = [*_moved(before, now)]
    known = {(d.code, d.about) for d in found}
    if (added := _added(before, now)) is not None:
        fresh = _moved(before, added, whole=now)
        found += [d for d in fresh if (d.code.removesuffix("_added"), d.about) not in known]
    return (*found, *_spans(before, now), *_distinct(before, now))


def _moved(before: Profile, now: Profile, whole: Profile | None = None) -> Iterator[Drift]:
    """Compares shares; those of added rows count only if the whole table moved as well."""
    after = _shares(now)
    seen = _shares(whole) if whole is not None else after
    for (code, about, hits, of), (_, _, hits2, of2), (_, _, hits3, of3) in zip(
        _shares(before), after, seen, strict=True
    ):
        low, high = _difference(hits, of, hits2, of2)
        sure = low if low >= _EFFECT else high if high <= -_EFFECT else 0.0
        if not sure:
            continue
        if whole is not None:
            least, most = _difference(hits, of, hits3, of3)
            if least <= 0 <= most:
                continue
            code = f"{code}_added"
        yield Drift(code, about, round(hits / of, 6), round(hits2 / of2, 6), round(sure, 6))


def _shares(p: Profile) -> list[_Share]:
    count = p.counts.get
    return [
        ("drift.share", "empty", p.nulls + p.blanks, p.rows),
        *(("drift.share", a, sum(count(c, 0) for c in names), p.cells) for a, names in _SHARES),
        *(("drift.passing", a, count(ok, 0), count(shaped, 0)) for a, shaped, ok in _PASSES),
    ]


def _spans(before: Profile, now: Profile) -> Iterator[Drift]:
    """Compares how often identifiers stand inside cells: rare, so by their ratio."""
    for about, span in now.spans.items():
        rows = before.spans.get(about, SpanCount()).rows
        if not before.cells or not now.cells or span.rows <= rows:
            continue
        least, most = _wilson(span.rows, now.cells)[0], _wilson(rows, before.cells)[1]
        # What was never seen need only be seen more often than it can have been missed.
        if least > most * (_RATIO if rows else 1.0):
            share, now_share = rows / before.cells, span.rows / now.cells
            yield Drift("drift.found", about, share, now_share, round(least - most, 9))


def _distinct(before: Profile, now: Profile) -> Iterator[Drift]:
    """Tells a column of few values, a code, that has become one of many."""
    few = 0 < before.distinct <= min(_FEW, before.cells / 20)
    if few and now.distinct > max(_FEW, _MANY * before.distinct):
        low = round(now.distinct / before.distinct, 3)
        yield Drift("drift.distinct", "", before.distinct, now.distinct, low)


def _added(before: Profile, now: Profile) -> Profile | None:
    """Returns the profile of the rows added, where nothing speaks against the others being as before."""
    counts = {k: now.counts.get(k, 0) - before.counts.get(k, 0) for k in before.counts | now.counts}
    added = Profile(
        rows=now.rows - before.rows,
        nulls=now.nulls - before.nulls,
        blanks=now.blanks - before.blanks,
        cells=now.cells - before.cells,
        counts=counts,
    )
    if min(added.rows, added.nulls, added.blanks, added.cells, *counts.values(), 0) < 0:
        return None
    if not 0 < added.rows < now.rows or any(n > added.cells for n in counts.values()):
        return None
    return added


def _wilson(hits: int, of: int) -> tuple[float, float]:
    share, z2 = hits / of, _Z * _Z
    centre = share + z2 / (2 * of)
    spread = _Z * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    scale = 1 + z2 / of
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def _difference(hits: int, of: int, hits2: int, of2: int) -> tuple[float, float]:
    """Returns the bounds of the difference of two shares, from their Wilson intervals.

    Cites: R. G. Newcombe, Interval estimation for the difference between independent proportions,
    Statistics in Medicine 17 (1998), method 10.
    """
    if not of or not of2:
        return 0.0, 0.0
    share, share2 = hits / of, hits2 / of2
    (low, high), (low2, high2) = _wilson(hits, of), _wilson(hits2, of2)
    moved = share2 - share
    return (
        moved - math.hypot(share2 - low2, high - share),
        moved + math.hypot(high2 - share2, share - low),
    )
