"""Corrections teach: a memory of people's decisions, switched on only where it is shown to help."""

from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa

from pingyao.classify import store
from pingyao.classify.knowledge import Knowledge, with_memory
from pingyao.classify.rules.fuse import decide
from pingyao.classify.rules.memory import Figures, Lesson, Memory, Trial, cross_validate
from pingyao.classify.store import Entry
from pingyao.kernel.errors import Conflict
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.outbox import emit


def learn(engine: sa.Engine, knowledge: Knowledge, actor: str, *, switch_on: bool) -> Figures:
    """Makes a memory of all columns people decided, and measures it on tables it has not seen.

    Args:
        switch_on: put it in force.

    Raises:
        Conflict: it was to be switched on, but is not shown to help; nothing changes.
    """
    at = datetime.now(UTC)
    with engine.begin() as db:
        decided = [e for e in store.read_entries(db) if e.locked and not e.gone]
        figures = cross_validate(
            [_trial(e) for e in decided], lambda seen: decide(seen, knowledge.types)
        )
        if switch_on and not figures.helps:
            raise Conflict(
                "learning.not_shown_to_help",
                f"依据 {figures.tables:,} 张表 {figures.columns:,} 列的人工结论，交叉验证的净改善为 "
                f"{figures.gain:+.1%}（95% 区间 {figures.low:+.1%} 至 {figures.high:+.1%}）",
                "未启用；请在更多的表上确认与更正后再试",
            )
        if switch_on:
            memory = Memory(f"{at:%Y%m%d.%H%M%S}", tuple(_trial(e).lesson for e in decided))
            words = msgspec.json.encode(figures).decode()
            store.save_memory(db, msgspec.json.encode(memory), words, at)
            body: dict[str, object] = {"version": memory.version, "lessons": len(decided)}
            emit(db, [EvidenceEvent("classify.memory.switched_on", "", actor, at, body)])
    return figures


def forget(engine: sa.Engine, actor: str) -> None:
    """Switches the memory off; people's decisions stay."""
    with engine.begin() as db:
        store.drop_memory(db)
        event = EvidenceEvent("classify.memory.switched_off", "", actor, datetime.now(UTC), {})
        emit(db, [event])


def remembering(engine: sa.Engine, knowledge: Knowledge) -> Knowledge:
    """Returns the knowledge with the memory in force, where there is one."""
    with engine.connect() as db:
        found = store.active_memory(db)
    return with_memory(knowledge, msgspec.json.decode(found, type=Memory)) if found else knowledge


def _trial(entry: Entry) -> Trial:
    id_ = entry.verdict.id
    lesson = Lesson(
        address="/".join(p for p in (id_.source, id_.schema, id_.table, id_.column) if p),
        table=id_.table,
        table_comment=entry.table_comment,
        name=id_.column,
        comment=entry.opinion.comment,
        type=entry.verdict.type,
    )
    evidence = tuple(e for e in entry.opinion.evidence if e.origin != "memory")
    return Trial(lesson, evidence)
