"""Backups under load and put back elsewhere, on SQLite and PostgreSQL: nothing acknowledged is lost."""

import json
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import nodes
from pingyao.app.backing_up import DATABASE, MANIFEST, SUMS, back_up, read_manifest
from pingyao.app.migrations import NEWEST, migrate, shape_of
from pingyao.app.restoring import restore
from pingyao.classify import catalogue, views
from pingyao.kernel.errors import (
    Conflict,
    IntegrityBroken,
    Invalid,
    NotFound,
    NotPermitted,
    NotYet,
)
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger import draining, payloads
from pingyao.ledger.formats.note import verifier_key
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.model import ED25519, Policy
from pingyao.ledger.store.fsck import fsck
from pingyao.ledger.store.mark import default_mark
from pingyao.ledger.store.writer import Log, create_log
from pingyao.platform import audit
from pingyao.platform.crypto.keystore import create_keystore, open_keystore
from pingyao.platform.crypto.signers import Algorithm, generate, open_signer
from pingyao.platform.db import open_engine
from pingyao.platform.identity import sessions, store
from pingyao.platform.outbox import count_waiting, emit

pytestmark = pytest.mark.usefixtures("quick_passwords")
PASSPHRASE = "correct horse battery"
READER = X25519PrivateKey.generate()
SIGNER = open_signer(Algorithm.ED25519, generate(Algorithm.ED25519))


def told(_: int) -> None:
    pass


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    folder = tmp_path / "ledger"
    origin = f"bank.example/{uuid.uuid4()}"
    create_log(
        folder,
        format_policy(Policy((verifier_key(origin, ED25519, SIGNER.public_key),), {}, {}, "none")),
    )
    return folder


def opened(folder: Path) -> Log:
    from pingyao.ledger.store.reader import read_policy

    mark = default_mark(read_policy(folder).logs[0].name)
    return Log(folder, [(ED25519, SIGNER)], mark=mark)


def drain(engine: sa.Engine, log: Log) -> None:
    draining.drain(engine, log.append, "bank", {"bank": READER.public_key()})
    log.publish(log.sign()[1])


def event(subject: str) -> EvidenceEvent:
    return EvidenceEvent("test.thing.done", subject, "某人", datetime.now(UTC), {"n": subject})


def backed_up(engine: sa.Engine, out: Path, ledger: Path | None = None, **keys: Path) -> Path:
    back_up(engine, out, ledger=ledger, keys=keys, passphrase=PASSPHRASE, told=told)
    return out


