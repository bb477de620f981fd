"""The evidence as people and programs of a node look at it: who may is asked first, all is checked anew."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import IntegrityBroken, Invalid, NotFound, NotYet
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger import evidence, explorer, payloads, recorded
from pingyao.ledger.formats.documents import Difference, Document
from pingyao.ledger.formats.opening import format_opening
from pingyao.ledger.formats.tlog_proof import format_proof, verify_head
from pingyao.ledger.rules.sealing import Opening, PrivateKey
from pingyao.ledger.store.reader import CHECKPOINT, read_checkpoint, read_policy
from pingyao.ledger.telling import Content, Event, Head, tell_event, tell_head
from pingyao.platform import outbox
from pingyao.platform.policy import Actor, require

MOST_DIFFERENCES = 100
LEAST_REASON, MOST_REASON = 4, 500
_POSITION_DIGITS = 18
Outcome = Literal["same", "altered", "unknown", "waiting", "proven"]


class Reader:
    """Whoever this node reads sealed events as.

    Args:
        name: as the log's file of readers has it.
        private: the key; nothing ever prints it.
    """

    def __init__(self, name: str, private: PrivateKey) -> None:
        self.name, self.private = name, private

    def __repr__(self) -> str:
        return f"Reader({self.name!r})"


class Archive(msgspec.Struct, frozen=True):
    """Where a node's evidence is.

    Attributes:
        folder: of the log; None where none is set up.
        reader: without one, contents stay sealed.
    """

    engine: sa.Engine
    folder: Path | None = None
    reader: Reader | None = None


class State(msgspec.Struct, frozen=True):
    """How the log stands.

    Attributes:
        configured: whether there is a log at all.
        head: None before the first is published.
        published_at: when its file was written, Unix seconds.
        waiting: events not sealed yet.
        unpublished: sealed, and not under the published head.
        readable: whether this node can open what is sealed.
    """

    configured: bool
    head: Head | None
    published_at: int
    waiting: int
    unpublished: int
    readable: bool


class Verdict(msgspec.Struct, frozen=True):
    """What a file turned out to be.

    Attributes:
        name: as the file is called.
        event: what proves it, or the latest of its name where it was altered.
        compared: whether the parts were compared.
        differences: the first that were found, of so many in all.
    """

    outcome: Outcome
    name: str
    event: Event | None = None
    compared: bool = False
    differences: list[Difference] = []
    all_differences: int = 0


def state(archive: Archive, actor: Actor) -> State:
    """Returns how the log stands.

    Raises:
        NotPermitted: the actor may not.
        IntegrityBroken: the published head is not what its policy demands.
    """
    require(actor, "evidence.read")
    readable = archive.reader is not None
    with archive.engine.connect() as db:
        waiting = outbox.count_waiting(db)
        if archive.folder is None:
            return State(False, None, 0, waiting, 0, readable)
        policy = read_policy(archive.folder)
        found = read_checkpoint(archive.folder, policy)
        unpublished = payloads.count_from(db, found[0].size if found else 0)
    if found is None:
        return State(True, None, 0, waiting, unpublished, readable)
    head = tell_head(*verify_head(found[1], policy), policy)
    at = int((archive.folder / CHECKPOINT).stat().st_mtime)
    return State(True, head, at, waiting, unpublished, readable)


def listed(
    archive: Archive, actor: Actor, wanted: explorer.Search, before: int | None, limit: int
) -> explorer.Page:
    """Searches what was sealed here.

    Raises:
        NotPermitted: the actor may not.
    """
    require(actor, "evidence.read")
    with archive.engine.connect() as db:
        return explorer.search(db, wanted, before=before, limit=limit)


def shown(archive: Archive, actor: Actor, place: str) -> Event:
    """Returns one event with all that proves it; its content stays sealed.

    Args:
        archive: where it is.
        actor: who asks.
        place: its key, or its position in the log.

    Raises:
        NotPermitted: the actor may not.
        NotFound: there is no log, or no such event.
        NotYet: no published head covers it.
        IntegrityBroken: anything does not hold.
    """
    require(actor, "evidence.read")
    folder = _folder(archive)
    with archive.engine.connect() as db:
        payload = _find(db, place)
        content: Content = "erased" if payload.wrapped is None else "sealed"
        return tell_event(folder, evidence.stand(folder, payload), None, content, payload.about)


def opened(archive: Archive, actor: Actor, place: str, reason: str) -> Event:
    """Returns one event with its content; who opened it and why is noted before anybody sees it.

    Raises: as `shown`, and
        Invalid: no reason, or one out of bounds.
        NotYet: contents stay sealed on this node.
        NotFound: the content was erased.
    """
    payload, standing, opening = _open(archive, actor, place, reason, "ledger.payload.opened")
    return tell_event(_folder(archive), standing, opening, "open", payload.about)


def proof(archive: Archive, actor: Actor, place: str) -> tuple[str, bytes]:
    """Returns an event's name and its ``.tlog-proof`` file, its content left sealed.

    Raises: as `shown`.
    """
    require(actor, "evidence.read")
    folder = _folder(archive)
    with archive.engine.connect() as db:
        payload = _find(db, place)
        return payload.key, _as_file(evidence.stand(folder, payload), None)


def opened_proof(archive: Archive, actor: Actor, place: str, reason: str) -> tuple[str, bytes]:
    """Returns an event's name and a proof file that lays its content open; that is noted.

    Raises: as `opened`.
    """
    payload, standing, opening = _open(archive, actor, place, reason, "ledger.proof.taken")
    return payload.key, _as_file(standing, opening)


def checkpoint(archive: Archive, actor: Actor) -> str:
    """Returns the published head as it is signed.

    Raises:
        NotPermitted: the actor may not.
        NotFound: there is no log, or nothing was published.
    """
    require(actor, "evidence.read")
    folder = _folder(archive)
    found = read_checkpoint(folder, read_policy(folder))
    if found is None:
        raise NotFound(
            "ledger.no_checkpoint", "账本还没有发布检查点", "请运行 pingyao ledger drain"
        )
    return found[1]


def check_proof(archive: Archive, actor: Actor, data: bytes, name: str) -> Verdict:
    """Checks a ``.tlog-proof`` file by the policy of this node's log.

    Raises:
        NotPermitted: the actor may not.
        Invalid: it shows no entry.
        IntegrityBroken: anything does not hold.
    """
    require(actor, "evidence.verify")
    folder = _folder(archive)
    standing, opening = evidence.read_standing(data, read_policy(folder))
    content: Content = "sealed" if opening is None else "open"
    return Verdict("proven", name, tell_event(folder, standing, opening, content))


def check_document(
    archive: Archive, actor: Actor, name: str, sha256: str, document: Document | None = None
) -> Verdict:
    """Tells whether a file is one that was recorded here.

    Args:
        archive: where it would be.
        actor: who asks.
        name: what the file is called.
        sha256: of every byte, hexadecimal.
        document: the file as it was read; without it the hash alone is known.

    Raises:
        NotPermitted: the actor may not.
        NotYet: contents stay sealed on this node.
        IntegrityBroken: what is kept does not hold.
    """
    require(actor, "evidence.verify")
    folder = _folder(archive)
    reader = _reader(archive)
    with archive.engine.connect() as db:
        same = recorded.same_documents(db, sha256)
        # Waiting ones of the name say nothing yet; only what the log holds is compared with.
        like = [k for k in recorded.like_documents(db, name) if payloads.is_sealed(db, k)]
        if not same and not like:
            return Verdict("unknown", name)
        if same and not payloads.is_sealed(db, same[0]):
            return Verdict("waiting", name)
        key = same[0] if same else like[-1]
        try:
            proven = evidence.prove(db, folder, key, reader.name, reader.private)
        except NotYet:
            return Verdict("waiting", name)
        facts = evidence.read_facts(proven)
        standing = evidence.Standing(proven.entry, proven.proof, proven.head, proven.signed)
        event = _of_the_file(tell_event(folder, standing, proven.opening, "open"))
        if same:
            if facts.sha256 != sha256 or (document is not None and facts.sm3 != document.sm3):
                raise IntegrityBroken(
                    "ledger.index_differs",
                    "数据库的文件索引与所存证的事件不符",
                    "索引被改动；请保护现场并从备份核对数据库",
                )
            return Verdict("same", name, event)
        found = None if document is None else evidence.compare(db, proven, document)
    if found is None:
        return Verdict("altered", name, event)
    return Verdict("altered", name, event, True, found[:MOST_DIFFERENCES], len(found))


def _folder(archive: Archive) -> Path:
    if archive.folder is None:
        raise NotFound("ledger.not_set_up", "本节点还没有配置存证账本", "请见“存证”页上的设置方法")
    return archive.folder


def _find(db: sa.Connection, place: str) -> payloads.Payload:
    if place.isascii() and place.isdigit() and len(place) <= _POSITION_DIGITS:
        return payloads.find_at(db, int(place))
    return payloads.find(db, place)


def _open(
    archive: Archive, actor: Actor, place: str, reason: str, kind: str
) -> tuple[payloads.Payload, evidence.Standing, Opening]:
    """Opens what an event commits to, and notes in the same transaction who did and why."""
    require(actor, "evidence.open")
    folder, reader = _folder(archive), _reader(archive)
    reason = " ".join(reason.split())
    if not LEAST_REASON <= len(reason) <= MOST_REASON or not reason.isprintable():
        raise Invalid(
            "ledger.reason_to_open",
            f"查看存证内容须写明理由，{LEAST_REASON} 至 {MOST_REASON} 字",
            "请写明因何事、依何要求查看",
        )
    with archive.engine.begin() as db:
        payload = _find(db, place)
        standing = evidence.stand(folder, payload)
        opening = payloads.open_payload(db, payload, reader.name, reader.private)
        body: dict[str, object] = {
            "position": standing.proof.index,
            "by": actor.role,
            "reason": reason,
        }
        outbox.emit(db, [EvidenceEvent(kind, payload.key, actor.name, datetime.now(UTC), body)])
    return payload, standing, opening


def _reader(archive: Archive) -> Reader:
    if archive.reader is None:
        raise NotYet(
            "ledger.sealed_here",
            "本节点没有打开解读存证的密钥，不能查看内容、核对文件",
            "请由运维人员以 PINGYAO_KEYSTORE_PASSPHRASE_FILE 给出密钥库口令后重启节点",
        )
    return archive.reader


def _as_file(standing: evidence.Standing, opening: Opening | None) -> bytes:
    extra = format_opening(standing.entry, opening)
    return format_proof(msgspec.structs.replace(standing.proof, extra=extra))


def _of_the_file(event: Event) -> Event:
    """Leaves of a recorded file what tells it from others; whatever else was noted stays sealed."""
    body = {k: v for k, v in event.body.items() if k not in ("about", "parts")}
    return msgspec.structs.replace(event, body=body)
