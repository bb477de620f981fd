"""What the assessment of a system speaks of: controls, their answers, scores. Frozen values."""

from datetime import datetime
from typing import Literal

import msgspec

from pingyao.kernel.citation import Citation
from pingyao.protect.lifecycle_model import Class, Level
from pingyao.protect.model import Stage, Strength

Mark = Literal["符合", "部分", "不符合", "不适用", "待答"]
Chapter = Stage | Literal["organisation", "operation"]


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a pack: a control that a system is assessed by.

    Attributes:
        level, personal: lowest level and class of the system's data it applies to.
        probe: name of the evidence that answers it; empty where only a person can.
    """

    id: str
    chapter: Chapter
    text: str
    strength: Strength
    citation: Citation
    level: Level = 0
    personal: Class = 0
    probe: str = ""
    enabled: bool = True


class Found(msgspec.Struct, frozen=True):
    """What evidence says of a control.

    Attributes:
        links: where the evidence is: event kinds, case ids, files with their SHA-256.
    """

    mark: Mark
    text: str
    links: tuple[str, ...] = ()


class Statement(msgspec.Struct, frozen=True):
    """What a person says of a control, and why."""

    control: str
    mark: Mark
    reason: str
    evidence: str
    person: str
    entered_by: str
    at: datetime


class Answer(msgspec.Struct, frozen=True):
    """A control and its answer.

    Attributes:
        by: who answered; empty while nobody has.
        contradicted: a person says better than the evidence; the evidence counts.
        stale: what a person said is too old to count.
    """

    control: Control
    mark: Mark
    by: Literal["evidence", "person", ""] = ""
    found: Found | None = None
    statement: Statement | None = None
    contradicted: bool = False
    stale: bool = False


class Score(msgspec.Struct, frozen=True):
    """A stage's score.

    Attributes:
        score: 0–1 over what was answered; None where nothing was.
        answered, of: controls answered, of those that apply.
    """

    chapter: Chapter
    score: float | None
    answered: int
    of: int
    marks: dict[Mark, int]


class Assessment(msgspec.Struct, frozen=True):
    """A system assessed.

    Attributes:
        total: over all stages, as `Score.score`.
        program: program and version.
    """

    system: str
    level: int
    personal: int
    at: datetime
    actor: str
    program: str
    packs: tuple[str, ...]
    answers: tuple[Answer, ...]
    scores: tuple[Score, ...]
    total: float | None


class Change(msgspec.Struct, frozen=True):
    """A control answered otherwise than the last time."""

    control: str
    before: Mark
    after: Mark
