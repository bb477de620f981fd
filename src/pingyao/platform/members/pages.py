"""The page of members: who they are, inviting, joining, comparing fingerprints, revoking."""

import time
from datetime import UTC, datetime
from typing import Any

from litestar import Response, Router, get, post
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from pingyao.kernel.errors import Invalid, PingyaoError
from pingyao.platform.crypto.suites import SUITES
from pingyao.platform.identity.http import Words
from pingyao.platform.members import codes, inviting, joining, register
from pingyao.platform.members.desk import Desk
from pingyao.platform.members.documents import grouped
from pingyao.platform.members.http import AtDesk
from pingyao.platform.members.model import Invited, Profile
from pingyao.platform.web.node import AtNode, InSeat, Node, RowNumber, Seat
from pingyao.platform.web.pages import go, one, render
from pingyao.platform.web.problems import problem_of

Form = URLEncodedBody[dict[str, Any]]


@get("/members", action="members.list", sync_to_thread=True)
def members_page(node: AtNode, seat: InSeat, done: Words = "") -> Response[str]:
    """Lists the members and what may be done with each."""
    return _page(node, seat, done=done)


@post("/members/profile", action="members.describe", sync_to_thread=True)
def describe(data: Form, node: AtNode, seat: InSeat) -> Response[Any]:
    """Sets what this institution says of itself."""
    us = node.institution
    rest = {name: one(data, name) for name in ("code", "kind", "region", "address")}
    try:
        register.describe(node.engine, seat.actor, Profile(us.name, us.uscc, us.role, **rest))
    except PingyaoError as error:
        return _page(node, seat, error)
    return go("/members?done=changed")


@post("/members/invitations", action="members.invite", sync_to_thread=True)
def invite(data: Form, node: AtNode, seat: InSeat, desk: AtDesk) -> Response[str]:
    """Makes an invitation and shows it this once."""
    try:
        hours = one(data, "hours")
        wanted = int(hours) if hours.isascii() and hours.isdigit() and len(hours) < 5 else 0
        uscc, name, suite = (one(data, field) for field in ("uscc", "name", "suite"))
        return _page(node, seat, invited=desk.invite(seat.actor, uscc, name, suite, wanted))
    except PingyaoError as error:
        return _page(node, seat, error)


@post("/members/invitations/{number:int}/withdraw", action="members.invite", sync_to_thread=True)
def withdraw(number: RowNumber, node: AtNode, seat: InSeat) -> Redirect:
    """Makes an open invitation useless."""
    inviting.withdraw(node.engine, seat.actor, number)
    return go("/members?done=changed")


@post("/members/join", action="members.join", sync_to_thread=True)
def join(data: Form, node: AtNode, seat: InSeat, desk: AtDesk) -> Response[Any]:
    """Redeems an invitation."""
    try:
        desk.join(seat.actor, one(data, "invitation"))
    except PingyaoError as error:
        return _page(node, seat, error)
    return go("/members?done=joined")


@post("/members/{number:int}/confirm", action="members.confirm", sync_to_thread=True)
def confirm(number: RowNumber, data: Form, node: AtNode, seat: InSeat) -> Response[Any]:
    """Lets a member in whose fingerprint agrees."""
    try:
        joining.confirm(node.engine, seat.actor, number, one(data, "fingerprint"))
    except PingyaoError as error:
        return _page(node, seat, error)
    return go("/members?done=member_confirmed")


@post("/members/{number:int}/revoke", action="members.revoke", sync_to_thread=True)
def revoke(number: RowNumber, data: Form, node: AtNode, seat: InSeat) -> Response[Any]:
    """Shuts a member out."""
    try:
        register.revoke(node.engine, seat.actor, number, one(data, "why"), _day(one(data, "since")))
    except PingyaoError as error:
        return _page(node, seat, error)
    return go("/members?done=member_revoked")


@post("/members/keys/rotate", action="members.rotate", sync_to_thread=True)
def rotate(node: AtNode, seat: InSeat, desk: AtDesk) -> Response[str]:
    """Makes new keys, tells every member, and shows who has taken them."""
    try:
        return _page(node, seat, told=desk.rotate(seat.actor))
    except PingyaoError as error:
        return _page(node, seat, error)


def _day(given: str) -> int | None:
    try:
        return int(datetime.fromisoformat(given).replace(tzinfo=UTC).timestamp()) if given else None
    except ValueError:
        raise Invalid("web.bad_day", "日期写法有误", "请写成 2026-01-31") from None


def _page(
    node: Node,
    seat: Seat,
    error: PingyaoError | None = None,
    *,
    done: str = "",
    invited: Invited | None = None,
    told: list[register.Told] | None = None,
) -> Response[str]:
    problem = error and problem_of(error, seat.language)
    return render(
        node,
        seat,
        "members.html.j2",
        status=problem.status if problem else 200,
        here="members",
        back="/members",
        done=done,
        problem=problem,
        view=register.view(node.engine, seat.actor),
        invited=invited,
        told=told,
        suites=tuple(SUITES),
        kinds=codes.KINDS,
        grouped=grouped,
        day=lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d"),
        hour=lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        now=int(time.time()),
        hours=inviting.HOURS,
    )


router = Router(
    "/",
    include_in_schema=False,
    route_handlers=[
        members_page,
        describe,
        invite,
        withdraw,
        join,
        confirm,
        revoke,
        rotate,
    ],
    signature_types=[Desk],
)
