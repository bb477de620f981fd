"""What joining and rotating share: identities shown, keys proved, a member written down as pending."""

import time
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import Conflict, IntegrityBroken, NotPermitted, NotYet
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.crypto import envelopes
from pingyao.platform.crypto.envelopes import PublicKey
from pingyao.platform.crypto.suites import suite_of
from pingyao.platform.members import documents, store
from pingyao.platform.members.documents import Identity, SignedIdentity
from pingyao.platform.members.model import Key, Member, OwnKey
from pingyao.platform.members.ring import LIFETIME, Ring, newest, pick
from pingyao.platform.policy import Actor

PROOF_BYTES = 32
JOIN = "/member/v1/join"
_PROOF = b"pingyao/prove/1"


class Joining(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a member sends to join, twice: at first without an answer.

    Attributes:
        secret: of the invitation.
        challenge: 32 bytes sealed for the centre, who shows that it can open them.
        answer: what the centre's own challenge held.
    """

    secret: str
    identity: SignedIdentity
    challenge: bytes
    answer: bytes = b""


class Joined(msgspec.Struct, frozen=True):
    """What the centre answers.

    Attributes:
        state: ``prove`` while the challenge is to be answered, then ``pending``.
        answer: what the member's challenge held.
    """

    state: str
    challenge: bytes
    answer: bytes


def own_identity(
    db: sa.Connection, ring: Ring, suite: str, generation: int = 0
) -> tuple[SignedIdentity, Identity, OwnKey]:
    """Returns this node's identity in a suite, signed, and the key that opens what is sealed for it."""
    profile, keys, now = store.read_profile(db), store.read_own_keys(db), int(time.time())
    if profile is None:
        raise NotYet("node.none", "此数据库还不是一个节点", "请先运行 pingyao node init")
    generation = generation or newest(keys)
    sign = pick(keys, suite_of(suite).name, "sign", generation, now)
    sealing = pick(keys, suite, "seal", generation, now)
    signed = documents.sign_identity(profile, suite, (sign, sealing), ring.signer(sign), now)
    return signed, documents.read_identity(signed), sealing


def seal_proof(identity: Identity, proof: bytes) -> bytes:
    """Makes a challenge for the sealing key of an identity."""
    key = identity.key("seal")
    to = PublicKey(identity.profile.uscc, key.id, key.kind, key.public)
    return envelopes.seal(suite_of(identity.suite), to, proof, _PROOF)


def seal_for(member: Member, key: Key, proof: bytes) -> bytes:
    """Makes a challenge for a member's sealing key."""
    return envelopes.seal(suite_of(member.suite), member.public(key), proof, _PROOF)


def open_proof(ring: Ring, sealing: OwnKey, challenge: bytes) -> bytes:
    """Answers a challenge sealed for one of our keys."""
    proof = ring.open(sealing, challenge, _PROOF)
    if len(proof) != PROOF_BYTES:
        raise IntegrityBroken("members.no_proof", "所出的验证题不合规定", "请对方重新发起")
    return proof


def check_new(db: sa.Connection, identity: Identity) -> None:
    """Refuses an institution that is a member, and keys that are somebody else's or were revoked."""
    there = store.find(db, identity.profile.uscc)
    if there is not None and there.state == "active":
        raise Conflict("members.is_member", "该机构已是成员", "如需重新加入，请先吊销")
    for key in identity.keys:
        holder = store.find_by_key(db, key.id)
        if holder is None:
            continue
        held = next(k for k in holder.keys if k.id == key.id)
        if holder.profile.uscc != identity.profile.uscc or held.revoked_at:
            raise NotPermitted(
                "members.used_key",
                "所示的密钥已被吊销，或属于另一机构",
                "请先运行 pingyao members rotate 更换密钥，再受邀加入",
            )


def write_pending(
    db: sa.Connection, identity: Identity, print_: str, now: int, *, known: int
) -> int:
    """Writes an institution down as pending, with its keys; returns its number."""
    values: dict[str, Any] = {
        "suite": identity.suite,
        "state": "pending",
        "fingerprint": print_,
        "known": known,
        "joined_at": now,
        "confirmed_at": 0,
        "confirmed_by": "",
        "revoked_at": 0,
        "why": "",
        # Of what we have revoked before it came it need not be told.
        "heard": sum(1 for k in store.read_own_keys(db) if k.revoked_at),
    }
    before = store.find(db, identity.profile.uscc, lock=True)
    shown = {k.id for k in identity.keys}
    if before is not None:  # keys of an earlier try are no longer anybody's
        stale = [k.id for k in before.keys if k.id not in shown and not k.revoked_at]
        db.execute(sa.update(store.keys).where(store.keys.c.id.in_(stale)).values(revoked_at=now))
    return store.put(db, identity.profile, values, identity.held(now, now + LIFETIME))


def event(
    kind: str, subject: str, actor: Actor, at: datetime, body: dict[str, object] | None = None
) -> EvidenceEvent:
    """Returns an event of members, done by somebody of this node."""
    return EvidenceEvent(kind, subject, actor.name, at, {"by": actor.role} | (body or {}))
