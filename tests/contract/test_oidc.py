"""Signing in by an OpenID provider that runs here: only what is right in every part opens an account."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import pyotp
import pytest
import sqlalchemy as sa
from joserfc import jwt
from joserfc.jwk import ECKey

import nodes
from pingyao.kernel.errors import Invalid, NotPermitted, PingyaoError, Unavailable
from pingyao.platform import audit
from pingyao.platform.identity import oidc, own, people, sessions
from pingyao.platform.identity.model import SecondStep, Session

ORIGIN, SITE = "https://127.0.0.1", "127.0.0.1"
SECRET = "s3cret/+"


class Op:
    """An OpenID provider: it remembers what each code was asked for with, and signs what it is told."""

    def __init__(self) -> None:
        self.keys = [ECKey.generate_key("P-256", {"kid": "one"})]
        self.codes: dict[str, dict[str, str]] = {}
        self.claims: dict[str, Any] = {}
        self.header: dict[str, str] = {"alg": "ES256", "kid": "one"}
        self.sign_with: Any = None
        self.raw = ""
        op = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say(200, op.published(self.path))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                self._say(*op.token({k: v[0] for k, v in parse_qs(body).items()}, self.headers))

            def _say(self, status: int, value: object) -> None:
                raw = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                """Keeps quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def published(self, path: str) -> object:
        if path == "/keys":
            return {"keys": [k.as_dict(private=False) for k in self.keys]}
        paths = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "jwks_uri": "keys",
        }
        return {"issuer": self.issuer} | {k: f"{self.issuer}/{p}" for k, p in paths.items()}

    def authorize(self, address: str) -> dict[str, str]:
        """What a person's browser brings back after she signed in there."""
        asked = {k: v[0] for k, v in parse_qs(urlsplit(address).query).items()}
        assert asked["code_challenge_method"] == "S256"
        code = hashlib.sha256(asked["state"].encode()).hexdigest()
        self.codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def token(self, form: dict[str, str], headers: Any) -> tuple[int, object]:
        asked = self.codes.pop(form["code"], None)
        right = base64.b64encode(f"node:{quote_plus(SECRET)}".encode()).decode()
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked is None
            or headers["authorization"] != f"Basic {right}"
            or form["redirect_uri"] != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "node", "sub": "person-1", "nonce": asked["nonce"]}
        claims = {**claims, "iat": now, "exp": now + 60} | self.claims
        claims = {k: v for k, v in claims.items() if v is not None}
        signed = self.raw or jwt.encode(self.header, claims, self.sign_with or self.keys[0])
        return 200, {"id_token": signed, "access_token": "x", "token_type": "Bearer"}


@pytest.fixture
def op() -> Iterator[Op]:
    made = Op()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def node(catalogue_engine: sa.Engine, quick_passwords: None) -> nodes.Tested:
    return nodes.make(catalogue_engine)


@pytest.fixture
def provider(op: Op) -> oidc.Provider:
    return oidc.Provider(op.issuer, "node", SECRET)


def back(node: nodes.Tested, op: Op, provider: oidc.Provider, role: str = "", **changes: str):
    """Goes to the provider and back, with something changed on the way."""
    actor = node.actor(role) if role else None
    address, browser = oidc.begin(node.engine, provider, ORIGIN, actor)
    answer = op.authorize(address) | {k: v for k, v in changes.items() if k != "browser"}
    browser = changes.get("browser", browser)
    return oidc.finish(node.engine, provider, answer, browser, ORIGIN, SITE, "")


def test_only_a_linked_subject_opens_an_account(
    node: nodes.Tested, op: Op, provider: oidc.Provider
) -> None:
    with pytest.raises(NotPermitted):
        back(node, op, provider)
    assert back(node, op, provider, "officer") is None
    session = back(node, op, provider)
    assert isinstance(session, Session)
    assert (session.actor.name, session.actor.role) == ("officer1", "officer")
    op.claims = {"sub": "person-2"}
    with pytest.raises(NotPermitted):
        back(node, op, provider)
    op.claims = {}
    for role in ("reader", "officer"):  # a subject has one account, an account one subject
        with pytest.raises(PingyaoError, match="已关联"):
            back(node, op, provider, role)
    number = node.people["officer"].id
    people.reset(node.engine, node.actor("system"), number)
    with pytest.raises(NotPermitted):
        back(node, op, provider)
    people.grant(node.engine, node.actor("security"), number, "officer")
    with pytest.raises(NotPermitted):  # a reset unlinks
        back(node, op, provider)
    with node.engine.connect() as db:
        said = audit.read(db, audit.Search(), before=None, limit=100)
    assert {"identity.oidc.linked", "identity.session.refused"} <= {e.kind for e in said}
    assert SECRET not in str(said)


WRONG_CLAIMS: list[dict[str, object]] = [
    {"nonce": "another"},
    {"nonce": None},
    {"iss": "https://evil.example"},
    {"iss": None},
    {"aud": "another"},
    {"aud": ["node", "another"]},
    {"aud": None},
    {"azp": "another"},
    {"exp": int(time.time()) - 3600},
    {"exp": None},
    {"exp": "soon"},
    {"iat": int(time.time()) + 3600},
    {"nbf": int(time.time()) + 3600},
    {"sub": None},
    {"sub": ""},
    {"sub": 7},
    {"sub": "x" * 256},
]


def test_wrong_claims_open_nothing(node: nodes.Tested, op: Op, provider: oidc.Provider) -> None:
    assert back(node, op, provider, "officer") is None
    for claims in WRONG_CLAIMS:
        op.claims = claims
        with pytest.raises(NotPermitted):
            back(node, op, provider)


