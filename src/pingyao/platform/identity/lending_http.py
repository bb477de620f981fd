"""The API of tokens for programs and of emergency overrides."""

from typing import Annotated

import msgspec
from litestar import Router, delete, get, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from pingyao.platform.identity import overrides, tokens
from pingyao.platform.identity.model import MadeToken, Override, Token
from pingyao.platform.web.node import AtNode, InSeat, RowNumber

Text = Annotated[str, msgspec.Meta(max_length=64)]
Number = Annotated[int, msgspec.Meta(ge=0, le=1000)]


class NewToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token to be made."""

    name: Text
    scopes: Annotated[tuple[Text, ...], msgspec.Meta(max_length=50)]
    days: Number


class NewOverride(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An act asked for in an emergency."""

    action: Text
    reason: Annotated[str, msgspec.Meta(max_length=2000)]
    minutes: Number


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the second person says."""

    approve: bool


@get("/tokens", summary="本人的令牌 · One's tokens", action="own.tokens", sync_to_thread=True)
def list_tokens(node: AtNode, seat: InSeat) -> list[Token]:
    """Returns one's own tokens."""
    return tokens.listed(node.engine, seat.actor)


@post(
    "/tokens",
    summary="新建令牌 · New token",
    action="own.tokens",
    status_code=HTTP_201_CREATED,
    sync_to_thread=True,
)
def make_token(data: JSONBody[NewToken], node: AtNode, seat: InSeat) -> MadeToken:
    """Makes a token; its text is shown this once."""
    return tokens.make(node.engine, seat.actor, data.name, data.scopes, data.days)


@delete(
    "/tokens/{number:int}",
    summary="收回令牌 · Revoke a token",
    action="own.tokens",
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def revoke_token(number: RowNumber, node: AtNode, seat: InSeat) -> None:
    """Ends a token at once."""
    tokens.revoke(node.engine, seat.actor, number)


@get(
    "/overrides",
    summary="紧急越权 · Emergency overrides",
    action="own.override",
    sync_to_thread=True,
)
def list_overrides(node: AtNode, seat: InSeat) -> list[Override]:
    """Returns the newest 200: everybody's for who may see them, else one's own."""
    return overrides.listed(node.engine, seat.actor)


@post(
    "/overrides",
    summary="申请紧急越权 · Ask for an override",
    action="own.override",
    status_code=HTTP_201_CREATED,
    sync_to_thread=True,
)
def ask(data: JSONBody[NewOverride], node: AtNode, seat: InSeat) -> Override:
    """Asks for an act that one's role may not do."""
    return overrides.ask(node.engine, seat.actor, data.action, data.reason, data.minutes)


@post(
    "/overrides/{number:int}/decision",
    summary="批准或驳回 · Approve or refuse",
    action="override.approve",
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def decide(number: RowNumber, data: JSONBody[Decision], node: AtNode, seat: InSeat) -> Override:
    """Says yes or no as somebody of another role."""
    return overrides.decide(node.engine, seat.actor, number, approve=data.approve)


@post(
    "/overrides/{number:int}/end",
    summary="结束 · End",
    action="own.override",
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def end(number: RowNumber, node: AtNode, seat: InSeat) -> Override:
    """Ends a request or an override before its time."""
    return overrides.end(node.engine, seat.actor, number)


router = Router(
    "/",
    tags=["identity"],
    route_handlers=[
        list_tokens,
        make_token,
        revoke_token,
        list_overrides,
        ask,
        decide,
        end,
    ],
)
