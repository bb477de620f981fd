"""Events go from the commit that caused them into the log, each once, on SQLite and PostgreSQL."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pingyao.kernel.errors import IntegrityBroken, Invalid, NotFound, NotPermitted
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger import draining, payloads, tables
from pingyao.ledger.rules.sealing import digest_readers, read_entry
from pingyao.ledger.store.readers import read_readers, write_readers
from pingyao.platform import outbox
from pingyao.platform.crypto.sm2 import Sm2PrivateKey, generate

BANK = X25519PrivateKey.generate()
CENTRE = X25519PrivateKey.generate()
READERS = {"bank": BANK.public_key(), "centre": CENTRE.public_key()}


class MemoryLog:
    """A log that forgets when told to break: before it appends, or after."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.breaks = ""

    def __call__(self, entries: Sequence[bytes]) -> list[int]:
        if self.breaks == "before":
            raise ConnectionError
        for entry in entries:
            if entry not in self.entries.values():
                self.entries[read_entry(entry).key] = entry
        if self.breaks == "after":
            raise ConnectionError
        order = {entry: i for i, entry in enumerate(self.entries.values())}
        return [order[entry] for entry in entries]


def event(number: int) -> EvidenceEvent:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return EvidenceEvent("test.thing.done", f"thing {number}", "某人", at, {"n": number})


def emit(engine: sa.Engine, count: int, start: int = 0) -> list[str]:
    with engine.begin() as db:
        return outbox.emit(db, [event(n) for n in range(start, start + count)])


def events(engine: sa.Engine, log: MemoryLog) -> list[int]:
    numbers: list[int] = []
    with engine.connect() as db:
        for position, key in enumerate(log.entries):
            payload = payloads.find(db, key)
            assert (payload.position, payload.entry) == (position, log.entries[key])
            opened = payloads.open_payload(db, payload, "bank", BANK)
            numbers.append(msgspec.json.decode(opened.event)["body"]["n"])
    return numbers


def test_nothing_waits_when_the_transaction_fails(catalogue_engine: sa.Engine) -> None:
    with catalogue_engine.connect() as db:
        outbox.emit(db, [event(1)])
        db.rollback()
    with catalogue_engine.connect() as db:
        assert outbox.count_waiting(db) == 0


def test_every_event_arrives_once_and_in_order(catalogue_engine: sa.Engine) -> None:
    log = MemoryLog()
    emit(catalogue_engine, 2 * payloads.BATCH + 7)
    assert draining.drain(catalogue_engine, log, "bank", READERS) == 2 * payloads.BATCH + 7
    assert draining.drain(catalogue_engine, log, "bank", READERS) == 0
    assert events(catalogue_engine, log) == list(range(2 * payloads.BATCH + 7))
    with catalogue_engine.connect() as db:
        assert outbox.count_waiting(db) == 0


@pytest.mark.parametrize("breaks", ["before", "after"])
def test_broken_off_around_the_append_nothing_is_lost_or_doubled(
    catalogue_engine: sa.Engine, breaks: str
) -> None:
    log = MemoryLog()
    emit(catalogue_engine, 5)
    log.breaks = breaks
    with pytest.raises(ConnectionError):
        draining.drain(catalogue_engine, log, "bank", READERS)
    log.breaks = ""
    emit(catalogue_engine, 5, start=5)
    draining.drain(catalogue_engine, log, "bank", READERS)
    assert events(catalogue_engine, log) == list(range(10))


def test_an_entry_says_nothing_of_what_happened(catalogue_engine: sa.Engine) -> None:
    log = MemoryLog()
    emit(catalogue_engine, 1)
    draining.drain(catalogue_engine, log, "bank", READERS)
    (entry,) = log.entries.values()
    for word in (b"test.thing", b"thing 0", "某人".encode()):
        assert word not in entry
    assert read_entry(entry).member == "bank"


def test_only_those_entitled_open_it(catalogue_engine: sa.Engine) -> None:
    log = MemoryLog()
    (key,) = emit(catalogue_engine, 1)
    draining.drain(catalogue_engine, log, "bank", READERS)
    with catalogue_engine.connect() as db:
        payload = payloads.find(db, key)
        by_bank = payloads.open_payload(db, payload, "bank", BANK)
        assert by_bank == payloads.open_payload(db, payload, "centre", CENTRE)
        for name, private in (
            ("bank", CENTRE),
            ("other", BANK),
            ("bank", Sm2PrivateKey(b"1" * 32)),
        ):
            with pytest.raises(NotPermitted):
                payloads.open_payload(db, payload, name, private)


