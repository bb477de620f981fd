"""Joining: the centre invites, a member redeems, two people compare digits, both sides confirm.

Every key is proved: the signing key signs the identity, the sealing key opens an envelope. Nothing is
accepted from who has not been confirmed by the security administrator.
"""

import hashlib
import secrets
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import Conflict, IntegrityBroken, Invalid, NotFound, NotPermitted, NotYet
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.crypto import envelopes
from pingyao.platform.crypto.envelopes import PublicKey
from pingyao.platform.crypto.suites import suite_of
from pingyao.platform.members import codes, documents, store
from pingyao.platform.members.client import Client
from pingyao.platform.members.documents import Identity, InvitationText, SignedIdentity
from pingyao.platform.members.model import Invitation, Invited, Key, Member, OwnKey, Profile
from pingyao.platform.members.ring import LIFETIME, Ring, newest, pick
from pingyao.platform.outbox import emit
from pingyao.platform.policy import Actor, require

HOURS, MOST_HOURS = 72, 30 * 24
_PROOF = b"pingyao/prove/1"
_PROOF_BYTES = 32
JOIN = "/member/v1/join"


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
    if len(proof) != _PROOF_BYTES:
        raise IntegrityBroken("members.no_proof", "所出的验证题不合规定", "请对方重新发起")
    return proof


def own_identity(
    db: sa.Connection, ring: Ring, suite: str, generation: int = 0
) -> tuple[SignedIdentity, Identity, OwnKey]:
    """Returns this node's identity in a suite, signed, and the key that opens what is sealed for it."""
    profile, keys, now = store.read_profile(db), store.read_own_keys(db), _now()
    if profile is None:
        raise NotYet("node.none", "此数据库还不是一个节点", "请先运行 pingyao node init")
    generation = generation or newest(keys)
    sign = pick(keys, suite_of(suite).name, "sign", generation, now)
    sealing = pick(keys, suite, "seal", generation, now)
    signed = documents.sign_identity(profile, suite, (sign, sealing), ring.signer(sign), now)
    return signed, documents.read_identity(signed), sealing


def invite(
    engine: sa.Engine,
    ring: Ring,
    actor: Actor,
    uscc: str,
    name: str,
    suite: str,
    hours: int = HOURS,
) -> Invited:
    """Makes an invitation for one institution; its text is shown once.

    Raises:
        NotYet: this node is no centre, or has no address.
        Conflict: the institution is a member already.
    """
    require(actor, "members.invite")
    uscc, suite, at = codes.uscc(uscc), suite_of(suite).name, datetime.now(UTC)
    name = codes.profile(Profile(name, uscc, "member")).name
    if not 1 <= hours <= MOST_HOURS:
        raise Invalid("members.bad_hours", "邀请的有效期不合规定", f"须为 1 至 {MOST_HOURS} 小时")
    secret, now = secrets.token_urlsafe(32), int(at.timestamp())
    with engine.begin() as db:
        _, us, _ = own_identity(db, ring, suite)
        if us.profile.role != "centre" or not us.profile.address:
            raise NotYet(
                "members.not_centre",
                "只有登记了节点地址的中心可以发出邀请",
                "请以 pingyao members profile --address 登记地址",
            )
        there = store.find(db, uscc)
        if (there is not None and there.state == "active") or uscc == us.profile.uscc:
            raise Conflict("members.is_member", "该机构已是成员", "如需重新加入，请先吊销")
        row: dict[str, Any] = {
            "digest": _digest(secret),
            "uscc": uscc,
            "name": name,
            "suite": suite,
            "made_at": now,
            "made_by": actor.name,
            "expires_at": now + hours * 3600,
            "state": "open",
        }
        made = db.execute(sa.insert(store.invitations).values(**row)).inserted_primary_key
        body: dict[str, object] = {"suite": suite, "expires_at": row["expires_at"]}
        emit(db, [_event("members.invitation.made", uscc, actor, at, body)])
    text = InvitationText(
        us.profile.uscc,
        us.profile.address,
        (us.key("sign").id, us.key("seal").id),
        uscc,
        suite,
        row["expires_at"],
        secret,
    )
    number = int(made[0]) if made is not None else 0
    fields = (number, uscc, name, suite, now, actor.name, row["expires_at"], "open")
    return Invited(Invitation(*fields), documents.write_invitation(text))


