"""Tokens for programs and emergency overrides, over HTTP on SQLite and PostgreSQL."""

import msgspec
import pytest
import sqlalchemy as sa
from litestar.testing import TestClient

import nodes
from pingyao.kernel.errors import Conflict, Invalid, NotFound, NotPermitted
from pingyao.platform import audit
from pingyao.platform.identity import overrides, people, store, tokens
from pingyao.platform.policy import ROLES, SCOPES, URGENT, Actor, permits

pytestmark = pytest.mark.usefixtures("quick_passwords")


@pytest.fixture
def node(catalogue_engine: sa.Engine, quick_passwords: None) -> nodes.Tested:
    return nodes.make(catalogue_engine)


def entries(node: nodes.Tested, kind: str) -> list[audit.Entry]:
    with node.engine.connect() as db:
        return audit.read(db, audit.Search(kind=kind), before=None, limit=100)


def program(node: nodes.Tested, text: str) -> TestClient:
    client = node.client()
    client.headers["authorization"] = f"Bearer {text}"
    return client


def age(node: nodes.Tested, table: sa.Table, column: str, seconds: int) -> None:
    with node.engine.begin() as db:
        db.execute(sa.update(table).values({column: table.c[column] - seconds}))


def test_a_program_does_what_its_token_says_and_no_more(node: nodes.Tested) -> None:
    officer = node.client("officer")
    wanted = {"name": "report.job", "scopes": ["catalogue.read"], "days": 30}
    made = officer.post("/api/v1/tokens", json=wanted)
    assert made.status_code == 201, made.text
    client = program(node, made.json()["text"])
    assert client.get("/api/v1/catalogue/overview").status_code == 200
    assert client.get("/api/v1/session").json()["account"] == "officer1"
    refused = client.post("/api/v1/catalogue/decisions", json=[])
    assert (refused.status_code, refused.json()["code"]) == (403, "policy.out_of_scope")
    for path in ("tokens", "overrides", "accounts", "audit"):
        assert client.get(f"/api/v1/{path}").status_code == 403, path
    assert client.post("/api/v1/tokens", json=wanted).status_code == 403
    new = {"current": nodes.PASSWORD, "new": "Another-Word-42"}
    assert client.put("/api/v1/session/password", json=new).status_code == 403
    assert client.delete("/api/v1/session").status_code == 403
    assert client.get("/catalogue").headers["location"] == "/sign-in"  # programs have no pages
    assert officer.get("/api/v1/tokens").json()[0]["used_at"] > 0
    assert entries(node, "identity.token.made")[0].body["scopes"] == ["catalogue.read"]


def test_no_scope_lets_a_program_do_by_hand_what_a_person_must(node: nodes.Tested) -> None:
    for role in ROLES:
        held = Actor(1, "x", role, scopes=(*SCOPES, "account.create", "own.tokens"))
        allowed = {a for a in SCOPES if permits(held, a)}
        assert allowed == {a for a in SCOPES if permits(Actor(1, "x", role), a)}
        for act in ("account.create", "account.grant", "own.tokens", "own.password", "no.such"):
            assert not permits(held, act)
        assert not permits(Actor(1, "x", role, scopes=()), "catalogue.read")


def test_what_a_program_does_says_so(node: nodes.Tested) -> None:
    from pingyao.classify import catalogue

    catalogue.record(node.engine, nodes.scan("phone"), "机器")
    scopes = ("catalogue.read", "catalogue.decide")
    made = tokens.make(node.engine, node.actor("officer"), "reviewer", scopes, 1)
    client = program(node, made.text)
    row = client.get("/api/v1/catalogue/columns").json()["items"][0]
    decision = [{"column": row["id"], "version": row["version"]}]
    assert client.post("/api/v1/catalogue/decisions", json=decision).status_code == 200
    (seen,) = entries(node, "classify.verdict.")
    assert (seen.actor, seen.body["program"]) == ("officer1", "reviewer")


