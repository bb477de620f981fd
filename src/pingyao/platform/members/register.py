"""The register: who is a member, what its keys are, when they hold; rotation and revocation."""

import secrets
import time
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import Conflict, IntegrityBroken, Invalid, NotPermitted, PingyaoError
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.members import codes, documents, proofs, store
from pingyao.platform.members.client import Client
from pingyao.platform.members.documents import SignedIdentity
from pingyao.platform.members.model import Invitation, Key, Member, OwnKey, Profile, Sender
from pingyao.platform.members.proofs import Joined
from pingyao.platform.members.ring import LIFETIME, OVERLAP, Ring, add_generation, newest, pick
from pingyao.platform.outbox import emit
from pingyao.platform.policy import Actor, require

KEYS = "/member/v1/keys"
_MOST_REASON = 500


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


class Told(msgspec.Struct, frozen=True):
    """How a member took our new keys; ``error`` is empty where it did."""

    member: int
    name: str
    error: str


class View(msgspec.Struct, frozen=True):
    """The register as one reads it.

    Attributes:
        generation: the newest of our own keys.
    """

    profile: Profile
    members: list[Member]
    keys: list[OwnKey]
    invitations: list[Invitation]
    generation: int


def view(engine: sa.Engine, actor: Actor) -> View:
    """Returns everything there is to see."""
    require(actor, "members.list")
    with engine.connect() as db:
        profile, keys = store.read_profile(db), store.read_own_keys(db)
        if profile is None:
            raise documents.unknown()
        invitations = store.read_invitations(db, int(time.time()))
        return View(profile, store.read_members(db), keys, invitations, newest(keys))


def key_at(engine: sa.Engine, key: str, at: int) -> tuple[Member, Key]:
    """Returns the member whose key was good at a time, for a message that was proved to be of then.

    The time must come from evidence, a time stamp or the ledger, never from the message alone: who has
    stolen a key can write any date.

    Raises:
        NotPermitted: the key was not good then, or is unknown.
    """
    with engine.connect() as db:
        member = store.find_by_key(db, key)
    held = None if member is None else next(k for k in member.keys if k.id == key)
    if member is None or held is None or not held.holds(at) or not member.confirmed_at:
        raise NotPermitted(
            "members.key_not_valid_then",
            "该密钥在所述时间无效或不在登记中",
            "请核对报文的时间与密钥",
        )
    return member, held


def describe(engine: sa.Engine, actor: Actor, given: Profile) -> Profile:
    """Sets what this institution says of itself beside name and USCC."""
    require(actor, "members.describe")
    return write_profile(engine, given, actor.name, {"by": actor.role})


def write_profile(
    engine: sa.Engine, given: Profile, actor: str, body: dict[str, object]
) -> Profile:
    """Does as ``describe`` for who sets up the node."""
    profile = codes.profile(given)
    with engine.begin() as db:
        store.write_profile(db, profile)
        facts = body | {"address": profile.address, "code": profile.code}
        at = datetime.now(UTC)
        emit(db, [EvidenceEvent("members.profile.set", profile.uscc, actor, at, facts)])
    return profile


def revoke(
    engine: sa.Engine, actor: Actor, number: int, why: str, since: int | None = None
) -> Member:
    """Shuts a member out: from now on nothing of its keys is believed.

    Args:
        engine: the database.
        actor: who does it.
        number: of the member.
        why: the reason, kept.
        since: when the keys were lost, if that was earlier; what was signed after it is not believed.

    Raises:
        Conflict: it is revoked already.
        Invalid: no reason, or a time to come.
    """
    require(actor, "members.revoke")
    why, at = " ".join(why.split()), datetime.now(UTC)
    now = int(at.timestamp())
    if not 1 <= len(why) <= _MOST_REASON:
        raise Invalid("members.no_reason", "吊销须写明理由", f"1 至 {_MOST_REASON} 字")
    if since is not None and not 0 < since <= now:
        raise Invalid("members.bad_since", "失密时间不能在将来", "请改正时间")
    with engine.begin() as db:
        member = store.get(db, number, lock=True)
        if member is None:
            raise documents.unknown()
        if member.state == "revoked":
            raise Conflict("members.is_revoked", "该成员已被吊销", "无需再次吊销")
        store.update(db, number, state="revoked", revoked_at=now, why=why)
        t = store.keys.c
        mine = sa.update(store.keys).where(t.member == number, t.revoked_at == 0)
        db.execute(mine.values(revoked_at=since or now))
        body: dict[str, object] = {"by": actor.role, "why": why, "since": since or now}
        uscc = member.profile.uscc
        emit(db, [EvidenceEvent("members.member.revoked", uscc, actor.name, at, body)])
        found = store.get(db, number)
    return found or member


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
        generation = newest(store.read_own_keys(db))
        behind = [m for m in store.read_members(db) if m.state == "active" and m.known < generation]
    if anew or not behind:
        generation += 1
        add_generation(engine, ring, actor.name, "members.keys.rotated", generation)
    with engine.connect() as db:
        telling = [
            m for m in store.read_members(db) if m.state == "active" and m.known < generation
        ]
    return [_tell(engine, ring, actor, client, m, generation) for m in telling]


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
        member = store.get(db, sender.number, lock=True)
        shown = (identity.profile.uscc, identity.suite)
        if member is None or shown != (sender.uscc, sender.suite):
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
        emit(
            db,
            [EvidenceEvent("members.member.rotated", sender.uscc, member.profile.name, at, body)],
        )
    return Joined("taken", b"", answer)


def _tell(
    engine: sa.Engine, ring: Ring, actor: Actor, client: Client, member: Member, generation: int
) -> Told:
    try:
        now = int(time.time())
        with engine.connect() as db:
            signed, us, sealing = proofs.own_identity(db, ring, member.suite, generation)
            old = pick(store.read_own_keys(db), member.suite, "sign", member.known, now)
        theirs = member.key("seal", now)
        if theirs is None:
            raise Conflict("members.key_expired", "对方的加密密钥已到期", "请对方轮换或重新加入")
        proof = secrets.token_bytes(32)
        challenge = proofs.seal_for(member, theirs, proof)
        asking = Rotation(signed, OVERLAP, challenge)
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
            facts: dict[str, object] = {"by": actor.role, "keys": [k.id for k in us.keys]}
            at, uscc = datetime.now(UTC), member.profile.uscc
            emit(db, [EvidenceEvent("members.keys.announced", uscc, actor.name, at, facts)])
    except PingyaoError as error:
        return Told(member.id, member.profile.name, error.detail)
    return Told(member.id, member.profile.name, "")
