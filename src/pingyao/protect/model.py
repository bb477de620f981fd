"""What protection speaks of: graded columns, plans, proofs and records. Frozen values."""

from datetime import datetime
from typing import Literal

import msgspec

from pingyao.kernel.citation import Citation

Purpose = Literal["testing", "display", "sharing", "entrusting", "modelling", "disclosure"]
Stage = Literal[
    "collection",
    "transmission",
    "storage",
    "access",
    "export",
    "processing",
    "display",
    "testing",
    "fusion",
    "disclosure",
    "transfer",
    "entrusting",
    "sharing",
    "deletion",
    "destruction",
]
Act = Literal["forbid", "require", "advise"]
Strength = Literal["应", "宜", "原则上", "产品默认"]
Shape = Literal["text", "number", "date", "other"]
Suite = Literal["intl", "gm"]
Plain = str | int | float | bool


class Place(msgspec.Struct, frozen=True, order=True):
    """Where a column stands within its source."""

    schema: str
    table: str
    column: str


class Found(msgspec.Struct, frozen=True):
    """Identifiers of a type seen in the cells of a column: how many, in how many rows."""

    type: str
    count: int
    rows: int


class Field(msgspec.Struct, frozen=True):
    """A column as classification graded it.

    Attributes:
        type: data type id.
        sure: whether the type was asserted; otherwise ``guesses`` are all taken seriously.
        guesses: type ids that are not improbable, the best first.
        found: identifiers seen in its cells, alone or inside text; its own type among them.
    """

    place: Place
    type: str
    level: int
    personal: int
    declared_type: str = ""
    comment: str = ""
    subject: str = "none"
    sure: bool = True
    guesses: tuple[str, ...] = ()
    found: tuple[Found, ...] = ()


class Asset(msgspec.Struct, frozen=True):
    """A table with its graded columns, in the order of the source."""

    schema: str
    name: str
    fields: tuple[Field, ...]
    comment: str = ""
    rows: int | None = None


class Unseen(msgspec.Struct, frozen=True):
    """What could not be read, and so cannot be protected."""

    where: str
    detail: str


class Content(msgspec.Struct, frozen=True):
    """The rows of a table: how many, and the digests of them all in whatever order, hexadecimal."""

    rows: int
    sha256: str
    sm3: str


class Inventory(msgspec.Struct, frozen=True):
    """A source as classification saw it.

    Attributes:
        coverage: ``full``, ``sample`` or ``metadata``: how much of the values was looked at.
        packs: names and versions of the classification's packs.
        contents: by schema and table, what the rows were that were scanned; where it was asked for.
    """

    source: str
    kind: str
    coverage: str
    assets: tuple[Asset, ...]
    unseen: tuple[Unseen, ...] = ()
    packs: tuple[str, ...] = ()
    contents: dict[tuple[str, str], Content] = {}


class Demand(msgspec.Struct, frozen=True):
    """A rule that speaks of a column or of the whole: what must happen and why.

    Attributes:
        rule: ``pack@version/id``.
        controls: ids of the controls it asks for.
    """

    rule: str
    act: Act
    strength: Strength
    controls: tuple[str, ...]
    text: str
    citation: Citation


class Choice(msgspec.Struct, frozen=True):
    """What is to be done to one column.

    Attributes:
        field: the graded column.
        demands: rules that speak of it, as positions in the plan's ``demands``.
        technique: id of the technique chosen.
        params: its parameters.
        allowed: ids of the techniques that satisfy every rule.
        by: who chose.
    """

    field: Field
    demands: tuple[int, ...]
    technique: str
    params: dict[str, Plain]
    allowed: tuple[str, ...]
    by: Literal["proposal", "person"] = "proposal"


class Condition(msgspec.Struct, frozen=True):
    """A control that no change of data can satisfy: people or systems must see to it."""

    control: str
    demand: int


class Plan(msgspec.Struct, frozen=True):
    """Per column what must happen before the data serves a purpose.

    Attributes:
        purpose: what the data is for.
        packs: policy packs in force, names and versions.
        recipient: who gets the data and is named by the watermark; empty for nobody in particular.
    """

    source: str
    kind: str
    purpose: Purpose
    made_at: datetime
    version: str
    packs: tuple[str, ...]
    choices: tuple[Choice, ...]
    demands: tuple[Demand, ...]
    conditions: tuple[Condition, ...]
    unseen: tuple[Unseen, ...] = ()
    recipient: str = ""


