"""The main job: scan a source, say what every column is, and grade it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from pingyao.classify.knowledge import Knowledge
from pingyao.classify.model import (
    ColumnId,
    Coverage,
    Evidence,
    ScanResult,
    Table,
    TableVerdict,
    Unread,
    Verdict,
)
from pingyao.classify.ports import Progress, Source
from pingyao.classify.rules import values
from pingyao.classify.rules.fuse import decide
from pingyao.classify.rules.grade import Item, TableContext, combine, grade
from pingyao.classify.rules.leaf import place
from pingyao.classify.rules.metadata import Context, Reading, read_columns, read_context
from pingyao.classify.rules.values import Profile
from pingyao.kernel.errors import PingyaoError
from pingyao.kernel.labels import highest

Memory = Callable[[Table], Sequence[tuple[Evidence, ...]]]


def scan(
    source: Source,
    knowledge: Knowledge,
    *,
    coverage: Coverage = "full",
    sample_rows: int | None = None,
    memory: Memory | None = None,
    progress: Progress | None = None,
) -> ScanResult:
    """Scans every table of a source; what cannot be read is named, and the rest goes on.

    Args:
        coverage: ``full`` reads every row, ``sample`` at most ``sample_rows`` of each table,
            ``metadata`` none.
        memory: what an institution's own corrections taught, one tuple of evidence per column.
    """
    started_at = datetime.now(UTC)
    tables: list[TableVerdict] = []
    unread: list[Unread] = []
    for table in source.tables():
        if isinstance(table, Unread):
            unread.append(table)
            continue
        if progress is not None:
            progress.table(table.name, table.estimated_rows)
        profiles: tuple[Profile, ...] | None = None
        read: Coverage = "metadata"
        if coverage != "metadata":
            limit = sample_rows if coverage == "sample" else None
            profiles, failure = _profile(source, table, limit, progress)
            read = coverage
            if failure is not None:
                unread.append(failure)
                read = "sample" if failure.rows_read else "metadata"
        tables.append(judge(source.name, table, profiles, knowledge, read, memory))
    return ScanResult(
        source=source.name,
        kind=source.kind,
        coverage=coverage,
        sample_rows=sample_rows,
        started_at=started_at,
        finished_at=datetime.now(UTC),
        version=version("pingyao"),
        packs=knowledge.packs,
        labels=highest(t.labels for t in tables),
        tables=tuple(tables),
        unread=tuple(unread),
    )


def _profile(
    source: Source, table: Table, limit: int | None, progress: Progress | None
) -> tuple[tuple[Profile, ...], Unread | None]:
    profiles = [values.EMPTY] * len(table.columns)
    rows = 0
    failure: Unread | None = None
    try:
        for batch in source.batches(table, limit):
            for i, array in enumerate(batch.columns):
                profiles[i] = values.merge(profiles[i], values.profile(array, rows))
            rows += batch.num_rows
            if progress is not None:
                progress.rows(batch.num_rows)
    except PingyaoError as error:
        where = f"{table.schema}.{table.name}" if table.schema else table.name
        failure = Unread(where, error.code, error.detail, error.remedy, rows)
    return tuple(profiles), failure


def judge(
    source: str,
    table: Table,
    profiles: Sequence[Profile] | None,
    knowledge: Knowledge,
    coverage: Coverage = "full",
    memory: Memory | None = None,
) -> TableVerdict:
    """Judges one table from its metadata and, where rows were read, its columns' profiles."""
    context = read_context(table, knowledge.lexicon)
    readings = read_columns(table, context, knowledge.lexicon, knowledge.grammar)
    learnt = memory(table) if memory is not None else ((),) * len(table.columns)
    known = profiles if profiles is not None else (None,) * len(table.columns)
    judged = [
        _column(source, table, i, context, reading, known[i], learnt[i], knowledge)
        for i, reading in enumerate(readings)
    ]
    rows = max((v.rows_read for _, v in judged), default=0)
    labels, rulings = combine(
        [(item, verdict.labels) for item, verdict in judged],
        knowledge.book,
        TableContext(rows=rows, terms=context.themes | context.entities),
    )
    return TableVerdict(
        table=table,
        coverage=coverage,
        rows_read=rows,
        labels=labels,
        columns=tuple(verdict for _, verdict in judged),
        rulings=rulings,
    )


def _column(
    source: str,
    table: Table,
    index: int,
    context: Context,
    reading: Reading,
    profile: Profile | None,
    learnt: tuple[Evidence, ...],
    knowledge: Knowledge,
) -> tuple[Item, Verdict]:
    column = table.columns[index]
    seen = values.weigh(profile) if profile is not None else ()
    findings = values.findings(profile) if profile is not None else ()
    evidence = (*reading.evidence, *learnt, *seen)
    decision = decide(evidence, knowledge.types)
    leaf = place(decision.type, knowledge.family(decision.type), reading, context, knowledge.leaves)
    masked = {"masked"} if any(e.code == "values.masked" for e in seen) else set[str]()
    item = Item(
        type=decision.type,
        subject=reading.subject,
        leaf=leaf,
        terms=(reading.states | reading.entities | masked) & knowledge.book.terms.keys(),
        findings=findings,
    )
    labels, rulings = grade(item, knowledge.book)
    return item, Verdict(
        id=ColumnId(source, table.schema, table.name, column.name),
        declared_type=column.declared_type,
        comment=column.comment,
        type=decision.type,
        subject=reading.subject,
        leaf=leaf,
        confidence=decision.confidence,
        abstained=decision.abstained,
        labels=labels,
        guesses=decision.guesses,
        evidence=evidence,
        findings=findings,
        rulings=rulings,
        rows_read=profile.rows if profile is not None else 0,
        nulls=profile.nulls if profile is not None else 0,
    )
