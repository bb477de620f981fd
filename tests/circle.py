"""A centre and banks for the tests: nodes with keys, served on loopback, joined by invitation.

Founding a node is what takes time, so that it is done once; before each test the tables are put back to
what they were.
"""

import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec
import sqlalchemy as sa
import urllib3
import uvicorn

import nodes
from pingyao.app.migrations import migrate
from pingyao.platform import audit, outbox
from pingyao.platform.asgi import listen
from pingyao.platform.crypto.suites import suite_of
from pingyao.platform.db import open_engine
from pingyao.platform.identity.model import Institution
from pingyao.platform.members import (
    fetching,
    joining,
    register,
    ring,
    roster_store,
    rosters,
    signatures,
    store,
)
from pingyao.platform.members.client import Client
from pingyao.platform.members.desk import Desk
from pingyao.platform.members.model import Member, OwnKey, Profile
from pingyao.platform.members.pinging import PING
from pingyao.platform.members.publishing import Published
from pingyao.platform.members.ring import StoreRing
from pingyao.platform.members.rosters import Document
from pingyao.platform.members.signatures import Parameters
from pingyao.platform.web.limits import Limits

CENTRE = Institution("省级中心", "12140000MB0BBBBB00", "centre", second_factor=False)
BANK = nodes.INSTITUTION
OTHER = Institution("汾河银行", "91140000MA0CCCCC27", "member", second_factor=False)
TABLES = (*store.metadata.sorted_tables, audit.trail, outbox.outbox)
POOL = urllib3.PoolManager(retries=False)
Rows = dict[sa.Table, list[dict[str, object]]]


@contextmanager
def served(app: object) -> Iterator[str]:
    """Serves an application in a thread and gives its address."""
    with closing(listen("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_level="error", lifespan="on", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class Party:
    """One institution's node: its database, keys, people, and where it answers."""

    def __init__(self, engine: sa.Engine, institution: Institution, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.institution = institution
        self.ring = StoreRing(folder / "node.key", nodes.KEY)
        self.node = nodes.make(engine, institution, self.ring)
        self.engine = engine
        self.desk = Desk(engine, self.ring, institution.uscc)
        self.client = Client(engine, self.ring, institution.uscc)
        self.address = ""
        ring.ensure(engine, self.ring, "test")

    def live(self, address: str) -> None:
        i, self.address = self.institution, address
        given = Profile(i.name, i.uscc, i.role, "", "bank", "140100", address)
        register.describe(self.engine, self.node.actor("system"), given)

    def member(self, uscc: str) -> Member:
        return register.find(self.engine, self.node.actor("reader"), uscc)

    def count(self, kind: str) -> int:
        """Returns how many events of a kind there are."""
        with self.engine.connect() as db:
            return len(audit.read(db, audit.Search(kind), before=None, limit=100))

    def remember(self) -> Rows:
        with self.engine.connect() as db:
            return {t: [dict(r) for r in db.execute(sa.select(t)).mappings()] for t in TABLES}

    def restore(self, held: Rows) -> None:
        with self.engine.begin() as db:
            for table in reversed(TABLES):
                db.execute(sa.delete(table))
            for table, rows in held.items():
                if rows:
                    db.execute(sa.insert(table), rows)
        for name, value in vars(Limits()).items():
            setattr(self.node.app.state.node.limits, name, value)


@contextmanager
def circle(
    centre: sa.Engine, folder: Path, banks: Sequence[Institution] = (BANK,)
) -> Iterator[tuple[Party, ...]]:
    """Gives a centre and banks that do not know each other yet."""
    with ExitStack() as stack:
        made = [Party(centre, CENTRE, folder / "a")]
        for number, bank in enumerate(banks):
            engine = open_engine(f"sqlite:///{folder / f'bank{number}.db'}", migrate)
            stack.callback(engine.dispose)
            made.append(Party(engine, bank, folder / f"b{number}"))
        for party in made:
            party.live(stack.enter_context(served(party.node.app)))
            stack.callback(party.client.close)
        yield tuple(made)


def join(a: Party, b: Party, suite: str) -> None:
    """Goes all the way of an invitation, to confirmation on both sides."""
    bank = b.institution
    made = a.desk.invite(a.node.actor("system"), bank.uscc, bank.name, suite, 1)
    there = b.desk.join(b.node.actor("system"), made.text)
    here = a.member(bank.uscc)
    assert here.fingerprint == there.fingerprint
    joining.confirm(a.engine, a.node.actor("security"), here.id, there.fingerprint)
    joining.confirm(b.engine, b.node.actor("security"), there.id, here.fingerprint)


def own(party: Party, suite: str, generation: int = 1, use: str = "sign") -> OwnKey:
    with party.engine.connect() as db:
        keys = store.read_own_keys(db)
    return next(k for k in keys if (k.suite, k.use, k.generation) == (suite, use, generation))


def signed(
    who: Party,
    to: Party,
    body: bytes = b'{"text":"x"}',
    *,
    path: str = PING,
    suite: str = "",
    key: OwnKey | None = None,
    **changed: object,
) -> dict[str, str]:
    """Returns the header fields of a request as a node would send it, but for what is changed."""
    with who.engine.connect() as db:
        peer = store.find(db, to.institution.uscc)
    named = suite_of(suite or (key.suite if key else peer.suite if peer else "international"))
    hasher = signatures.hasher(named)
    hasher.update(body)
    digest = signatures.content_digest(named, hasher.digest())
    asked = signatures.asked("POST", to.address + path, digest)
    now = int(time.time())
    key = key or own(who, named.name)
    said = Parameters(
        now,
        now + 60,
        secrets.token_urlsafe(16),
        key.id,
        named.alg,
        f"pingyao-member-1:{to.institution.uscc}",
    )
    said = msgspec.structs.replace(said, **changed)
    signature = who.ring.signer(key).sign(signatures.request_base(asked, said))
    return signatures.fields(said, signature) | {"content-digest": digest}


def post(
    to: Party, headers: dict[str, str], body: bytes = b'{"text":"x"}', path: str = PING
) -> tuple[int, str]:
    """Sends and returns status and code, empty where it was taken."""
    more = {"content-type": "application/json"}
    answer = POOL.request("POST", to.address + path, body=body, headers=headers | more)
    said = msgspec.json.decode(answer.data)
    return answer.status, said.get("code", "")


def fetch(party: Party) -> fetching.Fetched:
    [found] = party.desk.fetch(party.node.actor("system"))
    return found


def kept(party: Party) -> rosters.Document:
    with party.engine.connect() as db:
        document = roster_store.read_document(db, store.find(db, CENTRE.uscc).id)
    return msgspec.json.decode(document, type=Document)


def issued(a: Party, b: Party, document: bytes) -> Published:
    """Returns a document as the centre would hand it to a bank."""
    key = own(a, b.member(CENTRE.uscc).suite)
    return Published(document, a.ring.signer(key).sign(rosters.signed(document)), key.id)


def take(b: Party, given: Published) -> fetching.Fetched:
    return fetching.take(b.engine, b.member(CENTRE.uscc), given, "test")
