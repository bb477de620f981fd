"""Rows 1 and 2: hand-labelled columns judged from metadata, with comments and without."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from pingyao.app.evaluate.metrics import Share, confusions, macro_f1_share, wilson
from pingyao.classify.knowledge import Knowledge
from pingyao.classify.model import Column, Table, Verdict
from pingyao.classify.service import judge
from pingyao.classify.sources.ddl import open_ddl
from pingyao.kernel.labels import PersonalClass

Key = tuple[str, str, str]
_DUMPS = ("mall", "roncoo-pay", "ruoyi-vue-pro")
_UNSURE = 0.6


class Labelled(msgspec.Struct, frozen=True):
    """One column as the labeller saw it."""

    schema: str
    table: str
    column: str
    dtype: str
    level: int
    pfi: str
    sure: float


class _Field(msgspec.Struct, frozen=True):
    name: str


class _Form(msgspec.Struct, frozen=True):
    table: str
    code: str
    fields: tuple[_Field, ...]


class Scores(msgspec.Struct, frozen=True):
    """What one run over the labelled columns gives; ``missing`` labelled columns had no verdict."""

    rows: int
    missing: int
    types: Share
    levels: Share
    sensitive: Share
    personal: Share
    asserted: Share
    coverage: Share
    worst: tuple[tuple[str, str, int], ...]
    conventions: Mapping[int, int]


def read_tables(shared: Path) -> dict[str, tuple[Table, ...]]:
    """Reads whole tables by schema: three SQL dumps and the base-data standard."""
    tables: dict[str, tuple[Table, ...]] = {}
    for name in _DUMPS:
        source = open_ddl(shared / "data" / "schemas" / f"{name}.sql")
        tables[name] = tuple(t for t in source.tables() if isinstance(t, Table))
    raw = (shared / "facts" / "base-data-fields-v2.1.json").read_bytes()
    forms = msgspec.json.decode(raw, type=tuple[_Form, ...])
    tables["base-data"] = tuple(
        Table("base-data", f.code, f.table, columns=tuple(Column(x.name) for x in f.fields))
        for f in forms
    )
    return tables


def read_labels(shared: Path) -> tuple[Labelled, ...]:
    """Reads the labelled columns."""
    path = shared / "data" / "labels" / "columns-dev.jsonl"
    lines = path.read_bytes().splitlines()
    return tuple(msgspec.json.decode(x, type=Labelled) for x in lines if x.strip())


def without_comments(table: Table) -> Table:
    """Returns the table with its own and its columns' comments withheld."""
    return replace(table, comment="", columns=tuple(replace(c, comment="") for c in table.columns))


def predict(schema: str, tables: Iterable[Table], knowledge: Knowledge) -> dict[Key, Verdict]:
    """Judges whole tables from metadata alone; keys in lower case."""
    return {
        (schema, table.name.lower(), v.id.column.lower()): v
        for table in tables
        for v in judge("eval", table, None, knowledge).columns
    }


def convention(row: Labelled, said: Verdict, same_type: bool) -> int | None:
    """Returns the number of the labels' convention a difference in level may rest on, or None.

    Only columns whose type agrees and whose level is off by one are considered.
    """
    if not same_type or abs(row.level - said.labels.level) != 1:
        return None
    if row.schema == "base-data" and row.dtype == "status_flag_type_code":
        return 2
    if row.dtype in {"amount_balance", "transaction_amount"}:
        return 4
    if row.dtype in {"date_time", "transaction_detail", "status_flag_type_code"}:
        return 6
    return None


def score(rows: Sequence[Labelled], said: Mapping[Key, Verdict], knowledge: Knowledge) -> Scores:
    """Scores the labelled rows; a column without a verdict counts as wrong."""
    pairs = [(r, said.get((r.schema, r.table.lower(), r.column.lower()))) for r in rows]
    truth = [knowledge.family(r.dtype) if r.dtype in knowledge.types else r.dtype for r in rows]
    types = [knowledge.family(v.type) if v else "(none)" for _, v in pairs]
    level = [v is not None and v.labels.level == r.level for r, v in pairs]
    high = [v is not None and v.labels.level >= 3 for r, v in pairs if r.level >= 3]
    c2 = [
        v is not None and v.labels.personal >= PersonalClass.C2 for r, v in pairs if r.pfi == "C2"
    ]
    sure = [
        t == s for t, s, (_, v) in zip(truth, types, pairs, strict=True) if v and not v.abstained
    ]
    found: dict[int, int] = {}
    for (row, verdict), t, s in zip(pairs, truth, types, strict=True):
        number = convention(row, verdict, t == s) if verdict else None
        if number is not None:
            found[number] = found.get(number, 0) + 1
    return Scores(
        rows=len(rows),
        missing=sum(v is None for _, v in pairs),
        types=macro_f1_share(truth, types, least=5),
        levels=wilson(sum(level), len(level)),
        sensitive=wilson(sum(high), len(high)),
        personal=wilson(sum(c2), len(c2)),
        asserted=wilson(sum(sure), len(sure)),
        coverage=wilson(len(sure), len(rows)),
        worst=tuple(confusions(truth, types)),
        conventions=found,
    )


def measure(shared: Path, knowledge: Knowledge) -> dict[tuple[bool, bool], Scores]:
    """Scores all four runs, keyed by (comments given, rows with sure < 0.6 counted)."""
    tables, rows = read_tables(shared), read_labels(shared)
    sure = [r for r in rows if r.sure >= _UNSURE]
    result: dict[tuple[bool, bool], Scores] = {}
    for comments in (True, False):
        said: dict[Key, Verdict] = {}
        for schema, whole in tables.items():
            shown = whole if comments else tuple(map(without_comments, whole))
            said |= predict(schema, shown, knowledge)
        result[comments, True] = score(rows, said, knowledge)
        result[comments, False] = score(sure, said, knowledge)
    return result
