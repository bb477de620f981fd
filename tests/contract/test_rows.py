"""The rows beside the log: whichever byte of them is changed, the check says so."""

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pingyao.app.migrations import migrate
from pingyao.kernel.errors import Invalid, Unavailable
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger import draining, evidence, payloads, tables
from pingyao.ledger.cosigning import publish
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.model import ED25519, Policy
from pingyao.ledger.rows import check_rows
from pingyao.ledger.store.compared import Finding
from pingyao.ledger.store.writer import Log, create_log
from pingyao.platform import outbox
from pingyao.platform.db import open_engine
from witnessed import LOG, LOG_KEY

BANK, CENTRE = X25519PrivateKey.generate(), X25519PrivateKey.generate()
READERS = {"bank": BANK.public_key(), "centre": CENTRE.public_key()}
MEMBER = "bank.example"
FLIPS = 1000
# A row's number is its place in the order and nothing that is proved.
TABLES = {
    "ledger_payload": (
        "key",
        "kind",
        "at",
        "actor",
        "subject",
        "entry",
        "cipher",
        "wrapped",
        "wrapping",
        "position",
    ),
    "ledger_wrapping": ("id", "recipient", "wrapped"),
    "ledger_document": ("key", "sha256", "name", "parts"),
    "evidence_outbox": ("key", "event"),
}


def check(path: Path, folder: Path) -> list[Finding]:
    engine = open_engine(f"sqlite:///{path}", lambda _: None)
    try:
        with engine.connect() as db:
            return check_rows(db, folder, "bank", BANK, MEMBER)
    finally:
        engine.dispose()


def record(engine: sa.Engine, folder: Path, first: int, count: int) -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    with engine.begin() as db:
        for n in range(first, first + count):
            outbox.emit(db, [EvidenceEvent("test.done", f"第 {n} 件", "某人", at, {"n": n})])
            file = folder / f"{n}.csv"
            file.write_text(f"a,b\n{n},2\n")
            evidence.record(db, file, "某人", at, {"of": "test"})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("place")
    create_log(place / "log", format_policy(Policy((LOG_KEY,), {}, {}, "none")))
    engine = open_engine(f"sqlite:///{place / 'rows.db'}", migrate)
    with Log(place / "log", [(ED25519, LOG)], mark=place / "mark") as log:
        for batch in range(3):
            record(engine, place, batch * 10, 10)
            draining.drain(engine, log.append, MEMBER, READERS)
        with engine.begin() as db:
            key = db.execute(sa.select(tables.documents.c.key)).scalars().first()
            payloads.erase(db, key)
        publish(log, None)
    record(engine, place, 90, 3)
    with engine.connect() as db:
        db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return place


def flipped(draw: random.Random, value: object) -> object:
    """The value with one bit of it turned."""
    if isinstance(value, int):
        return value ^ 1 << draw.randrange(8)
    data = value.encode() if isinstance(value, str) else bytes(value)
    if not data:
        return b"\x01" if isinstance(value, bytes) else "\x01"
    at = draw.randrange(len(data))
    data = data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]
    return data if isinstance(value, bytes) else data.decode("latin-1")


def test_every_flipped_bit_of_a_row_is_found(place: Path, tmp_path: Path) -> None:
    path, draw, done = tmp_path / "rows.db", random.Random(5), 0
    shutil.copy(place / "rows.db", path)
    assert check(path, place / "log") == []
    engine = open_engine(f"sqlite:///{path}", lambda _: None)
    while done < FLIPS:
        table = draw.choice(list(TABLES))
        column = draw.choice(TABLES[table])
        with engine.connect() as db:
            rows = db.exec_driver_sql(f"SELECT rowid, {column} FROM {table}").all()
            row, value = draw.choice(rows)
            if value is None:
                continue
            try:
                db.exec_driver_sql(
                    f"UPDATE {table} SET {column} = ? WHERE rowid = ?",
                    (flipped(draw, value), row),
                )
            except sa.exc.IntegrityError:
                db.rollback()
                continue  # the database itself refuses it
            found = check_rows(db, place / "log", "bank", BANK, MEMBER)
            assert found, (table, column, row)
            db.rollback()
        done += 1
    engine.dispose()
    assert check(path, place / "log") == []


