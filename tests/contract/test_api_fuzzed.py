"""The whole API as every role under schemathesis: nothing fails inside, and answers are as described."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

import nodes
from evidenced import House
from pingyao.app.migrations import migrate
from pingyao.classify import catalogue
from pingyao.platform.db import open_engine
from pingyao.platform.policy import ROLES
from pingyao.platform.web.limits import Window

EXAMPLES = 8
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
# What would sign the tester out; both have tests of their own.
LAST = {("DELETE", "/api/v1/session"), ("PUT", "/api/v1/session/password")}


@pytest.fixture
def node(
    tmp_path: Path, quick_passwords: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[nodes.Tested]:
    monkeypatch.setattr(Window, "take", lambda _, key: 0)
    engine = open_engine(f"sqlite:///{tmp_path / 'n.db'}", migrate)
    catalogue.record(engine, nodes.scan("phone", nodes.HOSTILE), "机器")
    with House(engine, tmp_path / "house") as house:
        house.seal()
        yield nodes.make(engine, archive=house.archive)
    engine.dispose()


@cache
def described(text: str) -> schemathesis.BaseSchema:
    """Returns the API as it describes itself: one for all roles, what is drawn from it is dear to make."""
    return schemathesis.openapi.from_dict(json.loads(text))


@pytest.mark.parametrize("role", ["", *ROLES])
def test_the_whole_api(node: nodes.Tested, role: str) -> None:
    schema = described(node.client("reader").get("/api/v1/openapi.json").text)
    client = node.client(role)
    seen: dict[int, int] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        if role and (operation.method.upper(), operation.path) in LAST:
            continue
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(
                max_examples=EXAMPLES,
                phases=[Phase.generate],
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: schemathesis.Case) -> None:
                asked = case.as_transport_kwargs(base_url="https://127.0.0.1")
                asked.pop("cookies", None)
                for name in ("Authorization", "X-CSRF-Token"):  # the client has its own
                    asked["headers"].pop(name, None)
                if isinstance(asked.get("data"), (bytes, str)):
                    asked["content"] = asked.pop("data")
                answer = client.request(**asked)
                seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
                case.validate_response(answer, checks=CHECKS)

            ask()
    assert sum(seen.values()) > 100
    assert (200 in seen) == bool(role)
