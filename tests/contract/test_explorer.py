"""Looking through the evidence, on SQLite and PostgreSQL: paging, searching, and proofs with every event."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from litestar import Litestar, asgi
from litestar.testing import TestClient

from pingyao.app.migrations import migrate
from pingyao.kernel.errors import IntegrityBroken, Invalid, NotFound, NotPermitted, NotYet
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger import draining, explorer, payloads, tables
from pingyao.ledger import http as edge
from pingyao.ledger.cosigning import publish
from pingyao.ledger.explorer import Search
from pingyao.ledger.formats.note import parse_lines, parse_note, verify_note
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.formats.tlog_proof import parse_proof
from pingyao.ledger.formats.tlog_witness import origin_hash
from pingyao.ledger.model import ED25519, Note, Policy
from pingyao.ledger.store.writer import Log, create_log
from pingyao.ledger.witness_store import WitnessStore
from pingyao.platform import outbox
from pingyao.platform.db import open_engine
from witnessed import LOG, LOG_KEY, LOGS, ORIGIN, cosigner, key_of, tree

BANK = X25519PrivateKey.generate()
READERS = {"bank": BANK.public_key()}
START = datetime(2026, 1, 1, 23, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    opened = open_engine(f"sqlite:///{tmp_path / 'e.db'}", migrate)
    yield opened
    opened.dispose()


def emit(engine: sa.Engine, first: int, count: int) -> list[str]:
    kinds = ("classify.scan.recorded", "protect.release.done", "protect.vault.made")
    events = [
        EvidenceEvent(
            kinds[n % 3],
            f"目标_{n}%",
            "甲" if n % 2 else "乙",
            START + timedelta(hours=n),
            {"n": n},
        )
        for n in range(first, first + count)
    ]
    with engine.begin() as db:
        return outbox.emit(db, events)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    create_log(tmp_path / "log", format_policy(Policy((LOG_KEY,), {}, {}, "none")))
    with Log(tmp_path / "log", [(ED25519, LOG)], mark=tmp_path / "mark") as opened:
        yield opened


def sealed(engine: sa.Engine, log: Log, first: int, count: int) -> list[str]:
    keys = emit(engine, first, count)
    draining.drain(engine, log.append, "bank", READERS)
    publish(log, None)
    return keys


def test_pages_hold_everything_once(catalogue_engine: sa.Engine, log: Log) -> None:
    keys = sealed(catalogue_engine, log, 0, 25)
    with catalogue_engine.connect() as db:
        for limit in (1, 7, 25, 200):
            found, before = [], None
            while True:
                page = explorer.search(db, Search(), before=before, limit=limit)
                found += [line.key for line in page.lines]
                before = page.before
                if before is None:
                    break
            assert found == keys[::-1]
        for limit in (0, -1, 201):
            with pytest.raises(Invalid):
                explorer.search(db, Search(), limit=limit)
    assert [line.position for line in page.lines] == list(range(24, -1, -1))


SEARCHES = {
    "a room": (Search(kind="protect."), lambda n: n % 3),
    "a kind": (Search(kind="protect.vault.made"), lambda n: n % 3 == 2),
    "half a kind": (Search(kind="protect.vault.m"), lambda n: n % 3 == 2),
    "a person": (Search(actor="甲"), lambda n: n % 2),
    "no person": (Search(actor="丙"), lambda _: False),
    "a word": (Search(subject="标_1"), lambda n: str(n).startswith("1")),
    "a sign that means all elsewhere": (Search(subject="%"), lambda _: True),
    "a sign that means one elsewhere": (Search(subject="目标_1_"), lambda _: False),
    "a star in the kind": (Search(kind="%"), lambda _: False),
    "the first day": (Search(until=date(2026, 1, 1)), lambda n: n < 1),
    "the second day": (
        Search(since=date(2026, 1, 2), until=date(2026, 1, 2)),
        lambda n: 1 <= n < 25,
    ),
    "later": (Search(since=date(2026, 1, 3)), lambda n: n >= 25),
    "all of it": (Search("classify.", "乙", "目标", date(2026, 1, 2)), lambda n: n and n % 6 == 0),
}


@pytest.mark.parametrize("what", SEARCHES)
def test_what_is_searched_for_is_found(engine: sa.Engine, log: Log, what: str) -> None:
    keys = sealed(engine, log, 0, 30)
    wanted, holds = SEARCHES[what]
    with engine.connect() as db:
        found = explorer.search(db, wanted, limit=200).lines
    assert [line.key for line in found] == [keys[n] for n in range(29, -1, -1) if holds(n)]


def test_an_event_comes_with_its_proof(catalogue_engine: sa.Engine, log: Log) -> None:
    keys = sealed(catalogue_engine, log, 0, 12)
    with catalogue_engine.connect() as db:
        shown = explorer.show(db, log.folder, keys[7], "bank", BANK)
    assert (shown.proven.event.subject, shown.proven.proof.index) == ("目标_7%", 7)
    assert shown.proven.head.size == explorer.published(log.folder).size == 12
    again = explorer.verify(shown.proof, log.folder)
    assert again.event == shown.proven.event
    for old, new in ((b"index 7", b"index 6"), (b"\n12\n", b"\n13\n"), (b"extra e", b"extra f")):
        assert old in shown.proof
        with pytest.raises(IntegrityBroken):
            explorer.verify(shown.proof.replace(old, new, 1), log.folder)
    assert parse_proof(shown.proof).checkpoint == shown.proven.proof.checkpoint


def test_what_is_not_there_is_not_shown(catalogue_engine: sa.Engine, log: Log) -> None:
    first, second = sealed(catalogue_engine, log, 0, 2)
    (waiting,) = emit(catalogue_engine, 2, 1)
    with catalogue_engine.begin() as db:
        payloads.erase(db, first)
    with catalogue_engine.connect() as db:
        page = explorer.search(db, Search())
        assert [(line.key, line.erased) for line in page.lines] == [(second, False), (first, True)]
        assert page.lines[1].about == payloads.About()
        for key in (first, waiting, "", "x" * 100):
            with pytest.raises(NotFound):
                explorer.show(db, log.folder, key, "bank", BANK)
        for name, private in (("bank", X25519PrivateKey.generate()), ("other", BANK)):
            with pytest.raises(NotPermitted):
                explorer.show(db, log.folder, second, name, private)
    draining.drain(catalogue_engine, log.append, "bank", READERS)
    with catalogue_engine.connect() as db, pytest.raises(NotYet):  # no head covers it yet
        explorer.show(db, log.folder, waiting, "bank", BANK)


def test_what_was_sealed_before_is_described_by_the_next_drain(
    catalogue_engine: sa.Engine, log: Log
) -> None:
    keys = sealed(catalogue_engine, log, 0, 5)
    with catalogue_engine.begin() as db:
        db.execute(sa.update(tables.payloads).values(at=None, actor=None, subject=None))
        payloads.erase(db, keys[0])
    assert draining.describe(catalogue_engine, "bank", X25519PrivateKey.generate()) == 0
    assert draining.describe(catalogue_engine, "bank", BANK) == 4
    assert draining.describe(catalogue_engine, "bank", BANK) == 0
    with catalogue_engine.connect() as db:
        found = explorer.search(db, Search(subject="目标", since=date(2026, 1, 1)))
        assert [line.key for line in found.lines] == keys[:0:-1]


def test_the_ledger_is_served_below_another_application(
    engine: sa.Engine, log: Log, tmp_path: Path
) -> None:
    """The node's own web server mounts what serves the log; nothing else of the folder is to be had."""
    sealed(engine, log, 0, 300)
    witness, store = cosigner(1), WitnessStore(tmp_path / "witness.db")
    parts = {"/log": edge.tiles(log.folder), "/witness": edge.witness(LOGS, [witness], store)}
    routes = [
        asgi(path, is_mount=True, copy_scope=True)(edge.mounted(handler))
        for path, handler in parts.items()
    ]
    with TestClient(Litestar(routes, openapi_config=None)) as client:
        note = client.get("/log/checkpoint")
        assert note.status_code == 200
        assert note.text.splitlines()[1] == "300"
        assert len(client.get("/log/tile/0/000").content) == 256 * 32
        assert len(client.get("/log/tile/0/001.p/44").content) == 44 * 32
        for path in ("/log", "/log/", "/log/policy", "/log/%2e%2e/entries", "/log/tile/0/002"):
            assert client.get(path).status_code == 404, path
        assert client.post("/log/checkpoint").status_code == 405
        other = tree(40)
        answer = client.post("/witness/add-checkpoint", content=other.request(0, 40))
        assert answer.status_code == 200
        verify_note(
            Note(parse_note(other.note(40)).text, parse_lines(answer.content)), [key_of(witness)]
        )
        assert client.post("/witness/add-checkpoint", content=b"x").status_code == 400
        assert client.get(f"/witness/{origin_hash(ORIGIN)}/checkpoint").text.startswith(
            other.note(40)
        )
        assert client.get("/witness/add-checkpoint").status_code == 405
        assert client.get("/witness/other").status_code == 404
    store.close()