def test_who_has_an_sm2_key_is_entitled_beside_the_others(catalogue_engine: sa.Engine) -> None:
    log, private, other = MemoryLog(), Sm2PrivateKey(generate()), Sm2PrivateKey(generate())
    (key,) = emit(catalogue_engine, 1)
    draining.drain(catalogue_engine, log, "bank", {**READERS, "pboc": private.public_key})
    with catalogue_engine.connect() as db:
        payload = payloads.find(db, key)
        opened = payloads.open_payload(db, payload, "pboc", private)
        assert opened == payloads.open_payload(db, payload, "bank", BANK)
        for name, wrong in (
            ("pboc", other),
            ("pboc", BANK),
            ("bank", private),
            ("centre", private),
        ):
            with pytest.raises(NotPermitted):
                payloads.open_payload(db, payload, name, wrong)
        held = payloads.readers_of(db)[payload.wrapping]
        assert digest_readers(held) == read_entry(payload.entry).cipher.readers
    with catalogue_engine.begin() as db:
        mine = tables.wrappings.c.recipient == "pboc"
        wrapped = bytearray(held["pboc"])
        for at in range(0, len(wrapped), 5):
            wrapped[at] ^= 1
            db.execute(sa.update(tables.wrappings).where(mine).values(wrapped=bytes(wrapped)))
            with pytest.raises(NotPermitted):
                payloads.open_payload(db, payload, "pboc", private)
            wrapped[at] ^= 1
    with catalogue_engine.begin() as db:
        # A key of another length is no batch key, however well it was encrypted.
        sealed = private.public_key.encrypt(b"k" * 16)
        db.execute(sa.update(tables.wrappings).where(mine).values(wrapped=sealed))
        with pytest.raises(NotPermitted):
            payloads.open_payload(db, payload, "pboc", private)


def test_readers_are_read_as_they_were_written(tmp_path: Path) -> None:
    readers = {"bank": BANK.public_key(), "pboc": Sm2PrivateKey(b"1" * 32).public_key}
    write_readers(tmp_path, readers)
    text = (tmp_path / "readers").read_text()
    again = read_readers(tmp_path)
    assert list(again) == ["bank", "pboc"]
    write_readers(tmp_path, again)
    assert (tmp_path / "readers").read_text() == text
    line = text.splitlines()[1]
    for wrong in (
        line[:-8] + "AAAAAAA=",
        line.replace(" B", " A", 1),
        line[:-4],
        line + " x",
        line * 2,
    ):
        (tmp_path / "readers").write_text(wrong + "\n")
        with pytest.raises(Invalid):
            read_readers(tmp_path)


def test_erased_is_gone_for_good_but_still_proved(catalogue_engine: sa.Engine) -> None:
    log = MemoryLog()
    first, second = emit(catalogue_engine, 2)
    draining.drain(catalogue_engine, log, "bank", READERS)
    with catalogue_engine.begin() as db:
        payloads.erase(db, first)
    with catalogue_engine.connect() as db:
        gone = payloads.find(db, first)
        assert gone.entry == log.entries[first]
        with pytest.raises(NotFound, match="销毁"):
            payloads.open_payload(db, gone, "bank", BANK)
        payloads.open_payload(db, payloads.find(db, second), "bank", BANK)
    with pytest.raises(NotFound), catalogue_engine.begin() as db:
        payloads.erase(db, first)


@pytest.mark.parametrize("field", ["entry", "cipher", "wrapped"])
def test_a_changed_row_is_noticed(catalogue_engine: sa.Engine, field: str) -> None:
    log = MemoryLog()
    (key,) = emit(catalogue_engine, 1)
    draining.drain(catalogue_engine, log, "bank", READERS)
    with catalogue_engine.connect() as db:
        payload = payloads.find(db, key)
        held: bytes = getattr(payload, field)
        for i in range(0, len(held), 7):
            bad = bytes([*held[:i], held[i] ^ 1, *held[i + 1 :]])
            changed = msgspec.structs.replace(payload, **{field: bad})
            try:
                opened = payloads.open_payload(db, changed, "bank", BANK)
            except IntegrityBroken:
                continue
            # Member and time are the log's to protect; the event itself is still the one sealed.
            assert field == "entry"
            assert opened == payloads.open_payload(db, payload, "bank", BANK)