class Done(msgspec.Struct, frozen=True):
    """What was done to one column.

    Attributes:
        cells: cells that held something.
        unchanged: cells that came out as they went in.
        hidden: cells the technique did not fit, and which were hidden instead.
        level, personal: grade after protection.
        regraded_by: the rule that allowed the lower grade, ``pack@version/id``; empty when it stands.
    """

    place: Place
    technique: str
    params: dict[str, Plain]
    cells: int
    unchanged: int
    hidden: int
    level_before: int
    personal_before: int
    level: int
    personal: int
    regraded_by: str = ""


class Residual(msgspec.Struct, frozen=True):
    """Something in the output that the purpose forbids.

    Attributes:
        code: what it is, e.g. ``residual.identifier``.
        count: how many cells or values; 0 where it is the column as a whole.
        detail: in Chinese, without a data value.
    """

    place: Place
    code: str
    count: int
    detail: str


class Made(msgspec.Struct, frozen=True):
    """A table of the target: its rows, and the digest of its file, or of its rows in a database.

    Attributes:
        file: empty where it is a table of a database.
        sm3: of its rows, where it is one.
    """

    schema: str
    table: str
    rows: int
    file: str = ""
    sha256: str = ""
    sm3: str = ""


class Staged(msgspec.Struct, frozen=True):
    """What was written and is not released yet.

    Attributes:
        address: where it can be scanned; may hold a password, never shown.
        tables: schema and table as a scan names them → those of the source.
        files: paths of the files written; empty where they are tables of a database.
    """

    address: str
    tables: dict[tuple[str, str], tuple[str, str]]
    made: tuple[Made, ...]
    files: tuple[str, ...] = ()


class KeyUsed(msgspec.Struct, frozen=True):
    """Which key a run used.

    Attributes:
        check: tells the key of this scope from any other; nothing else can be learned from it.
    """

    name: str
    version: int
    suite: Suite
    check: str


class Use(msgspec.Struct, frozen=True):
    """An export approval, put to use for one thing that goes out.

    Attributes:
        number: id of the approval.
        bound: what goes out, in each of the ways an approval may name it: ``plan:`` or ``file:``
            and a SHA-256, or ``table:`` and schema and name.
        source: the data set's name; not asked for where a file's digest says which it is.
        recipient: who gets it; empty where nobody is named.
        rows: how many, once they are known.
    """

    number: str
    bound: tuple[str, ...]
    purpose: Purpose
    source: str
    recipient: str = ""
    rows: int | None = None


class Record(msgspec.Struct, frozen=True):
    """The protection record: what was done, by which rule, and what the proof found.

    Attributes:
        approval: id of the export approval used; empty where none was.
        asked_by: rules that ask for one, ``pack@version/id``.
    """

    source: str
    target: str
    purpose: Purpose
    scope: str
    actor: str
    started_at: datetime
    finished_at: datetime
    version: str
    packs: tuple[str, ...]
    plan_sha256: str
    made: tuple[Made, ...]
    done: tuple[Done, ...]
    residuals: tuple[Residual, ...]
    conditions: tuple[Condition, ...]
    demands: tuple[Demand, ...]
    released: bool
    key: KeyUsed | None = None
    recipient: str = ""
    approval: str = ""
    asked_by: tuple[str, ...] = ()


class Release(msgspec.Struct, frozen=True):
    """What left by another way than a plan: by which act, and what the proof found.

    Attributes:
        facts: of the act, of plain JSON types; never a data value.
        residuals: where there are any, nothing was released.
        approval, asked_by: as of `Record`.
        failure: code of what stopped it, where a fault did and nothing was released.
    """

    act: str
    source: str
    target: str
    purpose: Purpose | Literal[""]
    actor: str
    at: datetime
    version: str
    packs: tuple[str, ...]
    made: tuple[Made, ...]
    residuals: tuple[Residual, ...]
    facts: dict[str, object]
    approval: str = ""
    asked_by: tuple[str, ...] = ()
    failure: str = ""
