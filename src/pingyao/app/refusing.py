"""How a node refuses: problem details for programs, a page for people, a way on for who must sign in first."""

import logging
from typing import Any
from urllib.parse import urlsplit

from litestar import Request, Response
from litestar.response import Redirect
from sqlalchemy.exc import DBAPIError

from pingyao.platform.db import explain
from pingyao.platform.members.machine import PREFIX
from pingyao.platform.telemetry import number_of
from pingyao.platform.web.admission import API, OPEN, seat_of
from pingyao.platform.web.node import Node
from pingyao.platform.web.pages import go, local, render
from pingyao.platform.web.problems import as_json, problem_of

_LOG = logging.getLogger("pingyao.node")


def refuse(request: Request[Any, Any, Any], error: Exception) -> Response[Any] | Redirect:
    """Answers a request that failed."""
    if isinstance(error, DBAPIError):
        error = explain(error)
    seat = seat_of(request)
    problem = problem_of(error, seat.language)
    if problem.code == "internal.unforeseen":
        _log(request, error)
    headers = dict(getattr(error, "headers", None) or {})
    if problem.status == 401:
        headers["www-authenticate"] = 'Bearer realm="pingyao"'
    if _by_program(request):
        return as_json(problem, headers)
    if problem.code == "identity.signed_out":
        return go("/sign-in")
    if problem.code == "policy.refused" and not seat.actor.ready:
        return go("/account")
    node: Node = request.app.state.node
    page = render(
        node,
        seat,
        "problem.html.j2",
        status=problem.status,
        problem=problem,
        before=_before(request),
        number=number_of(request.scope),
    )
    page.headers.update(headers)
    return page


def _log(request: Request[Any, Any, Any], error: Exception) -> None:
    """Notes kind and place alone: an error's own text may quote data."""
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    at = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else ""
    _LOG.error("%s %s: %s at %s", request.method, request.url.path, type(error).__name__, at)


def _by_program(request: Request[Any, Any, Any]) -> bool:
    path, handler = request.url.path, request.scope.get("route_handler")
    opened = getattr(handler, "opt", {}).get("action") == OPEN
    return opened or path.startswith((API, PREFIX)) or path in ("/healthz", "/readyz")


def _before(request: Request[Any, Any, Any]) -> str:
    """Returns the page of this node the request came from; empty if it came from nowhere, or from itself."""
    try:
        came = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return ""
    path = local(f"{came.path}?{came.query}" if came.query else came.path)
    same = came.netloc == request.headers.get("host") and came.path != request.url.path
    return path if same and path != "/" else ""