def test_bad_tokens_are_refused(node: nodes.Tested) -> None:
    actor = node.actor("reader")
    made = tokens.make(node.engine, actor, "job", ("catalogue.read",), 1)
    right = made.text
    wrong = ("", " ", "x", right[:-1], right + "x", right.upper(), "pyt_", right.encode().hex())
    for text in wrong:
        answer = program(node, text).get("/api/v1/catalogue/overview")
        assert answer.status_code == 401, text
        assert answer.headers["www-authenticate"].startswith("Bearer")
    basic = node.client()
    basic.headers["authorization"] = f"Basic {right}"
    assert basic.get("/api/v1/catalogue/overview").status_code == 401
    both = node.client("officer")  # the cookie beside a bad token opens nothing
    both.headers["authorization"] = "Bearer x"
    assert both.get("/api/v1/catalogue/overview").status_code == 401
    age(node, store.tokens, "expires_at", 86_401)
    assert program(node, right).get("/api/v1/session").status_code == 401
    with node.engine.connect() as db:
        assert right not in str(db.execute(sa.select(store.tokens)).all())
        assert right not in str(audit.read(db, audit.Search(), before=None, limit=500))


@pytest.mark.parametrize("act", ["suspend", "reset", "revoke"])
def test_a_token_dies_with_its_account(node: nodes.Tested, act: str) -> None:
    made = tokens.make(node.engine, node.actor("reader"), "job", ("catalogue.read",), 365)
    assert program(node, made.text).get("/api/v1/session").status_code == 200
    role = "security" if act == "revoke" else "system"
    number = node.people["reader"].id
    getattr(people, act)(node.engine, node.actor(role), number)
    assert program(node, made.text).get("/api/v1/session").status_code == 401
    if act == "reset":
        people.grant(node.engine, node.actor("security"), number, "reader")
        assert program(node, made.text).get("/api/v1/session").status_code == 401


def test_tokens_beyond_the_bounds_are_not_made(node: nodes.Tested) -> None:
    actor = node.actor("reader")
    read = ("catalogue.read",)
    bad = [("x", read, 1), ("a" * 33, read, 1), ("job\n", ("x",), 1), ("job", (), 1)]
    bad += [("job", read, 0), ("job", read, 366), ("job", ("catalogue.decide",), 1)]
    bad += [("job", ("own.see",), 1), ("job", ("account.create",), 1), ("职", read, 1)]
    for name, scopes, days in bad:
        with pytest.raises(Invalid):
            tokens.make(node.engine, actor, name, scopes, days)
    for number in range(tokens.MOST):
        tokens.make(node.engine, actor, f"job{number}", read, 1)
    for name in ("job1", "one-more"):
        with pytest.raises(Conflict):
            tokens.make(node.engine, actor, name, read, 1)
    number = tokens.listed(node.engine, actor)[0].id
    with pytest.raises(NotFound):
        tokens.revoke(node.engine, node.actor("officer"), number)
    tokens.revoke(node.engine, actor, number)
    assert len(tokens.listed(node.engine, actor)) == tokens.MOST - 1


REASON = "系统管理员失联，疑似账号被盗用，须立即停用"


def test_an_emergency_takes_two_and_leaves_evidence(node: nodes.Tested) -> None:
    security, officer, audit_admin = map(node.client, ("security", "officer", "audit"))
    target = node.people["reader"].id
    url = f"/api/v1/accounts/{target}/suspend"
    assert security.post(url).status_code == 403
    wanted = {"action": "account.suspend", "reason": REASON, "minutes": 30}
    asked = security.post("/api/v1/overrides", json=wanted).json()
    assert asked["state"] == "asked"
    assert security.post(url).status_code == 403
    decision = f"/api/v1/overrides/{asked['id']}/decision"
    assert security.post(decision, json={"approve": True}).status_code == 403
    assert audit_admin.post(decision, json={"approve": True}).status_code == 403
    assert node.client("reader").post(decision, json={"approve": True}).status_code == 403
    granted = officer.post(decision, json={"approve": True}).json()
    assert (granted["state"], granted["decided_by"]) == ("granted", "officer1")
    assert security.post(url).json()["state"] == "suspended"
    assert officer.post(url).status_code == 403  # who approved was lent nothing
    (used,) = entries(node, "identity.override.used")
    assert (used.actor, used.body["action"], used.body["path"]) == (
        "security1",
        "account.suspend",
        url,
    )
    age(node, store.overrides, "until", 31 * 60)
    assert security.post(url).status_code == 403
    seen = audit_admin.get("/api/v1/overrides").json()
    assert [(o["state"], o["reason"]) for o in seen] == [("ended", REASON)]
    said = [e.kind for e in entries(node, "identity.override.")]
    assert said == [f"identity.override.{w}" for w in ("ended", "used", "granted", "asked")]
    assert entries(node, "identity.override.ended")[0].body["by_itself"] is True


