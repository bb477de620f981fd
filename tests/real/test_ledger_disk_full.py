"""A disk that is really full: nothing acknowledged is lost, what is wrong is said, and with room it goes on."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pingyao.app.migrations import migrate
from pingyao.kernel.errors import Unavailable
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger import draining
from pingyao.ledger.rules.sealing import read_entry
from pingyao.ledger.service import Sequencer
from pingyao.ledger.store import growing, seen
from pingyao.ledger.store.fsck import fsck
from pingyao.ledger.store.writer import Log
from pingyao.platform import outbox
from pingyao.platform.db import open_engine

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "ledger"))
sys.path.insert(0, str(Path(__file__).parent))

from logs import KINDS, new_log, open_log, publish
from watched import Tell, Watched

READER = X25519PrivateKey.generate().public_key()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of eight megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=8m", "pingyao-test", place]
    if os.geteuid() or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system; the next best is tested below")
    yield place
    subprocess.run(["umount", "-l", place], check=True)  # noqa: S607 - found by PATH, as a person would


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing and look-up runs fall into the tests."""
    monkeypatch.setattr(seen, "RUN", 64)
    monkeypatch.setattr(growing, "_FLUSH_EVERY", 100)


class Full:
    """Takes up all room of a disk but so many bytes."""

    def __init__(self, disk: Path, left: int) -> None:
        self._path = disk / "filler"
        room = shutil.disk_usage(disk).free - left
        with self._path.open("wb") as file:
            for _ in range(room // 4096):
                file.write(bytes(4096))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._path.unlink()


def entry(number: int) -> bytes:
    return b'{"n":%d,"pad":"%s"}' % (number, b"x" * (number * 7919 % 300))


class Submitter:
    """Hands in entries until they are acknowledged; knows what was."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self.acked: dict[int, int] = {}
        self.codes: set[str] = set()
        self.last = ""
        self.log: Log | None = new_log(disk / "log", KINDS, mark=disk / "mark")

    def close(self) -> None:
        if self.log is not None:
            self.said(self.log.close)
            self.log = None

    def said(self, what: Callable[[], object]) -> bool:
        """Does something; what goes wrong has a code and can be tried again."""
        try:
            what()
        except Unavailable as error:
            self.last = error.code
            self.codes.add(error.code)
            return False
        return True

    def submit(self, first: int, count: int) -> bool:
        def once() -> None:
            if self.log is None:
                self.log = open_log(self._disk / "log", KINDS, mark=self._disk / "mark")
            indices = self.log.append([entry(n) for n in range(first, first + count)])
            for n, index in enumerate(indices, first):
                assert self.acked.setdefault(n, index) == index, "an entry moved"
            publish(self.log)

        if self.said(once):
            return True
        if self.last != "ledger.disk_full":  # after that the log goes on as it is
            self.close()
        return False

    def check(self) -> None:
        self.close()
        with open_log(self._disk / "log", KINDS, mark=self._disk / "mark") as log:
            held = log.entries(0, log.size)
            assert len(set(held)) == len(held), "an entry stands twice"
            for number, index in self.acked.items():
                assert held[index] == entry(number), "an acknowledged entry was lost"
            publish(log)
        assert not fsck(self._disk / "log", self._disk / "mark").findings


def test_wherever_the_room_ends_nothing_is_lost_and_it_goes_on(disk: Path) -> None:
    submitter, draw, refused = Submitter(disk), random.Random(3), 0
    number = 0
    for _ in range(60):
        count = draw.choice((1, 30, 200))
        with Full(disk, draw.choice((0, 0, 4096, 8192, 20_000, 40_000))):
            for _ in range(3):
                refused += not submitter.submit(number, count)
        assert submitter.submit(number, count) or submitter.submit(number, count)
        assert len(submitter.acked) == number + count
        number += count
    assert refused > 30
    assert submitter.codes == {"ledger.disk_full", "ledger.no_room"}
    submitter.check()


def test_a_log_that_is_opened_on_a_full_disk_says_so(disk: Path) -> None:
    submitter = Submitter(disk)
    assert submitter.submit(0, 250)
    submitter.close()
    shutil.rmtree(disk / "log" / "hashes")
    shutil.rmtree(disk / "log" / "seen")
    with Full(disk, 0):
        assert not submitter.submit(250, 250)
    assert submitter.submit(250, 250) or submitter.submit(250, 250)
    submitter.check()


def test_the_sequencer_tells_its_submitters(disk: Path) -> None:
    log = new_log(disk / "log", mark=disk / "mark")
    acked: set[int] = set()
    codes: set[str] = set()
    number = 0
    with ExitStack() as stack:
        stack.callback(lambda: log.close())
        for _ in range(10):
            sequencer = Sequencer(log)
            with Full(disk, 6000):
                for _ in range(20):
                    try:
                        told = sequencer.submit([entry(number)]).durable.result(20)
                    except Unavailable as error:
                        codes.add(error.code)
                        break
                    acked.update(told)
                    number += 1
            try:
                sequencer.close()
            except Unavailable:
                log.close()
                log = open_log(disk / "log", mark=disk / "mark")
        assert codes <= {"ledger.disk_full", "ledger.no_room"}
        held = log.entries(0, log.size)
        assert len(set(held)) == len(held)
        assert len(acked) == number
        assert {held[i] for i in acked} == {entry(n) for n in range(number)}


def test_events_wait_in_a_database_that_is_full(disk: Path) -> None:
    engine = open_engine(f"sqlite:///{disk / 'rows.db'}", migrate)
    at = datetime(2026, 1, 2, tzinfo=UTC)
    keys: list[str] = []

    def emit(count: int) -> None:
        events = [EvidenceEvent("test.done", "x" * 200, "某人", at, {"n": n}) for n in range(count)]
        with engine.begin() as db:
            keys.extend(outbox.emit(db, events))

    with new_log(disk / "log", mark=disk / "mark") as log:
        for left in (0, 8192, 30_000, 60_000, 120_000):
            emit(40)
            with Full(disk, left):
                for _ in range(3):
                    with suppress(Unavailable, sa.exc.OperationalError):
                        draining.drain(engine, log.append, "bank", {"bank": READER})
            draining.drain(engine, log.append, "bank", {"bank": READER})
            publish(log)
        held = [read_entry(e).key for e in log.entries(0, log.size)]
    assert sorted(held) == sorted(keys)
    with engine.connect() as db:
        assert db.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert outbox.count_waiting(db) == 0
    engine.dispose()
    assert not fsck(disk / "log", disk / "mark").findings


def test_a_file_that_may_not_grow_further_is_as_good_as_a_full_disk(tmp_path: Path) -> None:
    """Where nobody may mount: the kernel itself refuses to write on, in a process of its own."""

    def run(tell: Tell) -> None:
        log = open_log(tmp_path / "log")
        number = log.size
        while True:
            try:
                log.append([entry(number)])
            except Unavailable as error:
                tell("full", error.code, log.size)
                log.close()
                return
            publish(log)
            number += 1

    new_log(tmp_path / "log").close()
    size = 0
    for room in (2_000, 8_000, 30_000, 60_000):
        child = Watched(run, room)
        assert child.wait_for("full", 1)
        ((_, code, held),) = child.kill()
        assert code in ("ledger.disk_full", "ledger.no_room")
        assert held > size
        size = held
        assert not fsck(tmp_path / "log", tmp_path / "log-mark").findings
    with open_log(tmp_path / "log") as log:
        assert log.entries(0, size) == [entry(n) for n in range(size)]
        assert log.append([entry(size)]) == [size]
