"""What a new scan changes in the catalogue: pure comparison of verdicts."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from pingyao.classify.model import ColumnId, Drift, Verdict

What = Literal["added", "gone", "back", "changed", "differs", "drifted"]


class Short(msgspec.Struct, frozen=True):
    """What counts of a verdict: data type, level, class (C1–C3 or nothing), and what is asked.

    Attributes:
        important: a person is to say whether it is important data.
        review: it waits for review.
    """

    type: str
    level: int
    personal: str = ""
    important: bool = False
    review: bool = False


class Change(msgspec.Struct, frozen=True):
    """One difference between the catalogue and a scan.

    Attributes:
        what: ``added``; ``gone`` (the source was read whole and has it no more); ``back``;
            ``changed``; ``differs`` (a person decided, and the machine now thinks otherwise);
            ``drifted`` (its values are other than before, whatever is thought of them).
        old, new: what differs; None where there is none.
        drift: how the values of a drifted column changed.
    """

    what: What
    id: ColumnId
    old: Short | None = None
    new: Short | None = None
    drift: tuple[Drift, ...] = ()


class Known(msgspec.Struct, frozen=True):
    """What the catalogue holds of a column."""

    verdict: Verdict
    opinion: Verdict
    locked: bool
    gone: bool


def short(verdict: Verdict) -> Short:
    """Returns a verdict in short."""
    labels = verdict.labels
    return Short(
        verdict.type,
        int(labels.level),
        labels.personal.name if labels.personal else "",
        important=labels.proposed_important,
        review=verdict.abstained,
    )


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
            changes.append(Change("added", id_, None, short(verdict)))
            continue
        if before.gone:
            changes.append(Change("back", id_, short(before.verdict), short(verdict)))
        if before.locked:
            if differ(before.verdict, verdict) and differ(before.opinion, verdict):
                changes.append(Change("differs", id_, short(before.verdict), short(verdict)))
        elif differ(before.verdict, verdict):
            changes.append(Change("changed", id_, short(before.verdict), short(verdict)))
    changes += [Change("drifted", i, drift=v.drift) for i, v in found.items() if v.drift]
    if whole:
        changes += [
            Change("gone", id_, short(before.verdict))
            for id_, before in known.items()
            if id_ not in found and not before.gone
        ]
    return tuple(changes)
