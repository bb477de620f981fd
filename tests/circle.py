"""A centre and a bank for the tests: two nodes with keys, served on loopback, joined by invitation."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa
import uvicorn

import nodes
from pingyao.app.migrations import migrate
from pingyao.platform.asgi import listen
from pingyao.platform.db import open_engine
from pingyao.platform.identity.model import Institution
from pingyao.platform.members import joining, register, ring
from pingyao.platform.members.client import Client
from pingyao.platform.members.desk import Desk
from pingyao.platform.members.model import Member, Profile
from pingyao.platform.members.ring import StoreRing

CENTRE = Institution("省级中心", "12140000MB0BBBBB00", "centre", second_factor=False)
BANK = nodes.INSTITUTION


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
        view = register.view(self.engine, self.node.actor("reader"))
        return next(m for m in view.members if m.profile.uscc == uscc)


@contextmanager
def circle(centre: sa.Engine, folder: Path) -> Iterator[tuple[Party, Party]]:
    """Gives a centre and a bank that do not know each other yet."""
    other = open_engine(f"sqlite:///{folder / 'bank.db'}", migrate)
    a, b = Party(centre, CENTRE, folder / "a"), Party(other, BANK, folder / "b")
    try:
        with served(a.node.app) as at_a, served(b.node.app) as at_b:
            a.live(at_a)
            b.live(at_b)
            yield a, b
    finally:
        a.client.close()
        b.client.close()
        other.dispose()


def join(a: Party, b: Party, suite: str) -> None:
    """Goes all the way of an invitation, to confirmation on both sides."""
    made = a.desk.invite(a.node.actor("system"), BANK.uscc, BANK.name, suite, 1)
    there = b.desk.join(b.node.actor("system"), made.text)
    here = a.member(BANK.uscc)
    assert here.fingerprint == there.fingerprint
    joining.confirm(a.engine, a.node.actor("security"), here.id, there.fingerprint)
    joining.confirm(b.engine, b.node.actor("security"), there.id, here.fingerprint)
