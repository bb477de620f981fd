"""The centre's side of the roster: a new version with every change, given to every member that asks."""

import time
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import NotYet
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.members import documents, roster_store, rosters, store, trust
from pingyao.platform.members.model import Roster, Sender
from pingyao.platform.members.ring import Ring
from pingyao.platform.outbox import emit

ROSTER = "/member/v1/roster"
_OURS = 0


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a member is given; all empty where it has the newest already.

    Attributes:
        document: a `rosters.Document` as JSON, to the byte.
        signature: over `rosters.signed`, in the member's suite.
        key: the name of the key it is made with.
    """

    document: bytes = b""
    signature: bytes = b""
    key: str = ""


def publish(db: sa.Connection, by: str, at: datetime) -> None:
    """Issues a new version, in the transaction that changes a member; no centre, no roster.

    Its digest goes into the evidence: what was ever issued can be told from what was not.
    """
    us = store.read_profile(db)
    if us is None or us.role != "centre":
        return
    before = roster_store.claim(db, _OURS)
    shown = tuple(rosters.listed(m) for m in store.read_members(db) if m.confirmed_at)
    now = int(at.timestamp())
    serial = max(now, before.serial + 1)
    document = rosters.write(us.uscc, serial, now, shown)
    digest = rosters.digest(document)
    roster_store.write(db, Roster(_OURS, serial, digest, b"", "", now, now), document)
    body: dict[str, object] = {"serial": serial, "sha256": digest, "members": len(shown)}
    emit(db, [EvidenceEvent("members.roster.published", us.uscc, by, at, body)])


def serve(engine: sa.Engine, ring: Ring, sender: Sender, have: str) -> Published:
    """Returns the roster for a member, signed with the key of ours that it knows.

    Args:
        engine: the database.
        ring: this node's secrets.
        sender: who asks.
        have: the digest of what it has; empty where it has none.

    Raises:
        NotYet: this node is no centre.
    """
    with engine.begin() as db:
        roster = roster_store.read(db, _OURS)
        if roster is None:  # none has changed since this node learnt to issue rosters
            us = store.read_profile(db)
            publish(db, us.name if us else "", datetime.now(UTC))
            roster = roster_store.read(db, _OURS)
        if roster is None:
            raise NotYet("members.not_centre", "本节点不是中心，没有名册", "请向中心取名册")
        if roster.digest == have:
            return Published()
        document = roster_store.read_document(db, _OURS)
        member = store.get(db, sender.number)
        if member is None:
            raise documents.unknown()
        key = trust.own_key(db, member, "sign", int(time.time()))
    signature = ring.signer(key).sign(rosters.signed(document))
    return Published(document, signature, key.id)
