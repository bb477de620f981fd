"""The main job: scan a source, say what every column is, and grade it."""

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from typing import NamedTuple

import msgspec

from pingyao.classify.knowledge import Knowledge
from pingyao.classify.model import (
    ColumnId,
    Coverage,
    Evidence,
    Finding,
    ScanResult,
    Table,
    TableVerdict,
    Unread,
    Verdict,
    unforeseen,
)
from pingyao.classify.ports import Pace, Progress, Source
from pingyao.classify.reading import Journal, Manner, Part, read_table
from pingyao.classify.rules import texts, values
from pingyao.classify.rules.fuse import decide
from pingyao.classify.rules.grade import Item, TableContext, combine, grade
from pingyao.classify.rules.leaf import place
from pingyao.classify.rules.metadata import Context, Reading, owner, read_columns, read_context
from pingyao.kernel.errors import PingyaoError
from pingyao.kernel.labels import highest


class Seen(NamedTuple):
    """What the values of a column showed: evidence and findings, rows read and nulls among them."""

    evidence: tuple[Evidence, ...] = ()
    findings: tuple[Finding, ...] = ()
    rows: int = 0
    nulls: int = 0


def scan(
    source: Source,
    knowledge: Knowledge,
    *,
    coverage: Coverage = "full",
    sample_rows: int | None = None,
    journal: Journal | None = None,
    pace: Pace | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> ScanResult:
    """Scans every table of a source; what cannot be read is named, and the rest goes on.

    Args:
        coverage: ``full`` reads every row, ``sample`` at most ``sample_rows`` of each table,
            ``metadata`` none.
        journal: where to keep how far it came, and to go on from.
        workers: threads that scan columns side by side; None for as many as there are CPUs. The
            result is the same with any number.
    """
    if source.kind == "ddl":
        coverage, sample_rows = "metadata", None  # definitions hold no values: say so
    started_at = datetime.now(UTC)
    tables: list[TableVerdict] = []
    unread: list[Unread] = []
    limit = sample_rows if coverage == "sample" else None
    workers = workers or len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(workers) as pool, ThreadPoolExecutor(1) as reader:
        how = Manner(pool, workers, reader, knowledge.topics, limit, journal, pace, progress)
        for table in source.tables():
            if isinstance(table, Unread):
                unread.append(table)
                continue
            if pace is not None:
                pace.wait()
            if progress is not None:
                progress.table(table.name, table.estimated_rows)
            if coverage == "metadata":
                tables.append(judge(source.name, table, None, knowledge, "metadata"))
                continue
            part = _read(source, table, how)
            read = coverage
            if part.failure is not None:
                unread.append(part.failure)
                read = "sample" if part.rows else "metadata"
            tables.append(judge(source.name, table, _seen(table, part, knowledge), knowledge, read))
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


def _read(source: Source, table: Table, how: Manner) -> Part:
    """Reads a table; what nobody foresaw costs this table, never the scan."""
    try:
        return read_table(source, table, how)
    except PingyaoError:
        raise
    except Exception as error:
        where = f"{table.schema}.{table.name}" if table.schema else table.name
        return Part(profiles=(values.EMPTY,) * len(table.columns), failure=unforeseen(where, error))


def _seen(table: Table, part: Part, knowledge: Knowledge) -> tuple[Seen, ...]:
    about: tuple[Evidence, ...] = ()
    if table.kind == "document":
        about = texts.weigh(knowledge.topics.rank(Counter(part.words)))
    return tuple(
        Seen((*values.weigh(p), *about), values.findings(p), p.rows, p.nulls) for p in part.profiles
    )


def judge(
    source: str,
    table: Table,
    seen: Sequence[Seen] | None,
    knowledge: Knowledge,
    coverage: Coverage = "full",
) -> TableVerdict:
    """Judges one table from its metadata and, where rows were read, what was seen in them."""
    context = read_context(table, knowledge.lexicon)
    readings = read_columns(table, context, knowledge.lexicon, knowledge.grammar)
    learnt = knowledge.recall(table) if knowledge.recall else ((),) * len(table.columns)
    known = seen if seen is not None else (Seen(),) * len(table.columns)
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
    seen: Seen,
    learnt: tuple[Evidence, ...],
    knowledge: Knowledge,
) -> tuple[Item, Verdict]:
    column = table.columns[index]
    evidence = (*reading.evidence, *learnt, *seen.evidence)
    decision = decide(evidence, knowledge.types)
    subject = owner(reading.subject, decision.type, knowledge.family(decision.type))
    reading = msgspec.structs.replace(reading, subject=subject)
    leaf = next((str(e.args["leaf"]) for e in seen.evidence if "leaf" in e.args), None) or place(
        decision.type, knowledge.family(decision.type), reading, context, knowledge.leaves
    )
    codes = {e.code for e in seen.evidence}
    masked = frozenset({"masked"} if "values.masked" in codes else ())
    item = Item(
        type=decision.type,
        subject=reading.subject,
        leaf=leaf,
        terms=(reading.states | reading.entities | masked).intersection(knowledge.book.terms),
        findings=seen.findings,
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
        abstained=decision.abstained or bool(codes & texts.UNSURE),
        labels=labels,
        guesses=decision.guesses,
        evidence=evidence,
        findings=seen.findings,
        rulings=rulings,
        rows_read=seen.rows,
        nulls=seen.nulls,
    )
