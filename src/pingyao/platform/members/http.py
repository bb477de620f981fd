"""The API of members for administrators and their programs; every route says what it does."""

from typing import Annotated, Literal

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from pingyao.platform.members import inviting, joining, register, revoking
from pingyao.platform.members.desk import Desk
from pingyao.platform.members.documents import grouped
from pingyao.platform.members.fetching import Fetched
from pingyao.platform.members.model import Invitation, Invited, Member, Profile, Search, State
from pingyao.platform.members.register import Kept
from pingyao.platform.members.rotating import Told
from pingyao.platform.web.node import After, AtNode, InSeat, RowNumber

AtDesk = NamedDependency[Desk]
Text = Annotated[str, msgspec.Meta(max_length=512)]
Words = Annotated[str, QueryParameter(max_length=100)]
RegionStart = Annotated[str, QueryParameter(name="region", max_length=6)]
InState = Annotated[State | Literal[""], QueryParameter(name="state")]
Limit = Annotated[int, QueryParameter(ge=1, le=500)]


class MemberKey(msgspec.Struct, frozen=True):
    """A key of a member; ``public`` in Base64."""

    id: str
    use: str
    kind: str
    public: bytes
    not_before: int
    not_after: int
    revoked_at: int
    why: str


class MemberView(msgspec.Struct, frozen=True):
    """A member as the API shows it.

    Attributes:
        fingerprint: in groups of five digits.
        via: number of the centre whose roster vouches for it; 0 where people have compared fingerprints.
    """

    id: int
    profile: Profile
    suite: str
    state: str
    fingerprint: str
    joined_at: int
    confirmed_at: int
    confirmed_by: str
    revoked_at: int
    why: str
    via: int
    keys: list[MemberKey]


class MembersView(msgspec.Struct, frozen=True):
    """This institution, a page of its members, the newest invitations, and the rosters it keeps.

    Attributes:
        total: how many members the search finds.
        after: leads to the next page, None at the end.
    """

    profile: Profile
    generation: int
    members: list[MemberView]
    total: int
    after: int | None
    invitations: list[Invitation]
    rosters: list[Kept]


class NewInvitation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is to be invited."""

    uscc: Text
    name: Text
    suite: Text = "international"
    hours: Annotated[int, msgspec.Meta(ge=1, le=inviting.MOST_HOURS)] = inviting.HOURS


class Redeeming(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An invitation that was received."""

    invitation: Annotated[str, msgspec.Meta(max_length=8000)]


