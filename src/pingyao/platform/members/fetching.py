"""The member's side of the roster: asking the centre for it, refusing what is wrong, and living by it.

Nothing that was learnt gets lost again: a revoked key stays revoked whatever a later roster says, and
members whom people here have confirmed are not for a roster to change.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import IntegrityBroken, PingyaoError
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.crypto.signers import verify
from pingyao.platform.crypto.suites import suite_of
from pingyao.platform.members import documents, roster_store, rosters, store
from pingyao.platform.members.client import Client
from pingyao.platform.members.model import Key, Member, Roster
from pingyao.platform.members.publishing import ROSTER, Published
from pingyao.platform.members.rosters import Document, Listed
from pingyao.platform.outbox import emit

_MOST_ANSWER = 16 << 20


class Fetched(msgspec.Struct, frozen=True):
    """How asking one centre went.

    Attributes:
        members: how many others its roster has.
        new: whether the roster is another than before.
        error: empty where all went well; else the roster before stays.
    """

    centre: int
    name: str
    serial: int = 0
    digest: str = ""
    members: int = 0
    new: bool = False
    error: str = ""


def fetch(engine: sa.Engine, client: Client, by: str) -> list[Fetched]:
    """Asks every active centre for its roster and lives by it from then on.

    Args:
        engine: the database.
        client: asks.
        by: who wants it, for the evidence.
    """
    with engine.connect() as db:
        centres = [m for m in store.read_members(db) if m.profile.role == "centre"]
    return [_fetch(engine, client, c, by) for c in centres if c.state == "active"]


def _fetch(engine: sa.Engine, client: Client, centre: Member, by: str) -> Fetched:
    try:
        with engine.connect() as db:
            kept = roster_store.read(db, centre.id)
        path = f"{ROSTER}?have={kept.digest if kept else ''}"
        answer = client.send(centre.id, "GET", path, most=_MOST_ANSWER).read(Published)
        return take(engine, centre, answer, by)
    except PingyaoError as error:
        if isinstance(error, IntegrityBroken):
            body: dict[str, object] = {"code": error.code}
            event = _event("members.roster.refused", centre, by, datetime.now(UTC), body)
            with engine.begin() as db:
                emit(db, [event])
        return Fetched(centre.id, centre.profile.name, error=error.detail)


def take(engine: sa.Engine, centre: Member, given: Published, by: str) -> Fetched:
    """Takes what a centre has answered, or refuses it and changes nothing.

    Raises:
        IntegrityBroken: a wrong signature, another centre's roster, an older one, another one under the same
            serial, or one that has keys in our name that are not ours.
    """
    at = datetime.now(UTC)
    now = int(at.timestamp())
    document = None
    if given.document:  # what costs is done before anything is locked
        _check_signature(centre, given, now)
        document = rosters.read(given.document, centre.profile.uscc)
    with engine.begin() as db:
        kept = roster_store.claim(db, centre.id)
        if document is None:
            if not kept.digest:
                raise _older("中心没有给出名册")
            roster_store.confirm(db, centre.id, now)
            return _told(db, centre, kept, new=False)
        digest = rosters.digest(given.document)
        if document.serial < kept.serial:
            raise _older(f"中心给出的名册（{document.serial}）比已有的（{kept.serial}）旧")
        if document.serial == kept.serial and digest != kept.digest:
            raise IntegrityBroken(
                "members.roster_differs",
                f"名册 {kept.serial} 有两份内容不同的版本",
                "请保留现场，与中心和其他成员核对摘要",
            )
        taken = Roster(centre.id, document.serial, digest, given.signature, given.key, now, now)
        roster_store.write(db, taken, given.document)
        facts = _apply(db, centre, document, now)
        body = {"serial": taken.serial, "sha256": digest} | facts
        emit(db, [_event("members.roster.taken", centre, by, at, body)])
        return _told(db, centre, taken, new=True)


def _check_signature(centre: Member, given: Published, now: int) -> None:
    key = next((k for k in centre.keys if k.id == given.key), None)
    suite = suite_of(centre.suite)
    good = key is not None and key.use == "sign" and key.kind == suite.signature and key.holds(now)
    if key is None or not good:
        raise IntegrityBroken(
            "members.roster_unsigned", "名册不是以中心有效的密钥签名的", "请与中心核对其密钥"
        )
    verify(suite.signature, key.public, rosters.signed(given.document), given.signature)


def _apply(db: sa.Connection, centre: Member, document: Document, now: int) -> dict[str, object]:
    """Makes the register say what a roster says of others; returns how much has changed."""
    us = store.read_profile(db)
    if us is None:
        raise documents.unknown()
    before = {m.profile.uscc: m for m in store.read_members(db)}
    holders = {k.id: uscc for uscc, m in before.items() for k in m.keys}
    holders |= {k.id: us.uscc for k in store.read_own_keys(db)}
    _check_holders(document, holders, us.uscc)
    listed = {m.profile.uscc: m for m in document.members}
    added = revoked = 0
    for uscc, each in listed.items():
        there = before.get(uscc)
        if uscc == us.uscc:
            _take_ours(db, each)
        elif there is None or there.via == centre.id:
            wanted = _merged(there, each, centre, now)
            if wanted != there:
                store.write(db, wanted)
            was = "" if there is None else there.state
            added += wanted.state == "active" != was
            revoked += wanted.state == "revoked" and was == "active"
    for uscc, there in before.items():
        if there.via == centre.id and uscc not in listed and there.state == "active":
            gone = msgspec.structs.replace(
                there, state="revoked", revoked_at=now, keys=_revoked(there.keys, now)
            )
            store.write(db, gone)
            revoked += 1
    return {"members": len(listed), "added": added, "revoked": revoked}


def _check_holders(document: Document, holders: dict[str, str], us: str) -> None:
    """Refuses a roster that gives a key of one institution to another, or one that is not ours to us."""
    for member in document.members:
        uscc = member.profile.uscc
        for key in member.keys:
            holder = holders.get(key.id)
            # A key of ours that is revoked may be of a node we have lost.
            false_ours = uscc == us and holder is None and not key.revoked_at
            if false_ours or holder not in (None, uscc):
                raise IntegrityBroken(
                    "members.roster_false_key",
                    "名册把一把密钥记在别的机构名下，或以本机构的名义列了别人的密钥",
                    "请保留现场，立即与中心核对；在查明之前沿用原有名册",
                )


def _take_ours(db: sa.Connection, listed: Listed) -> None:
    """Notes which of our keys others are told of, and which the centre has revoked."""
    own = {k.id: k for k in store.read_own_keys(db)}
    for key in listed.keys:
        if ours := own.get(key.id):
            revoked_at = ours.revoked_at or key.revoked_at
            store.change_own_key(db, key.id, listed_at=key.not_before, revoked_at=revoked_at)


def _merged(there: Member | None, listed: Listed, centre: Member, now: int) -> Member:
    """Returns a member as the roster has it, with what was known of its keys and must not be forgotten."""
    known = {k.id: k for k in there.keys} if there else {}
    told = [rosters.held(k) for k in listed.keys]
    keys = [
        msgspec.structs.replace(k, revoked_at=_earlier(k.revoked_at, known[k.id].revoked_at))
        if k.id in known
        else k
        for k in told
    ]
    shown = {k.id for k in told}
    keys += _revoked((k for k in known.values() if k.id not in shown), now)
    return Member(
        id=there.id if there else 0,
        profile=listed.profile,
        suite=listed.suite,
        state=listed.state,
        fingerprint="",
        known=0,
        joined_at=listed.since,
        confirmed_at=listed.since,
        confirmed_by=centre.profile.name,
        revoked_at=listed.revoked_at,
        why="",
        via=centre.id,
        keys=tuple(sorted(keys, key=lambda k: (k.not_before, k.id))),
    )


def _revoked(keys: Iterable[Key], now: int) -> tuple[Key, ...]:
    return tuple(msgspec.structs.replace(k, revoked_at=k.revoked_at or now) for k in keys)


def _earlier(one: int, other: int) -> int:
    """Returns the earlier of two moments of revocation, where 0 is none."""
    return min(one, other) if one and other else one or other


def _told(db: sa.Connection, centre: Member, roster: Roster, *, new: bool) -> Fetched:
    return Fetched(
        centre.id,
        centre.profile.name,
        roster.serial,
        roster.digest,
        roster_store.count_via(db, centre.id),
        new,
    )


def _event(
    kind: str, centre: Member, by: str, at: datetime, body: dict[str, object]
) -> EvidenceEvent:
    return EvidenceEvent(kind, centre.profile.uscc, by, at, body)


def _older(why: str) -> IntegrityBroken:
    return IntegrityBroken(
        "members.roster_older",
        why,
        "中心若从备份恢复过，请其补办其后的吊销；否则可能有人拿旧名册掩盖吊销",
    )
