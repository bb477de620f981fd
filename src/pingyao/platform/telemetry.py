"""What a node tells of itself: counts for Prometheus, and one line of log for every request.

Neither ever holds what somebody typed or read: routes are told by their template, people by the
number of their account.
"""

import hmac
import logging
import secrets
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError

from pingyao.platform import audit, outbox
from pingyao.platform.asgi import Refusal, Reply, Request, listen, make_server

_LOG = logging.getLogger("pingyao.request")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.3, 0.6, 1.2, 2.5, 5, 10)
_Scope = MutableMapping[str, Any]
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[..., Awaitable[None]]
_NUMBER = "pingyao.request"
Gauges = Callable[[], Iterable[tuple[str, str, float]]]
"""Name, what it is, and how much it is now."""


class Telemetry:
    """The counts of one node.

    Args:
        engine: its database, asked when the counts are read.
        more: other gauges.
    """

    def __init__(self, engine: sa.Engine, more: Gauges = tuple) -> None:
        self._engine, self._more = engine, more
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "pingyao_requests",
            "Requests by route, method and status",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "pingyao_request_seconds",
            "Time to answer, by route",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.registry.register(_Gathered(self._gauges))

    def note(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts one request."""
        self._requests.labels(route, method, status).inc()
        self._seconds.labels(route).observe(seconds)

    def _gauges(self) -> Iterable[tuple[str, str, float]]:
        try:
            with self._engine.connect() as db:
                oldest = outbox.oldest(db)
                waits = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
                yield (
                    "pingyao_outbox_events",
                    "Events not yet in the ledger",
                    outbox.count_waiting(db),
                )
                yield "pingyao_outbox_age_seconds", "Age of the oldest of them", waits
                for kind, name, what in _COUNTED:
                    yield name, what, audit.count(db, kind)
            yield "pingyao_database_up", "Whether the database answers", 1
        except SQLAlchemyError:
            yield "pingyao_database_up", "Whether the database answers", 0
        yield from self._more()


_COUNTED = (
    ("", "pingyao_audit_events", "Events of the audit trail"),
    ("identity.session.started", "pingyao_sign_ins", "Sign-ins of the audit trail"),
    ("identity.session.refused", "pingyao_sign_ins_refused", "Refused sign-ins of the audit trail"),
    ("identity.account.locked", "pingyao_lock_outs", "Lock-outs of the audit trail"),
    ("classify.scan.recorded", "pingyao_scans", "Recorded scans of the audit trail"),
)


class _Gathered:
    """Gauges asked for when somebody reads them."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def describe(self) -> Iterable[Metric]:
        return ()  # else the library would ask for all of them at once

    def collect(self) -> Iterable[Metric]:
        for name, what, value in self._gauges():
            yield GaugeMetricFamily(name, what, value=value)


def number_of(scope: Mapping[str, object]) -> str:
    """Returns the number by which the log tells of a request; empty where none is kept."""
    return str(scope.get(_NUMBER, ""))


class Observed:
    """An ASGI application whose every request is counted, logged and given a number.

    Args:
        app: the application.
        telemetry: where it is counted.
        account: returns the account number of who asked, 0 for nobody, once the request is answered.
    """

    def __init__(self, app: _App, telemetry: Telemetry, account: Callable[[_Scope], int]) -> None:
        self._app, self._telemetry, self._account = app, telemetry, account

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answers one request; ASGI's own entry point."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number, began, status = secrets.token_hex(8), time.perf_counter(), 500
        scope[_NUMBER] = number

        async def noticing(message: _Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", number.encode())]
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, noticing)
        finally:
            seconds = time.perf_counter() - began
            # A path that is no route may be anything, a password among it: it is not told.
            route = scope.get("path_template") or "-"
            method = scope["method"] if scope["method"] in _METHODS else "-"
            self._telemetry.note(route, method, status, seconds)
            facts: dict[str, object] = {
                "request": number,
                "method": method,
                "route": route,
                "status": status,
                "ms": round(seconds * 1e3, 1),
                "account": self._account(scope),
            }
            _LOG.info(
                "%s %s %d %.1f ms", method, route, status, seconds * 1e3, extra={"facts": facts}
            )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def set_up_logs(form: str) -> None:
    """Sends the log to stderr: ``text`` for people, ``json`` one object a line for programs."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text(_TEXT))
    logging.basicConfig(handlers=[handler], force=True)
    logging.getLogger("pingyao").setLevel(logging.INFO)


_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class _Text(logging.Formatter):
    def formatException(self, ei: Any) -> str:
        """Says where an error came from; its own text may quote data."""
        where = ei[2]
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        at = f" at {where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else ""
        return f"{ei[0].__name__ if ei[0] else ''}{at}"

    def formatStack(self, stack_info: str) -> str:
        """Says nothing of the stack."""
        return ""


class _Json(_Text):
    def format(self, record: logging.LogRecord) -> str:
        """Returns one line."""
        said: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "log": record.name,
        }
        facts = getattr(record, "facts", None)
        said |= facts if isinstance(facts, dict) else {"message": record.getMessage()}
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(said).decode()


def serve_metrics(telemetry: Telemetry, host: str, port: int, token: str) -> int:
    """Serves ``/metrics`` at an address of its own, in a thread of its own; returns the port.

    Args:
        telemetry: what is told.
        host: an address of this machine.
        port: 0 for any free one.
        token: what a reader must send as ``Authorization: Bearer``; empty for none.
    """
    listener = listen(host, port)

    async def answer(request: Request) -> Reply:
        given = request.headers.get("authorization", "")
        if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise Refusal(401, "需要令牌", (("www-authenticate", "Bearer"),))
        if request.path != "/metrics" or request.method not in ("GET", "HEAD"):
            raise Refusal(404, "只有 /metrics")
        return Reply(200, generate_latest(telemetry.registry), CONTENT_TYPE_LATEST)

    server = make_server(answer)
    run = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="metrics", daemon=True
    )
    run.start()
    return int(listener.getsockname()[1])
