"""The catalogue for people who are signed in: every look and every decision asks the policies first."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from pingyao.classify import catalogue, store, views
from pingyao.classify.catalogue import Decision
from pingyao.classify.model import Verdict
from pingyao.classify.rules.book import RuleBook
from pingyao.classify.store import Entry
from pingyao.kernel.errors import Invalid, NotFound
from pingyao.platform.policy import Actor, require

MOST_AT_ONCE = 500


class Past(msgspec.Struct, frozen=True):
    """One line of a column's history."""

    at: str
    actor: str
    act: str
    reason: str
    verdict: Verdict


def overview(engine: sa.Engine, actor: Actor) -> views.Overview:
    """Returns the whole catalogue at a glance."""
    require(actor, "catalogue.read")
    with engine.connect() as db:
        return views.overview(db)


def sources(engine: sa.Engine, actor: Actor) -> list[str]:
    """Returns the names of all systems."""
    require(actor, "catalogue.read")
    with engine.connect() as db:
        return views.read_sources(db)


def tables(
    engine: sa.Engine, actor: Actor, source: str, after: tuple[str, str], limit: int
) -> list[views.TableRow]:
    """Returns tables of a system."""
    require(actor, "catalogue.read")
    with engine.connect() as db:
        return views.read_tables(db, source, after, limit)


def columns(
    engine: sa.Engine, actor: Actor, wanted: views.Filter, after: int, limit: int
) -> list[views.Row]:
    """Returns a page of columns."""
    require(actor, "catalogue.read")
    with engine.connect() as db:
        return views.read_columns(db, wanted, after, limit)


def count(engine: sa.Engine, actor: Actor, wanted: views.Filter) -> int:
    """Returns how many columns there are."""
    require(actor, "catalogue.read")
    with engine.connect() as db:
        return views.count_columns(db, wanted)


def column(engine: sa.Engine, actor: Actor, number: int) -> tuple[Entry, list[Past]]:
    """Returns a column with its verdict, its evidence and its history.

    Raises:
        NotFound: no such column.
    """
    require(actor, "catalogue.read")
    with engine.connect() as db:
        found = store.read_entries(db, ids=[number])
        if not found:
            raise NotFound(
                "catalogue.no_such_column", f"目录中没有编号 {number} 的列", "请回到目录重新选择"
            )
        return found[0], [_past(row) for row in store.read_history(db, number)]


def decide(
    engine: sa.Engine, actor: Actor, decisions: Sequence[Decision], book: RuleBook
) -> tuple[Entry, ...]:
    """Confirms or corrects columns, all or none; see ``catalogue.decide``."""
    require(actor, "catalogue.decide")
    if not 1 <= len(decisions) <= MOST_AT_ONCE:
        raise Invalid(
            "catalogue.too_many", f"一次可处理 1 至 {MOST_AT_ONCE} 列", "请选择列后再提交，或分批"
        )
    if any(not 0 < n < 2**31 for d in decisions for n in (d.column, d.version)):
        raise NotFound("catalogue.no_such_column", "没有这样的列", "请回到目录重新选择")
    if len({d.column for d in decisions}) < len(decisions):
        raise Invalid("catalogue.twice", "同一列出现了两次", "每列只能有一个结论")
    if any(len(d.reason) > 500 for d in decisions):
        raise Invalid("catalogue.long_reason", "理由不得超过 500 字", "请写得简短些")
    return catalogue.decide(engine, decisions, book, actor.name)


def _past(row: dict[str, Any]) -> Past:
    verdict = msgspec.json.decode(row["verdict"], type=Verdict)
    return Past(row["at"], row["actor"], row["act"], row["reason"], verdict)
