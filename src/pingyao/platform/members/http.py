"""The API of members for administrators and their programs; every route says what it does."""

from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from pingyao.platform.members import inviting, joining, register
from pingyao.platform.members.desk import Desk
from pingyao.platform.members.documents import grouped
from pingyao.platform.members.model import Invitation, Invited, Member, Profile
from pingyao.platform.members.register import Told
from pingyao.platform.web.node import AtNode, InSeat, RowNumber

AtDesk = NamedDependency[Desk]
Text = Annotated[str, msgspec.Meta(max_length=512)]


class MemberKey(msgspec.Struct, frozen=True):
    """A key of a member; ``public`` in Base64."""

    id: str
    use: str
    kind: str
    public: bytes
    not_before: int
    not_after: int
    revoked_at: int


class MemberView(msgspec.Struct, frozen=True):
    """A member as the API shows it; ``fingerprint`` in groups of five digits."""

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
    keys: list[MemberKey]


class MembersView(msgspec.Struct, frozen=True):
    """This institution, its members and invitations."""

    profile: Profile
    generation: int
    members: list[MemberView]
    invitations: list[Invitation]


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
def members(node: AtNode, seat: InSeat) -> MembersView:
    """Returns the register."""
    view = register.view(node.engine, seat.actor)
    listed = [shown(m) for m in view.members]
    return MembersView(view.profile, view.generation, listed, view.invitations)


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
    return register.view(node.engine, seat.actor).invitations


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
    return shown(register.revoke(node.engine, seat.actor, number, data.why, data.since))


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
    route_handlers=[members, describe, invite, withdraw, join, confirm, revoke, rotate],
)
