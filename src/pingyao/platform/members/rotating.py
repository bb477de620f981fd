"""New keys of a node, and keys it has revoked: telling every member, and taking what a member tells.

A member is told of new keys under the key it knows, and of revoked ones under the newest. Who cannot be
told now is told the next time; until then both go on with the key it knows, unless that was revoked.
"""

import secrets
import time
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import Conflict, IntegrityBroken, NotPermitted, PingyaoError
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.members import documents, proofs, publishing, store
from pingyao.platform.members.client import Client
from pingyao.platform.members.documents import SignedIdentity
from pingyao.platform.members.model import Member, OwnKey, Sender
from pingyao.platform.members.proofs import Joined
from pingyao.platform.members.ring import LIFETIME, OVERLAP, Ring, add_generation, newest, pick
from pingyao.platform.outbox import emit
from pingyao.platform.policy import Actor, require

KEYS = "/member/v1/keys"
REVOKED = "/member/v1/keys/revoked"
MOST_REVOKED = 100


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """New keys, announced under an old one.

    Attributes:
        overlap: seconds for which the keys before are still to be taken.
        challenge, answer: as in `proofs.Joining`.
    """

    identity: SignedIdentity
    overlap: int
    challenge: bytes
    answer: bytes = b""


class Lost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key its holder has revoked, since when it was lost, and why."""

    id: Annotated[str, msgspec.Meta(max_length=32)]
    since: int
    why: Annotated[str, msgspec.Meta(max_length=500)]


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keys that are not to be believed any more, told under another key."""

    keys: Annotated[tuple[Lost, ...], msgspec.Meta(max_length=MOST_REVOKED)]


class Taken(msgspec.Struct, frozen=True):
    """How many keys of a revocation were known and are revoked now."""

    keys: int


class Told(msgspec.Struct, frozen=True):
    """How a member took what it was told; ``error`` is empty where it did."""

    member: int
    name: str
    error: str


def rotate(
    engine: sa.Engine, ring: Ring, actor: Actor, client: Client, *, anew: bool = False
) -> list[Told]:
    """Makes new keys and tells every active member; where some have not heard, only tells them again.

    Args:
        engine: the database.
        ring: this node's secrets.
        actor: who does it.
        client: asks the members.
        anew: makes new keys even though some have not heard of the last.
    """
    require(actor, "members.rotate")
    with engine.connect() as db:
        keys = store.read_own_keys(db)
    generation = newest(keys)
    # The centre may have revoked what is newest.
    useless = any(k.revoked_at for k in keys if k.generation == generation)
    if anew or useless or not _behind(engine):
        add_generation(engine, ring, actor.name, "members.keys.rotated", generation + 1)
    return tell(engine, ring, actor, client)


def tell(engine: sa.Engine, ring: Ring, actor: Actor, client: Client) -> list[Told]:
    """Brings every active member up to date that has not heard of all our new and revoked keys."""
    told: list[Told] = []
    for member in _behind(engine):
        try:
            _tell(engine, ring, actor, client, member)
            told.append(Told(member.id, member.profile.name, ""))
        except PingyaoError as error:
            told.append(Told(member.id, member.profile.name, error.detail))
    return told


def is_behind(member: Member, keys: list[OwnKey]) -> bool:
    """Tells whether a member has yet to hear of our keys; those of the roster hear of them by it."""
    lost = sum(1 for k in keys if k.revoked_at)
    return (
        member.state == "active"
        and not member.via
        and (member.known < newest(keys) or member.heard < lost)
    )


def take_keys(engine: sa.Engine, ring: Ring, sender: Sender, given: Rotation) -> Joined:
    """Takes a member's new keys, announced under a key it has; the keys before end with the overlap.

    What else it says of itself may have changed too, but for its name and role.

    Raises:
        NotPermitted: the keys are of another institution or suite, or used already.
        IntegrityBroken: a key is not proved.
    """
    identity, at = documents.read_identity(given.identity), datetime.now(UTC)
    now = int(at.timestamp())
    with engine.begin() as db:
        member = _direct(db, sender)
        if (identity.profile.uscc, identity.suite) != (sender.uscc, sender.suite):
            raise NotPermitted(
                "members.wrong_suite", "新密钥的机构或套件与登记的不同", "套件只能随重新加入而改变"
            )
        mine = {k.id: k for k in member.keys}
        for key in identity.keys:
            known = mine.get(key.id)
            other = known is None and store.find_by_key(db, key.id) is not None
            if other or (known is not None and not known.holds(now)):
                raise NotPermitted(
                    "members.used_key", "所示的密钥已被吊销、已到期或属于另一机构", "请重新轮换"
                )
        _, _, sealing = proofs.own_identity(db, ring, sender.suite, member.known)
        wanted = ring.mac(b"keys\n" + given.identity.document)
        answer = proofs.open_proof(ring, sealing, given.challenge)
        if not given.answer:
            return Joined("prove", proofs.seal_proof(identity, wanted), answer)
        if not secrets.compare_digest(given.answer, wanted):
            raise IntegrityBroken(
                "members.no_proof", "对方没有证明其持有加密密钥", "请对方重新轮换"
            )
        fresh = {k.id for k in identity.keys}
        until = now + min(max(given.overlap, 0), OVERLAP)
        t = store.keys.c
        before = sa.update(store.keys).where(t.member == member.id, t.id.not_in(fresh))
        db.execute(before.where(t.not_after > until).values(not_after=until))
        store.add_keys(db, member.id, identity.held(now, now + LIFETIME))
        told = {f: getattr(identity.profile, f) for f in ("code", "kind", "region", "address")}
        store.update(db, member.id, **told)
        body: dict[str, object] = {"keys": sorted(fresh), "until": until}
        emit(db, [_event("members.member.rotated", member, member.profile.name, at, body)])
        publishing.publish(db, member.profile.name, at)
    return Joined("taken", b"", answer)


