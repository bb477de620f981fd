"""The pages of people: signing in, one's own account, administrators, the audit trail."""

from datetime import UTC, date, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from litestar import Response, Router, get, post
from litestar.params import QueryParameter, URLEncodedBody
from litestar.response import Redirect
from markupsafe import Markup

from pingyao.kernel.errors import Invalid, PingyaoError
from pingyao.platform import audit
from pingyao.platform.identity import oidc, passkeys, people, sessions, totp, trail
from pingyao.platform.identity.http import CHANGES, Words, drop_cookie, set_cookie
from pingyao.platform.identity.model import Issued, SecondStep, Session
from pingyao.platform.policy import ROLES
from pingyao.platform.web.admission import PUBLIC
from pingyao.platform.web.node import (
    LANGUAGES,
    THEMES,
    After,
    AtNode,
    InSeat,
    Node,
    RowNumber,
    Seat,
)
from pingyao.platform.web.pages import go, local, one, render
from pingyao.platform.web.problems import problem_of

Form = URLEncodedBody[dict[str, Any]]
_PAGE = 100
_YEAR = 365 * 86_400


@get("/sign-in", action=PUBLIC, sync_to_thread=True)
def sign_in_page(node: AtNode, seat: InSeat) -> Response[str]:
    """Asks who it is."""
    return render(node, seat, "sign_in.html.j2", here="", back="/sign-in", done="", problem=None)


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
    return render(node, seat, "second.html.j2", here="", back="/sign-in", done="", step=step)


def again(node: Node, seat: Seat, error: PingyaoError) -> Response[str]:
    """Asks who it is once more, and says what was wrong."""
    problem = problem_of(error, seat.language)
    return render(
        node,
        seat,
        "sign_in.html.j2",
        status=problem.status,
        here="",
        back="/sign-in",
        done="",
        problem=problem,
    )


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
        sessions.change_password(
            node.engine, seat.signed_in, one(data, "current"), one(data, "new")
        )
    except PingyaoError as error:
        return _account(node, seat, error)
    return go("/account?done=password")


@post("/account/second-factor", action="own.second_factor", sync_to_thread=True)
def second_factor(data: Form, node: AtNode, seat: InSeat) -> Response[Any]:
    """Shows a new secret, or puts it to use once the code is right."""
    error: PingyaoError | None = None
    if one(data, "code"):
        try:
            sessions.confirm_second_factor(node.engine, seat.signed_in, node.key, one(data, "code"))
            return go("/account?done=second_factor")
        except Invalid as wrong:
            error = wrong
    secret = sessions.begin_second_factor(node.engine, seat.signed_in, node.key)
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
    problem = error and problem_of(error, seat.language)
    return render(
        node,
        seat,
        "account.html.j2",
        status=problem.status if problem else 200,
        here="account",
        back="/account",
        done=done,
        problem=problem,
        secret=secret,
        picture=picture,
        linked=node.oidc is not None and oidc.linked(node.engine, me.actor.id),
        keys=passkeys.listed(node.engine, me.actor),
        has_second=sessions.has_second_factor(node.engine, me),
    )


@get("/people", action="people.list", sync_to_thread=True)
def people_page(node: AtNode, seat: InSeat, done: Words = "") -> Response[str]:
    """Lists the accounts, and what may be done with each."""
    return _people(node, seat, done=done)


@post("/people", action="account.create", sync_to_thread=True)
def create(data: Form, node: AtNode, seat: InSeat) -> Redirect:
    """Makes an account that waits for a role."""
    people.create(node.engine, seat.actor, one(data, "name"), one(data, "person"))
    return go("/people?done=created")


@post("/people/{number:int}/grant", action="account.grant", sync_to_thread=True)
def grant(number: RowNumber, data: Form, node: AtNode, seat: InSeat) -> Response[str]:
    """Gives a role, and shows the one-time password this once."""
    return _people(node, seat, people.grant(node.engine, seat.actor, number, one(data, "role")))


def _changing(name: str) -> Any:
    change, _ = CHANGES[name]

    def route(number: RowNumber, node: AtNode, seat: InSeat) -> Redirect:
        change(node.engine, seat.actor, number)
        return go("/people?done=changed")

    route.__doc__ = change.__doc__
    path = f"/people/{{number:int}}/{name}"
    return post(path, action=f"account.{name}", sync_to_thread=True)(route)


def _people(
    node: Node, seat: Seat, issued: Issued | None = None, *, done: str = ""
) -> Response[str]:
    return render(
        node,
        seat,
        "people.html.j2",
        here="people",
        back="/people",
        done=done,
        accounts=people.listed(node.engine, seat.actor),
        issued=issued,
        roles=ROLES,
        now=int(datetime.now(UTC).timestamp()),
    )


Day = Annotated[str, QueryParameter(max_length=10)]


def _search(kind: str, actor: str, words: str, since: str, until: str) -> audit.Search:
    return audit.Search(kind, actor.strip().lower(), words, _day(since), _day(until))


def _day(given: str) -> date | None:
    try:
        return date.fromisoformat(given) if given else None
    except ValueError:
        raise Invalid("web.bad_day", "日期写法有误", "请写成 2026-01-31") from None


@get("/audit", action="audit.read", sync_to_thread=True)
def audit_page(
    node: AtNode,
    seat: InSeat,
    kind: Words = "",
    actor: Words = "",
    words: Words = "",
    since: Day = "",
    until: Day = "",
    before: After = 0,
) -> Response[str]:
    """Shows what was done."""
    search = _search(kind, actor, words, since, until)
    found = trail.read(node.engine, seat.actor, search, before or None, _PAGE + 1)
    given = {"kind": kind, "actor": actor, "words": words, "since": since, "until": until}
    query = urlencode({k: v for k, v in given.items() if v})
    return render(
        node,
        seat,
        "audit.html.j2",
        here="audit",
        back=f"/audit?{query}",
        done="",
        entries=found[:_PAGE],
        more=len(found) > _PAGE,
        search=search,
        query=query,
        kinds=audit.kinds(),
    )


@get("/audit/export", action="audit.export", sync_to_thread=True)
def audit_export(
    node: AtNode,
    seat: InSeat,
    kind: Words = "",
    actor: Words = "",
    words: Words = "",
    since: Day = "",
    until: Day = "",
    language: Annotated[str, QueryParameter(name="lang")] = "",
) -> Response[bytes]:
    """Gives what a search finds as a workbook."""
    said = language if language in LANGUAGES else seat.language
    search = _search(kind, actor, words, since, until)
    return Response(
        trail.export(node.engine, seat.actor, search, said),
        media_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        headers={"content-disposition": 'attachment; filename="audit.xlsx"'},
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
        people_page,
        create,
        grant,
        *map(_changing, CHANGES),
        audit_page,
        audit_export,
    ],
)
