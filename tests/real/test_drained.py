"""Killed without warning between database and log, again and again, every event arrives exactly once."""

import os
import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pingyao.app.migrations import migrate
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger import payloads, tables
from pingyao.ledger.rules.sealing import read_entry
from pingyao.ledger.store.reader import open_reader, read_checkpoint, read_policy
from pingyao.platform import outbox
from pingyao.platform.db import open_engine

TRIALS = int(os.environ.get("PINGYAO_KILL_TRIALS", "4"))
EVENTS = 2_500
PROGRAM = Path(__file__).with_name("drained.py")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'c.db'}"
    server = request.getfixturevalue("postgresql_server")
    return server.url(request.getfixturevalue("postgresql_database"))


def test_killed_again_and_again_every_event_is_recorded_once(url: str, tmp_path: Path) -> None:
    engine = open_engine(url, migrate)
    at = datetime(2026, 1, 2, tzinfo=UTC)
    with engine.begin() as db:
        keys = outbox.emit(
            db, [EvidenceEvent("t", str(n), "某人", at, {"n": n}) for n in range(EVENTS)]
        )
    folder, random_ = tmp_path / "log", random.Random(5)
    killed = 0
    for _ in range(TRIALS):
        process = subprocess.Popen(
            [sys.executable, PROGRAM, url, folder], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(random_.uniform(0, 0.25))
        killed += process.poll() is None
        process.kill()
        process.communicate()
    assert killed
    subprocess.run([sys.executable, PROGRAM, url, folder], check=True, timeout=120)
    published = read_checkpoint(folder, read_policy(folder))
    assert published is not None
    assert published[0].size == EVENTS
    log = open_reader(folder)
    entries = log.entries(0, EVENTS)
    log.close()
    assert [read_entry(e).key for e in entries] == keys
    bank = X25519PrivateKey.from_private_bytes(bytes(range(32)))
    with engine.connect() as db:
        assert outbox.count_waiting(db) == 0
        rows = db.execute(sa.select(tables.payloads.c.key)).scalars().all()
        assert sorted(rows) == sorted(keys)
        for n in range(0, EVENTS, 97):
            payload = payloads.find(db, keys[n])
            assert (payload.position, payload.entry) == (n, entries[n])
            opened = payloads.open_payload(db, payload, "bank", bank)
            assert msgspec.json.decode(opened.event)["body"] == {"n": n}
    engine.dispose()
