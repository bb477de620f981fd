"""A node for the tests: founded, with one person of every role, each ready to work."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property, partial

import sqlalchemy as sa
from litestar.testing import TestClient

from pingyao.app.web import make_app
from pingyao.classify.model import (
    ColumnId,
    Evidence,
    PackRef,
    ScanResult,
    Table,
    TableVerdict,
    Verdict,
)
from pingyao.classify.packs import load_book
from pingyao.kernel.labels import Labels, Level, PersonalClass
from pingyao.ledger.desk import Archive
from pingyao.platform.identity import own, people, sessions
from pingyao.platform.identity.model import Account, Institution
from pingyao.platform.members.ring import Ring
from pingyao.platform.policy import ROLES, Actor

INSTITUTION = Institution("晋阳银行", "91140000MA0AAAAA1K", "member", second_factor=False)
PASSWORD = "Correct-Horse-7"
KEY = bytes(32)
BOOK = load_book()
HOSTS = frozenset({"127.0.0.1"})


class Tested:
    """A node and who works there; ``people`` holds an account for every role.

    Args:
        engine: its database.
        serve: makes its application, once a test asks for that.
        people: who works there, if anybody does yet.
    """

    def __init__(
        self,
        engine: sa.Engine,
        serve: Callable[[], object] | None = None,
        people: dict[str, Account] | None = None,
    ) -> None:
        self.engine, self._serve = engine, serve
        self.people = {} if people is None else people
        self.launched: list[str] = []

    @cached_property
    def app(self) -> object:
        assert self._serve is not None
        return self._serve()

    def actor(self, role: str) -> Actor:
        return Actor(self.people[role].id, self.people[role].name, role)

    def client(self, role: str = "") -> TestClient:
        """Returns a browser of somebody, signed in unless no role is named."""
        client = TestClient(self.app, base_url="https://127.0.0.1", raise_server_exceptions=False)
        client.follow_redirects = False
        if role:
            body = {"name": self.people[role].name, "password": PASSWORD}
            answer = client.post("/api/v1/session", json=body)
            assert answer.status_code == 201, answer.text
            client.headers["x-csrf-token"] = answer.json()["csrf"]
        return client

    def account(self, name: str, role: str) -> Account:
        """Makes one more account by the proper way and sets its password."""
        made = people.create(self.engine, self.actor("system"), name, "某人")
        issued = people.grant(self.engine, self.actor("security"), made.id, role)
        settle(self.engine, name, issued.password)
        return issued.account


def settle(engine: sa.Engine, name: str, once: str) -> None:
    """Changes a one-time password at first sign-in."""
    session = sessions.sign_in(engine, KEY, name, once, "", "")
    own.change_password(engine, session, once, PASSWORD)
    sessions.sign_out(engine, session)


def make(
    engine: sa.Engine,
    institution: Institution = INSTITUTION,
    ring: Ring | None = None,
    hosts: frozenset[str] | set[str] = HOSTS,
    archive: Archive | None = None,
) -> Tested:
    """Founds a node and fills every role."""
    tested = Tested(engine, lambda: make_app(*told, ring, archive=archive))
    launch = partial(tested.launched.append, "run")
    told = (engine, KEY, institution, BOOK, frozenset(hosts), launch)
    first = [(f"{role}1", "某人", role) for role in ROLES[:3]]
    for issued in people.found(engine, institution, first, "root"):
        settle(engine, issued.account.name, issued.password)
        tested.people[issued.account.role] = issued.account
    for role in ROLES[3:]:
        tested.people[role] = tested.account(f"{role}1", role)
    return tested


HOSTILE = "<img src=x onerror=alert(1)>\u202e"


def scan(*names: str) -> ScanResult:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    verdicts = tuple(
        Verdict(
            id=ColumnId("核心", "dep", "=acct", name),
            declared_type="text",
            comment=HOSTILE,
            type="mobile",
            subject="person",
            leaf="客户/个人/个人自然信息/个人联系信息",
            confidence=0.5,
            abstained=True,
            labels=Labels(level=Level.L3, personal=PersonalClass.C2),
            evidence=(Evidence("name", "mobile", 3.2, "name.direct", {"terms": HOSTILE}),),
        )
        for name in names
    )
    table = TableVerdict(Table("dep", "=acct", HOSTILE), "full", 10, Labels(), verdicts)
    packs = (PackRef("x", "1"),)
    return ScanResult("核心", "sqlite", "full", None, at, at, "0", packs, Labels(), (table,), ())
