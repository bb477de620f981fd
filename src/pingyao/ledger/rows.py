"""The rows that are kept beside the log, each compared with the entry that commits to it."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from pingyao.kernel.errors import IntegrityBroken, PingyaoError
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger import payloads, recorded
from pingyao.ledger.formats.documents import RECORDED, Facts
from pingyao.ledger.formats.opening import read_event
from pingyao.ledger.rules.sealing import PrivateKey, check_kept, digest_readers, read_entry
from pingyao.ledger.rules.tree import leaf_hash
from pingyao.ledger.store.compared import Finding
from pingyao.ledger.store.reader import LogFiles, open_reader
from pingyao.platform import outbox

_STEP = 4_096


def check_rows(
    db: sa.Connection, folder: Path, reader: str, private: PrivateKey, member: str
) -> list[Finding]:
    """Reads every row of the ledger's tables and says which does not follow from the log.

    What is not in the log yet has nothing to follow from but itself: a waiting event that is changed is
    found, one that is gone without a trace is not.

    Args:
        db: where they are kept.
        folder: of the log.
        reader, private: who can open the events: what was sealed tells the index of documents.
        member: who submits from here; every entry of his that was sealed must be kept here.
    """
    try:
        return _compare(db, folder, reader, private, member)
    except (DBAPIError, UnicodeDecodeError):  # the driver decodes even the text of its error
        return [Finding("数据库", "数据库文件已损坏，有的行无法读取")]


def _compare(
    db: sa.Connection, folder: Path, reader: str, private: PrivateKey, member: str
) -> list[Finding]:
    found = [Finding("数据库", each) for each in _unsound(db)]
    found += [Finding(f"evidence_outbox {k}", "待存证的事项被改动") for k in outbox.altered(db)]
    indexed = recorded.indexed(db)
    wrapped = payloads.readers_of(db)
    used: set[str] = set()
    log = open_reader(folder)
    try:
        size = log.written()
        kept, members, unplaced = bytearray(size), {member}, set[bytes]()
        for payload in payloads.everything(db):
            used.add(payload.wrapping)
            if payload.position is None:
                unplaced.add(payload.entry)
            elif 0 <= payload.position < size:
                kept[payload.position] = 1
            try:
                members.add(read_entry(payload.entry).member)
                readers = digest_readers(wrapped.get(payload.wrapping, {}))
                _check(log, size, payload, readers)
                document = indexed.pop(payload.key, None)
                if payload.wrapped is None:
                    erased = payload.about == payloads.About() and document is None
                    _same(erased, "已销毁者仍有所存")
                    continue
                event = read_event(payloads.open_payload(db, payload, reader, private))
                _same(payload.about.at is not None, "尚未编入检索；运行 drain 即补上")
                _same(payload.about == payloads.about(event), "供检索的类别、时间等与所封存的不同")
                _same(document == _indexed(event), "文件索引与所封存的事项不同")
            except PingyaoError as error:
                found.append(Finding(f"ledger_payload {payload.key}", error.detail))
        found += _lost(log, kept, unplaced, members)
    finally:
        log.close()
    found += [Finding(f"ledger_wrapping {i}", "不属于任何事项") for i in wrapped.keys() - used]
    for each in outbox.waiting(db, 1 << 31):
        try:
            document = _indexed(msgspec.json.decode(each.event, type=EvidenceEvent))
        except msgspec.DecodeError:
            continue  # told as altered above
        if indexed.pop(each.key, None) != document:
            found.append(Finding(f"ledger_document {each.key}", "文件索引与待存证的事项不同"))
    return found + [Finding(f"ledger_document {k}", "不属于任何事项") for k in indexed]


def _lost(
    log: LogFiles, kept: bytearray, unplaced: set[bytes], members: set[str]
) -> Iterator[Finding]:
    """Looks through the log for what was sealed here and is not kept any more."""
    for first in range(0, len(kept), _STEP):
        count = min(_STEP, len(kept) - first)
        for index, entry in enumerate(log.entries(first, count), first):
            if kept[index] or entry in unplaced:
                continue
            try:
                told = read_entry(entry)
            except IntegrityBroken:
                continue  # the log may hold what is no event
            if told.cipher is not None and told.member in members:
                yield Finding(f"entries {index}", "所封存的内容不在这个数据库中")


def _unsound(db: sa.Connection) -> Iterator[str]:
    if db.dialect.name == "sqlite":
        for (told,) in db.exec_driver_sql("PRAGMA integrity_check(20)"):
            if told != "ok":
                yield str(told)


def _check(log: LogFiles, size: int, payload: payloads.Payload, readers: str) -> None:
    entry = read_entry(payload.entry)
    _same(entry.key == payload.key, "编号与存证条目不同")
    check_kept(entry, payload.cipher, payload.wrapped, readers)
    if payload.position is None:
        held = log.find(leaf_hash(payload.entry), size)
        _same(held is None, "已在账本之中而未记序号；运行 drain 即补上")
    else:
        there = log.entries(payload.position, 1) if 0 <= payload.position < size else []
        _same(there == [payload.entry], "账本的这一序号是别的条目")


def _indexed(event: EvidenceEvent) -> tuple[str, str, str] | None:
    if event.kind != RECORDED:
        return None
    facts = msgspec.convert(event.body, Facts)
    return facts.sha256, facts.name, facts.parts


def _same(holds: bool, otherwise: str) -> None:
    if not holds:
        raise IntegrityBroken("ledger.row_differs", otherwise, "")
