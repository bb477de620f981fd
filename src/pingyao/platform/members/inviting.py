"""The centre's side of joining: making invitations, taking them back, receiving who redeems one."""

import hashlib
import secrets
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from pingyao.kernel.errors import Conflict, IntegrityBroken, Invalid, NotFound, NotPermitted, NotYet
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.crypto.suites import suite_of
from pingyao.platform.members import codes, documents, store
from pingyao.platform.members.documents import InvitationText
from pingyao.platform.members.model import Invitation, Invited, Profile
from pingyao.platform.members.proofs import (
    Joined,
    Joining,
    check_new,
    event,
    open_proof,
    own_identity,
    seal_proof,
    write_pending,
)
from pingyao.platform.members.ring import Ring, newest
from pingyao.platform.outbox import emit
from pingyao.platform.policy import Actor, require

HOURS, MOST_HOURS = 72, 30 * 24


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
        emit(db, [event("members.invitation.made", uscc, actor, at, body)])
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
        emit(db, [event("members.invitation.withdrawn", row.uscc, actor, datetime.now(UTC))])


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
        check_new(db, identity)
        wanted = ring.mac(b"join\n" + row.digest.encode() + given.identity.document)
        answer = open_proof(ring, sealing, given.challenge)
        if not given.answer:
            return Joined("prove", seal_proof(identity, wanted), answer)
        if not secrets.compare_digest(given.answer, wanted):
            raise IntegrityBroken(
                "members.no_proof", "对方没有证明其持有加密密钥", "请对方重新运行加入"
            )
        print_ = documents.fingerprint(us, identity)
        write_pending(db, identity, print_, now, known=newest(store.read_own_keys(db)))
        used = sa.update(store.invitations).where(t.id == row.id)
        db.execute(used.values(state="used"))
        body: dict[str, object] = {"suite": identity.suite, "fingerprint": print_}
        who = EvidenceEvent("members.member.joined", row.uscc, identity.profile.name, at, body)
        emit(db, [who])
        return Joined("pending", b"", answer)


def _refused() -> NotPermitted:
    return NotPermitted(
        "members.no_such_invitation",
        "邀请不存在、已用过、已撤回、已过期，或不是给该机构的",
        "请中心重新发出邀请",
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(b"pingyao/invitation/" + secret.encode()).hexdigest()