def put_back(
    backup: Path, url: str, ledger: Path | None = None, *, moved: bool = True, **keys: Path
) -> sa.Engine:
    manifest = read_manifest(backup, told)
    restore(
        backup,
        manifest,
        url,
        ledger=ledger,
        keys=keys,
        passphrase=PASSPHRASE,
        moved=moved,
        actor="root",
        told=told,
    )
    return open_engine(url, migrate)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(
    request: pytest.FixtureRequest, tmp_path: Path, run_postgresql: Callable[..., None]
) -> Iterator[str]:
    """The address of a database to restore into."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'other' / 'n.db'}"
        return
    server = request.getfixturevalue("postgresql_server")
    name = f"r_{os.urandom(6).hex()}"
    run_postgresql("postgres", f"CREATE DATABASE {name}")
    yield server.url(name)
    run_postgresql("postgres", f"DROP DATABASE {name} WITH (FORCE)")


def test_nothing_acknowledged_is_lost_under_load(
    catalogue_engine: sa.Engine, empty: str, ledger: Path, tmp_path: Path
) -> None:
    """Four writers and the ledger go on all the while; what was acknowledged before is in the backup."""
    done: list[list[str]] = [[] for _ in range(4)]
    stop = threading.Event()

    def writes(number: int) -> None:
        while not stop.is_set():
            subject = f"{number}/{len(done[number])}"
            with catalogue_engine.begin() as db:
                emit(db, [event(subject)])
            done[number].append(subject)
            stop.wait(0.02)  # or the ledger would never catch up

    def drains() -> None:
        with opened(ledger) as log:
            while not stop.is_set():
                drain(catalogue_engine, log)

    threads = [threading.Thread(target=writes, args=(n,)) for n in range(4)]
    threads.append(threading.Thread(target=drains))
    for thread in threads:
        thread.start()
    try:
        while min(map(len, done)) < 20 or not _grown(ledger):
            stop.wait(0.01)
        before = [subject for each in done for subject in list(each)]
        backed_up(catalogue_engine, tmp_path / "b", ledger)
        after = sum(map(len, done))
        while sum(map(len, done)) < after + 20:  # writers were not stopped by it
            stop.wait(0.01)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    with opened(ledger) as log:
        drain(catalogue_engine, log)
    # The machine that went on signed more: there the copy is refused.
    with pytest.raises(IntegrityBroken) as refused:
        put_back(tmp_path / "b", empty, tmp_path / "l2")
    assert refused.value.code == "ledger.rolled_back"
    assert not (tmp_path / "l2").exists()
    # On another machine it is taken up.
    shutil.rmtree(default_mark(origin(ledger)))
    engine = put_back(tmp_path / "b", empty, tmp_path / "l2")
    with engine.connect() as db:
        subjects = {e.subject for e in audit.read_all(db, audit.Search(kind="test."), 1 << 20)}
        assert set(before) <= subjects
    report = fsck(tmp_path / "l2")
    assert report.entries > 0
    assert not report.findings
    with opened(tmp_path / "l2") as log:
        drain(engine, log)
        assert log.size >= len(subjects)
    assert not fsck(tmp_path / "l2").findings
    with engine.connect() as db:
        assert count_waiting(db) == 0
        held = list(payloads.everything(db))
        kinds = [
            json.loads(payloads.open_payload(db, p, "bank", READER).event)["kind"] for p in held
        ]
        entries = {p.position: p.entry for p in held}
    assert kinds.count("test.thing.done") == len(subjects)
    with opened(tmp_path / "l2") as log:
        assert all(log.entries(at, 1) == [entry] for at, entry in entries.items())
    engine.dispose()


def _grown(ledger: Path) -> bool:
    entries = ledger / "entries"
    return entries.exists() and entries.stat().st_size > 1000


def origin(ledger: Path) -> str:
    from pingyao.ledger.store.reader import read_policy

    return read_policy(ledger).logs[0].name


def test_a_node_comes_back_as_it_was(
    catalogue_engine: sa.Engine, empty: str, tmp_path: Path
) -> None:
    catalogue.record(catalogue_engine, nodes.scan("a", nodes.HOSTILE, "c"), "机器")
    tested = nodes.make(catalogue_engine)
    signed_in = sessions.sign_in(catalogue_engine, nodes.KEY, "officer1", nodes.PASSWORD, "", "")
    key, kept = tmp_path / "node.key", tmp_path / "new" / "node.key"
    key.write_bytes(b"ab" * 32)
    backup = backed_up(catalogue_engine, tmp_path / "b", **{"node.key": key})
    assert {p.stat().st_mode & 0o077 for p in [backup, *backup.rglob("*")]} == {0}
    assert b"ab" * 32 not in b"".join(p.read_bytes() for p in backup.rglob("*") if p.is_file())
    engine = put_back(backup, empty, **{"node.key": kept})
    assert kept.read_bytes() == key.read_bytes()
    assert kept.stat().st_mode & 0o077 == 0
    assert sessions.resume(engine, signed_in.token) is None
    assert sessions.sign_in(engine, nodes.KEY, "officer1", nodes.PASSWORD, "", "")
    shape = shape_of(NEWEST)
    with catalogue_engine.connect() as old, engine.connect() as new:
        assert views.overview(new) == views.overview(old)
        for table in shape.sorted_tables:
            if table.name in ("identity_session", "audit_event", "evidence_outbox"):
                continue
            rows = [sorted(map(repr, db.execute(sa.select(table)))) for db in (old, new)]
            if table.name != "identity_account":  # somebody signed in meanwhile
                assert rows[0] == rows[1], table.name
        assert audit.read(new, audit.Search(), before=None, limit=9)[1].kind == "node.restored"
    # Numbers go on above those that were put back.
    assert nodes.Tested(engine, None, tested.people).account("later", "reader").id > 5
    engine.dispose()


def test_only_an_empty_place_is_written_to(
    catalogue_engine: sa.Engine, empty: str, tmp_path: Path
) -> None:
    backup = backed_up(catalogue_engine, tmp_path / "b")
    with pytest.raises(Conflict):
        backed_up(catalogue_engine, tmp_path / "b")
    put_back(backup, empty).dispose()
    with pytest.raises(Conflict):
        put_back(backup, empty)
    other = tmp_path / "key"
    other.write_text("mine")
    keyed = backed_up(catalogue_engine, tmp_path / "k", **{"node.key": other})
    with pytest.raises(Conflict):
        put_back(keyed, f"sqlite:///{tmp_path / 'y.db'}", **{"node.key": other})
    assert (other.read_text(), (tmp_path / "y.db").exists()) == ("mine", False)


def test_a_ledger_nobody_watches_asks_who_restores_it(
    catalogue_engine: sa.Engine, ledger: Path, tmp_path: Path
) -> None:
    with opened(ledger) as log:
        log.append([b"one"])
        log.publish(log.sign()[1])
    backup = backed_up(catalogue_engine, tmp_path / "b", ledger)
    shutil.rmtree(default_mark(origin(ledger)))
    url = f"sqlite:///{tmp_path / 'z.db'}"
    with pytest.raises(NotYet):
        put_back(backup, url, tmp_path / "l2", moved=False)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "c.db-shm") == sorted(
        {"b", "ledger", *(p.name for p in tmp_path.glob("c.db*") if p.name != "c.db-shm")}
    )


def _flip(path: Path, at: int = -20) -> None:
    held = bytearray(path.read_bytes())
    held[at] ^= 1
    path.write_bytes(held)


def _reseal(backup: Path, change: Callable[[dict[str, object]], None]) -> None:
    """Alters the manifest as somebody would who can also compute hashes."""
    import hashlib

    said = json.loads((backup / MANIFEST).read_text())
    change(said)
    text = json.dumps(said).encode()
    (backup / MANIFEST).write_bytes(text)
    lines = [line for line in (backup / SUMS).read_text().splitlines() if MANIFEST not in line]
    lines.append(f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}")
    (backup / SUMS).write_text("\n".join(lines) + "\n")


HARM: dict[str, tuple[Callable[[Path], object], type[Exception]]] = {
    "a table damaged": (lambda b: _flip(b / DATABASE / "audit_event.arrow"), IntegrityBroken),
    "a table cut": (
        lambda b: os.truncate(b / DATABASE / "audit_event.arrow", 100),
        IntegrityBroken,
    ),
    "a table gone": (lambda b: (b / DATABASE / "audit_event.arrow").unlink(), IntegrityBroken),
    "one more file": (lambda b: (b / DATABASE / "more").write_text("x"), IntegrityBroken),
    "a link": (
        lambda b: (b / DATABASE / "more").symlink_to("/etc/hostname"),
        IntegrityBroken,
    ),
    "manifest damaged": (lambda b: _flip(b / MANIFEST), IntegrityBroken),
    "manifest gone": (lambda b: (b / MANIFEST).unlink(), NotFound),
    "sums gone": (lambda b: (b / SUMS).unlink(), NotFound),
    "entries damaged": (lambda b: _flip(b / "ledger" / "entries"), IntegrityBroken),
    "keys gone": (lambda b: (b / "keys.pks").unlink(), IntegrityBroken),
    # What was flipped is the seal, or the text around it.
    "keys damaged": (lambda b: _flip(b / "keys.pks"), (NotPermitted, Invalid)),
    "another format": (
        lambda b: _reseal(b, lambda m: m.update(format="pingyao-backup-9")),
        Conflict,
    ),
    "a newer schema": (lambda b: _reseal(b, lambda m: m.update(schema=NEWEST + 1)), Conflict),
    "no manifest of ours": (lambda b: _reseal(b, lambda m: m.pop("rows")), IntegrityBroken),
    "other rows": (
        lambda b: _reseal(b, lambda m: m["rows"].update(audit_event=9)),
        IntegrityBroken,
    ),
    "a path that leads out": (
        lambda b: _reseal(
            b, lambda m: m["parts"].append({"path": "../x", "size": 0, "sha256": "0" * 64})
        ),
        IntegrityBroken,
    ),
    "forged but well made": (
        lambda b: _reseal(b, lambda m: m.update(institution="别家银行")),
        IntegrityBroken,
    ),
}


@pytest.mark.parametrize("name", HARM)
def test_a_backup_that_is_not_whole_is_refused(name: str, tmp_path: Path, ledger: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'c.db'}", migrate)
    with engine.begin() as db:
        emit(db, [event("x")])
    with opened(ledger) as log:
        drain(engine, log)
    key = tmp_path / "k"
    key.write_text("s")
    backup = backed_up(engine, tmp_path / "b", ledger, **{"node.key": key})
    engine.dispose()
    harm, kind = HARM[name]
    harm(backup)
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(kind):
        put_back(backup, f"sqlite:///{place / 'n.db'}", place / "l", **{"node.key": place / "k"})
    assert not list(place.iterdir())


def test_a_passphrase_that_is_wrong_opens_nothing(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'c.db'}", migrate)
    key = tmp_path / "k"
    key.write_text("s")
    backup = backed_up(engine, tmp_path / "b", **{"node.key": key})
    engine.dispose()
    with pytest.raises(NotPermitted):
        restore(
            backup,
            read_manifest(backup, told),
            f"sqlite:///{tmp_path / 'n.db'}",
            ledger=None,
            keys={"node.key": tmp_path / "k2"},
            passphrase="another one altogether",
            moved=False,
            actor="root",
            told=told,
        )
    assert not (tmp_path / "n.db").exists()


def test_sessions_are_no_part_of_what_comes_back(
    catalogue_engine: sa.Engine, tmp_path: Path
) -> None:
    nodes.make(catalogue_engine)
    sessions.sign_in(catalogue_engine, nodes.KEY, "audit1", nodes.PASSWORD, "", "")
    engine = put_back(backed_up(catalogue_engine, tmp_path / "b"), f"sqlite:///{tmp_path / 'n.db'}")
    with engine.connect() as db:
        assert not db.execute(sa.select(store.sessions)).all()
    engine.dispose()


def test_a_keystore_that_is_restored_may_be_older_than_was_seen_there(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'c.db'}", migrate)
    path = tmp_path / "keys.pks"
    store = create_keystore(path, PASSPHRASE)
    store.create("k", "aes-256")
    backup = backed_up(engine, tmp_path / "b", None, keystore=path)
    engine.dispose()
    old = path.read_bytes()
    store.rotate("k")
    path.unlink()
    put_back(backup, f"sqlite:///{tmp_path / 'n.db'}", None, keystore=path).dispose()
    again = open_keystore(path, PASSPHRASE)
    assert again.infos()[0].version == 1
    again.rotate("k")
    path.write_bytes(old)  # put there by hand, it is refused as ever
    with pytest.raises(IntegrityBroken):
        open_keystore(path, PASSPHRASE)
