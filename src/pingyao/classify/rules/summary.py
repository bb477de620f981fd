"""The numbers of a scan, counted once for every report."""

from collections import Counter

import msgspec

from pingyao.classify.model import Ruling, ScanResult, Verdict
from pingyao.kernel.labels import PersonalClass


class Summary(msgspec.Struct, frozen=True):
    """What a scan found, in numbers.

    Attributes:
        by_level, by_personal, by_tier: columns by label.
        by_group: per schema (or table group) the columns by level.
        by_leaf: columns by JR/T 0197 path.
        candidates: columns proposed as important data.
        hidden: findings inside cells whose column is of another type.
        drifted: columns whose values changed since the last scan on record.
        rules: each rule that set a label, and how often.
    """

    tables: int
    columns: int
    rows: int
    by_level: dict[int, int]
    by_personal: dict[str, int]
    by_tier: dict[str, int]
    by_group: dict[str, dict[int, int]]
    by_leaf: dict[str, int]
    personal: int
    candidates: int
    review: int
    hidden: int
    unread: int
    drifted: int
    rules: tuple[tuple[Ruling, int], ...]


def summarise(result: ScanResult) -> Summary:
    """Counts a scan."""
    verdicts = [v for t in result.tables for v in t.columns]
    groups: dict[str, Counter[int]] = {}
    for verdict in verdicts:
        name = verdict.id.schema.partition("/")[0] or verdict.id.table
        groups.setdefault(name, Counter())[int(verdict.labels.level)] += 1
    used: Counter[tuple[str, str]] = Counter()
    rulings: dict[tuple[str, str], Ruling] = {}
    for ruling in (r for v in verdicts for r in v.rulings):
        used[ruling.pack, ruling.rule] += 1
        rulings.setdefault((ruling.pack, ruling.rule), ruling)
    return Summary(
        tables=len(result.tables),
        columns=len(verdicts),
        rows=sum(t.rows_read for t in result.tables),
        by_level=dict(sorted(Counter(int(v.labels.level) for v in verdicts).items(), reverse=True)),
        by_personal=dict(
            sorted(Counter(v.labels.personal.name for v in verdicts).items(), reverse=True)
        ),
        by_tier=dict(sorted(Counter(v.labels.tier.name for v in verdicts).items())),
        by_group={name: dict(sorted(counts.items())) for name, counts in groups.items()},
        by_leaf=dict(Counter(v.leaf for v in verdicts).most_common()),
        personal=sum(is_personal(v) for v in verdicts),
        candidates=sum(is_candidate(v) for v in verdicts),
        review=sum(v.abstained for v in verdicts),
        hidden=sum(len(hidden(v)) for v in verdicts),
        unread=len(result.unread),
        drifted=sum(bool(v.drift) for v in verdicts),
        rules=tuple((rulings[key], n) for key, n in used.most_common()),
    )


def is_personal(verdict: Verdict) -> bool:
    """Tells whether a column belongs into the personal-information inventory."""
    return verdict.labels.personal is not PersonalClass.NONE


def is_candidate(verdict: Verdict) -> bool:
    """Tells whether a person should decide if a column is important or core data."""
    return verdict.labels.proposed_important or verdict.labels.proposed_core


def hidden(verdict: Verdict) -> tuple[int, ...]:
    """Returns which findings of a column are of another type than the column itself."""
    return tuple(i for i, f in enumerate(verdict.findings) if f.type != verdict.type)
