"""Documents recorded, found again, and told apart from what they were changed into."""

import hashlib
from datetime import datetime
from pathlib import Path

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import IntegrityBroken, Invalid, NotFound, NotYet
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger import payloads, recorded
from pingyao.ledger.formats.documents import (
    RECORDED,
    Difference,
    Document,
    Facts,
    differences,
    read_document,
)
from pingyao.ledger.formats.opening import read_event, read_opening
from pingyao.ledger.formats.tlog_proof import parse_proof, verify_proof
from pingyao.ledger.model import Checkpoint, Policy, Signed, TlogProof
from pingyao.ledger.rules.sealing import Opening, PrivateKey, read_entry
from pingyao.ledger.rules.tree import leaf_hash
from pingyao.ledger.store.provenance import facts_of
from pingyao.ledger.store.reader import open_reader, read_checkpoint, read_policy
from pingyao.platform import outbox


class Standing(msgspec.Struct, frozen=True):
    """An entry that the log proves, whatever it stands for.

    Attributes:
        signed: who vouches for the head, and when.
    """

    entry: bytes
    proof: TlogProof
    head: Checkpoint
    signed: tuple[Signed, ...]


class Proven(msgspec.Struct, frozen=True):
    """An event that the log proves.

    Attributes:
        key: the event's name.
        submitted_at: when it was sealed, by the submitter's clock.
        signed: who vouches for the head, and when.
    """

    key: str
    member: str
    submitted_at: datetime
    event: EvidenceEvent
    opening: Opening
    entry: bytes
    proof: TlogProof
    head: Checkpoint
    signed: tuple[Signed, ...]


def record(
    db: sa.Connection,
    path: Path,
    actor: str,
    at: datetime,
    about: dict[str, str],
) -> str:
    """Records a document in the caller's transaction; returns the event's key."""
    return keep(db, read_document(path), actor, at, about)


def keep(
    db: sa.Connection, document: Document, actor: str, at: datetime, about: dict[str, str]
) -> str:
    """Records a document that was read before, in the caller's transaction."""
    facts = facts_of(document, about)
    event = EvidenceEvent(RECORDED, document.name, actor, at, msgspec.to_builtins(facts))
    (key,) = outbox.emit(db, [event])
    recorded.add_document(db, key, document)
    return key


def prove(db: sa.Connection, folder: Path, key: str, reader: str, private: PrivateKey) -> Proven:
    """Opens a recorded event and checks all that proves it, down to the signatures of the policy.

    Raises:
        NotYet: it waits in the outbox, or for its witnesses.
        NotFound: there is no such event, or it was erased.
        IntegrityBroken: anything does not hold.
    """
    payload = payloads.find(db, key)
    standing = stand(folder, payload)
    return _open(standing, payloads.open_payload(db, payload, reader, private))


def stand(folder: Path, payload: payloads.Payload) -> Standing:
    """Checks all that proves an entry, down to the signatures of the policy; its content stays sealed.

    Raises:
        NotYet: it waits to be logged, or for its witnesses.
        IntegrityBroken: anything does not hold.
    """
    policy = read_policy(folder)
    published = read_checkpoint(folder, policy)
    if payload.position is None or published is None or published[0].size <= payload.position:
        raise _not_yet()
    log = open_reader(folder)
    try:
        (entry,) = log.entries(payload.position, 1)
        proof = log.prove(payload.position, published[1])
    finally:
        log.close()
    if entry != payload.entry:
        raise IntegrityBroken(
            "ledger.payload_differs",
            f"账本第 {payload.position:,} 条与数据库所存不是同一条目",
            "请保护现场，运行 pingyao ledger fsck，并与镜像成员核对",
        )
    return _standing(entry, proof, policy)


def read_proof(data: bytes, policy: Policy) -> Proven:
    """Checks a proof file that lays its event open.

    Raises:
        Invalid: it shows no event.
        IntegrityBroken: anything does not hold.
    """
    standing, opening = read_standing(data, policy)
    if opening is None:
        raise Invalid(
            "ledger.no_facts",
            "证明文件不含事项内容，无法核对文件",
            "请向登记方索取其登记时所得的证明，或以 pingyao ledger verify 只核验条目",
        )
    return _open(standing, opening)


def read_standing(data: bytes, policy: Policy) -> tuple[Standing, Opening | None]:
    """Checks a proof file that shows its entry; returns the opening too where it lays the event open.

    Raises:
        Invalid: it shows no entry.
        IntegrityBroken: anything does not hold.
    """
    proof = parse_proof(data)
    shown = read_opening(proof.extra)
    if shown is None:
        raise Invalid(
            "ledger.no_entry_shown",
            "证明文件不含条目，无法知道它证明什么",
            "请以 pingyao ledger verify 连同条目一起核验",
        )
    return _standing(shown[0], proof, policy), shown[1]


