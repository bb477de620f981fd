"""Evidence as it is told: one event, where it stands, and who vouches for it, in plain values."""

from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from pingyao.ledger import evidence, payloads
from pingyao.ledger.formats.opening import read_event
from pingyao.ledger.formats.tlog_policy import NONE
from pingyao.ledger.model import Checkpoint, Policy, Signed
from pingyao.ledger.rules.sealing import Opening, read_entry
from pingyao.ledger.rules.tree import leaf_hash
from pingyao.ledger.store.reader import read_policy

Content = Literal["open", "sealed", "erased"]


class Signature(msgspec.Struct, frozen=True):
    """A signature under a head that was checked; ``at`` is its own time in Unix seconds, 0 if it says none."""

    name: str
    algorithm: str
    witness: bool
    at: int


class Head(msgspec.Struct, frozen=True):
    """A signed head of the log that meets its policy.

    Attributes:
        root: SHA-256, hexadecimal.
        quorum: whom the policy demands; empty where it demands no witness.
        threshold, among: how many of how many that is.
    """

    origin: str
    size: int
    root: str
    signatures: list[Signature]
    quorum: str
    threshold: int
    among: int


class Stands(msgspec.Struct, frozen=True):
    """Where an entry stands, every figure computed anew from the log's files.

    Attributes:
        entry: as logged.
        leaf: its hash, hexadecimal.
        path: hashes from its sibling to the root's child.
    """

    position: int
    entry: str
    leaf: str
    path: list[str]
    head: Head


class Event(msgspec.Struct, frozen=True):
    """One event and what proves it; ``body`` is empty unless its content is open."""

    key: str
    kind: str
    actor: str
    subject: str
    at: str
    member: str
    submitted_at: datetime
    content: Content
    body: dict[str, object]
    commitment: str
    stands: Stands


def tell_event(
    folder: Path,
    standing: evidence.Standing,
    opening: Opening | None,
    content: Content,
    about: payloads.About | None = None,
) -> Event:
    """Tells an event that stands in the log.

    Args:
        folder: of the log.
        standing: where it stands, checked.
        opening: its content, where it is open.
        content: what became of the content.
        about: what the database says in clear, where it is not.
    """
    told = read_entry(standing.entry)
    event = None if opening is None else read_event(opening)
    said = (about or payloads.About()) if event is None else payloads.about(event)
    stands = Stands(
        standing.proof.index,
        standing.entry.decode(),
        leaf_hash(standing.entry).hex(),
        [each.hex() for each in standing.proof.path],
        tell_head(standing.head, standing.signed, read_policy(folder)),
    )
    return Event(
        told.key,
        said.kind,
        said.actor or "",
        said.subject or "",
        said.at or "",
        told.member,
        told.submitted_at,
        content,
        {} if event is None else dict(event.body),
        told.commitment.sha256,
        stands,
    )


def tell_head(head: Checkpoint, signed: tuple[Signed, ...], policy: Policy) -> Head:
    """Tells a head that was checked, and what its policy demands."""
    witnesses = set(policy.witnesses.values())
    signatures = [
        Signature(s.key.name, str(s.key.type.algorithm), s.key in witnesses, s.at or 0)
        for s in signed
    ]
    group = policy.groups.get(policy.quorum)
    single = 0 if policy.quorum == NONE else 1
    return Head(
        head.origin,
        head.size,
        head.root.hex(),
        signatures,
        "" if policy.quorum == NONE else policy.quorum,
        group.threshold if group else single,
        len(group.members) if group else single,
    )
