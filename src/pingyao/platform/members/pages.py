"""The pages of members: who they are, one of them with its keys, inviting and joining, this institution."""

import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from litestar import Response, Router, get, post
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from pingyao.kernel.errors import Invalid, PingyaoError
from pingyao.platform.crypto.suites import SUITES
from pingyao.platform.members import codes, inviting, joining, register, revoking, rotating, store
from pingyao.platform.members.desk import Desk
from pingyao.platform.members.documents import grouped
from pingyao.platform.members.fetching import Fetched
from pingyao.platform.members.http import AtDesk, InState, RegionStart, Words
from pingyao.platform.members.model import Invited, Profile, Search
from pingyao.platform.members.rotating import Told
from pingyao.platform.web.node import After, AtNode, InSeat, Node, RowNumber, Seat
from pingyao.platform.web.pages import go, one, render
from pingyao.platform.web.problems import problem_of

Form = URLEncodedBody[dict[str, Any]]
_PAGE = 50


@get("/members", action="members.list", sync_to_thread=True)
def members_page(
    node: AtNode,
    seat: InSeat,
    words: Words = "",
    region: RegionStart = "",
    member_state: InState = "",
    after: After = 0,
    done: Words = "",
) -> Response[str]:
    """Lists the members."""
    wanted = Search(words.strip(), region.strip(), member_state)
    return _list(node, seat, wanted, after, done=done)


@post("/members/fetch", action="members.fetch", sync_to_thread=True)
def fetch(node: AtNode, seat: InSeat, desk: AtDesk) -> Response[str]:
    """Asks every centre for its roster now, and shows how that went."""
    try:
        return _list(node, seat, fetched=desk.fetch(seat.actor))
    except PingyaoError as error:
        return _list(node, seat, error=error)


@get("/members/{number:int}", action="members.list", sync_to_thread=True)
def member_page(number: RowNumber, node: AtNode, seat: InSeat, done: Words = "") -> Response[str]:
    """Shows one member, its keys, and what may be done with it."""
    return _one(node, seat, number, done=done)


@post("/members/{number:int}/confirm", action="members.confirm", sync_to_thread=True)
def confirm(number: RowNumber, data: Form, node: AtNode, seat: InSeat) -> Response[Any]:
    """Lets a member in whose fingerprint agrees."""
    try:
        joining.confirm(node.engine, seat.actor, number, one(data, "fingerprint"))
    except PingyaoError as error:
        return _one(node, seat, number, error)
    return go(f"/members/{number}?done=member_confirmed")


@post("/members/{number:int}/revoke", action="members.revoke", sync_to_thread=True)
def revoke(number: RowNumber, data: Form, node: AtNode, seat: InSeat) -> Response[Any]:
    """Shuts a member out."""
    try:
        why, since = one(data, "why"), _day(one(data, "since"))
        revoking.revoke(node.engine, seat.actor, number, why, since)
    except PingyaoError as error:
        return _one(node, seat, number, error)
    return go(f"/members/{number}?done=member_revoked")


@post("/members/{number:int}/keys/revoke", action="members.revoke", sync_to_thread=True)
def revoke_key(number: RowNumber, data: Form, node: AtNode, seat: InSeat) -> Response[Any]:
    """Revokes one key of a member."""
    try:
        why, since = one(data, "why"), _day(one(data, "since"))
        revoking.revoke_key(node.engine, seat.actor, number, one(data, "key"), why, since)
    except PingyaoError as error:
        return _one(node, seat, number, error)
    return go(f"/members/{number}?done=key_revoked")


@get("/members/joining", action="members.list", sync_to_thread=True)
def joining_page(node: AtNode, seat: InSeat, done: Words = "") -> Response[str]:
    """Shows invitations, and lets invite and join."""
    return _joining(node, seat, done=done)


@post("/members/invitations", action="members.invite", sync_to_thread=True)
def invite(data: Form, node: AtNode, seat: InSeat, desk: AtDesk) -> Response[str]:
    """Makes an invitation and shows it this once."""
    try:
        hours = one(data, "hours")
        wanted = int(hours) if hours.isascii() and hours.isdigit() and len(hours) < 5 else 0
        uscc, name, suite = (one(data, field) for field in ("uscc", "name", "suite"))
        return _joining(node, seat, invited=desk.invite(seat.actor, uscc, name, suite, wanted))
    except PingyaoError as error:
        return _joining(node, seat, error)


@post("/members/invitations/{number:int}/withdraw", action="members.invite", sync_to_thread=True)
def withdraw(number: RowNumber, node: AtNode, seat: InSeat) -> Redirect:
    """Makes an open invitation useless."""
    inviting.withdraw(node.engine, seat.actor, number)
    return go("/members/joining?done=changed")


@post("/members/join", action="members.join", sync_to_thread=True)
def join(data: Form, node: AtNode, seat: InSeat, desk: AtDesk) -> Response[Any]:
    """Redeems an invitation."""
    try:
        centre = desk.join(seat.actor, one(data, "invitation"))
    except PingyaoError as error:
        return _joining(node, seat, error)
    return go(f"/members/{centre.id}?done=joined")