def test_what_makes_or_empowers_accounts_is_never_lent(node: nodes.Tested) -> None:
    never = {"account.create", "account.reset", "account.grant", "account.revoke"}
    assert not never & set(URGENT)
    for role in ROLES:
        lent = Actor(1, "x", role, lent=(*never, *URGENT))
        bare = Actor(1, "x", role)
        assert all(permits(lent, a) == permits(bare, a) for a in never)
        assert not permits(lent, "account.suspend", 1)
    assert overrides.choices(node.actor("audit")) == ["catalogue.read", "people.list"]
    for action in (*never, "catalogue.decide", "own.see", "", "x"):
        role = "officer" if action == "catalogue.decide" else "system"
        if (role, action) in (("system", "account.create"), ("system", "account.reset")):
            continue
        with pytest.raises(Invalid):
            overrides.ask(node.engine, node.actor(role), action, REASON, 10)


def test_bad_requests_and_late_decisions(node: nodes.Tested) -> None:
    system, security = node.actor("system"), node.actor("security")
    for reason, minutes in (("", 10), ("短", 10), ("长" * 501, 10), (REASON, 0), (REASON, 241)):
        with pytest.raises(Invalid):
            overrides.ask(node.engine, system, "catalogue.read", reason, minutes)
    asked = overrides.ask(node.engine, system, "catalogue.read", REASON, 240)
    with pytest.raises(Conflict):
        overrides.ask(node.engine, system, "catalogue.read", REASON, 1)
    second = node.account("system2", "system")
    with pytest.raises(NotPermitted, match="另一角色"):
        overrides.decide(node.engine, Actor(second.id, "system2", "system"), asked.id, approve=True)
    age(node, store.overrides, "asked_at", overrides.WAITING_SECONDS + 1)
    with pytest.raises(Conflict):
        overrides.decide(node.engine, security, asked.id, approve=True)
    again = overrides.ask(node.engine, system, "catalogue.read", REASON, 240)
    assert overrides.decide(node.engine, security, again.id, approve=False).state == "refused"
    with pytest.raises(Conflict):
        overrides.decide(node.engine, security, again.id, approve=True)
    with pytest.raises(NotFound):
        overrides.decide(node.engine, security, 999, approve=True)
    with pytest.raises(NotPermitted):
        overrides.end(node.engine, node.actor("reader"), again.id)


def test_an_override_ends_early_and_with_its_account(node: nodes.Tested) -> None:
    officer, security = node.actor("officer"), node.actor("security")
    for end in ("by the asker", "by another", "with the account"):
        asked = overrides.ask(node.engine, officer, "people.list", REASON, 60)
        overrides.decide(node.engine, security, asked.id, approve=True)
        client = node.client("officer")
        assert client.get("/api/v1/accounts").status_code == 200
        assert client.get("/api/v1/tokens").json() == []
        lent = {"name": "job", "scopes": ["people.list"], "days": 1}
        assert client.post("/api/v1/tokens", json=lent).status_code == 422
        if end == "with the account":
            people.suspend(node.engine, node.actor("system"), officer.id)
        else:
            overrides.end(node.engine, officer if end == "by the asker" else security, asked.id)
        assert client.get("/api/v1/accounts").status_code in (401, 403), end
        assert entries(node, "identity.override.ended")[0].subject == "officer1"


