"""What rooms send members beyond a request: envelopes only they open, messages that stand as evidence."""

import time

import sqlalchemy as sa

from pingyao.kernel.errors import IntegrityBroken, NotFound, NotYet
from pingyao.platform.crypto import envelopes
from pingyao.platform.crypto.suites import suite_of
from pingyao.platform.members import documents, register, store, trust
from pingyao.platform.members.model import Member
from pingyao.platform.members.ring import Ring


def seal(engine: sa.Engine, number: int, payload: bytes, context: bytes) -> bytes:
    """Closes a payload for an active member, in its suite.

    Args:
        engine: where the register is.
        number: of the member.
        payload: held in memory; of something large, its data key.
        context: what it belongs to, the same on both sides, e.g. ``b"exchange/offer/17"``.

    Raises:
        NotYet: the member is not active, or has no key that is good now.
    """
    now = int(time.time())
    with engine.connect() as db:
        member = trust.active(db, number, now)
    key = member.key("seal", now)
    if key is None:
        raise NotYet("members.no_key", "对方没有可用的加密密钥", "请对方轮换密钥")
    return envelopes.seal(suite_of(member.suite), member.public(key), payload, context)


def open_sealed(engine: sa.Engine, ring: Ring, sealed: bytes, suite: str, context: bytes) -> bytes:
    """Opens an envelope closed for this node, under any of its keys, however old.

    Raises:
        NotFound: it is for no key of this node.
        IntegrityBroken: another context or suite, or altered bytes.
    """
    named = envelopes.recipient_of(suite_of(suite), sealed)
    with engine.connect() as db:
        keys = store.read_own_keys(db)
    for key in keys:
        if (key.id, key.suite, key.use) == (named, suite, "seal"):
            return ring.open(key, sealed, context)
    raise NotFound("members.not_ours", "信封不是封给本节点的", "请核对收件机构")


def sign(engine: sa.Engine, ring: Ring, to: int, payload: bytes) -> bytes:
    """Returns a payload signed by this node, in the suite the member knows it by.

    Raises:
        NotYet: the member is not active.
    """
    now = int(time.time())
    with engine.connect() as db:
        key = trust.own_key(db, trust.active(db, to, now), "sign", now)
        us = store.read_profile(db)
    if us is None:
        raise documents.unknown()
    return envelopes.sign(suite_of(key.suite), us.uscc, key.id, ring.signer(key), payload)


def open_signed(
    engine: sa.Engine, message: bytes, suite: str, at: int | None = None
) -> tuple[Member, bytes]:
    """Returns who signed a message, and what.

    Args:
        engine: where the register is.
        message: as ``sign`` made it.
        suite: the one it is to be in.
        at: when it is proved to have been signed, see `register.key_at`; now by default.

    Raises:
        NotPermitted: the key was not good then.
        IntegrityBroken: the signature does not hold, or is of another suite than the member's.
    """
    named = envelopes.signer_of(suite_of(suite), message)
    member, key = register.key_at(engine, named, int(time.time()) if at is None else at)
    if member.suite != suite or key.use != "sign":
        raise IntegrityBroken("members.other_suite", "报文的套件与登记的不同", "请对方重新签名")
    return member, envelopes.open_signed(suite_of(suite), member.public(key), message)
