"""What a new scan changes in the catalogue: pure comparison of verdicts."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from pingyao.classify.model import ColumnId, Drift, Verdict
from pingyao.kernel.labels import PersonalClass

What = Literal["added", "gone", "back", "changed", "differs", "drifted"]


class Change(msgspec.Struct, frozen=True):
    """One difference between the catalogue and a scan.

    Attributes:
        what: ``added``; ``gone`` (the source was read whole and has it no more); ``back``;
            ``changed``; ``differs`` (a person decided, and the machine now thinks otherwise);
            ``drifted`` (its values are other than before, whatever is thought of them).
        old, new: what differs, in words such as ``mobile 3级 C2``; empty where there is none.
        drift: how the values of a drifted column changed.
    """

    what: What
    id: ColumnId
    old: str = ""
    new: str = ""
    drift: tuple[Drift, ...] = ()


class Known(msgspec.Struct, frozen=True):
    """What the catalogue holds of a column."""

    verdict: Verdict
    opinion: Verdict
    locked: bool
    gone: bool


def said(verdict: Verdict) -> str:
    """Returns a verdict in short: type, level, class, and whether it waits for review."""
    labels = verdict.labels
    parts = [verdict.type, f"{int(labels.level)}级"]
    if labels.personal is not PersonalClass.NONE:
        parts.append(labels.personal.name)
    if labels.proposed_important:
        parts.append("重要数据候选")
    if verdict.abstained:
        parts.append("待复核")
    return " ".join(parts)


def differ(a: Verdict, b: Verdict) -> bool:
    """Tells whether two verdicts on a column differ in what counts."""
    return (a.type, a.subject, a.leaf, a.labels, a.abstained) != (
        b.type,
        b.subject,
        b.leaf,
        b.labels,
        b.abstained,
    )


def compare(
    known: Mapping[ColumnId, Known], found: Mapping[ColumnId, Verdict], *, whole: bool
) -> tuple[Change, ...]:
    """Compares the catalogue with a scan.

    Args:
        whole: whether the scan read the whole source, so that what it lacks is gone.
    """
    changes: list[Change] = []
    for id_, verdict in found.items():
        before = known.get(id_)
        if before is None:
            changes.append(Change("added", id_, "", said(verdict)))
            continue
        if before.gone:
            changes.append(Change("back", id_, said(before.verdict), said(verdict)))
        if before.locked:
            if differ(before.verdict, verdict) and differ(before.opinion, verdict):
                changes.append(Change("differs", id_, said(before.verdict), said(verdict)))
        elif differ(before.verdict, verdict):
            changes.append(Change("changed", id_, said(before.verdict), said(verdict)))
    changes += [Change("drifted", i, drift=v.drift) for i, v in found.items() if v.drift]
    if whole:
        changes += [
            Change("gone", id_, said(before.verdict), "")
            for id_, before in known.items()
            if id_ not in found and not before.gone
        ]
    return tuple(changes)