def test_a_repeated_request_is_answered_and_not_done_again(node: nodes.Tested) -> None:
    system, security = node.client("system"), node.client("security")
    new = {"name": "newcomer", "person": "新人"}
    key = {"idempotency-key": "7c7f-1"}
    first = system.post("/api/v1/accounts", json=new, headers=key)
    again = system.post("/api/v1/accounts", json=new, headers={"idempotency-key": '"7c7f-1"'})
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert len(entries(node, "identity.account.created")) == 3  # officer1, reader1, newcomer
    other = system.post("/api/v1/accounts", json=new | {"name": "other"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "web.key_reused")
    grant = f"/api/v1/accounts/{first.json()['id']}/grant"
    role = {"role": "reader"}
    issued = security.post(grant, json=role, headers=key).json()  # another person, another key
    assert security.post(grant, json=role, headers=key).json() == issued
    with node.engine.connect() as db:
        kept = db.execute(sa.text("SELECT answer FROM web_answer")).scalars().all()
    assert kept
    assert all(issued["password"].encode() not in bytes(k) for k in kept)
    assert all(b"newcomer" not in bytes(k) for k in kept)


def test_a_refused_request_frees_its_key_and_old_keys_are_forgotten(node: nodes.Tested) -> None:
    from pingyao.platform.web import answers

    system = node.client("system")
    key = {"idempotency-key": "k"}
    bad = system.post("/api/v1/accounts", json={"name": "A b", "person": "x"}, headers=key)
    assert bad.status_code == 422
    good = {"name": "newcomer", "person": "新人"}
    assert system.post("/api/v1/accounts", json=good, headers=key).status_code == 201
    for wrong in ("", "a b", "x" * 65, "键".encode()):
        answer = system.post("/api/v1/accounts", json=good, headers={"idempotency-key": wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "web.bad_key"), wrong
    age(node, answers.answers, "at", answers.KEPT_SECONDS + 1)
    assert system.post("/api/v1/accounts", json=good, headers=key).status_code == 409
    answers.forget_old(node.engine)
    with node.engine.connect() as db:
        assert db.execute(sa.select(sa.func.count()).select_from(answers.answers)).scalar() == 0


def test_an_interrupted_request_is_never_done_twice(node: nodes.Tested) -> None:
    from pingyao.platform.web import answers

    system = node.client("system")
    key = {"idempotency-key": "k"}
    good = {"name": "newcomer", "person": "新人"}
    assert system.post("/api/v1/accounts", json=good, headers=key).status_code == 201
    with node.engine.begin() as db:
        db.execute(sa.update(answers.answers).values(status=0, answer=None))
    again = system.post("/api/v1/accounts", json=good, headers=key)
    assert (again.status_code, again.json()["code"]) == (409, "web.key_unfinished")


def test_keys_are_bounded(node: nodes.Tested, monkeypatch: pytest.MonkeyPatch) -> None:
    from pingyao.platform.web import answers

    monkeypatch.setattr(answers, "MOST_KEYS", 2)
    system = node.client("system")
    seen = [
        system.post(
            "/api/v1/accounts",
            json={"name": f"n{n}x", "person": "x"},
            headers={"idempotency-key": f"k{n}"},
        ).status_code
        for n in range(3)
    ]
    assert seen == [201, 201, 429]


def test_one_account_cannot_ask_without_end(
    node: nodes.Tested, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pingyao.platform.web.limits import Window

    clock = iter(msgspec.convert([0, *[1] * 4, 61.5], list[float]))
    window = Window(3, lambda: next(clock))
    window._minute = 0
    assert [window.take("a") for _ in range(3)] == [0, 0, 0]
    assert (window.take("b"), window.take("a"), window.take("a")) == (0, 60, 0)
    limits = node.app.state.node.limits
    monkeypatch.setattr(limits.accounts, "_most", 3)
    reader, officer = node.client("reader"), node.client("officer")
    seen = [reader.get("/api/v1/session") for _ in range(4)]
    assert [s.status_code for s in seen] == [200, 200, 200, 429]
    assert int(seen[-1].headers["retry-after"]) >= 1
    assert officer.get("/api/v1/session").status_code == 200  # the same address, another person
