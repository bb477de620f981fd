"""The pages of tokens for programs and of emergency overrides."""

from typing import Any

from litestar import Response, Router, get, post

from pingyao.kernel.errors import Invalid, PingyaoError
from pingyao.platform.identity import overrides, tokens
from pingyao.platform.identity.http import Words
from pingyao.platform.identity.model import MadeToken
from pingyao.platform.web.node import AtNode, InSeat, Node, RowNumber, Seat
from pingyao.platform.web.pages import Form, go, many, one, render


@get("/tokens", action="own.tokens", sync_to_thread=True)
def tokens_page(node: AtNode, seat: InSeat, done: Words = "") -> Response[str]:
    """Lists one's own tokens."""
    return _tokens(node, seat, done=done)


@post("/tokens", action="own.tokens", sync_to_thread=True)
def make_token(data: Form, node: AtNode, seat: InSeat) -> Response[str]:
    """Makes a token, and shows its text this once."""
    scopes = tuple(many(data, "scopes"))
    try:
        days = _number(one(data, "days"))
        made = tokens.make(node.engine, seat.actor, one(data, "name"), scopes, days)
    except PingyaoError as error:
        return _tokens(node, seat, error=error)
    return _tokens(node, seat, made=made)


@post("/tokens/{number:int}/revoke", action="own.tokens", sync_to_thread=True)
def revoke_token(number: RowNumber, node: AtNode, seat: InSeat) -> Response[Any]:
    """Ends a token at once."""
    try:
        tokens.revoke(node.engine, seat.actor, number)
    except PingyaoError as error:
        return _tokens(node, seat, error=error)
    return go("/tokens?done=token_revoked")


@get("/overrides", action="own.override", sync_to_thread=True)
def overrides_page(node: AtNode, seat: InSeat, done: Words = "") -> Response[str]:
    """Lists overrides: everybody's for who may see them, else one's own."""
    return _overrides(node, seat, done=done)


@post("/overrides", action="own.override", sync_to_thread=True)
def ask(data: Form, node: AtNode, seat: InSeat) -> Response[Any]:
    """Asks for an act that one's role may not do."""
    try:
        minutes = _number(one(data, "minutes"))
        overrides.ask(node.engine, seat.actor, one(data, "action"), one(data, "reason"), minutes)
    except PingyaoError as error:
        return _overrides(node, seat, error=error)
    return go("/overrides?done=asked")


@post("/overrides/{number:int}/decision", action="override.approve", sync_to_thread=True)
def decide(number: RowNumber, data: Form, node: AtNode, seat: InSeat) -> Response[Any]:
    """Says yes or no as somebody of another role."""
    approve = one(data, "approve") == "yes"
    try:
        overrides.decide(node.engine, seat.actor, number, approve=approve)
    except PingyaoError as error:
        return _overrides(node, seat, error=error)
    return go("/overrides?done=changed")


@post("/overrides/{number:int}/end", action="own.override", sync_to_thread=True)
def end(number: RowNumber, node: AtNode, seat: InSeat) -> Response[Any]:
    """Ends a request or an override before its time."""
    try:
        overrides.end(node.engine, seat.actor, number)
    except PingyaoError as error:
        return _overrides(node, seat, error=error)
    return go("/overrides?done=changed")


def _tokens(
    node: Node,
    seat: Seat,
    made: MadeToken | None = None,
    error: PingyaoError | None = None,
    done: str = "",
) -> Response[str]:
    return render(
        node,
        seat,
        "tokens.html.j2",
        here="account",
        back="/tokens",
        done=done,
        error=error,
        made=made,
        choices=tokens.choices(seat.actor),
        found=tokens.listed(node.engine, seat.actor),
    )


def _overrides(
    node: Node, seat: Seat, error: PingyaoError | None = None, done: str = ""
) -> Response[str]:
    return render(
        node,
        seat,
        "overrides.html.j2",
        here="overrides",
        back="/overrides",
        done=done,
        error=error,
        choices=overrides.choices(seat.actor),
        found=overrides.listed(node.engine, seat.actor),
    )


def _number(given: str) -> int:
    if not (given.isascii() and given.isdigit() and len(given) < 6):
        raise Invalid("web.bad_number", "须为一个整数", "请改正")
    return int(given)


router = Router(
    "/",
    include_in_schema=False,
    route_handlers=[tokens_page, make_token, revoke_token, overrides_page, ask, decide, end],
)