def take_revocation(engine: sa.Engine, sender: Sender, given: Revocation) -> Taken:
    """Takes that a member has revoked keys of its own, told under another of its keys.

    They are refused from now on. Since when they were lost is what the member says, and goes into the evidence
    as such: nobody disowns what she signed before by her own word (`revoking.revoke_key` is for people).

    Raises:
        NotPermitted: the key that says so is among them.
    """
    at = datetime.now(UTC)
    with engine.begin() as db:
        member = _direct(db, sender)
        lost = {k.id: k for k in given.keys}
        if sender.key in lost:
            raise NotPermitted(
                "members.own_signature", "密钥不能由它自己的签名吊销", "请以新密钥签名"
            )
        mine = [k for k in member.keys if k.id in lost and not k.revoked_at]
        for key in mine:
            said = lost[key.id]
            store.revoke_key(db, key.id, int(at.timestamp()), said.why)
            body: dict[str, object] = {"key": key.id, "why": said.why, "since": said.since}
            emit(db, [_event("members.key.revoked", member, member.profile.name, at, body)])
        if mine:
            publishing.publish(db, member.profile.name, at)
    return Taken(len(mine))


def _behind(engine: sa.Engine) -> list[Member]:
    with engine.connect() as db:
        keys = store.read_own_keys(db)
        return [m for m in store.read_members(db) if is_behind(m, keys)]


def _tell(engine: sa.Engine, ring: Ring, actor: Actor, client: Client, member: Member) -> None:
    with engine.connect() as db:
        keys = store.read_own_keys(db)
    generation = newest(keys)
    if member.known < generation:
        _announce(engine, ring, actor, client, member, generation)
    lost = [k for k in keys if k.revoked_at]
    theirs = [Lost(k.id, k.revoked_at, k.why) for k in lost if k.suite == member.suite]
    if member.heard < len(lost):
        if theirs:
            newest_key = pick(keys, member.suite, "sign", generation, int(time.time()))
            body = msgspec.json.encode(Revocation(tuple(theirs[-MOST_REVOKED:])))
            client.send_as(member, newest_key, "POST", REVOKED, body).read(Taken)
        with engine.begin() as db:
            store.update(db, member.id, heard=len(lost))


def _announce(
    engine: sa.Engine, ring: Ring, actor: Actor, client: Client, member: Member, generation: int
) -> None:
    now = int(time.time())
    with engine.connect() as db:
        signed, us, sealing = proofs.own_identity(db, ring, member.suite, generation)
        keys = store.read_own_keys(db)
    old = pick(keys, member.suite, "sign", member.known, now, even_revoked=True)
    theirs = member.key("seal", now)
    if theirs is None:
        raise Conflict("members.key_expired", "对方的加密密钥已到期", "请对方轮换或重新加入")
    proof = secrets.token_bytes(proofs.PROOF_BYTES)
    asking = Rotation(signed, OVERLAP, proofs.seal_for(member, theirs, proof))
    for _ in range(2):  # the second time with the answer
        body = msgspec.json.encode(asking)
        reply = client.send_as(member, old, "POST", KEYS, body).read(Joined)
        if not secrets.compare_digest(reply.answer, proof):
            raise IntegrityBroken("members.no_proof", "对方没有证明其持有密钥", "请联系对方")
        if reply.state == "taken":
            break
        answer = proofs.open_proof(ring, sealing, reply.challenge)
        asking = msgspec.structs.replace(asking, answer=answer)
    with engine.begin() as db:
        store.update(db, member.id, known=generation)
        body_: dict[str, object] = {"by": actor.role, "keys": [k.id for k in us.keys]}
        event = _event("members.keys.announced", member, actor.name, datetime.now(UTC), body_)
        emit(db, [event])


def _direct(db: sa.Connection, sender: Sender) -> Member:
    """Returns who sent something about its own keys; members of the roster tell the centre alone."""
    member = store.get(db, sender.number, lock=True)
    if member is None:
        raise documents.unknown()
    if member.via:
        raise NotPermitted(
            "members.tell_the_centre", "经名册认识的成员只向中心宣布密钥", "请向中心宣布"
        )
    return member


def _event(
    kind: str, member: Member, by: str, at: datetime, body: dict[str, object]
) -> EvidenceEvent:
    return EvidenceEvent(kind, member.profile.uscc, by, at, body)
