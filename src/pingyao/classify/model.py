"""What classification speaks of: tables and columns, evidence, verdicts and scan results. Frozen values."""

from datetime import datetime
from typing import Literal

import msgspec

from pingyao.kernel.citation import Citation
from pingyao.kernel.labels import Labels

TableKind = Literal["table", "view", "file", "document"]
Subject = Literal["person", "organisation", "staff", "system", "none"]
Coverage = Literal["full", "sample", "metadata"]
Origin = Literal["name", "comment", "declared", "values", "text", "context", "memory", "decision"]
Because = Literal["new", "changed", "columns", "unknown", "software"]
Plain = str | int | float | bool


class Column(msgspec.Struct, frozen=True):
    """A column as its source declares it.

    Attributes:
        name: as stored, untrusted: escape before showing.
        declared_type: the source's own type name, e.g. ``varchar(32)``; empty when it has none.
        comment: the source's description of the column, empty when there is none.
    """

    name: str
    declared_type: str = ""
    comment: str = ""


class Table(msgspec.Struct, frozen=True):
    """A table, view, file or document of a source.

    Attributes:
        schema: schema, database or folder; empty when the source has none.
        name: as stored, untrusted.
        comment: the source's description of the table.
        kind: a document is text without columns; it is read as one column named ``text``.
        columns: in the source's order.
        estimated_rows: what the source believes, for progress only; None when unknown.
    """

    schema: str
    name: str
    comment: str = ""
    kind: TableKind = "table"
    columns: tuple[Column, ...] = ()
    estimated_rows: int | None = None


class ColumnId(msgspec.Struct, frozen=True, order=True):
    """The identity of a column across scans."""

    source: str
    schema: str
    table: str
    column: str


class Evidence(msgspec.Struct, frozen=True):
    """One reason to believe, or not to, that a column holds a data type.

    Attributes:
        origin: where it was seen.
        type: data type id it speaks for (or, with a negative weight, against).
        weight: log-odds in nats; 0 is chance.
        code: message code that the reports put into words, e.g. ``values.pass_rate``.
        args: facts for the message; never a data value.
    """

    origin: Origin
    type: str
    weight: float
    code: str
    args: dict[str, Plain] = {}


class Finding(msgspec.Struct, frozen=True):
    """Values of a type seen inside a column, however sparse.

    Attributes:
        type: data type id of the values found.
        rows: rows with at least one.
        of_rows: non-empty rows read.
        valid: how many of the values pass their check digit; None where the type has none.
        count: values found.
        low: lower Wilson bound (95 %) of the share of rows.
        first_rows: zero-based numbers of the first rows with one, at most ten.
    """

    type: str
    rows: int
    of_rows: int
    count: int
    valid: int | None = None
    low: float = 0.0
    first_rows: tuple[int, ...] = ()


class Drift(msgspec.Struct, frozen=True):
    """A change in what a column holds since it was last read.

    Attributes:
        code: message code, e.g. ``drift.share``; ``…_added`` compares the rows added since.
        about: the data type whose share changed, ``empty`` or ``masked``.
        before, now: shares of rows or cells; numbers of distinct values for ``drift.distinct``.
        low: what the change surely amounts to (99.9 %); a ratio for ``drift.distinct``.
    """

    code: str
    about: str
    before: float
    now: float
    low: float


class Guess(msgspec.Struct, frozen=True):
    """A data type and its posterior probability."""

    type: str
    probability: float


class Ruling(msgspec.Struct, frozen=True):
    """Why a label stands: the rule of the pack that set it.

    Attributes:
        pack: name and version of the pack, e.g. ``jrt0171@2020.1``.
        rule: id of the rule within the pack.
        sets: which label it set, e.g. ``level=3`` or ``personal=C2``.
        text: the rule in the pack's words (Chinese).
        citation: the source of the rule.
    """

    pack: str
    rule: str
    sets: str
    text: str
    citation: Citation


class Verdict(msgspec.Struct, frozen=True):
    """What one column is, and how sensitive.

    Attributes:
        type: data type id, a key of the types pack; best guess even when abstaining.
        confidence: posterior of ``type``, 0–1.
        abstained: whether the column belongs into the review queue instead of being asserted.
        leaf: path in the JR/T 0197 tree, empty for mere bookkeeping.
        guesses: the most probable types, best first, at most three.
        drift: how its values changed since the last scan on record.
    """

    id: ColumnId
    declared_type: str
    comment: str
    type: str
    subject: Subject
    leaf: str
    confidence: float
    abstained: bool
    labels: Labels
    guesses: tuple[Guess, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    findings: tuple[Finding, ...] = ()
    rulings: tuple[Ruling, ...] = ()
    rows_read: int = 0
    nulls: int = 0
    drift: tuple[Drift, ...] = ()


class TableVerdict(msgspec.Struct, frozen=True):
    """A table's verdicts and the highest of their labels, raised by combination rules.

    Attributes:
        carried_from: when its rows were read, if that was an earlier scan and it has not changed.
        read_because: in an incremental scan, why it was read again.
    """

    table: Table
    coverage: Coverage
    rows_read: int
    labels: Labels
    columns: tuple[Verdict, ...]
    rulings: tuple[Ruling, ...] = ()
    carried_from: datetime | None = None
    read_because: Because | None = None


class Unread(msgspec.Struct, frozen=True):
    """Something that could not be read, and what to do about it.

    Attributes:
        where: schema, table, file or row range.
        code: stable dotted name of the cause.
        rows_read: rows that were read before it failed, and are in the result.
    """

    where: str
    code: str
    detail: str
    remedy: str
    rows_read: int = 0


def unforeseen(where: str, error: Exception) -> Unread:
    """Says that a part was not read for a reason nobody foresaw, so that the rest goes on.

    The error's own text is left out: it may quote data.
    """
    return Unread(
        where,
        "scan.unforeseen",
        f"读取时遇到程序没有料到的情况（{type(error).__name__}）",
        "其余部分不受影响；请核对它能否用其他工具打开，并把括号内的名称告知软件维护者",
    )


class PackRef(msgspec.Struct, frozen=True):
    """A rule pack that took part in a result."""

    name: str
    version: str


class ScanResult(msgspec.Struct, frozen=True):
    """The outcome of one scan.

    Attributes:
        source: the name the source goes by; never a password, never a full connection string.
        kind: kind of source, e.g. ``postgresql``.
        sample_rows: rows per table asked for when ``coverage`` is ``sample``.
    """

    source: str
    kind: str
    coverage: Coverage
    sample_rows: int | None
    started_at: datetime
    finished_at: datetime
    version: str
    packs: tuple[PackRef, ...]
    labels: Labels
    tables: tuple[TableVerdict, ...]
    unread: tuple[Unread, ...]