def withdraw(engine: sa.Engine, actor: Actor, number: int) -> None:
    """Makes an open invitation useless."""
    require(actor, "members.invite")
    t = store.invitations.c
    with engine.begin() as db:
        row = db.execute(
            sa.select(store.invitations).where(t.id == number).with_for_update()
        ).one_or_none()
        if row is None or row.state != "open":
            raise NotFound("members.no_invitation", "没有这份可用的邀请", "请刷新列表后重试")
        db.execute(sa.update(store.invitations).where(t.id == number).values(state="withdrawn"))
        emit(db, [_event("members.invitation.withdrawn", row.uscc, actor, datetime.now(UTC))])


def receive(engine: sa.Engine, ring: Ring, given: Joining) -> Joined:
    """Takes in who redeems an invitation; the centre's side.

    Raises:
        NotPermitted: no such invitation, used, withdrawn, expired, or somebody else's.
        IntegrityBroken: a key is not proved.
    """
    identity, at = documents.read_identity(given.identity), datetime.now(UTC)
    now, t = int(at.timestamp()), store.invitations.c
    with engine.begin() as db:
        row = db.execute(
            sa.select(store.invitations).where(t.digest == _digest(given.secret)).with_for_update()
        ).one_or_none()
        asked = (identity.profile.uscc, identity.suite, identity.profile.role)
        if row is None or store.invitation(row, now).state != "open":
            raise _refused()
        if asked != (row.uscc, row.suite, "member"):
            raise _refused()
        _, us, sealing = own_identity(db, ring, identity.suite)
        _check_new(db, identity)
        wanted = ring.mac(b"join\n" + row.digest.encode() + given.identity.document)
        answer = open_proof(ring, sealing, given.challenge)
        if not given.answer:
            return Joined("prove", seal_proof(identity, wanted), answer)
        if not secrets.compare_digest(given.answer, wanted):
            raise IntegrityBroken(
                "members.no_proof", "对方没有证明其持有加密密钥", "请对方重新运行加入"
            )
        print_ = documents.fingerprint(us, identity)
        _write(db, identity, print_, now, known=newest(store.read_own_keys(db)))
        used = sa.update(store.invitations).where(t.id == row.id)
        db.execute(used.values(state="used"))
        body: dict[str, object] = {"suite": identity.suite, "fingerprint": print_}
        who = EvidenceEvent("members.member.joined", row.uscc, identity.profile.name, at, body)
        emit(db, [who])
        return Joined("pending", b"", answer)


def redeem(engine: sa.Engine, ring: Ring, actor: Actor, text: str, client: Client) -> Member:
    """Redeems an invitation; the member's side. The centre stays pending until it is confirmed here too.

    Raises:
        Invalid: no invitation.
        NotPermitted: it is for another institution, or the centre refuses it.
        IntegrityBroken: the node that answers is not the centre that invited.
    """
    require(actor, "members.join")
    invitation = documents.read_invitation(text)
    with engine.connect() as db:
        signed, us, _ = own_identity(db, ring, invitation.suite)
        generation = newest(store.read_own_keys(db))
    if us.profile.uscc != invitation.uscc or us.profile.role != "member":
        raise NotPermitted("members.not_for_us", "这份邀请不是给本机构的", "请核对邀请的收件机构")
    if invitation.expires_at <= _now():
        raise NotPermitted("members.expired", "邀请已过期", "请中心重新发出邀请")
    shown = client.plain(
        invitation.address, "GET", f"/member/v1/identity?suite={invitation.suite}"
    ).read(SignedIdentity)
    centre = documents.read_identity(shown)
    documents.check_centre(invitation, centre)
    with engine.connect() as db:
        _check_new(db, centre)
    proof = secrets.token_bytes(_PROOF_BYTES)
    asking = Joining(invitation.secret, signed, seal_proof(centre, proof))
    first = _ask(client, invitation.address, asking)
    if not secrets.compare_digest(first.answer, proof) or first.state != "prove":
        raise IntegrityBroken(
            "members.no_proof", "中心没有证明其持有加密密钥", "请核对地址，联系中心"
        )
    with engine.connect() as db:
        _, _, sealing = own_identity(db, ring, invitation.suite, generation)
    answer = open_proof(ring, sealing, first.challenge)
    _ask(client, invitation.address, msgspec.structs.replace(asking, answer=answer))
    at = datetime.now(UTC)
    print_ = documents.fingerprint(centre, us)
    with engine.begin() as db:
        number = _write(db, centre, print_, int(at.timestamp()), known=generation)
        body: dict[str, object] = {"suite": centre.suite, "fingerprint": print_}
        emit(db, [_event("members.invitation.redeemed", centre.profile.uscc, actor, at, body)])
        found = store.get(db, number)
    if found is None:
        raise documents.unknown()
    return found