class Confirming(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The digits as the other side reads them out."""

    fingerprint: Text


class Revoking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a member is shut out, and since when its keys are lost (seconds since the epoch)."""

    why: Text
    since: Annotated[int, msgspec.Meta(ge=0, le=2**40)] | None = None


class RevokingKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which key is revoked, why, and since when it was lost (seconds since the epoch)."""

    key: Annotated[str, msgspec.Meta(max_length=32)]
    why: Text
    since: Annotated[int, msgspec.Meta(ge=0, le=2**40)] | None = None


class Describing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What this institution says of itself."""

    code: Text = ""
    kind: Text = "other"
    region: Text = ""
    address: Text = ""


def shown(member: Member) -> MemberView:
    """Returns a member as the API shows it."""
    fields = {
        f: getattr(member, f)
        for f in MemberView.__struct_fields__
        if f not in ("fingerprint", "keys")
    }
    keys = [MemberKey(*(getattr(k, f) for f in MemberKey.__struct_fields__)) for k in member.keys]
    return MemberView(**fields, fingerprint=grouped(member.fingerprint), keys=keys)


@get("/members", summary="成员 · Members", action="members.list", sync_to_thread=True)
def members(
    node: AtNode,
    seat: InSeat,
    words: Words = "",
    region: RegionStart = "",
    member_state: InState = "",
    after: After = 0,
    limit: Limit = 100,
) -> MembersView:
    """Returns members by number: those with these words in name or codes, in a region, in a state."""
    wanted = Search(words.strip(), region, member_state)
    view = register.view(node.engine, seat.actor, wanted, after, limit + 1)
    last = view.members[limit - 1].id if len(view.members) > limit else None
    listed = [shown(m) for m in view.members[:limit]]
    return MembersView(
        view.profile, view.generation, listed, view.total, last, view.invitations, view.rosters
    )


@get(
    "/members/{number:int}",
    summary="成员详情 · One member",
    action="members.list",
    sync_to_thread=True,
)
def member(number: RowNumber, node: AtNode, seat: InSeat) -> MemberView:
    """Returns a member with its keys."""
    return shown(register.get(node.engine, seat.actor, number)[0])


@post(
    "/members/fetch",
    summary="取名册 · Fetch rosters",
    action="members.fetch",
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def fetch(desk: AtDesk, seat: InSeat) -> list[Fetched]:
    """Asks every centre for its roster now."""
    return desk.fetch(seat.actor)


@post(
    "/members/profile",
    summary="本机构登记信息 · Describe this institution",
    action="members.describe",
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def describe(data: JSONBody[Describing], node: AtNode, seat: InSeat) -> Profile:
    """Sets what this institution says of itself."""
    us = node.institution
    given = Profile(us.name, us.uscc, us.role, data.code, data.kind, data.region, data.address)
    return register.describe(node.engine, seat.actor, given)


@post("/members/invitations", summary="邀请 · Invite", action="members.invite", sync_to_thread=True)
def invite(data: JSONBody[NewInvitation], desk: AtDesk, seat: InSeat) -> Invited:
    """Makes an invitation and returns its text, this once."""
    return desk.invite(seat.actor, data.uscc, data.name, data.suite, data.hours)


@post(
    "/members/invitations/{number:int}/withdraw",
    summary="撤回邀请 · Withdraw an invitation",
    action="members.invite",
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def withdraw(number: RowNumber, node: AtNode, seat: InSeat) -> list[Invitation]:
    """Makes an open invitation useless; returns all."""
    inviting.withdraw(node.engine, seat.actor, number)
    return register.view(node.engine, seat.actor, limit=0).invitations


@post("/members/join", summary="受邀加入 · Join", action="members.join", sync_to_thread=True)
def join(data: JSONBody[Redeeming], desk: AtDesk, seat: InSeat) -> MemberView:
    """Redeems an invitation; returns the centre, pending."""
    return shown(desk.join(seat.actor, data.invitation))


@post(
    "/members/{number:int}/confirm",
    summary="核对指纹并确认 · Confirm",
    action="members.confirm",
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def confirm(
    number: RowNumber, data: JSONBody[Confirming], node: AtNode, seat: InSeat
) -> MemberView:
    """Lets a member in whose fingerprint agrees."""
    return shown(joining.confirm(node.engine, seat.actor, number, data.fingerprint))


@post(
    "/members/{number:int}/revoke",
    summary="吊销成员 · Revoke",
    action="members.revoke",
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def revoke(number: RowNumber, data: JSONBody[Revoking], node: AtNode, seat: InSeat) -> MemberView:
    """Shuts a member out."""
    return shown(revoking.revoke(node.engine, seat.actor, number, data.why, data.since))


@post(
    "/members/{number:int}/keys/revoke",
    summary="吊销成员的一把密钥 · Revoke a key of a member",
    action="members.revoke",
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def revoke_key(
    number: RowNumber, data: JSONBody[RevokingKey], node: AtNode, seat: InSeat
) -> MemberView:
    """Revokes one key; the member goes on with its others."""
    given = (number, data.key, data.why, data.since)
    return shown(revoking.revoke_key(node.engine, seat.actor, *given))


@post(
    "/members/keys/revoke",
    summary="吊销本节点的一把密钥 · Revoke an own key",
    action="members.rotate",
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def revoke_own(data: JSONBody[RevokingKey], desk: AtDesk, seat: InSeat) -> list[Told]:
    """Revokes one of this node's keys, with a successor where it has none, and tells every member."""
    return desk.revoke_own(seat.actor, data.key, data.why, data.since)


@post(
    "/members/keys/rotate",
    summary="轮换本节点密钥 · Rotate own keys",
    action="members.rotate",
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def rotate(desk: AtDesk, seat: InSeat) -> list[Told]:
    """Makes new keys and tells every member."""
    return desk.rotate(seat.actor)


router = Router(
    "/",
    tags=["members"],
    route_handlers=[
        members,
        member,
        fetch,
        describe,
        invite,
        withdraw,
        join,
        confirm,
        revoke,
        revoke_key,
        revoke_own,
        rotate,
    ],
)
