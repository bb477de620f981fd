"""The member's side of joining, and what both sides do last: compare digits, then confirm.

Every key is proved: the signing key signs the identity, the sealing key opens an envelope. Nothing is
accepted from who has not been confirmed by the security administrator.
"""

import secrets
import time
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import IntegrityBroken, NotPermitted, NotYet
from pingyao.platform.members import documents, publishing, store
from pingyao.platform.members.client import Client
from pingyao.platform.members.documents import SignedIdentity
from pingyao.platform.members.model import Member
from pingyao.platform.members.proofs import (
    JOIN,
    PROOF_BYTES,
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
    if invitation.expires_at <= int(time.time()):
        raise NotPermitted("members.expired", "邀请已过期", "请中心重新发出邀请")
    shown = client.plain(
        invitation.address, "GET", f"/member/v1/identity?suite={invitation.suite}"
    ).read(SignedIdentity)
    centre = documents.read_identity(shown)
    documents.check_centre(invitation, centre)
    with engine.connect() as db:
        check_new(db, centre)
    proof = secrets.token_bytes(PROOF_BYTES)
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
        number = write_pending(db, centre, print_, int(at.timestamp()), known=generation)
        body: dict[str, object] = {"suite": centre.suite, "fingerprint": print_}
        emit(db, [event("members.invitation.redeemed", centre.profile.uscc, actor, at, body)])
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
            emit(db, [event("members.member.confirmed", uscc, actor, at, body)])
            publishing.publish(db, actor.name, at)
        else:
            emit(db, [event("members.member.differed", uscc, actor, at)])
        found = store.get(db, number)
    if found is None or not same:
        raise IntegrityBroken(
            "members.fingerprint_differs",
            "对方读出的指纹与本机的不同",
            "请逐组再核对一遍；仍不同即可能有人在中间，请吊销并重新邀请",
        )
    return found


def _ask(client: Client, address: str, asking: Joining) -> Joined:
    return client.plain(address, "POST", JOIN, msgspec.json.encode(asking)).read(Joined)
