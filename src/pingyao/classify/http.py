"""The API of the catalogue; every route says what it does, the desk decides."""

from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from pingyao.classify import desk, views
from pingyao.classify.catalogue import Decision
from pingyao.classify.rules.book import RuleBook
from pingyao.classify.store import Entry
from pingyao.platform.web.node import After, AtNode, InSeat, RowNumber

Text = Annotated[str, QueryParameter(max_length=1000)]
Limit = Annotated[int, QueryParameter(ge=1, le=500)]


class ColumnPage(msgspec.Struct, frozen=True):
    """Columns by number; ``after`` leads to the next page, None at the end."""

    items: list[views.Row]
    after: int | None


class TablePage(msgspec.Struct, frozen=True):
    """Tables by name; the last one leads to the next page."""

    items: list[views.TableRow]
    more: bool


class ColumnDetail(msgspec.Struct, frozen=True):
    """A column, and what happened to it."""

    entry: Entry
    history: list[desk.Past]


@get("/overview", summary="总览 · Overview", action="catalogue.read", sync_to_thread=True)
def overview(node: AtNode, seat: InSeat) -> views.Overview:
    """Returns the counts of every system and of all."""
    return desk.overview(node.engine, seat.actor)


@get(
    "/tables", summary="系统的表 · Tables of a system", action="catalogue.read", sync_to_thread=True
)
def tables(
    node: AtNode,
    seat: InSeat,
    source: Text,
    after_schema: Text = "",
    after_table: Text = "",
    limit: Limit = 100,
) -> TablePage:
    """Returns a page of tables."""
    after = (after_schema, after_table)
    found = desk.tables(node.engine, seat.actor, source, after, limit + 1)
    return TablePage(found[:limit], len(found) > limit)


@get("/columns", summary="列 · Columns", action="catalogue.read", sync_to_thread=True)
def columns(
    node: AtNode,
    seat: InSeat,
    source: Text = "",
    schema: Text = "",
    table: Text = "",
    level: Annotated[int, QueryParameter(ge=0, le=5)] = 0,
    personal: Annotated[int, QueryParameter(ge=0, le=3)] = 0,
    column_state: Annotated[views.State, QueryParameter(name="state")] = "",
    words: Annotated[str, QueryParameter(max_length=100)] = "",
    after: After = 0,
    limit: Limit = 100,
) -> ColumnPage:
    """Returns a page of columns."""
    wanted = views.Filter(source, schema, table, level, personal, column_state, words)
    found = desk.columns(node.engine, seat.actor, wanted, after, limit + 1)
    return ColumnPage(found[:limit], found[limit - 1].id if len(found) > limit else None)


@get(
    "/columns/{number:int}",
    summary="一列的结论、证据与历史 · A column",
    action="catalogue.read",
    sync_to_thread=True,
)
def column(number: RowNumber, node: AtNode, seat: InSeat) -> ColumnDetail:
    """Returns a column with its verdict, its evidence and its history."""
    return ColumnDetail(*desk.column(node.engine, seat.actor, number))


@post(
    "/decisions",
    summary="确认与更正 · Confirm and correct",
    action="catalogue.decide",
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def decide(
    data: JSONBody[list[Decision]], node: AtNode, seat: InSeat, book: NamedDependency[RuleBook]
) -> list[Entry]:
    """Confirms or corrects columns, all of them or none."""
    return list(desk.decide(node.engine, seat.actor, data, book))


router = Router(
    "/catalogue", tags=["catalogue"], route_handlers=[overview, tables, columns, column, decide]
)