def contents(path: Path) -> object:
    with closing(sqlite3.connect(path)) as db:
        return [db.execute(f"SELECT * FROM {t} ORDER BY 1, 2").fetchall() for t in TABLES]


def flip_file(path: Path, draw: random.Random, whole: bytes, first: int) -> int:
    at = draw.randrange(first, len(whole))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << draw.randrange(8)]) + whole[at + 1 :])
    return at


def told(path: Path, folder: Path) -> bool:
    try:
        return bool(check(path, folder))
    except (Invalid, Unavailable):
        return True  # it cannot even be opened, and that is said


def test_a_flipped_byte_of_the_file_is_found_or_changes_no_row(place: Path, tmp_path: Path) -> None:
    """Bytes of free space, of free pages and of the file's statistics mean nothing: every row reads as before."""
    whole = (place / "rows.db").read_bytes()
    path, draw, found = tmp_path / "rows.db", random.Random(6), 0
    path.write_bytes(whole)
    before = contents(path)
    for _ in range(FLIPS):
        at = flip_file(path, draw, whole, 0)
        if told(path, place / "log"):
            found += 1
        else:
            assert contents(path) == before, at
    assert found > FLIPS // 10


def test_a_flipped_byte_of_the_write_ahead_log_is_found_or_changes_no_row(
    place: Path, tmp_path: Path
) -> None:
    """SQLite drops the frames from a damaged one on: the rows in them are missed by what the log holds."""
    shutil.copytree(place, tmp_path / "place")
    place, path = tmp_path / "place", tmp_path / "copy.db"
    engine = open_engine(f"sqlite:///{place / 'rows.db'}", lambda _: None)
    with Log(place / "log", [(ED25519, LOG)], mark=place / "mark") as log:
        draining.drain(engine, log.append, MEMBER, READERS)
        with engine.connect() as db:
            db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        record(engine, place, 200, 2)
        draining.drain(engine, log.append, MEMBER, READERS)
        publish(log, None)
    kept, frames = (place / "rows.db").read_bytes(), (place / "rows.db-wal").read_bytes()
    engine.dispose()
    beside, draw, found = path.with_name(path.name + "-wal"), random.Random(8), 0
    path.write_bytes(kept)
    beside.write_bytes(frames)
    before = contents(path)
    for _ in range(FLIPS // 10):
        path.write_bytes(kept)
        at = flip_file(beside, draw, frames, 0)
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
        if told(path, place / "log"):
            found += 1
        else:
            assert contents(path) == before, at
    assert found > FLIPS // 100


def test_what_is_lost_or_put_in_is_found(place: Path, tmp_path: Path) -> None:
    for statement in (
        "DELETE FROM ledger_wrapping WHERE recipient = 'centre'",
        "DELETE FROM ledger_document",
        "UPDATE ledger_payload SET at = NULL WHERE id = 2",
        "UPDATE ledger_payload SET subject = NULL WHERE id = 2",
        "DELETE FROM ledger_payload WHERE id = 2",
        "DELETE FROM ledger_payload WHERE position IS NOT NULL",
        "INSERT INTO ledger_document SELECT 'x', sha256, name, parts FROM ledger_document LIMIT 1",
        "INSERT INTO ledger_wrapping SELECT 'x', recipient, wrapped FROM ledger_wrapping LIMIT 1",
        "UPDATE ledger_payload SET position = NULL WHERE id = 2",
        "UPDATE ledger_payload SET wrapped = NULL WHERE id = 2",
        "UPDATE evidence_outbox SET event = replace(event, '某人', '别人')",
    ):
        path = tmp_path / "rows.db"
        shutil.copy(place / "rows.db", path)
        with sqlite3.connect(path) as db:
            db.execute(statement)
        assert check(path, place / "log"), statement
