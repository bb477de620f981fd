"""The use case of a run: a plan carried out, its outcome scanned anew, and released only if it is clean."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version

import msgspec
import pyarrow as pa

from pingyao.kernel.errors import Conflict
from pingyao.kernel.event import EvidenceEvent
from pingyao.protect.model import (
    Asset,
    KeyUsed,
    Place,
    Plan,
    Record,
    Residual,
    Staged,
    Use,
)
from pingyao.protect.planning import by_table, choose, digest
from pingyao.protect.ports import Book, Keys, Progress, Reading, Scanner, Sink, Vault
from pingyao.protect.releasing import (
    Terms,
    Withheld,
    approval,
    asked,
    outcome,
    whole_or_nothing,
    witnessed,
)
from pingyao.protect.rules.apply import Tally, Worker
from pingyao.protect.rules.keyed import Keyed
from pingyao.protect.rules.policy import APPROVALS, Policy
from pingyao.protect.rules.regrade import graded, residuals
from pingyao.protect.rules.watermark import Marker, Marks


class Refused(Withheld):
    """A plan's output holds something that its purpose forbids; the record says what."""

    def __init__(self, record: Record, event: EvidenceEvent) -> None:
        super().__init__(record.residuals, "请在方案中为这些列改选技术后重试")
        self.record, self.event = record, event


class Run(msgspec.Struct, frozen=True):
    """What a run needs.

    Attributes:
        vault: opens a token vault by name.
        book: keeps the record and its evidence.
        scope: within one scope equal values meet again; each recipient gets a scope of its own.
        ready: told of what was written, before it is scanned; e.g. to show what comes next.
        approval: number of the export approval, where there is one.
        name: the source's, as an approval names it.
    """

    plan: Plan
    policy: Policy
    reading: Reading
    sink: Sink
    scanner: Scanner
    keys: Keys
    vault: Callable[[str], Vault]
    book: Book
    scope: str
    actor: str
    progress: Progress | None = None
    ready: Callable[[], None] | None = None
    approval: str = ""
    name: str = ""


def run(job: Run) -> tuple[Record, EvidenceEvent]:
    """Carries out a plan: protects, scans the result anew, and releases it only if it is clean.

    Returns:
        The record, and the event that is its evidence.

    Raises:
        Refused: something forbidden remains; the target is as it was before.
        NotPermitted: it takes an approval, and there is none that covers it.
        Conflict: the source has changed since the plan, or changes on the way.
    """
    started_at = datetime.now(UTC)
    terms = Terms(job.plan.source, job.plan.purpose, job.policy, job.book, job.actor)
    with whole_or_nothing(job.sink, terms, "run"):
        plan = choose(job.plan, {}, job.policy)
        use = use_of(plan, job.approval, job.name)
        given = [c.field for c in plan.choices if c.technique != "withhold"]
        rules = asked(job.policy, plan.purpose, given, use)
        tallies = _write(job, plan)
        if job.ready is not None:
            job.ready()
        staged = job.sink.staged()
        seen = job.scanner(staged)
        staged = witnessed(staged, seen.contents)
        left = residuals(plan.choices, tallies, seen, job.policy, plan.purpose)
        record = _record(job, plan, tallies, started_at, left, staged, rules)
        event, kept = event_of(record), msgspec.json.encode(record)
        if left:
            with job.book(event, kept):
                pass
            raise Refused(record, event)
        if use is not None:
            use = msgspec.structs.replace(use, rows=sum(m.rows for m in record.made))
        with job.book(event, kept, staged, use):
            job.sink.commit()
    return record, event


def use_of(plan: Plan, number: str, source: str) -> Use | None:
    """Returns an approval as a run of a plan uses it; None where there is none."""
    if not number:
        return None
    return Use(number, (f"plan:{digest(plan)}",), plan.purpose, source, plan.recipient)


def _write(job: Run, plan: Plan) -> dict[Place, Tally]:
    keyed = Keyed(job.keys, job.scope)
    marker = Marker(Marks(job.keys), plan.recipient) if plan.recipient else None
    now = {(schema, table): names for schema, table, names in job.reading.columns()}
    workers: list[tuple[Asset, Worker]] = []
    for (schema, table), choices in by_table(plan).items():
        if (schema, table) not in now:
            raise Conflict(
                "protect.table_gone",
                f"数据源中已没有表 {table[:80]}",
                "请重新执行 protect plan 并复核",
            )
        worker = Worker(choices, job.policy, keyed, job.vault, marker)
        worker.check(now[schema, table], job.reading.types(schema, table))
        workers.append((Asset(schema, table, tuple(c.field for c in choices)), worker))
    tallies: dict[Place, Tally] = {}
    for asset, worker in workers:
        if job.progress is not None:
            job.progress.table(asset.name, None)
        if worker.gives:
            _write_table(job, worker, asset)
        tallies |= {Place(asset.schema, asset.name, n): t for n, t in worker.tallies.items()}
    return tallies


def _write_table(job: Run, worker: Worker, asset: Asset) -> None:
    batches = job.reading.batches(asset)
    first = next(batches, None)
    if first is None:
        names = [f.place.column for f in asset.fields]
        given = pa.schema([(name, pa.string()) for name in names])
        job.sink.write(asset, worker.schema(given), iter(()))
        return
    schema = worker.schema(first.schema)

    def protected() -> Iterator[pa.RecordBatch]:
        batch: pa.RecordBatch | None = first
        while batch is not None:
            yield worker(batch)
            if job.progress is not None:
                job.progress.rows(batch.num_rows, batch.nbytes)
            batch = next(batches, None)

    job.sink.write(asset, schema, protected())


def _record(
    job: Run,
    plan: Plan,
    tallies: Mapping[Place, Tally],
    started_at: datetime,
    left: tuple[Residual, ...],
    staged: Staged,
    rules: tuple[str, ...],
) -> Record:
    done = tuple(graded(c, tallies[c.field.place], job.policy, plan.purpose) for c in plan.choices)
    keys = job.keys
    return Record(
        source=plan.source,
        target=job.sink.name,
        purpose=plan.purpose,
        scope=job.scope,
        actor=job.actor,
        started_at=started_at,
        finished_at=datetime.now(UTC),
        version=version("pingyao"),
        packs=plan.packs,
        plan_sha256=digest(plan),
        made=() if left else staged.made,
        done=done,
        residuals=left,
        conditions=tuple(
            c for c in plan.conditions if not (job.approval and c.control in APPROVALS)
        ),
        demands=plan.demands,
        released=not left,
        key=KeyUsed(keys.name, keys.version, keys.suite, Keyed(keys, job.scope).check),
        recipient=plan.recipient,
        approval=job.approval,
        asked_by=rules,
    )


def event_of(record: Record) -> EvidenceEvent:
    """Returns the evidence of a run: what was done, never to which values."""
    body: dict[str, object] = {
        "source": record.source,
        "purpose": record.purpose,
        "recipient": record.recipient,
        "plan_sha256": record.plan_sha256,
        "packs": list(record.packs),
        **outcome(record.made),
        **approval(record.approval, record.asked_by),
        "columns": len(record.done),
        "residuals": len(record.residuals),
        "record_sha256": hashlib.sha256(
            msgspec.json.encode(record, order="deterministic")
        ).hexdigest(),
    }
    kind = "protect.run.completed" if record.released else "protect.run.refused"
    return EvidenceEvent(kind, record.target, record.actor, record.finished_at, body)
