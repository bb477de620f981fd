"""The web application of a node: rooms put together behind one admission, with one set of headers."""

import asyncio
from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.metadata import version
from typing import Any

import sqlalchemy as sa
from anyio import to_thread
from litestar import Litestar, Request, Response, Router, asgi, get
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import ASGIRouteHandler
from litestar.openapi.config import OpenAPIConfig
from sqlalchemy.exc import DBAPIError

from pingyao.app.refusing import refuse
from pingyao.app.running import reports
from pingyao.classify import http as classify_http
from pingyao.classify import pages as classify_pages
from pingyao.classify import runs_http, runs_pages
from pingyao.classify.rules.book import RuleBook
from pingyao.classify.runs_http import CarryOut
from pingyao.kernel.errors import PingyaoError
from pingyao.ledger import explorer_http, explorer_pages
from pingyao.ledger import http as ledger_http
from pingyao.ledger.desk import Archive
from pingyao.platform.identity import (
    audit_pages,
    lending_http,
    lending_pages,
    oidc_pages,
    people_pages,
)
from pingyao.platform.identity import http as identity_http
from pingyao.platform.identity import pages as identity_pages
from pingyao.platform.identity.model import Institution
from pingyao.platform.identity.oidc import Provider
from pingyao.platform.members import http as members_http
from pingyao.platform.members import pages as members_pages
from pingyao.platform.members.desk import Desk
from pingyao.platform.members.machine import router_of
from pingyao.platform.members.ring import Ring
from pingyao.platform.policy import permits
from pingyao.platform.web import answers
from pingyao.platform.web.admission import API, OPEN, admit, seat_of
from pingyao.platform.web.assets import add_headers, asset
from pingyao.platform.web.description import complete
from pingyao.platform.web.node import AtNode, InSeat, Node, Seat
from pingyao.platform.web.pages import go, render

MOST_BODY = 256 * 1024
_THREADS = 256
LOG = "/log"


def make_app(
    engine: sa.Engine,
    key: bytes,
    institution: Institution,
    book: RuleBook,
    hosts: frozenset[str],
    launch: Callable[[], object],
    ring: Ring | None = None,
    oidc: Provider | None = None,
    archive: Archive | None = None,
) -> Litestar:
    """Returns the application of a node.

    Args:
        engine: its database, up to date.
        key: what second factors are sealed with.
        institution: whose it is.
        book: the rules by which corrections are graded.
        hosts: the names it answers to.
        launch: starts what carries out the scans that wait.
        ring: its own keys for other nodes; without them it deals with none.
        oidc: the institution's own OpenID provider.
        archive: where its evidence is; its log is served to everybody below ``/log``.
    """
    kept = archive or Archive(engine)
    node = Node(engine, key, institution, hosts, version("pingyao"), oidc=oidc)
    api = Router(
        API,
        before_request=answers.replay,
        middleware=[answers.keeping],
        route_handlers=[
            classify_http.router,
            runs_http.router,
            explorer_http.router,
            identity_http.router,
            members_http.router,
            lending_http.router,
            description,
        ],
    )
    app = Litestar(
        route_handlers=[
            api,
            classify_pages.router,
            runs_pages.router,
            explorer_pages.router,
            identity_pages.router,
            people_pages.router,
            audit_pages.router,
            members_pages.router,
            router_of(ring),
            lending_pages.router,
            oidc_pages.router,
            front,
            api_page,
            asset,
            health,
            ready,
            *_log(kept),
        ],
        guards=[admit],
        dependencies={
            "node": Provide(lambda: node, sync_to_thread=False),
            "book": Provide(lambda: book, sync_to_thread=False),
            "seat": Provide(_seat, sync_to_thread=False),
            "carry_out": Provide(lambda: CarryOut(launch, reports), sync_to_thread=False),
            "archive": Provide(lambda: kept, sync_to_thread=False),
            "desk": Provide(lambda: Desk(engine, ring, institution.uscc), sync_to_thread=False),
        },
        exception_handlers={
            PingyaoError: refuse,
            DBAPIError: refuse,
            HTTPException: refuse,
            Exception: refuse,
        },
        before_send=[add_headers],
        on_startup=[_make_room],
        # The framework's own page of it says no action, so nobody gets in; ours is ``description``.
        openapi_config=OpenAPIConfig(title="Pingyao", version="1", path="/-", render_plugins=[]),
        request_max_body_size=MOST_BODY,
        logging_config=None,
        signature_types=[Node, Seat, RuleBook, CarryOut, Desk, Archive],
    )
    app.state.node = node
    return app


def _log(archive: Archive) -> list[ASGIRouteHandler]:
    """Returns what serves the log: to everybody, for reading, as verifiers and mirrors of others ask for it."""
    if archive.folder is None:
        return []
    served = ledger_http.mounted(ledger_http.tiles(archive.folder))
    return [asgi(LOG, is_mount=True, copy_scope=True, action=OPEN)(served)]


@get("/", action="own.see", include_in_schema=False, sync_to_thread=True)
def front(node: AtNode, seat: InSeat) -> Response[Any]:
    """Leads everybody to where the work is."""
    actor = seat.actor
    if permits(actor, "catalogue.read"):
        return classify_pages.overview(node, seat)
    places = (("people.list", "/people"), ("audit.read", "/audit"))
    return go(next((path for act, path in places if permits(actor, act)), "/account"))


@get("/api", action="own.see", include_in_schema=False, sync_to_thread=True)
def api_page(node: AtNode, seat: InSeat, request: Request[Any, Any, Any]) -> Response[str]:
    """Lists what programs may call."""
    paths: dict[str, dict[str, Any]] = _described(request.app)["paths"]
    operations = [
        (method.upper(), path, said.get("summary", ""))
        for path, methods in paths.items()
        for method, said in methods.items()
    ]
    return render(node, seat, "api.html.j2", here="api", back="/api", operations=operations)


@get("/openapi.json", action="own.see", include_in_schema=False, sync_to_thread=False)
def description(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Returns the description of the API (OpenAPI 3.1)."""
    return _described(request.app)


@cache
def _described(app: Litestar) -> dict[str, Any]:
    return complete(app.openapi_schema.to_schema())


@get("/healthz", action="health", include_in_schema=False, sync_to_thread=False)
def health() -> str:
    """Tells that the process answers."""
    return "ok"


@get("/readyz", action="health", include_in_schema=False, sync_to_thread=True)
def ready(node: AtNode) -> str:
    """Tells that the database answers too."""
    with node.engine.connect() as db:
        db.execute(sa.select(1))
    return "ok"


async def _make_room() -> None:
    """Lets many wait for a password to be hashed without keeping everybody else from a thread.

    The framework runs handlers in the loop's own pool, which has but four more than there are cores.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "handler"))
    to_thread.current_default_thread_limiter().total_tokens = _THREADS


def account_of(scope: MutableMapping[str, Any]) -> int:
    """Returns the number of the account that asked; 0 for a stranger."""
    seat = scope.get("state", {}).get("seat")
    return seat.session.actor.id if isinstance(seat, Seat) and seat.session else 0


def _seat(request: Request[Any, Any, Any]) -> Seat:
    return seat_of(request)
