"""The register: who is a member, what its keys are, when they hold."""

import time
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import NotPermitted
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.members import codes, documents, roster_store, store, trust
from pingyao.platform.members.model import Invitation, Key, Member, OwnKey, Profile, Search
from pingyao.platform.members.ring import newest
from pingyao.platform.outbox import emit
from pingyao.platform.policy import Actor, require

_MOST_INVITATIONS = 100


class Kept(msgspec.Struct, frozen=True):
    """A roster that is kept here.

    Attributes:
        centre: whose it is.
        members: how many are in it, but for ourselves.
        good_until: until when it is relied on if the centre is not heard from again; 0 for our own.
    """

    centre: str
    serial: int
    digest: str
    taken_at: int
    checked_at: int
    members: int
    good_until: int


class View(msgspec.Struct, frozen=True):
    """The register as one reads it.

    Attributes:
        members: those that were searched for.
        total: how many a search finds.
        pending: how many wait for their fingerprints to be compared.
        invitations: the newest.
        generation: the newest of our own keys.
    """

    profile: Profile
    members: list[Member]
    total: int
    pending: int
    keys: list[OwnKey]
    invitations: list[Invitation]
    generation: int
    rosters: list[Kept]


def view(
    engine: sa.Engine,
    actor: Actor,
    wanted: Search = store.ALL,
    after: int = 0,
    limit: int | None = None,
) -> View:
    """Returns this institution, and members by number.

    Args:
        engine: the database.
        actor: who looks.
        wanted: which members.
        after: the number of the last one before.
        limit: how many at most.
    """
    require(actor, "members.list")
    with engine.connect() as db:
        profile, keys = store.read_profile(db), store.read_own_keys(db)
        if profile is None:
            raise documents.unknown()
        return View(
            profile,
            store.read_members(db, wanted, after, limit),
            store.count_members(db, wanted),
            store.count_members(db, Search(state="pending")),
            keys,
            store.read_invitations(db, int(time.time()), _MOST_INVITATIONS),
            newest(keys),
            _kept(db, profile),
        )


def get(engine: sa.Engine, actor: Actor, number: int) -> tuple[Member, str]:
    """Returns a member, and the name of the centre that vouches for it, empty where none does.

    Raises:
        NotFound: there is none of this number.
    """
    require(actor, "members.list")
    with engine.connect() as db:
        member = store.get(db, number)
        if member is None:
            raise documents.unknown()
        centre = store.get(db, member.via) if member.via else None
        return member, centre.profile.name if centre else ""


def find(engine: sa.Engine, actor: Actor, uscc: str) -> Member:
    """Returns the member of a USCC.

    Raises:
        NotFound: there is none.
    """
    require(actor, "members.list")
    with engine.connect() as db:
        member = store.find(db, uscc.strip().upper())
    if member is None:
        raise documents.unknown()
    return member


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


def _kept(db: sa.Connection, us: Profile) -> list[Kept]:
    found: list[Kept] = []
    for roster in roster_store.read_all(db):
        whose = store.get(db, roster.centre)
        found.append(
            Kept(
                centre=whose.profile.name if whose else us.name,
                serial=roster.serial,
                digest=roster.digest,
                taken_at=roster.taken_at,
                checked_at=roster.checked_at,
                members=roster_store.count_via(db, roster.centre),
                good_until=roster.checked_at + trust.MOST_AGE if whose else 0,
            )
        )
    return found
