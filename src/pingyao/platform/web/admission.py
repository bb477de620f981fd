"""Who is let in: the host called, where the request came from, who asks, and for what."""

from datetime import timedelta
from secrets import compare_digest
from typing import Any
from urllib.parse import urlsplit

from anyio import to_thread
from litestar.connection import ASGIConnection
from litestar.exceptions import TooManyRequestsException
from litestar.handlers import BaseRouteHandler

from pingyao.kernel.errors import NotPermitted
from pingyao.platform import outbox
from pingyao.platform.identity import overrides, sessions, tokens
from pingyao.platform.identity.model import Session
from pingyao.platform.policy import only_lent, require
from pingyao.platform.web.node import COOKIE, LANGUAGES, THEMES, Node, Seat

PUBLIC = "public"
OPEN = "open"
"""Of what is for everybody's programs: who asks is not looked at, only how often."""
API = "/api/v1/"
MEMBER = "member"
"""Of a route for nodes: the door before it has checked a signature (``members.door``)."""
COOKIE_AGE = timedelta(seconds=sessions.WHOLE_SECONDS)
_SAFE = ("GET", "HEAD", "OPTIONS")
_Connection = ASGIConnection[Any, Any, Any, Any]


async def admit(connection: _Connection, handler: BaseRouteHandler) -> None:
    """Lets a request through to its handler, or refuses it; the guard of every route.

    A route says what it does in ``opt["action"]``; one that says nothing lets nobody in.

    Raises:
        NotPermitted: whatever is missing.
    """
    node: Node = connection.app.state.node
    action: str = handler.opt.get("action", "")
    _check_host(connection, node)
    if action == MEMBER:
        if "sender" not in connection.state:  # the route was mounted without its door
            raise NotPermitted("members.unsigned", "请求没有签名", "请由成员节点发送")
        return
    session: Session | None = None
    if action not in ("health", OPEN):
        session = await _known(connection, node)
    outbox.program.set(session.program if session else "")
    seat = look(connection, session)
    connection.state["seat"] = seat
    _count(node, seat, handler.opt)
    if connection.scope.get("method") not in _SAFE and not (session and session.program):
        _check_origin(connection, session)
    if action not in (PUBLIC, OPEN, "health"):
        # Of what an act is done to only the domain knows; here it is asked whether the role may at all.
        require(seat.actor, action)
        if only_lent(seat.actor, action):
            path = connection.url.path
            await to_thread.run_sync(overrides.note_use, node.engine, seat.actor, action, path)


async def _known(connection: _Connection, node: Node) -> Session | None:
    """Returns the session of the token a program shows, or of a browser's cookie.

    A program's token opens the API alone; a cookie that comes along with it counts for nothing.
    """
    scheme, _, text = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and connection.url.path.startswith(API):
        return await to_thread.run_sync(tokens.resume, node.engine, text.strip()[:200])
    cookie = connection.cookies.get(COOKIE, "")
    if not cookie:
        return None
    # A page that asks by itself how far something came is nobody at work.
    touch = "x-by-itself" not in connection.headers
    return await to_thread.run_sync(sessions.resume, node.engine, cookie, touch)


def _count(node: Node, seat: Seat, opt: dict[str, Any]) -> None:
    """Refuses who asks too often: people by account, so that a gateway's address is not one person."""
    if opt.get("action") == "health" or opt.get("uncounted"):
        return
    limits, account = node.limits, seat.session and seat.session.actor.id
    if opt.get("action") == OPEN:
        wait = limits.open.take(seat.address)
    else:
        wait = limits.accounts.take(account) if account else limits.strangers.take(seat.address)
    if opt.get("signs_in"):
        wait = max(wait, limits.sign_ins.take(seat.address))
    if wait:
        raise TooManyRequestsException(headers={"retry-after": str(wait)})


def look(connection: _Connection, session: Session | None) -> Seat:
    """Returns who sits before a connection and how she likes to read."""
    preferred = "en" if connection.headers.get("accept-language", "")[:2] == "en" else "zh"
    language = connection.cookies.get("language", preferred)
    theme = connection.cookies.get("theme", "auto")
    return Seat(
        session,
        language if language in LANGUAGES else "zh",
        theme if theme in THEMES else "auto",
        connection.client.host if connection.client else "",
        _site(connection),
        f"{connection.scope['scheme']}://{connection.headers.get('host', '')}",
    )


def seat_of(connection: _Connection) -> Seat:
    """Returns who sits before an admitted request; a stranger where admission was not reached."""
    seat = connection.state.get("seat")
    return seat if isinstance(seat, Seat) else look(connection, None)


def _check_host(connection: _Connection, node: Node) -> None:
    # A name an attacker points at this machine (DNS rebinding) is none of ours.
    if _site(connection) not in node.hosts:
        raise NotPermitted(
            "web.bad_host",
            "本节点不以此名称提供服务",
            "请使用节点自己的地址，或以 --name 加上该名称",
        )


def _site(connection: _Connection) -> str:
    try:
        return urlsplit(f"//{connection.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _check_origin(connection: _Connection, session: Session | None) -> None:
    """Refuses changes that another site made a browser ask for.

    A browser says where a request comes from; what says nothing must know the session's token.
    """
    headers = connection.headers
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None:
        scheme = connection.scope["scheme"]
        ours = origin == f"{scheme}://{headers.get('host', '')}"
    elif site is not None:
        ours = site == "same-origin"
    else:
        given = headers.get("x-csrf-token", "")
        ours = session is None or _same(given, session.csrf)
    if not ours:
        raise NotPermitted("web.cross_site", "请求来自别的网站", "请在控制台内重新操作")


def _same(given: str, right: str) -> bool:
    return compare_digest(given.encode(), right.encode())
