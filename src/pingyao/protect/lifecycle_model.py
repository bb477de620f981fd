"""What the end of data and its export speak of: retention, and cases that persons sign. Frozen values."""

from datetime import date, datetime
from typing import Annotated, Literal

import msgspec

from pingyao.kernel.citation import Citation
from pingyao.protect.model import Purpose, Strength

Level = Annotated[int, msgspec.Meta(ge=0, le=5)]
Class = Annotated[int, msgspec.Meta(ge=0, le=3)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_200)]
Method = Literal["delete", "overwrite", "crypto_erase", "physical"]
Kind = Literal["file", "sealed", "table", "rows", "media"]
Act = Literal[
    "approve", "refuse", "withdraw", "start", "carry_out", "verify", "fail", "use", "revoke"
]
State = Literal[
    "requested", "approved", "started", "done", "verified", "used", "refused", "withdrawn"
]


class Held(msgspec.Struct, frozen=True):
    """A column of a holding, as far as retention depends on it."""

    type: str
    leaf: str
    level: int
    personal: int


class Holding(msgspec.Struct, frozen=True):
    """A table of the catalogue."""

    source: str
    schema: str
    table: str
    comment: str
    columns: tuple[Held, ...]

    @property
    def level(self) -> int:
        """The highest level among its columns."""
        return max((c.level for c in self.columns), default=1)

    @property
    def personal(self) -> int:
        """The highest personal class among its columns."""
        return max((c.personal for c in self.columns), default=0)


class Matching(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a schedule speaks of; each condition given must hold, the first four of one column.

    Attributes:
        level, personal: lowest level and class.
        type: data type ids.
        leaf: beginnings of the path in the category tree.
        source, table: names, with ``*`` and ``?``.
    """

    level: Level = 0
    personal: Class = 0
    type: frozenset[str] = frozenset()
    leaf: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    table: tuple[str, ...] = ()


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a pack: how long data must be kept, or may be kept.

    Attributes:
        bound: ``least`` when it must not be deleted sooner, ``most`` when not kept longer.
        trigger: what starts the period.
    """

    id: str
    bound: Literal["least", "most"]
    trigger: str
    text: str
    strength: Strength
    citation: Citation
    years: Count = 0
    months: Count = 0
    days: Count = 0
    when: Matching = Matching()
    enabled: bool = True


class Clock(msgspec.Struct, frozen=True):
    """When a period began, or that deletion is suspended, as a person registered it.

    Attributes:
        table: empty for all tables of the source.
        trigger: empty for every trigger.
        started_on: ISO date; empty where only a hold is registered.
        hold: why nothing may be deleted, e.g. a lawsuit; empty when nothing stands against it.
    """

    source: str
    schema: str
    table: str
    trigger: str
    started_on: str
    hold: str
    reason: str
    actor: str
    at: datetime


class Due(msgspec.Struct, frozen=True):
    """Whether a holding is due for deletion.

    Attributes:
        status: ``due``; ``keep``; ``hold`` (suspended); ``conflict`` (some of it must
            go while the rest must be kept); ``no_start`` (a period's beginning is not registered); ``no_rule``.
        due_on: when it becomes due, where that can be told.
        cutoff: what was triggered on or before this day has been kept long enough.
    """

    holding: Holding
    status: Literal["due", "keep", "hold", "conflict", "no_start", "no_rule"]
    schedules: tuple[Schedule, ...] = ()
    keep_until: date | None = None
    delete_by: date | None = None
    due_on: date | None = None
    cutoff: date | None = None
    why: str = ""


class Person(msgspec.Struct, frozen=True):
    """Somebody who may sign, by the key registered for him.

    Attributes:
        public_key: hexadecimal.
        roles: for which he may approve exports.
    """

    name: str
    roles: tuple[str, ...]
    algorithm: str
    public_key: str
    active: bool = True


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One act in a case, signed by who did it.

    Attributes:
        facts: of plain JSON types, never a data value.
        signature: hexadecimal, over `cases.message`; empty where a program acted.
    """

    act: Act
    actor: str
    at: datetime
    facts: dict[str, object]
    algorithm: str = ""
    public_key: str = ""
    signature: str = ""


class Thing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be destroyed.

    Attributes:
        where: path, database address without its password, or what the medium is called.
        column, before: of rows: those whose column is earlier than the ISO date.
    """

    kind: Kind
    where: str
    schema: str = ""
    table: str = ""
    column: str = ""
    before: str = ""


class Destruction(msgspec.Struct, frozen=True, tag="destruction", forbid_unknown_fields=True):
    """A request to delete or destroy.

    Attributes:
        end: ``deletion``, no longer retrievable in the system, or ``destruction``, not recoverable.
        source: the catalogue's name of the data set.
        retention: what the schedules said when it was requested.
    """

    thing: Thing
    method: Method
    end: Literal["deletion", "destruction"]
    source: str
    level: Level
    personal: Class
    reason: str
    retention: str = ""


class Export(msgspec.Struct, frozen=True, tag="export", forbid_unknown_fields=True):
    """A request to let data out.

    Attributes:
        bound: the one thing it is good for: ``plan:`` or ``file:`` and a SHA-256.
        level, personal: the highest of what is provided, before protection.
        rows: at most so many.
        from_on, until_on: ISO dates, both inclusive.
        roles: whose approval it takes, by the policy when it was requested.
    """

    purpose: Purpose
    recipient: str
    source: str
    bound: str
    level: Level
    personal: Class
    rows: int
    from_on: str
    until_on: str
    reason: str
    roles: tuple[str, ...]


class Case(msgspec.Struct, frozen=True):
    """A request and what became of it; its state follows from its steps alone.

    Attributes:
        algorithm, public_key, signature: the requester's, over `cases.request_message`.
        separate: pairs of acts that one person may not both do; ``request`` is the request.
    """

    id: str
    requester: str
    requested_at: datetime
    body: Destruction | Export
    algorithm: str
    public_key: str
    separate: tuple[tuple[str, str], ...] = ()
    signature: str = ""
    steps: tuple[Step, ...] = ()


class ApprovalRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a pack: whose approval an export takes.

    Attributes:
        leaves: only where the data leaves the institution.
        days: how long an approval may run, at most.
    """

    id: str
    roles: tuple[str, ...]
    text: str
    strength: Strength
    citation: Citation
    level: Level = 0
    personal: Class = 0
    leaves: bool = False
    days: Annotated[int, msgspec.Meta(ge=1, le=366)] = 366
    enabled: bool = True


class MethodRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a pack: the methods that will do for a level; the highest level that fits decides."""

    id: str
    end: Literal["deletion", "destruction"]
    methods: frozenset[Method]
    text: str
    strength: Strength
    citation: Citation
    level: Level = 0
    enabled: bool = True
