"""The catalogue: scans recorded, people's decisions kept, differences shown; one transaction each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from pingyao.classify import store, tally
from pingyao.classify.knowledge import Knowledge
from pingyao.classify.model import Column, ColumnId, Evidence, ScanResult, Table, Verdict
from pingyao.classify.rules.book import RuleBook
from pingyao.classify.rules.difference import Change, Known, compare, differ
from pingyao.classify.rules.grade import Item, grade, settle
from pingyao.classify.rules.metadata import owner
from pingyao.classify.service import Seen, judge
from pingyao.classify.store import Entry, Reading
from pingyao.kernel.errors import Conflict, Invalid, NotFound
from pingyao.kernel.event import EvidenceEvent
from pingyao.kernel.labels import Level
from pingyao.platform.outbox import emit

_ENCODE = msgspec.json.Encoder().encode


class Decision(msgspec.Struct, frozen=True):
    """What a person decides of a column.

    Attributes:
        column: its number in the catalogue.
        version: the version the person saw.
        type, leaf, level: what it is corrected to; None keeps what stands. Level 5 is for people.
    """

    column: int
    version: int
    reason: str = ""
    type: str | None = None
    leaf: str | None = None
    level: int | None = None

    @property
    def corrects(self) -> bool:
        """Whether it changes the verdict rather than confirming it."""
        return any(v is not None for v in (self.type, self.leaf, self.level))


def record(
    engine: sa.Engine, result: ScanResult, actor: str, readings: Sequence[Reading] = ()
) -> tuple[Change, ...]:
    """Records a scan: what nobody decided follows the machine, what somebody did stays.

    Args:
        readings: what was seen of the tables that were read, for the next scan to go by.

    Returns:
        The differences from what the catalogue held of this source.
    """
    at = datetime.now(UTC)
    found = {v.id: v for t in result.tables for v in t.columns}
    comments = {v.id: t.table.comment for t in result.tables for v in t.columns}
    with engine.begin() as db:
        known = {e.verdict.id: e for e in store.read_entries(db, result.source)}
        changes = compare(_held(known), found, whole=not result.unread)
        scan = store.insert_scan(
            db,
            source=result.source,
            kind=result.kind,
            coverage=result.coverage,
            finished_at=result.finished_at.isoformat(),
            version=result.version,
            packs=_ENCODE(result.packs).decode(),
        )
        new = [_new(v, comments[k], scan) for k, v in found.items() if k not in known]
        store.insert_columns(db, new)
        again = [_seen_again(known[k], v) for k, v in found.items() if k in known]
        _change(db, [row | {"gone": False, "last_scan": scan} for row in again])
        gone = [known[c.id] for c in changes if c.what == "gone"]
        _change(db, [{"key": e.id, "seen": e.version, "gone": True} for e in gone])
        tally.rename(db, result.source)
        tally.recount(db, result.source)
        _remember(db, changes, found, at, actor, "scan", f"#{scan}")
        store.save_readings(db, result.source, readings)
        if not result.unread:
            kept = {(t.table.schema, t.table.name) for t in result.tables}
            store.drop_readings(db, result.source, kept)
        body: dict[str, object] = {
            "scan": scan,
            "columns": len(found),
            "changes": len(changes),
            "packs": [f"{p.name}@{p.version}" for p in result.packs],
        }
        emit(db, [EvidenceEvent("classify.scan.recorded", result.source, actor, at, body)])
    return changes


def preview(engine: sa.Engine, result: ScanResult) -> tuple[Change, ...]:
    """Returns what recording a scan would change, and changes nothing."""
    found = {v.id: v for t in result.tables for v in t.columns}
    with engine.connect() as db:
        known = {e.verdict.id: e for e in store.read_entries(db, result.source)}
    return compare(_held(known), found, whole=not result.unread)


def reevaluate(
    engine: sa.Engine, knowledge: Knowledge, actor: str, *, keep: bool = True
) -> tuple[Change, ...]:
    """Judges every column anew by the packs and memory now in force; no source is read.

    What the values showed at the last scan counts as it did then. Decisions of people stay.

    Args:
        keep: False only tells the differences.
    """
    at = datetime.now(UTC)
    packs = [f"{p.name}@{p.version}" for p in knowledge.packs]
    with engine.begin() as db:
        known = {e.verdict.id: e for e in store.read_entries(db) if not e.gone}
        found = {v.id: v for v in _judged_again(known.values(), knowledge)}
        changes = compare(_held(known), found, whole=False)
        if keep:
            _change(db, [_seen_again(known[k], v) for k, v in found.items()])
            tally.recount(db)
            _remember(db, changes, found, at, actor, "reevaluate", " ".join(packs))
            body: dict[str, object] = {"columns": len(found), "changes": len(changes)}
            event = EvidenceEvent(
                "classify.catalogue.reevaluated", "", actor, at, body | {"packs": packs}
            )
            emit(db, [event])
    return changes


def _judged_again(entries: Iterable[Entry], knowledge: Knowledge) -> Iterator[Verdict]:
    tables: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in entries:
        id_ = entry.verdict.id
        tables.setdefault((id_.source, id_.schema, id_.table), []).append(entry)
    for (source, schema, name), members in tables.items():
        opinions = [e.opinion for e in members]
        columns = tuple(Column(o.id.column, o.declared_type, o.comment) for o in opinions)
        table = Table(schema, name, members[0].table_comment, columns=columns)
        seen = [
            Seen(
                tuple(e for e in o.evidence if e.origin in ("values", "text")),
                o.findings,
                o.rows_read,
                o.nulls,
            )
            for o in opinions
        ]
        yield from judge(source, table, seen, knowledge).columns


def decide(
    engine: sa.Engine, decisions: Sequence[Decision], book: RuleBook, actor: str
) -> tuple[Entry, ...]:
    """Confirms or corrects columns; all of them or none.

    Raises:
        Invalid: a correction without a reason, or one that cannot be.
        NotFound: no such column.
        Conflict: somebody changed it since it was looked at.
    """
    at = datetime.now(UTC)
    with engine.begin() as db:
        entries = _chosen(db, [d.column for d in decisions])
        rows: list[dict[str, object]] = []
        past: list[dict[str, object]] = []
        events: list[EvidenceEvent] = []
        for decision in decisions:
            entry = entries[decision.column]
            verdict = decided(entry.verdict, decision, book)
            act = "correct" if decision.corrects else "confirm"
            row: dict[str, object] = {"key": entry.id, "seen": decision.version}
            rows.append(
                row | _in_force(verdict) | {"locked": True, "version": decision.version + 1}
            )
            past.append(_past(entry.id, at, actor, act, decision.reason, verdict))
            body: dict[str, object] = {"reason": decision.reason, "type": verdict.type}
            body |= {"level": int(verdict.labels.level), "leaf": verdict.leaf}
            kind = f"classify.verdict.{act}ed"
            events.append(EvidenceEvent(kind, _address(entry.verdict.id), actor, at, body))
        with tally.following(db, entries):
            _change(db, rows)
        store.add_history(db, past)
        emit(db, events)
        return tuple(_chosen(db, [d.column for d in decisions]).values())


def unlock(engine: sa.Engine, column: int, version: int, reason: str, actor: str) -> Entry:
    """Gives a column back to the machine: its latest opinion is in force again."""
    if not reason.strip():
        raise Invalid("catalogue.no_reason", "解除锁定须写明理由", "请用 --reason 说明")
    at = datetime.now(UTC)
    with engine.begin() as db:
        entry = _chosen(db, [column])[column]
        if not entry.locked:
            raise Conflict("catalogue.not_locked", "该列没有人工结论，无需解除", "请核对列编号")
        row: dict[str, object] = {"key": column, "seen": version, **_in_force(entry.opinion)}
        with tally.following(db, [column]):
            _change(db, [row | {"locked": False, "version": version + 1}])
        store.add_history(db, [_past(column, at, actor, "unlock", reason, entry.opinion)])
        address = _address(entry.verdict.id)
        body: dict[str, object] = {"reason": reason}
        emit(db, [EvidenceEvent("classify.verdict.unlocked", address, actor, at, body)])
        return _chosen(db, [column])[column]


def decided(verdict: Verdict, decision: Decision, book: RuleBook) -> Verdict:
    """Returns a verdict as a person decided it; labels follow the type, leaf and level given."""
    if not decision.corrects:
        return msgspec.structs.replace(verdict, abstained=False)
    if not decision.reason.strip():
        raise Invalid("catalogue.no_reason", "更正须写明理由", "请填写理由后再提交")
    type_ = decision.type if decision.type is not None else verdict.type
    leaf = decision.leaf if decision.leaf is not None else verdict.leaf
    if type_ not in book.families:
        raise Invalid("catalogue.unknown_type", f"没有数据类型 {type_[:40]}", "请从词表中选择")
    if leaf and leaf not in book.leaves:
        raise Invalid("catalogue.unknown_leaf", f"没有分类路径 {leaf[:80]}", "请从分类目录中选择")
    if decision.level is not None and not 1 <= decision.level <= 5:
        raise Invalid("catalogue.bad_level", f"没有 {decision.level} 级", "级别为 1 至 5")
    subject = owner(verdict.subject, type_, book.families[type_])
    item = Item(type=type_, subject=subject, leaf=leaf, findings=verdict.findings)
    labels, rulings = grade(item, book)
    if decision.level is not None:
        labels = msgspec.structs.replace(labels, level=Level(decision.level))
        labels, more = settle(item, labels, book)
        rulings = (*rulings, *more)
    said = Evidence("decision", type_, 0.0, "decision.corrected", {"reason": decision.reason[:200]})
    return msgspec.structs.replace(
        verdict,
        type=type_,
        subject=subject,
        leaf=leaf,
        labels=labels,
        rulings=rulings,
        evidence=(*verdict.evidence, said),
        confidence=1.0,
        abstained=False,
    )


def _chosen(db: sa.Connection, numbers: Sequence[int]) -> dict[int, Entry]:
    found = {e.id: e for e in store.read_entries(db, ids=numbers)}
    for number in numbers:
        if number not in found:
            raise NotFound(
                "catalogue.no_such_column",
                f"目录中没有编号 {number} 的列",
                "请用 catalogue show 查看编号",
            )
    return {n: found[n] for n in numbers}


def _change(db: sa.Connection, rows: Sequence[dict[str, object]]) -> None:
    if store.update_columns(db, rows) != len(rows):
        raise Conflict(
            "catalogue.changed_meanwhile",
            "其中有列已被他人修改，未作任何改动",
            "请重新查看后再提交",
        )


def _address(id_: ColumnId) -> str:
    return "/".join(p for p in (id_.source, id_.schema, id_.table, id_.column) if p)


def _in_force(verdict: Verdict) -> dict[str, Any]:
    return {
        "type": verdict.type,
        "level": int(verdict.labels.level),
        "personal": int(verdict.labels.personal),
        "abstained": verdict.abstained,
        "verdict": _ENCODE(verdict).decode(),
    }


def _new(verdict: Verdict, comment: str, scan: int) -> dict[str, object]:
    return {
        "source": verdict.id.source,
        "schema_name": verdict.id.schema,
        "table_name": verdict.id.table,
        "column_name": verdict.id.column,
        "table_comment": comment,
        "first_scan": scan,
        "last_scan": scan,
        "gone": False,
        "locked": False,
        **_in_force(verdict),
        "opinion": _ENCODE(verdict).decode(),
        "version": 1,
    }


def _held(known: Mapping[ColumnId, Entry]) -> dict[ColumnId, Known]:
    return {k: Known(e.verdict, e.opinion, e.locked, e.gone) for k, e in known.items()}


def _remember(
    db: sa.Connection,
    changes: Iterable[Change],
    found: Mapping[ColumnId, Verdict],
    at: datetime,
    actor: str,
    act: str,
    reason: str,
) -> None:
    changed = [*dict.fromkeys(c.id for c in changes if c.id in found)]
    sources = {id_.source for id_ in changed}
    numbers = {e.verdict.id: e.id for s in sources for e in store.read_entries(db, s)}
    store.add_history(db, [_past(numbers[k], at, actor, act, reason, found[k]) for k in changed])


def _seen_again(entry: Entry, verdict: Verdict) -> dict[str, object]:
    in_force = entry.verdict if entry.locked else verdict
    changed = not entry.locked and differ(entry.verdict, verdict)
    return {
        "key": entry.id,
        "seen": entry.version,
        **_in_force(in_force),
        "opinion": _ENCODE(verdict).decode(),
        "version": entry.version + changed,
    }


def _past(
    column: int, at: datetime, actor: str, act: str, reason: str, verdict: Verdict
) -> dict[str, object]:
    return {
        "column_id": column,
        "at": at.isoformat(),
        "actor": actor,
        "act": act,
        "reason": reason,
        "verdict": _ENCODE(verdict).decode(),
    }
