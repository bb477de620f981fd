"""What every use case that writes a target has in common: the proof before the release, and its evidence."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal

import msgspec

from pingyao.kernel.errors import NotPermitted
from pingyao.kernel.event import EvidenceEvent
from pingyao.protect.model import Made, Place, Purpose, Release, Residual
from pingyao.protect.ports import Book, Scanner, Sink
from pingyao.protect.rules.policy import Policy
from pingyao.protect.rules.regrade import remaining


class Terms(msgspec.Struct, frozen=True):
    """Under which terms something is released.

    Attributes:
        source: its name, without credentials.
    """

    source: str
    purpose: Purpose
    policy: Policy
    scanner: Scanner
    book: Book
    actor: str


class Withheld(NotPermitted):
    """The output holds something that its purpose forbids."""

    def __init__(self, residuals: Sequence[Residual], remedy: str) -> None:
        listed = "；".join(f"{r.place.table}.{r.place.column}：{r.detail}" for r in residuals[:5])
        more = f"；另有 {len(residuals) - 5} 处" if len(residuals) > 5 else ""
        super().__init__(
            "protect.residual",
            f"结果中仍有 {len(residuals)} 处不允许的内容，未予放行。{listed}{more}",
            "目标未作任何改动；" + remedy,
        )


def release(
    terms: Terms,
    act: Literal["anonymise", "watermark"],
    sink: Sink,
    techniques: Mapping[Place, str],
    facts: dict[str, object],
) -> Release:
    """Scans what was written anew and releases it, with its evidence, if it is clean.

    Args:
        techniques: what was done to which columns; the others count as kept as they were.

    Raises:
        Withheld: something forbidden remains; the target is as it was before.
    """
    staged = sink.staged()
    found = remaining(terms.scanner(staged), techniques, terms.policy, terms.purpose)
    done = Release(
        act=act,
        source=terms.source,
        target=sink.name,
        purpose=terms.purpose,
        actor=terms.actor,
        at=datetime.now(UTC),
        version=version("pingyao"),
        packs=terms.policy.packs,
        made=staged.made,
        residuals=found,
        facts=facts,
    )
    event, record = event_of(done), msgspec.json.encode(done)
    if found:
        with terms.book(event, record):
            pass
        raise Withheld(found, "请先以 protect run 处理这些列，或不提供它们")
    with terms.book(event, record, staged):
        sink.commit()
    return done


def event_of(done: Release) -> EvidenceEvent:
    """Returns the evidence of a release or of its refusal."""
    body: dict[str, object] = {
        "source": done.source,
        "purpose": done.purpose,
        **outcome(done.made),
        "residuals": len(done.residuals),
        **done.facts,
    }
    how = "refused" if done.residuals else "completed"
    return EvidenceEvent(f"protect.{done.act}.{how}", done.target, done.actor, done.at, body)


def outcome(made: Sequence[Made]) -> dict[str, object]:
    """Returns what an event says of the tables made: their rows, and digests of their files."""
    return {
        "rows": sum(m.rows for m in made),
        "files": {m.file: m.sha256 for m in made if m.file},
    }