@get("/members/own", action="members.list", sync_to_thread=True)
def own_page(node: AtNode, seat: InSeat, done: Words = "") -> Response[str]:
    """Shows this institution and its keys."""
    return _own(node, seat, done=done)


@post("/members/profile", action="members.describe", sync_to_thread=True)
def describe(data: Form, node: AtNode, seat: InSeat) -> Response[Any]:
    """Sets what this institution says of itself."""
    us = node.institution
    rest = {name: one(data, name) for name in ("code", "kind", "region", "address")}
    try:
        register.describe(node.engine, seat.actor, Profile(us.name, us.uscc, us.role, **rest))
    except PingyaoError as error:
        return _own(node, seat, error)
    return go("/members/own?done=changed")


@post("/members/keys/rotate", action="members.rotate", sync_to_thread=True)
def rotate(node: AtNode, seat: InSeat, desk: AtDesk) -> Response[str]:
    """Makes new keys, tells every member, and shows who has taken them."""
    try:
        return _own(node, seat, told=desk.rotate(seat.actor))
    except PingyaoError as error:
        return _own(node, seat, error)


@post("/members/keys/revoke", action="members.rotate", sync_to_thread=True)
def revoke_own(data: Form, node: AtNode, seat: InSeat, desk: AtDesk) -> Response[str]:
    """Revokes one of this node's keys, tells every member, and shows who has taken that."""
    try:
        why, since = one(data, "why"), _day(one(data, "since"))
        return _own(node, seat, told=desk.revoke_own(seat.actor, one(data, "key"), why, since))
    except PingyaoError as error:
        return _own(node, seat, error)


def _day(given: str) -> int | None:
    try:
        return int(datetime.fromisoformat(given).replace(tzinfo=UTC).timestamp()) if given else None
    except ValueError:
        raise Invalid("web.bad_day", "日期写法有误", "请写成 2026-01-31") from None


def _list(
    node: Node,
    seat: Seat,
    wanted: Search = store.ALL,
    after: int = 0,
    *,
    error: PingyaoError | None = None,
    done: str = "",
    fetched: list[Fetched] | None = None,
) -> Response[str]:
    view = register.view(node.engine, seat.actor, wanted, after, _PAGE + 1)
    given = {"words": wanted.words, "region": wanted.region, "state": wanted.state}
    query = urlencode({k: v for k, v in given.items() if v})
    return _page(
        node,
        seat,
        "members.html.j2",
        f"/members?{query}",
        error,
        done=done,
        view=view,
        rows=view.members[:_PAGE],
        more=len(view.members) > _PAGE,
        f=wanted,
        query=query,
        after=after,
        fetched=fetched,
    )


def _one(
    node: Node, seat: Seat, number: int, error: PingyaoError | None = None, *, done: str = ""
) -> Response[str]:
    member, centre = register.get(node.engine, seat.actor, number)
    view = register.view(node.engine, seat.actor, limit=0)
    return _page(
        node,
        seat,
        "member.html.j2",
        f"/members/{number}",
        error,
        done=done,
        m=member,
        centre=centre,
        behind=rotating.is_behind(member, view.keys),
    )


def _joining(
    node: Node,
    seat: Seat,
    error: PingyaoError | None = None,
    *,
    done: str = "",
    invited: Invited | None = None,
) -> Response[str]:
    return _page(
        node,
        seat,
        "members_joining.html.j2",
        "/members/joining",
        error,
        done=done,
        view=register.view(node.engine, seat.actor, limit=0),
        invited=invited,
        suites=tuple(SUITES),
        hours=inviting.HOURS,
    )


def _own(
    node: Node,
    seat: Seat,
    error: PingyaoError | None = None,
    *,
    done: str = "",
    told: list[Told] | None = None,
) -> Response[str]:
    return _page(
        node,
        seat,
        "members_own.html.j2",
        "/members/own",
        error,
        done=done,
        view=register.view(node.engine, seat.actor, limit=0),
        told=told,
        kinds=codes.KINDS,
    )


def _page(
    node: Node,
    seat: Seat,
    template: str,
    back: str,
    error: PingyaoError | None,
    **context: Any,
) -> Response[str]:
    problem = error and problem_of(error, seat.language)
    return render(
        node,
        seat,
        template,
        status=problem.status if problem else 200,
        here="members",
        back=back,
        problem=problem,
        grouped=grouped,
        day=lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d"),
        hour=lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        now=int(time.time()),
        **context,
    )


router = Router(
    "/",
    include_in_schema=False,
    route_handlers=[
        members_page,
        fetch,
        member_page,
        confirm,
        revoke,
        revoke_key,
        joining_page,
        invite,
        withdraw,
        join,
        own_page,
        describe,
        rotate,
        revoke_own,
    ],
    signature_types=[Desk],
)