def confirm(engine: sa.Engine, actor: Actor, number: int, fingerprint: str) -> Member:
    """Lets a member in whose fingerprint, as the other side reads it out, is ours.

    Raises:
        NotYet: the member is not pending.
        IntegrityBroken: the digits differ; it is written down.
    """
    require(actor, "members.confirm")
    at = datetime.now(UTC)
    with engine.begin() as db:
        member = store.get(db, number, lock=True)
        if member is None:
            raise documents.unknown()
        if member.state != "pending":
            raise NotYet("members.not_pending", "该成员不在待确认状态", "请刷新成员列表")
        same = secrets.compare_digest(documents.digits(fingerprint), member.fingerprint)
        uscc = member.profile.uscc
        if same:
            values = {"state": "active", "confirmed_at": int(at.timestamp())}
            store.update(db, number, **values, confirmed_by=actor.name)
            body: dict[str, object] = {"fingerprint": member.fingerprint}
            emit(db, [_event("members.member.confirmed", uscc, actor, at, body)])
        else:
            emit(db, [_event("members.member.differed", uscc, actor, at)])
        found = store.get(db, number)
    if found is None or not same:
        raise IntegrityBroken(
            "members.fingerprint_differs",
            "对方读出的指纹与本机的不同",
            "请逐组再核对一遍；仍不同即可能有人在中间，请吊销并重新邀请",
        )
    return found


def _check_new(db: sa.Connection, identity: Identity) -> None:
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


def _write(db: sa.Connection, identity: Identity, print_: str, now: int, *, known: int) -> int:
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
    }
    before = store.find(db, identity.profile.uscc, lock=True)
    shown = {k.id for k in identity.keys}
    if before is not None:  # keys of an earlier try are no longer anybody's
        stale = [k.id for k in before.keys if k.id not in shown and not k.revoked_at]
        db.execute(sa.update(store.keys).where(store.keys.c.id.in_(stale)).values(revoked_at=now))
    return store.put(db, identity.profile, values, identity.held(now, now + LIFETIME))


def _ask(client: Client, address: str, asking: Joining) -> Joined:
    return client.plain(address, "POST", JOIN, msgspec.json.encode(asking)).read(Joined)


def _refused() -> NotPermitted:
    return NotPermitted(
        "members.no_such_invitation",
        "邀请不存在、已用过、已撤回、已过期，或不是给该机构的",
        "请中心重新发出邀请",
    )


def _event(
    kind: str, subject: str, actor: Actor, at: datetime, body: dict[str, object] | None = None
) -> EvidenceEvent:
    return EvidenceEvent(kind, subject, actor.name, at, {"by": actor.role} | (body or {}))


def _digest(secret: str) -> str:
    return hashlib.sha256(b"pingyao/invitation/" + secret.encode()).hexdigest()


def _now() -> int:
    return int(time.time())
