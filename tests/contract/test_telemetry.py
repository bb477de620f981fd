"""What a node tells of itself: every request counted and logged, and nothing anybody typed in either."""

import json
import logging
import urllib.request
from collections.abc import Iterator
from urllib.error import HTTPError

import pytest
import sqlalchemy as sa
from litestar.testing import TestClient
from prometheus_client import generate_latest

import nodes
from pingyao.app.web import account_of
from pingyao.platform.telemetry import Observed, Telemetry, serve_metrics, set_up_logs

pytestmark = pytest.mark.usefixtures("quick_passwords")
SECRET = "Geheim-9f3a"


@pytest.fixture
def as_before() -> Iterator[None]:
    """Logging afterwards as it was before a test set it up as a node does."""
    root, ours = logging.getLogger(), logging.getLogger("pingyao")
    handlers, level = list(root.handlers), ours.level
    root.handlers = []
    yield
    root.handlers = handlers
    ours.setLevel(level)


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_is_typed_reaches_neither_log_nor_counts(
    form: str,
    as_before: None,
    catalogue_engine: sa.Engine,
    capfd: pytest.CaptureFixture[str],
) -> None:
    set_up_logs(form)
    tested = nodes.make(catalogue_engine)
    telemetry = Telemetry(catalogue_engine)
    observed = Observed(tested.app, telemetry, account_of)
    with TestClient(tested.app, base_url="https://127.0.0.1") as client:

        async def ask(method: str, path: str, body: bytes, headers: dict[str, str]) -> int:
            got: list[int] = []
            head = [(k.encode(), v.encode()) for k, v in headers.items()]
            scope = {
                **{"type": "http", "http_version": "1.1", "method": method, "scheme": "https"},
                **{"path": path.partition("?")[0], "raw_path": path.encode(), "root_path": ""},
                **{"query_string": path.partition("?")[2].encode(), "headers": head},
                **{"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 443), "extensions": {}},
            }
            sent = [{"type": "http.request", "body": body, "more_body": False}]

            async def receive() -> dict[str, object]:
                return sent.pop(0) if sent else {"type": "http.disconnect"}

            async def send(message: dict[str, object]) -> None:
                if message["type"] == "http.response.start":
                    got.append(message["status"])
                    assert any(k == b"x-request-id" for k, _ in message["headers"])

            await observed(scope, receive, send)
            return got[0]

        host = {"host": "127.0.0.1", "content-type": "application/json"}
        body = json.dumps({"name": SECRET, "password": SECRET}).encode()
        asked = [
            ("POST", "/api/v1/session", body, host),
            (
                "GET",
                f"/catalogue?words={SECRET}",
                b"",
                host | {"cookie": f"__Host-pingyao={SECRET}"},
            ),
            ("GET", f"/{SECRET}", b"", host | {"authorization": f"Bearer {SECRET}"}),
            ("GET", f"/catalogue/{SECRET}", b"", host | {"x-csrf-token": SECRET}),
            (SECRET, "/", b"", host),
            ("GET", "/", b"", {"host": SECRET}),
            ("POST", "/api/v1/session", SECRET.encode(), host),
        ]
        for each in asked:
            assert client.blocking_portal.call(ask, *each) < 500 or each[0] == SECRET
    said = capfd.readouterr().err
    counts = generate_latest(telemetry.registry).decode()
    assert SECRET.lower() not in (said + counts).lower()
    assert "/api/v1/session" in said
    assert (
        'pingyao_requests_total{method="POST",route="/api/v1/session",status="401"} 1.0' in counts
    )
    assert "pingyao_sign_ins_refused 1.0" in counts
    assert "pingyao_outbox_events" in counts


def test_a_line_is_one_object_with_route_and_account(
    as_before: None, capfd: pytest.CaptureFixture[str]
) -> None:
    set_up_logs("json")
    logging.getLogger("pingyao.request").info("x", extra={"facts": {"route": "/", "account": 3}})
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("pingyao.jobs").exception("job failed")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert (lines[0]["route"], lines[0]["account"]) == ("/", 3)
    assert lines[1]["error"].startswith("ValueError at ")
    assert SECRET not in json.dumps(lines)


def test_counts_are_for_who_has_the_token(catalogue_engine: sa.Engine) -> None:
    port = serve_metrics(Telemetry(catalogue_engine), "127.0.0.1", 0, SECRET)

    def read(path: str, token: str) -> int:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
        if token:
            request.add_header("authorization", f"Bearer {token}")
        for _ in range(100):
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own server
                    assert b"pingyao_database_up 1.0" in answer.read()
                    return answer.status
            except HTTPError as error:
                with error:
                    return error.code
        return 0

    assert read("/metrics", SECRET) == 200
    assert read("/metrics", "") == 401
    assert read("/metrics", "another") == 401
    assert read("/", SECRET) == 404


def test_a_database_that_is_away_is_told(catalogue_engine: sa.Engine) -> None:
    telemetry = Telemetry(sa.create_engine("sqlite:////nowhere/at/all.db"))
    assert "pingyao_database_up 0.0" in generate_latest(telemetry.registry).decode()
