"""The pages of signing in by the institution's own OpenID provider."""

from typing import Any

from litestar import Request, Response, Router, get
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER

from pingyao.kernel.errors import NotFound, PingyaoError
from pingyao.platform.identity import oidc, sessions
from pingyao.platform.identity.http import set_cookie
from pingyao.platform.identity.model import SecondStep
from pingyao.platform.identity.pages import again, second_step
from pingyao.platform.web.admission import PUBLIC
from pingyao.platform.web.node import AtNode, InSeat, Node, Seat
from pingyao.platform.web.pages import render

_COOKIE = "__Host-pingyao-oidc"


@get("/sign-in/oidc", action=PUBLIC, signs_in=True, sync_to_thread=True)
def begin(node: AtNode, seat: InSeat) -> Redirect:
    """Sends a browser to the provider."""
    return _away(*oidc.begin(node.engine, _provider(node), seat.origin))


@get("/account/oidc", action="own.second_factor", sync_to_thread=True)
def link(node: AtNode, seat: InSeat) -> Redirect:
    """Sends a browser to the provider, to link one's own account."""
    return _away(*oidc.begin(node.engine, _provider(node), seat.origin, seat.actor))


@get("/sign-in/oidc/callback", action=PUBLIC, signs_in=True, sync_to_thread=True)
def callback(node: AtNode, seat: InSeat, request: Request[Any, Any, Any]) -> Response[Any]:
    """Takes a browser back from the provider."""
    answer = {k: v for k, v in request.query_params.items() if isinstance(v, str)}
    browser = request.cookies.get(_COOKIE, "")
    try:
        begun = oidc.finish(
            *(node.engine, _provider(node), answer, browser),
            *(seat.origin, seat.site, seat.address),
        )
    except PingyaoError as error:
        return again(node, seat, error)
    if isinstance(begun, SecondStep):
        return second_step(node, seat, begun)
    if begun is None:
        return _onward(node, seat, "/account?done=linked")
    if seat.session is not None:
        sessions.sign_out(node.engine, seat.session)
    page = _onward(node, seat, "/account" if begun.why_unready else "/")
    set_cookie(page, begun)  # type: ignore[arg-type]  # whatever its content
    return page


def _provider(node: Node) -> oidc.Provider:
    if node.oidc is None:
        raise NotFound("identity.no_oidc", "本节点没有设置统一身份登录", "请用账号口令登录")
    return node.oidc


def _away(address: str, browser: str) -> Redirect:
    response = Redirect(address, status_code=HTTP_303_SEE_OTHER)
    # Lax: the provider sends the browser back, and that comes from another site.
    response.set_cookie(
        key=_COOKIE,
        value=browser,
        max_age=oidc.FLOW_SECONDS,
        path="/",
        secure=True,
        httponly=True,
        samesite="lax",
    )
    return response


def _onward(node: Node, seat: Seat, to: str) -> Response[str]:
    # A redirect would count as coming from the provider, and the strict cookie would stay behind.
    return render(node, seat, "onward.html.j2", to=to)


router = Router("/", include_in_schema=False, route_handlers=[begin, link, callback])
