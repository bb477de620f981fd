"""The page of the accounts: what each administrator may do with them."""

from datetime import UTC, datetime
from typing import Any

from litestar import Response, Router, get, post

from pingyao.kernel.errors import PingyaoError
from pingyao.platform.identity import people
from pingyao.platform.identity.http import CHANGES, Words
from pingyao.platform.identity.model import Issued
from pingyao.platform.policy import ROLES
from pingyao.platform.web.node import AtNode, InSeat, Node, RowNumber, Seat
from pingyao.platform.web.pages import Form, go, one, render


@get("/people", action="people.list", sync_to_thread=True)
def people_page(node: AtNode, seat: InSeat, done: Words = "") -> Response[str]:
    """Lists the accounts, and what may be done with each."""
    return _page(node, seat, done=done)


@post("/people", action="account.create", sync_to_thread=True)
def create(data: Form, node: AtNode, seat: InSeat) -> Response[Any]:
    """Makes an account that waits for a role."""
    try:
        people.create(node.engine, seat.actor, one(data, "name"), one(data, "person"))
    except PingyaoError as error:
        return _page(node, seat, error=error)
    return go("/people?done=created")


@post("/people/{number:int}/grant", action="account.grant", sync_to_thread=True)
def grant(number: RowNumber, data: Form, node: AtNode, seat: InSeat) -> Response[str]:
    """Gives a role, and shows the one-time password this once."""
    try:
        issued = people.grant(node.engine, seat.actor, number, one(data, "role"))
    except PingyaoError as error:
        return _page(node, seat, error=error)
    return _page(node, seat, issued)


def _changing(name: str) -> Any:
    change, _ = CHANGES[name]

    def route(number: RowNumber, node: AtNode, seat: InSeat) -> Response[Any]:
        try:
            change(node.engine, seat.actor, number)
        except PingyaoError as error:
            return _page(node, seat, error=error)
        return go("/people?done=changed")

    route.__doc__ = change.__doc__
    path = f"/people/{{number:int}}/{name}"
    return post(path, action=f"account.{name}", sync_to_thread=True)(route)


def _page(
    node: Node,
    seat: Seat,
    issued: Issued | None = None,
    *,
    error: PingyaoError | None = None,
    done: str = "",
) -> Response[str]:
    return render(
        node,
        seat,
        "people.html.j2",
        here="people",
        back="/people",
        done=done,
        error=error,
        accounts=people.listed(node.engine, seat.actor),
        issued=issued,
        roles=ROLES,
        now=int(datetime.now(UTC).timestamp()),
    )


router = Router(
    "/",
    include_in_schema=False,
    route_handlers=[people_page, create, grant, *map(_changing, CHANGES)],
)
