"""The pages of the catalogue: overview, list with review queue, one column with its evidence."""

from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Redirect

from pingyao.classify import desk, views
from pingyao.classify.catalogue import Decision
from pingyao.classify.formats.words import say, set_by, type_names
from pingyao.classify.http import Text
from pingyao.classify.rules.book import RuleBook
from pingyao.kernel.errors import Invalid
from pingyao.platform.web.node import After, AtNode, InSeat, Node, RowNumber, Seat
from pingyao.platform.web.pages import Form, go, local, many, one, render

_PAGE = 50


def overview(node: Node, seat: Seat) -> Response[str]:
    """Shows the whole catalogue at a glance: the front page of who may read it."""
    found = desk.overview(node.engine, seat.actor)
    return render(node, seat, "overview.html.j2", here="overview", o=found)


@get("/catalogue", action="catalogue.read", sync_to_thread=True)
def catalogue(
    node: AtNode,
    seat: InSeat,
    source: Text = "",
    table: Text = "",
    level: Annotated[int, QueryParameter(ge=0, le=5)] = 0,
    personal: Annotated[int, QueryParameter(ge=0, le=3)] = 0,
    column_state: Annotated[views.State, QueryParameter(name="state")] = "",
    words: Annotated[str, QueryParameter(max_length=100)] = "",
    after: After = 0,
    done: Text = "",
) -> Response[str]:
    """Lists columns; those that wait for a person are confirmed here, many at once."""
    wanted = views.Filter(source, "", table, level, personal, column_state, words.strip())
    rows = desk.columns(node.engine, seat.actor, wanted, after, _PAGE + 1)
    given = {"source": source, "table": table, "level": level, "personal": personal}
    given |= {"state": column_state, "words": words}
    query = urlencode({k: v for k, v in given.items() if v})
    return render(
        node,
        seat,
        "catalogue.html.j2",
        here="catalogue",
        back=f"/catalogue?{query}",
        done=done,
        f=wanted,
        rows=rows[:_PAGE],
        more=len(rows) > _PAGE,
        total=desk.count(node.engine, seat.actor, wanted),
        sources=desk.sources(node.engine, seat.actor),
        types=type_names(),
        query=query,
        after=after,
    )


@get("/catalogue/{number:int}", action="catalogue.read", sync_to_thread=True)
def column(
    number: RowNumber,
    node: AtNode,
    seat: InSeat,
    book: NamedDependency[RuleBook],
    done: Text = "",
) -> Response[str]:
    """Shows one column: verdict, evidence, the rules behind its level, history."""
    entry, past = desk.column(node.engine, seat.actor, number)
    return render(
        node,
        seat,
        "column.html.j2",
        here="catalogue",
        back=f"/catalogue/{number}",
        done=done,
        entry=entry,
        past=past,
        say=partial(say, language=seat.language),
        set_by=partial(set_by, language=seat.language),
        types=type_names(),
        leaves=sorted(book.leaves),
    )


@post("/catalogue/confirm", action="catalogue.decide", sync_to_thread=True)
def confirm(data: Form, node: AtNode, seat: InSeat, book: NamedDependency[RuleBook]) -> Redirect:
    """Confirms the columns chosen, all or none."""
    reason = one(data, "reason").strip()
    chosen = [Decision(*_seen(given), reason=reason) for given in many(data, "column")]
    desk.decide(node.engine, seat.actor, chosen, book)
    back = local(one(data, "back"))
    return go(back + ("&" if "?" in back else "?") + "done=confirmed")


@post("/catalogue/correct", action="catalogue.decide", sync_to_thread=True)
def correct(data: Form, node: AtNode, seat: InSeat, book: NamedDependency[RuleBook]) -> Redirect:
    """Corrects one column."""
    number, version = _seen(one(data, "column"))
    level = one(data, "level")
    decision = Decision(
        number,
        version,
        one(data, "reason").strip(),
        type=one(data, "type") or None,
        leaf=one(data, "leaf") or None,
        level=int(level) if level in ("1", "2", "3", "4", "5") else None,
    )
    if not decision.corrects:
        raise Invalid(
            "catalogue.nothing_corrected", "没有选择要更正的内容", "请选择类型、级别或分类路径"
        )
    desk.decide(node.engine, seat.actor, [decision], book)
    return go(f"/catalogue/{number}?done=corrected")


def _seen(given: str) -> tuple[int, int]:
    """Returns a column's number and the version the person saw."""
    number, _, version = given.partition(":")
    digits = number.isascii() and number.isdigit() and version.isascii() and version.isdigit()
    if not digits or len(given) > 22 or max(int(number), int(version)) > 2**31 - 1:
        raise Invalid("web.bad_request", "提交的内容无法理解", "请刷新页面后重试")
    return int(number), int(version)


router = Router("/", include_in_schema=False, route_handlers=[catalogue, column, confirm, correct])
