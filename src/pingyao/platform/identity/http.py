"""The API of people and of the audit trail; every route says what it does, the domain decides."""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

import msgspec
import sqlalchemy as sa
from litestar import Response, Router, delete, get, post, put
from litestar.params import FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from pingyao.platform import audit
from pingyao.platform.identity import own, people, sessions, trail
from pingyao.platform.identity.model import Account, Issued, Session
from pingyao.platform.policy import Actor
from pingyao.platform.web.admission import COOKIE_AGE, PUBLIC
from pingyao.platform.web.node import COOKIE, After, AtNode, InSeat, RowNumber

Text = Annotated[str, msgspec.Meta(max_length=512)]
Words = Annotated[str, QueryParameter(max_length=512)]


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is needed to sign in; the code only where a second factor is set up."""

    name: Text
    password: Text
    code: Text = ""


class Who(msgspec.Struct, frozen=True):
    """Who is signed in.

    Attributes:
        csrf: to be sent as ``X-CSRF-Token`` with every change by a client that is no browser.
        first: ``password`` or ``second_factor`` while that must be done before anything else.
    """

    account: str
    person: str
    role: str
    csrf: str
    first: str


class Passwords(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change of one's own password."""

    current: Text
    new: Text


class NewAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account to be made."""

    name: Text
    person: Text


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A role to be given."""

    role: Text


class TrailPage(msgspec.Struct, frozen=True):
    """Lines of the audit trail, newest first; ``before`` leads to the next page, None at the end."""

    items: list[audit.Entry]
    before: int | None


def set_cookie(response: Response[object], session: Session) -> None:
    """Hands a browser its session: sent to this host alone, over a safe channel, to no script."""
    response.set_cookie(
        key=COOKIE,
        value=session.token,
        max_age=int(COOKIE_AGE.total_seconds()),
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )


def drop_cookie(response: Response[object]) -> None:
    """Takes a browser's session away."""
    response.set_cookie(
        key=COOKIE, value="", max_age=0, path="/", secure=True, httponly=True, samesite="strict"
    )


def _who(session: Session) -> Who:
    actor = session.actor
    return Who(actor.name, session.person, actor.role, session.csrf, session.why_unready)


@post(
    "/session",
    summary="登录 · Sign in",
    action=PUBLIC,
    signs_in=True,
    status_code=HTTP_201_CREATED,
    sync_to_thread=True,
)
def sign_in(data: JSONBody[SignIn], node: AtNode, seat: InSeat) -> Response[Who]:
    """Starts a session under a new token; the one before, if any, ends."""
    session = sessions.sign_in(
        node.engine, node.key, data.name, data.password, data.code, seat.address
    )
    if seat.session is not None:
        sessions.sign_out(node.engine, seat.session)
    response = Response(_who(session))
    set_cookie(response, session)  # type: ignore[arg-type]  # whatever its content
    return response


@get("/session", summary="当前会话 · Who is signed in", action="own.see", sync_to_thread=False)
def who(seat: InSeat) -> Who:
    """Returns who is signed in."""
    return _who(seat.signed_in)


@delete(
    "/session",
    summary="退出 · Sign out",
    action="own.sign_out",
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def sign_out(node: AtNode, seat: InSeat) -> Response[None]:
    """Ends the session."""
    sessions.sign_out(node.engine, seat.signed_in)
    response = Response(None)
    drop_cookie(response)  # type: ignore[arg-type]  # whatever its content
    return response


@put(
    "/session/password",
    summary="修改口令 · Change password",
    action="own.password",
    sync_to_thread=True,
)
def change_password(data: JSONBody[Passwords], node: AtNode, seat: InSeat) -> Who:
    """Changes one's own password."""
    own.change_password(node.engine, seat.signed_in, data.current, data.new)
    again = sessions.resume(node.engine, seat.signed_in.token)
    return _who(again or seat.signed_in)


@get("/accounts", summary="账号列表 · Accounts", action="people.list", sync_to_thread=True)
def accounts(node: AtNode, seat: InSeat) -> list[Account]:
    """Returns all accounts."""
    return people.listed(node.engine, seat.actor)


@post("/accounts", summary="新建账号 · New account", action="account.create", sync_to_thread=True)
def create(data: JSONBody[NewAccount], node: AtNode, seat: InSeat) -> Account:
    """Makes an account that waits for a role."""
    return people.create(node.engine, seat.actor, data.name, data.person)


@post(
    "/accounts/{number:int}/grant",
    summary="授权 · Grant a role",
    action="account.grant",
    sync_to_thread=True,
)
def grant(number: RowNumber, data: JSONBody[Grant], node: AtNode, seat: InSeat) -> Issued:
    """Gives an account that waits its role, and returns the one-time password."""
    return people.grant(node.engine, seat.actor, number, data.role)


CHANGES: dict[str, tuple[Callable[[sa.Engine, Actor, int], Account], str]] = {
    "suspend": (people.suspend, "停用 · Suspend"),
    "reset": (people.reset, "重置 · Reset"),
    "revoke": (people.revoke, "收回授权 · Revoke"),
    "unlock": (people.unlock, "解锁 · Unlock"),
}
"""What is done to an account and needs to be told nothing more."""


def _changing(name: str) -> Any:
    change, summary = CHANGES[name]

    def route(number: RowNumber, node: AtNode, seat: InSeat) -> Account:
        return change(node.engine, seat.actor, number)

    route.__doc__ = change.__doc__
    path = f"/accounts/{{number:int}}/{name}"
    return post(path, summary=summary, action=f"account.{name}", sync_to_thread=True)(route)


@get(
    "/audit", summary="查询审计 · Search the audit trail", action="audit.read", sync_to_thread=True
)
def read_audit(
    node: AtNode,
    seat: InSeat,
    kind: Words = "",
    actor: Words = "",
    words: Words = "",
    since: FromQuery[date | None] = None,
    until: FromQuery[date | None] = None,
    before: After = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 100,
) -> TrailPage:
    """Returns a page of the trail."""
    search = audit.Search(kind, actor, words, since, until)
    found = trail.read(node.engine, seat.actor, search, before or None, limit)
    return TrailPage(found, found[-1].id if len(found) == limit else None)


router = Router(
    "/",
    tags=["identity"],
    route_handlers=[
        sign_in,
        who,
        sign_out,
        change_password,
        accounts,
        create,
        grant,
        *map(_changing, CHANGES),
        read_audit,
    ],
)