def check_document(proven: Proven, document: Document) -> None:
    """Checks that a document is the one an event recorded.

    Raises:
        IntegrityBroken: it is another.
    """
    facts = read_facts(proven)
    if (facts.sha256, facts.sm3, facts.size) != (document.sha256, document.sm3, document.size):
        raise IntegrityBroken(
            "ledger.altered",
            f"{document.name} 不是所存证的那一份：内容不同",
            f"请向出具方索取原件，其 SHA-256 应为 {facts.sha256}",
        )


def _standing(entry: bytes, proof: TlogProof, policy: Policy) -> Standing:
    head, signed = verify_proof(proof, leaf_hash(entry), policy)
    return Standing(entry, proof, head, signed)


def _open(standing: Standing, opening: Opening) -> Proven:
    told = read_entry(standing.entry)
    return Proven(
        told.key,
        told.member,
        told.submitted_at,
        read_event(opening),
        opening,
        standing.entry,
        standing.proof,
        standing.head,
        standing.signed,
    )


def find_recorded(
    db: sa.Connection, folder: Path, document: Document, reader: str, private: PrivateKey
) -> Proven:
    """Returns the proof that exactly this document was recorded; of several, the earliest.

    Raises:
        NotFound: neither it nor another of its name was recorded.
        NotYet: it was, and waits to be proved.
        IntegrityBroken: another document of this name was recorded, and where the two differ.
    """
    if same := recorded.same_documents(db, document.sha256):
        if not payloads.is_sealed(db, same[0]):
            raise _not_yet()
        proven = prove(db, folder, same[0], reader, private)
        if (read_facts(proven).sha256, read_facts(proven).sm3) != (document.sha256, document.sm3):
            raise IntegrityBroken(
                "ledger.index_differs",
                "数据库的文件索引与所存证的事件不符",
                "索引被改动；请保护现场并从备份核对数据库",
            )
        return proven
    like = [k for k in recorded.like_documents(db, document.name) if payloads.is_sealed(db, k)]
    if not like:
        raise NotFound(
            "ledger.never_recorded",
            f"{document.name} 没有存证记录：内容与名称均未登记过",
            "请核对文件来源；另存或改名不影响核验，改动内容则不同",
        )
    proven = prove(db, folder, like[-1], reader, private)
    raise _altered(db, proven, document)


def _altered(db: sa.Connection, proven: Proven, document: Document) -> IntegrityBroken:
    found = compare(db, proven, document)
    told = f"{document.name} 不是所存证的那一份（{proven.event.occurred_at:%Y-%m-%d %H:%M} UTC 由 {proven.event.actor} 登记）"
    if found is not None:
        told += "：" + (
            "；".join(map(say, found[:8])) if found else "各部分内容相同，仅文件封装不同"
        )
        told += f"；等共 {len(found):,} 处" if len(found) > 8 else ""
    facts = read_facts(proven)
    return IntegrityBroken(
        "ledger.altered", told, f"请向出具方索取原件，其 SHA-256 应为 {facts.sha256}"
    )


def compare(db: sa.Connection, proven: Proven, document: Document) -> list[Difference] | None:
    """Returns where a document differs from the recorded one; None where the marks kept are not its own."""
    kept, parts = recorded.parts_of(db, proven.key)
    if hashlib.sha256(kept).hexdigest() != read_facts(proven).parts:
        return None
    return differences(parts, document.parts)


_UNITS = {"row": "行", "item": "项", "line": "行", "block": "MB"}
_WHAT = {"added": "新增", "removed": "缺失", "changed": "被改动"}


def say(difference: Difference) -> str:
    """Says in Chinese where two documents differ."""
    name = f"“{difference.part}”" if difference.part else ""
    if not difference.first:
        return f"{name}{_WHAT[difference.what]}"
    unit = _UNITS[difference.unit]
    first, last = f"{difference.first:,}", f"{difference.last:,}"
    return f"{name}第 {first}{'' if first == last else '–' + last} {unit}{_WHAT[difference.what]}"


def read_facts(proven: Proven) -> Facts:
    """Returns what a document's event says.

    Raises:
        NotFound: the event is about something else.
    """
    if proven.event.kind != RECORDED:
        raise NotFound("ledger.no_document", "这条存证不是文件登记", "请核对编号")
    return msgspec.convert(proven.event.body, Facts)


def say_clock(told: str) -> str:
    """Says in Chinese what a machine knew of its clock."""
    known = {
        "system clock, synchronised": "系统时钟，有同步源",
        "system clock, not synchronised": "系统时钟，未见同步源",
        "system clock, synchronisation unknown": "系统时钟，是否同步不详",
    }
    return known.get(told, told)


def _not_yet() -> NotYet:
    return NotYet(
        "ledger.not_proven_yet",
        "已登记，尚未写入账本或尚待见证方联署",
        "请运行 pingyao ledger drain，或稍后再核验",
    )
