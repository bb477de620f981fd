"""The use cases: a plan from a graded source and a purpose, and a run of the plan with its proof."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import msgspec
import pyarrow as pa

from pingyao.kernel.errors import Conflict, Invalid
from pingyao.kernel.event import EvidenceEvent
from pingyao.protect.model import (
    Asset,
    Choice,
    Condition,
    Demand,
    Field,
    Inventory,
    KeyUsed,
    Place,
    Plain,
    Plan,
    Purpose,
    Record,
    Residual,
    Staged,
    Use,
)
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
from pingyao.protect.rules.policy import APPROVALS, Policy, Rule, speaking
from pingyao.protect.rules.propose import allowed, defaults, propose, subject_of
from pingyao.protect.rules.regrade import graded, residuals
from pingyao.protect.rules.techniques import HAVE, check_params
from pingyao.protect.rules.watermark import Marker, Marks


class Refused(Withheld):
    """A plan's output holds something that its purpose forbids; the record says what."""

    def __init__(self, record: Record, event: EvidenceEvent) -> None:
        super().__init__(record.residuals, "请在方案中为这些列改选技术后重试")
        self.record, self.event = record, event


def make_plan(inventory: Inventory, purpose: Purpose, policy: Policy, recipient: str = "") -> Plan:
    """Says for every column what must happen before the data serves a purpose, and why.

    Args:
        recipient: who gets the data; columns of amounts are marked for them.

    Raises:
        Invalid: there is nothing to plan for.
    """
    if not any(asset.fields for asset in inventory.assets):
        raise Invalid("protect.nothing", f"{inventory.source} 中没有可处理的列", "请核对数据源")
    proposals = [
        each
        for asset in inventory.assets
        for each in propose(policy, purpose, asset, HAVE, marked=bool(recipient))
    ]
    rules = list(dict.fromkeys(rule.id for _, found in proposals for rule in found))
    at = {id_: number for number, id_ in enumerate(rules)}
    by_id = {rule.id: rule for rule in policy.rules}
    demands = tuple(policy.demand(by_id[id_]) for id_ in rules)
    seen_to = {"watermark"} if any("mark" in c.params for c, _ in proposals) else set[str]()
    return Plan(
        source=inventory.source,
        kind=inventory.kind,
        purpose=purpose,
        made_at=datetime.now(UTC),
        version=version("pingyao"),
        packs=(*policy.packs, *inventory.packs),
        choices=tuple(
            msgspec.structs.replace(choice, demands=tuple(at[r.id] for r in found))
            for choice, found in proposals
        ),
        demands=demands,
        conditions=_conditions(demands, policy, seen_to),
        unseen=inventory.unseen,
        recipient=recipient,
    )


def _conditions(
    demands: Sequence[Demand], policy: Policy, seen_to: set[str]
) -> tuple[Condition, ...]:
    result: dict[str, Condition] = {}
    for number, demand in enumerate(demands):
        if demand.act == "advise":
            continue
        for control in demand.controls:
            if policy.controls[control][1] == "process" and control not in seen_to:
                result.setdefault(control, Condition(control, number))
    return tuple(result.values())


def choose(
    plan: Plan, wanted: Mapping[Place, tuple[str, dict[str, Plain] | None]], policy: Policy
) -> Plan:
    """Returns the plan with techniques chosen by a person; all of them are checked.

    Args:
        wanted: technique and parameters of columns; without parameters, the technique's own.

    Raises:
        Invalid: a technique that the rules forbid, or that does not exist or fit; all are named.
    """
    tables = {at: tuple(c.field for c in found) for at, found in _by_table(plan).items()}
    wrong: list[str] = []
    choices: list[Choice] = []
    for choice in plan.choices:
        place = choice.field.place
        technique, params = wanted.get(place, (choice.technique, dict(choice.params)))
        known = policy.techniques.get(technique)
        fields = tables[place.schema, place.table]
        if known is None or technique not in HAVE:
            wrong.append(f"{place.table}.{place.column}：没有技术“{technique[:20]}”")
            continue
        if params is None:
            params = dict(defaults(known, choice.field, subject_of(Asset("", "", fields))))
        new = msgspec.structs.replace(choice, technique=technique, params=params)
        new = choice if new == choice else msgspec.structs.replace(new, by="person")
        why = _objection(plan, new, policy, fields)
        if why:
            wrong.append(f"{place.table}.{place.column}：{why}")
        choices.append(new)
    unknown = wanted.keys() - {c.field.place for c in plan.choices}
    wrong += [f"{p.table}.{p.column}：方案中没有这一列" for p in sorted(unknown)]
    if wrong:
        more = f"；另有 {len(wrong) - 20} 处" if len(wrong) > 20 else ""
        raise Invalid(
            "protect.bad_choice",
            "；".join(wrong[:20]) + more,
            "请改选该列“可用技术”中的一项；确需放宽的，由本机构的策略包作出并留下依据",
        )
    return msgspec.structs.replace(plan, choices=tuple(choices))


def _objection(plan: Plan, choice: Choice, policy: Policy, fields: Sequence[Field]) -> str:
    """Returns why a choice may not stand; judged anew, whatever the plan says is allowed."""
    field = choice.field
    rules = speaking(policy, plan.purpose, field)
    fit = allowed(policy, plan.purpose, field, rules, HAVE)
    if choice.technique not in {t.id for t in fit}:
        deciding = [r for r in rules if r.act != "advise"]
        why = f"（{_quoted(deciding[0], policy)}）" if deciding else "（不适合该列的类型）"
        return f"不能采用“{policy.techniques[choice.technique].zh}”{why}"
    columns = [f.place.column for f in fields] if choice.params else []
    return check_params(choice.technique, choice.params, columns)


def _quoted(rule: Rule, policy: Policy) -> str:
    return f"{rule.text}，{rule.citation.standard or policy.origin[rule.id]}"


def _by_table(plan: Plan) -> dict[tuple[str, str], list[Choice]]:
    result: dict[tuple[str, str], list[Choice]] = {}
    for choice in plan.choices:
        place = choice.field.place
        result.setdefault((place.schema, place.table), []).append(choice)
    return result


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
    for (schema, table), choices in _by_table(plan).items():
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


def digest(plan: Plan) -> str:
    """Returns the SHA-256 of a plan, by which its record names it."""
    return hashlib.sha256(msgspec.json.encode(plan, order="deterministic")).hexdigest()


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
