"""The node over HTTP on SQLite and PostgreSQL: who gets in, what gets out, and nothing else."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from litestar.routes import ASGIRoute, HTTPRoute

import nodes
from evidenced import House
from pingyao.classify import catalogue
from pingyao.platform.policy import ACTIONS, ROLES, Actor, permits
from pingyao.platform.web.admission import MEMBER, OPEN, PUBLIC
from pingyao.platform.web.node import COOKIE

pytestmark = pytest.mark.usefixtures("quick_passwords")


@pytest.fixture
def node(
    catalogue_engine: sa.Engine, quick_passwords: None, tmp_path: Path
) -> Iterator[nodes.Tested]:
    catalogue.record(catalogue_engine, nodes.scan("phone", nodes.HOSTILE, "third"), "机器")
    with House(catalogue_engine, tmp_path / "house") as house:
        house.seal()
        yield nodes.make(catalogue_engine, archive=house.archive)


def routes(node: nodes.Tested) -> list[tuple[str, str, str]]:
    """Returns every route: method, path and what it says it does."""
    found = []
    for route in node.app.routes:
        if isinstance(route, ASGIRoute):
            found.append(("GET", "/log/checkpoint", route.route_handler.opt["action"]))
            continue
        assert isinstance(route, HTTPRoute)
        for handler in route.route_handlers:
            for method in handler.http_methods - {"OPTIONS"}:
                path = re.sub(r"\{number:int\}", "1", route.path)
                path = path.replace("{edition:str}/{name:str}", "x/console.css")
                path = path.replace("{name:str}", "report.xlsx").replace("{place:str}", "0")
                found.append((method, path, handler.opt.get("action", "")))
    return found


def test_every_route_says_what_it_does(node: nodes.Tested) -> None:
    for method, path, action in routes(node):
        own = path.startswith("/-")  # the framework's; the test below shows that nobody gets in
        assert action in (("",) if own else (*ACTIONS, MEMBER, OPEN, PUBLIC, "health")), (
            method,
            path,
        )


def test_every_route_for_every_role(node: nodes.Tested) -> None:
    """Nobody passes a route but by the policies; a stranger passes none that is not public."""
    for role in ("", *ROLES):
        client = node.client(role)
        for method, path, action in routes(node):
            if action in (PUBLIC, OPEN, "health") or action.startswith("own.sign_out"):
                continue
            answer = client.request(method, path, headers={"origin": "https://127.0.0.1"})
            said = (role, method, path, answer.status_code)
            assert answer.status_code < 500, said
            if action == MEMBER:  # no cookie opens what is for nodes
                assert answer.json()["code"].startswith("members."), said
                assert answer.status_code in (403, 409, 422), said
                continue
            if not role:
                refused = answer.status_code == 401 or answer.headers.get("location") == "/sign-in"
                assert refused, said
            elif not permits(Actor(99, "x", role), action):
                assert answer.status_code == 403, said
            elif answer.status_code == 403:
                # The role may; only this one account, the actor's own, is forbidden.
                assert action.startswith(("account.", "override.")), said
                assert "policy.refused" in answer.text, said


def test_the_roles_are_apart() -> None:
    """What the policies amount to, written out: a change there must be meant here too."""
    allowed = {r: {a for a in ACTIONS if permits(Actor(1, "x", r), a, None)} for r in ROLES}
    own = {a for a in ACTIONS if a.startswith("own.")}
    reading = {
        "people.list",
        "members.list",
        "catalogue.read",
        "audit.read",
        "audit.export",
        "override.list",
        "scan.read",
        "evidence.read",
        "evidence.open",
        "evidence.verify",
    }
    second = {"override.list", "override.approve", "override.end"}
    assert allowed["system"] == own | second | {
        "account.vouch",
        "members.list",
        "members.describe",
        "members.invite",
        "members.join",
        "members.fetch",
        "people.list",
        "account.create",
        "account.suspend",
        "account.reset",
    }
    assert allowed["security"] == own | second | {
        "account.vouch",
        "members.list",
        "members.confirm",
        "members.fetch",
        "members.revoke",
        "members.rotate",
        "people.list",
        "account.grant",
        "account.revoke",
        "account.unlock",
    }
    evidence = {"evidence.read", "evidence.open", "evidence.verify"}
    looks = {"audit.read", "audit.export", "override.list", "members.list"} | evidence
    assert allowed["audit"] == own | looks | {"account.vouch"}
    scans = {"members.list", "scan.read", "scan.start", "scan.stop"} | evidence
    assert allowed["officer"] == own | second | scans | {"catalogue.read", "catalogue.decide"}
    assert allowed["reader"] == own | {
        "members.list",
        "catalogue.read",
        "scan.read",
        "evidence.verify",
    }
    assert allowed["audit"] - own - {"account.vouch"} <= reading
    assert not any(permits(Actor(1, "x", "root"), a) for a in ACTIONS if a not in own)
    assert not any(
        permits(Actor(1, "x", r, ready=False), a) for r in ROLES for a in ACTIONS if a not in own
    )
    assert not permits(Actor(1, "x", "system"), "no.such.act")
    assert not permits(Actor(1, "x", "officer"), "own.password", 2)


def test_nothing_before_the_first_password_is_changed(node: nodes.Tested) -> None:
    from pingyao.platform.identity import people

    made = people.create(node.engine, node.actor("system"), "fresh", "新人")
    issued = people.grant(node.engine, node.actor("security"), made.id, "officer")
    client = node.client()
    once = {"name": "fresh", "password": issued.password}
    answer = client.post("/api/v1/session", json=once)
    assert answer.json()["first"] == "password"
    assert client.get("/api/v1/catalogue/overview").status_code == 403
    assert client.get("/catalogue").headers["location"] == "/account"
    csrf = {"x-csrf-token": answer.json()["csrf"]}
    new = {"current": issued.password, "new": "Brand-New-Word-9"}
    assert client.put("/api/v1/session/password", json=new, headers=csrf).json()["first"] == ""
    assert client.get("/api/v1/catalogue/overview").json()["review"] == 3


ELSEWHERE: list[dict[str, str]] = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1"},
    {"origin": "https://127.0.0.1:8443"},
    {"origin": "https://127.0.0.1.evil.example"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"x-csrf-token": "0" * 64},
    {},
]


def test_changes_from_elsewhere_are_refused(node: nodes.Tested) -> None:
    client = node.client("officer")
    del client.headers["x-csrf-token"]
    for headers in ELSEWHERE:
        answer = client.post("/api/v1/catalogue/decisions", json=[], headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "web.cross_site"), headers


def test_signing_in_gives_a_new_token_and_ends_the_old(node: nodes.Tested) -> None:
    client = node.client("reader")
    old = client.cookies[COOKIE]
    again = {"name": "reader1", "password": nodes.PASSWORD}
    assert client.post("/api/v1/session", json=again).status_code == 201
    assert client.cookies[COOKIE] != old
    other = node.client()
    other.cookies.set(COOKIE, old)
    assert other.get("/api/v1/session").status_code == 401
    fixed = node.client()
    fixed.cookies.set(COOKIE, "chosen-by-an-attacker")
    assert fixed.post("/api/v1/session", json=again).status_code == 201
    thief = node.client()
    thief.cookies.set(COOKIE, "chosen-by-an-attacker")
    assert thief.get("/api/v1/session").status_code == 401


def test_cookie_and_headers(node: nodes.Tested) -> None:
    answer = node.client().post(
        "/api/v1/session", json={"name": "reader1", "password": nodes.PASSWORD}
    )
    cookie = answer.headers["set-cookie"].lower()
    for flag in ("__host-pingyao=", "secure", "httponly", "samesite=strict", "path=/"):
        assert flag in cookie
    assert "domain" not in cookie
    for path in ("/sign-in", "/nowhere", "/api/v1/nowhere", "/static/x/console.css", "/healthz"):
        headers = node.client().get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    assert node.client().get("/sign-in").headers["cache-control"] == "no-store"


def test_names_that_are_not_ours_are_refused(node: nodes.Tested) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "", "[::1", "127.0.0.1@evil.example"):
        answer = node.client().get("/sign-in", headers={"host": host})
        assert answer.status_code == 403, host


def test_bodies_that_make_no_sense_are_problems(node: nodes.Tested) -> None:
    senseless = [b"", b"{", b"null", b"[]", b'{"name":1}', b"\xff\xfe"]
    for body in (*senseless, b'{"name":"a","password":"b","x":1}'):
        answer = node.client().post(
            "/api/v1/session", content=body, headers={"content-type": "application/json"}
        )
        assert 400 <= answer.status_code < 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert set(answer.json()) == {"type", "title", "status", "detail", "code", "remedy"}


def test_oversize_bodies_are_refused(node: nodes.Tested) -> None:
    client = node.client("officer")
    answer = client.post("/api/v1/catalogue/decisions", content=b"[" + b" " * 300_000)
    assert answer.status_code == 413
    form = {"content-type": "application/x-www-form-urlencoded"}
    big = client.post("/catalogue/confirm", content=b"column=1:1&" * 40_000, headers=form)
    assert big.status_code == 413


def test_tries_to_sign_in_are_limited(node: nodes.Tested) -> None:
    client = node.client()
    answers = [
        client.post("/api/v1/session", json={"name": "x", "password": "y"}) for _ in range(62)
    ]
    assert {a.status_code for a in answers} == {401, 429}
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 61


def test_reading_and_deciding(node: nodes.Tested) -> None:
    client = node.client("officer")
    page = client.get("/api/v1/catalogue/columns", params={"state": "review", "limit": 2}).json()
    assert len(page["items"]) == 2
    rest = client.get("/api/v1/catalogue/columns", params={"after": page["after"]}).json()
    assert (len(rest["items"]), rest["after"]) == (1, None)
    first = page["items"][0]
    detail = client.get(f"/api/v1/catalogue/columns/{first['id']}").json()
    assert detail["entry"]["verdict"]["evidence"][0]["code"] == "name.direct"
    wrong = {"column": first["id"], "version": first["version"], "level": 4}
    url = "/api/v1/catalogue/decisions"
    refused = client.post(url, json=[wrong])
    assert (refused.status_code, refused.json()["code"]) == (422, "catalogue.no_reason")
    assert client.post(url, json=[wrong | {"reason": "核对过"}]).status_code == 200
    stale = client.post(url, json=[wrong | {"reason": "再次"}])
    assert (stale.status_code, stale.json()["code"]) == (409, "catalogue.changed_meanwhile")
    tables = client.get("/api/v1/catalogue/tables", params={"source": "核心"}).json()
    assert tables["items"][0]["level"] == 4
    assert client.get("/api/v1/catalogue/overview").json()["decided"] == 1
    assert client.get("/api/v1/catalogue/columns/999").status_code == 404
    seen = node.client("audit").get("/api/v1/audit", params={"kind": "classify.verdict."}).json()
    assert [e["actor"] for e in seen["items"]] == ["officer1"]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_what_is_hostile_is_shown_as_text(node: nodes.Tested, language: str) -> None:
    client = node.client("officer")
    client.cookies.set("language", language)
    number = client.get("/api/v1/catalogue/columns").json()["items"][1]["id"]
    for path in ("/", "/catalogue", f"/catalogue/{number}", "/catalogue?words=%3Cscript%3E"):
        page = client.get(path)
        assert page.status_code == 200
        assert "<img" not in page.text
        assert "<script>" not in page.text
        assert "\u202e" not in page.text
        assert not re.search(r'\son\w+="|style="|javascript:', page.text), path
        assert not re.search(r'(src|href|action)="(https?:)?//', page.text), path


def test_many_are_confirmed_at_once_and_all_or_none(node: nodes.Tested) -> None:
    client = node.client("officer")
    rows = client.get("/api/v1/catalogue/columns").json()["items"]
    chosen = [f"{r['id']}:{r['version']}" for r in rows]
    stale = {"column": [*chosen[:2], f"{rows[2]['id']}:99"], "back": "/catalogue?state=review"}
    assert client.post("/catalogue/confirm", data=stale).status_code == 409
    assert client.get("/api/v1/catalogue/overview").json()["decided"] == 0
    good = {"column": chosen, "back": "//evil.example", "reason": "复核无误"}
    answer = client.post("/catalogue/confirm", data=good)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?done=confirmed")
    assert client.get("/api/v1/catalogue/overview").json()["decided"] == 3
    for bad in ({}, {"column": "x"}, {"column": "1:-1"}, {"column": "９:1"}, {"column": "9" * 30}):
        assert client.post("/catalogue/confirm", data=bad).status_code == 422


def test_the_description_is_openapi_3_1(node: nodes.Tested) -> None:
    said = node.client("reader").get("/api/v1/openapi.json").json()
    assert said["openapi"].startswith("3.1")
    described = set(said["paths"])
    assert described == {p for p in described if p.startswith("/api/v1/")}
    assert "/api/v1/catalogue/decisions" in described
    assert node.client("reader").get("/api").status_code == 200


def test_a_day_that_is_none_is_a_problem(node: nodes.Tested) -> None:
    client = node.client("audit")
    assert client.get("/audit?since=2026-02-30").status_code == 422
    assert client.get("/audit?since=2026-01-01&until=2999-12-31").status_code == 200
    assert client.get("/audit?until=9999-12-31").status_code < 500
    assert client.get("/api/v1/audit?since=yesterday").status_code == 400
    assert client.get("/api/v1/audit?before=99999999999999999999").status_code < 500


def test_numbers_beyond_any_row_are_problems(node: nodes.Tested) -> None:
    huge = 2**70
    officer, system = node.client("officer"), node.client("system")
    for path in (f"columns/{huge}", f"columns?after={huge}", f"columns?limit={huge}"):
        assert officer.get(f"/api/v1/catalogue/{path}").status_code in (400, 404), path
    wrong = [{"column": 2**40, "version": 1}]
    assert officer.post("/api/v1/catalogue/decisions", json=wrong).status_code == 404
    assert system.post(f"/api/v1/accounts/{2**40}/suspend").status_code in (400, 404)
    assert officer.get("/catalogue?words=" + "x" * 101).status_code == 400
    assert officer.get("/catalogue?words=%00%25_").status_code in (200, 400, 422)


def only_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), [n for n in names if names.count(n) > 1]
    return dict(pairs)


def test_words_are_whole_in_both_languages() -> None:
    from importlib.resources import files

    for name in ("words.json", "problems.json"):
        raw = files("pingyao.platform.web").joinpath(name).read_bytes()
        words = json.loads(raw, object_pairs_hook=only_once)
        missing = set(words["zh"]) - set(words["en"])
        assert not missing, (name, missing)
    assert set(words["zh"]) <= set(words["en"])
