"""From a profile to evidence: shares against chance, check digits as likelihood ratios."""

import math

from pingyao.classify.model import Evidence, Finding
from pingyao.classify.rules.values.profile import Profile, SpanCount
from pingyao.classify.rules.values.scan import FIRST, WHOLES
from pingyao.platform.spans import SPANS

_STRONGEST = 8.0
# What a random string of the right shape passes by chance.
_CHANCE = {"id": 1 / 11, "card": 1 / 10, "uscc": 1 / 31, "org": 1 / 11, "lei": 1 / 97}
# type, counter, how much the shape alone says at a share of 100 % (nats)
_SHAPES = (
    ("id_card_no", "id", 7.0),
    ("mobile", "mobile", 7.0),
    ("email", "email", 8.0),
    ("landline", "landline", 7.0),
    ("vehicle_plate", "plate", 8.0),
    ("passport_no", "passport", 7.0),
    ("hk_macao_permit_no", "hk_macao", 6.0),
    ("ip", "ip", 8.0),
    ("mac", "mac", 8.0),
    ("person_name", "name", 6.5),
    ("org_name", "org_name", 7.5),
    ("address", "address", 7.0),
    ("gender", "gender", 8.0),
    ("ethnicity_nationality", "ethnic", 7.5),
    ("password_or_secret", "hash", 6.0),
    ("region_code", "region", 6.0),
)
_CHECKED = (
    ("bank_card_no", "card", 2.0),
    ("uscc", "uscc", 2.0),
    ("org_code", "org", 0.0),
    ("lei", "lei", 4.0),
)


def weigh(p: Profile) -> tuple[Evidence, ...]:
    """Weighs what the values of a column say, in nats against chance.

    A share of rows speaks for a type from one half upwards. A check digit multiplies that by its
    likelihood ratio: many passes speak for the code, passes at the chance rate against it.
    """
    if not p.cells:
        return ()
    n = p.cells
    # A handful of cells convinces nobody.
    trust = n / (n + 3)
    result: list[Evidence] = []
    for type_, counter, most in _SHAPES:
        share = p.counts.get(counter, 0) / n
        if share >= 0.5:
            result.append(_evidence(type_, most * _rise(share) * trust, "values.share", share, n))
    for type_, counter, base in _CHECKED:
        result += _checked(p, type_, counter, base, trust)
    result += _identity_invalid(p)
    result += _numbers(p, trust)
    result += _codes(p, trust)
    result += _texts(p, trust)
    if p.counts.get("masked", 0) >= 0.5 * n:
        result.append(_evidence("other", 0.0, "values.masked", p.counts["masked"] / n, n))
    return tuple(result)


def findings(p: Profile) -> tuple[Finding, ...]:
    """Returns what was found inside the cells of a column, and in cells of their own, however rare.

    Numbers that only look like a card's, or like any code in a column of numbers, are passed over
    when no more of them fit their check than would by chance.
    """
    kinds = zip(SPANS, WHOLES, strict=True)
    seen = [(t, counter) for t, counter in kinds if t in p.spans or counter in p.counts]
    result = [f for t, counter in seen if (f := _finding(p, t, counter))]
    return tuple(sorted(result, key=lambda f: f.type))


def _finding(p: Profile, type_: str, counter: str) -> Finding | None:
    span = p.spans.get(type_, SpanCount())
    shape = counter.removesuffix("_ok")
    checked = _CHANCE.get(shape)
    if type_ == "bank_card_no" and not _beats(span.passed, span.found, 1 / 10):
        span = SpanCount()
    found, passed, rows, first = span.found, span.passed, span.rows, span.first_rows
    if type_ == "bank_card_no":
        found = passed
    alone = p.counts.get(counter, 0)
    if alone:
        fitting = p.counts.get(f"{shape}_ok", 0) if checked else 0
        believed = _beats(fitting, p.counts[shape], checked) if checked else alone >= 0.5 * p.cells
        if believed or p.counts.get("digits", 0) < 0.5 * p.cells:
            found, passed, rows = found + alone, passed + fitting, rows + alone
            first = tuple(sorted((*first, *p.wholes.get(type_, ())))[:FIRST])
    if not rows:
        return None
    return Finding(
        type=type_,
        rows=rows,
        of_rows=p.cells,
        count=found,
        valid=passed if checked else None,
        low=round(wilson_low(rows, p.cells), 8),
        first_rows=first,
    )


def _beats(passed: int, found: int, chance: float) -> bool:
    """Tells whether more fit their check than would by chance."""
    spread = math.sqrt(found * chance * (1 - chance))
    return passed > 0 and (passed >= 0.5 * found or passed > found * chance + 4 * spread)


def wilson_low(hits: int, of: int) -> float:
    """Returns the lower bound of the 95 % Wilson interval of a share."""
    if not of:
        return 0.0
    z = 1.959964
    share = hits / of
    centre = share + z * z / (2 * of)
    spread = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, (centre - spread) / (1 + z * z / of))


