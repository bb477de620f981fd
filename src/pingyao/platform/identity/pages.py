"""The pages of oneself: signing in and out, how one likes to read, one's own account."""

from typing import Any

from litestar import Response, Router, get, post
from litestar.response import Redirect
from markupsafe import Markup

from pingyao.kernel.errors import Invalid, PingyaoError
from pingyao.platform.identity import oidc, own, passkeys, sessions, totp
from pingyao.platform.identity.http import Words, drop_cookie, set_cookie
from pingyao.platform.identity.model import SecondStep, Session
from pingyao.platform.web.admission import PUBLIC
from pingyao.platform.web.node import (
    LANGUAGES,
    THEMES,
    AtNode,
    InSeat,
    Node,
    RowNumber,
    Seat,
)
from pingyao.platform.web.pages import Form, go, local, one, render

_YEAR = 365 * 86_400


@get("/sign-in", action=PUBLIC, sync_to_thread=True)
def sign_in_page(node: AtNode, seat: InSeat) -> Response[str]:
    """Asks who it is."""
    return render(node, seat, "sign_in.html.j2", back="/sign-in")


@post("/sign-in", action=PUBLIC, signs_in=True, sync_to_thread=True)
def sign_in(data: Form, node: AtNode, seat: InSeat) -> Response[Any]:
    """Starts a session under a new token; the one before, if any, ends."""
    try:
        begun = sessions.begin(
            node.engine,
            node.key,
            one(data, "name"),
            one(data, "password"),
            one(data, "code"),
            seat.address,
            seat.site,
        )
    except PingyaoError as error:
        return again(node, seat, error)
    if isinstance(begun, SecondStep):
        return second_step(node, seat, begun)
    return _signed_in(node, seat, begun)


@post("/sign-in/second", action=PUBLIC, signs_in=True, sync_to_thread=True)
def sign_in_second(data: Form, node: AtNode, seat: InSeat) -> Response[Any]:
    """Ends a sign-in by a security key or a code."""
    ticket, shown = one(data, "ticket"), one(data, "shown")
    try:
        session = sessions.finish(node.engine, node.key, ticket, shown, seat.origin, seat.address)
    except PingyaoError as error:
        return again(node, seat, error)
    return _signed_in(node, seat, session)


def second_step(node: Node, seat: Seat, step: SecondStep) -> Response[str]:
    """Asks for the second factor."""
    return render(node, seat, "second.html.j2", back="/sign-in", step=step)


def again(node: Node, seat: Seat, error: PingyaoError) -> Response[str]:
    """Asks who it is once more, and says what was wrong."""
    return render(node, seat, "sign_in.html.j2", back="/sign-in", error=error)


def _signed_in(node: Node, seat: Seat, session: Session) -> Redirect:
    if seat.session is not None:
        sessions.sign_out(node.engine, seat.session)
    response = go("/account" if session.why_unready else "/")
    set_cookie(response, session)
    return response


@post("/sign-out", action="own.sign_out", sync_to_thread=True)
def sign_out(node: AtNode, seat: InSeat) -> Redirect:
    """Ends the session."""
    sessions.sign_out(node.engine, seat.signed_in)
    response = go("/sign-in")
    drop_cookie(response)
    return response


@post("/preferences", action=PUBLIC, sync_to_thread=False)
def prefer(data: Form) -> Redirect:
    """Remembers language and appearance in this browser."""
    response = go(local(one(data, "back")))
    for name, allowed in (("language", LANGUAGES), ("theme", THEMES)):
        if one(data, name) in allowed:
            response.set_cookie(
                key=name, value=one(data, name), max_age=_YEAR, path="/", samesite="strict"
            )
    return response


@get("/account", action="own.see", sync_to_thread=True)
def account_page(node: AtNode, seat: InSeat, done: Words = "") -> Response[str]:
    """Shows one's own account."""
    return _account(node, seat, done=done)


@post("/account/password", action="own.password", sync_to_thread=True)
def change_password(data: Form, node: AtNode, seat: InSeat) -> Response[Any]:
    """Changes one's own password."""
    try:
        if one(data, "new") != one(data, "again"):
            raise Invalid("identity.not_same", "两次输入的新口令不同", "请重新输入")
        own.change_password(node.engine, seat.signed_in, one(data, "current"), one(data, "new"))
    except PingyaoError as error:
        return _account(node, seat, error)
    return go("/account?done=password")


@post("/account/second-factor", action="own.second_factor", sync_to_thread=True)
def second_factor(data: Form, node: AtNode, seat: InSeat) -> Response[Any]:
    """Shows a new secret, or puts it to use once the code is right."""
    error: PingyaoError | None = None
    if one(data, "code"):
        try:
            own.confirm_second_factor(node.engine, seat.signed_in, node.key, one(data, "code"))
            return go("/account?done=second_factor")
        except Invalid as wrong:
            error = wrong
    secret = own.begin_second_factor(node.engine, seat.signed_in, node.key)
    return _account(node, seat, error, secret=secret)


@post("/account/passkeys/options", action="own.second_factor", sync_to_thread=True)
def passkey_options(node: AtNode, seat: InSeat) -> Response[str]:
    """Tells a browser what a new security key has to be."""
    me, name = seat.signed_in, node.institution.name
    options = passkeys.begin(node.engine, me.actor, me.person, seat.site, name)
    return Response(options, media_type="application/json")


@post("/account/passkeys", action="own.second_factor", sync_to_thread=True)
def add_passkey(data: Form, node: AtNode, seat: InSeat) -> Response[Any]:
    """Takes a new security key into use."""
    name, credential = one(data, "name"), one(data, "credential")
    try:
        passkeys.register(node.engine, seat.actor, name, credential, seat.site, seat.origin)
    except PingyaoError as error:
        return _account(node, seat, error)
    return go("/account?done=key_added")


@post("/account/passkeys/{number:int}/remove", action="own.second_factor", sync_to_thread=True)
def remove_passkey(number: RowNumber, node: AtNode, seat: InSeat) -> Response[Any]:
    """Takes a security key out of use."""
    try:
        passkeys.remove(node.engine, seat.actor, number)
    except PingyaoError as error:
        return _account(node, seat, error)
    return go("/account?done=key_removed")


def _account(
    node: Node, seat: Seat, error: PingyaoError | None = None, *, secret: str = "", done: str = ""
) -> Response[str]:
    me, picture = seat.signed_in, ""
    if secret:
        uri = totp.address(secret, me.actor.name, node.institution.name)
        picture = Markup(totp.picture(uri))  # noqa: S704 - made here of an address, not of markup
    return render(
        node,
        seat,
        "account.html.j2",
        here="account",
        back="/account",
        done=done,
        error=error,
        secret=secret,
        picture=picture,
        linked=node.oidc is not None and oidc.linked(node.engine, me.actor.id),
        keys=passkeys.listed(node.engine, me.actor),
        has_second=own.has_second_factor(node.engine, me),
    )


router = Router(
    "/",
    include_in_schema=False,
    route_handlers=[
        sign_in_page,
        sign_in,
        sign_in_second,
        sign_out,
        prefer,
        account_page,
        change_password,
        second_factor,
        passkey_options,
        add_passkey,
        remove_passkey,
    ],
)