def test_wrong_signatures_open_nothing(node: nodes.Tested, op: Op, provider: oidc.Provider) -> None:
    assert back(node, op, provider, "officer") is None
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    body = base64.urlsafe_b64encode(json.dumps({"sub": "person-1"}).encode()).rstrip(b"=").decode()
    for raw in (f"{none}.{body}.", "", "x", "a.b.c", f"{none}.{body}"):
        op.raw = raw or " "
        with pytest.raises(NotPermitted):
            back(node, op, provider)
    op.raw = ""
    op.sign_with = ECKey.generate_key("P-256", {"kid": "one"})
    with pytest.raises(NotPermitted):
        back(node, op, provider)
    # The old trick: the published key taken for a shared secret.
    part = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').rstrip(b"=").decode()
    public = op.keys[0].as_pem(private=False)
    mac = hmac.digest(public, f"{part}.{body}".encode(), "sha256")
    op.raw = f"{part}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    with pytest.raises(NotPermitted):
        back(node, op, provider)


def test_a_provider_may_change_its_keys(
    node: nodes.Tested, op: Op, provider: oidc.Provider
) -> None:
    assert back(node, op, provider, "officer") is None
    op.keys.insert(0, ECKey.generate_key("P-256", {"kid": "two"}))
    op.header = {"alg": "ES256", "kid": "two"}
    assert isinstance(back(node, op, provider), Session)


def test_what_was_not_begun_here_is_not_finished(
    node: nodes.Tested, op: Op, provider: oidc.Provider
) -> None:
    assert back(node, op, provider, "officer") is None
    wrong = [{"state": "x"}, {"state": ""}, {"browser": "x"}, {"browser": ""}, {"code": "x"}]
    for changes in (*wrong, {"code": ""}, {"iss": "https://evil.example"}):
        with pytest.raises(NotPermitted):
            back(node, op, provider, **changes)
    address, browser = oidc.begin(node.engine, provider, ORIGIN)
    answer = op.authorize(address)
    with pytest.raises(NotPermitted):
        oidc.finish(node.engine, provider, answer, browser, "https://evil.example", SITE, "")
    address, browser = oidc.begin(node.engine, provider, ORIGIN)
    answer = op.authorize(address)
    assert oidc.finish(node.engine, provider, answer, browser, ORIGIN, SITE, "")
    with pytest.raises(NotPermitted):  # again
        oidc.finish(node.engine, provider, answer, browser, ORIGIN, SITE, "")


def test_the_second_factor_is_asked_for_as_well_unless_the_issuer_is_trusted(
    node: nodes.Tested, op: Op, provider: oidc.Provider
) -> None:
    mine = sessions.sign_in(node.engine, nodes.KEY, "officer1", nodes.PASSWORD, "", "")
    secret = own.begin_second_factor(node.engine, mine, nodes.KEY)
    code, now = pyotp.TOTP(secret), int(time.time())
    own.confirm_second_factor(node.engine, mine, nodes.KEY, code.at(now - 30))
    assert back(node, op, provider, "officer") is None
    for shown, fine in (("000000", False), (code.at(now), True), (code.at(now), False)):
        step = back(node, op, provider)
        assert isinstance(step, SecondStep)
        if fine:
            finished = sessions.finish(node.engine, nodes.KEY, step.ticket, shown, ORIGIN, "")
            assert finished.actor.name == "officer1"
        else:
            with pytest.raises(NotPermitted):
                sessions.finish(node.engine, nodes.KEY, step.ticket, shown, ORIGIN, "")
    trusting = oidc.Provider(op.issuer, "node", SECRET, asks_second=False)
    assert isinstance(back(node, op, trusting), Session)


def test_over_http(node: nodes.Tested, op: Op, provider: oidc.Provider) -> None:
    from pingyao.app.web import make_app

    node.app = make_app(
        node.engine,
        nodes.KEY,
        nodes.INSTITUTION,
        nodes.BOOK,
        nodes.HOSTS,
        lambda: None,
        oidc=provider,
    )
    assert node.client().get("/account/oidc").headers["location"] == "/sign-in"
    client = node.client("officer")
    answer = op.authorize(client.get("/account/oidc").headers["location"])
    assert "/account?done=linked" in client.get("/sign-in/oidc/callback", params=answer).text
    fresh = node.client()
    begun = fresh.get("/sign-in/oidc")
    cookie = begun.headers["set-cookie"].lower()
    assert all(f in cookie for f in ("__host-", "secure", "httponly", "samesite=lax"))
    answer = op.authorize(begun.headers["location"])
    assert node.client().get("/sign-in/oidc/callback", params=answer).status_code == 401
    answer = op.authorize(fresh.get("/sign-in/oidc").headers["location"])
    assert fresh.get("/sign-in/oidc/callback", params=answer).status_code == 200
    assert fresh.get("/api/v1/session").json()["account"] == "officer1"
    assert fresh.get("/sign-in/oidc/callback?error=access_denied").status_code == 401


@pytest.mark.parametrize(
    "issuer", ["http://sso.example", "", "ftp://a", "https://u:p@sso.example", "//a"]
)
def test_issuers_without_tls_are_refused(issuer: str) -> None:
    with pytest.raises(Invalid):
        oidc.Provider(issuer, "node", SECRET)


def test_a_provider_that_lies_or_is_away(node: nodes.Tested, op: Op) -> None:
    gone = oidc.Provider("http://127.0.0.1:9", "node", SECRET)
    other = oidc.Provider(op.issuer + "/", "node", SECRET)  # not the name it gives itself
    for provider in (gone, other):
        with pytest.raises(Unavailable):
            oidc.begin(node.engine, provider, ORIGIN)