def _rise(share: float) -> float:
    """Grows from 0 at one half to 1 at 90 % of the cells."""
    return max(0.0, min(1.0, (share - 0.5) / 0.4))


def _evidence(type_: str, weight: float, code: str, share: float, cells: int) -> Evidence:
    bounded = max(-_STRONGEST, min(_STRONGEST, weight))
    return Evidence(
        "values", type_, round(bounded, 3), code, {"share": round(share, 6), "cells": cells}
    )


def _likelihood(hits: int, of: int, chance: float) -> float:
    """The log-likelihood ratio of nearly all passing against passing by chance, in nats."""
    if not of:
        return 0.0
    good = 0.97
    ratio = hits * math.log(good / chance) + (of - hits) * math.log((1 - good) / (1 - chance))
    return max(-_STRONGEST, min(_STRONGEST, ratio))


def _checked(p: Profile, type_: str, counter: str, base: float, trust: float) -> list[Evidence]:
    shaped, passed = p.counts.get(counter, 0), p.counts.get(f"{counter}_ok", 0)
    share = shaped / p.cells
    if share < 0.5:
        return []
    passing = passed / shaped
    # Dirty columns: what counts is whether far more pass than chance, not that all do.
    ratio = _STRONGEST if passing > 0.5 else _likelihood(passed, shaped, _CHANCE[counter])
    weight = (base + ratio) * _rise(share) * trust if ratio > 0 else ratio
    code = "values.check" if ratio > 0 else "values.check_by_chance"
    result = _evidence(type_, weight, code, share, p.cells)
    return [
        Evidence(
            result.origin, type_, result.weight, code, {**result.args, "passing": round(passing, 4)}
        )
    ]


def _identity_invalid(p: Profile) -> list[Evidence]:
    """Says that ID-shaped cells fail their check: test data, or badly kept data."""
    shaped, passed = p.counts.get("id", 0), p.counts.get("id_ok", 0)
    if shaped < 0.5 * p.cells or passed >= 0.8 * shaped:
        return []
    passing = round(passed / shaped, 4)
    return [
        Evidence(
            "values", "id_card_no", 0.0, "values.id_invalid", {"passing": passing, "cells": p.cells}
        )
    ]


def _numbers(p: Profile, trust: float) -> list[Evidence]:
    n = p.cells
    money, fraction = p.counts.get("money", 0), p.counts.get("fraction", 0)
    percent, integer = p.counts.get("percent", 0), p.counts.get("integer", 0)
    dates = p.counts.get("date", 0) + p.counts.get("datetime", 0)
    result: list[Evidence] = []
    if "date" in p.native or dates >= 0.6 * n:
        share = 1.0 if "date" in p.native else dates / n
        result.append(_evidence("date_time", 7.0 * _rise(share) * trust, "values.dates", share, n))
        return result
    if "boolean" in p.native:
        return [_evidence("status_flag_type_code", 6.0, "values.boolean", 1.0, n)]
    decimals = money + fraction - p.counts.get("percent", 0)
    if money + fraction >= 0.5 * n and _no_identifier(p):
        small = (percent + fraction) / n
        if small > 0.85:
            result.append(
                _evidence("interest_rate", 6.0 * trust, "values.small_decimals", small, n)
            )
            result.append(_evidence("amount_balance", 1.0 * trust, "values.decimals", small, n))
        else:
            share = min(1.0, (decimals + integer) / n)
            result.append(_evidence("amount_balance", 6.0 * trust, "values.decimals", share, n))
    elif integer >= 0.8 * n and _no_identifier(p):
        if p.rising and p.distinct > 0.9 * n and n >= 20:
            result.append(_evidence("technical_key", 3.0 * trust, "values.rising", 1.0, n))
        elif "number" in p.native and p.distinct > 200:
            result.append(
                _evidence("amount_balance", 1.0 * trust, "values.integers", integer / n, n)
            )
    return result


def _no_identifier(p: Profile) -> bool:
    return max(p.counts.get(k, 0) for k in ("id", "card", "mobile", "landline")) < 0.5 * p.cells


def _codes(p: Profile, trust: float) -> list[Evidence]:
    """Few distinct short cells over many rows are codes."""
    n = p.cells
    if n < 20 or p.distinct > max(12.0, min(200.0, n / 20)) or p.longest > 40:
        return []
    for counter in ("gender", "ethnic", "date", "region", "money", "id", "mobile", "name"):
        if p.counts.get(counter, 0) > 0.6 * n:
            return []
    weight = (5.5 if p.distinct <= 50 else 3.0) * trust
    return [
        Evidence(
            "values",
            "status_flag_type_code",
            round(weight, 3),
            "values.few_distinct",
            {"distinct": round(p.distinct), "cells": n},
        )
    ]


def _texts(p: Profile, trust: float) -> list[Evidence]:
    n = p.cells
    text = p.counts.get("text", 0) - p.counts.get("address", 0) - p.counts.get("org_name", 0)
    if text >= 0.4 * n and p.distinct > 8:
        return [_evidence("free_text_remark", 6.0 * trust, "values.sentences", text / n, n)]
    return []
