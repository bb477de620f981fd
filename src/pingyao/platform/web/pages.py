"""Pages: templates in two languages, rendered here; what a page may not do, its headers say."""

from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

import jinja2
import msgspec
from litestar import MediaType, Response
from litestar.params import QueryParameter, URLEncodedBody
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER

from pingyao.kernel.errors import Invalid, PingyaoError
from pingyao.platform.policy import permits
from pingyao.platform.web.node import Node, Seat
from pingyao.platform.web.problems import problem_of

ROOMS = (
    "pingyao.platform.web",
    "pingyao.platform.identity",
    "pingyao.platform.members",
    "pingyao.classify",
    "pingyao.ledger",
)
"""Packages with a folder ``templates``."""
SPOKEN = ("by", "held", "role", "second_factor", "way", "why", "incremental", "whole", "keys")
"""Facts of events whose values are words of ours: told in the reader's language, as ``said.…``."""
Form = URLEncodedBody[dict[str, Any]]
"""What a form sends."""
Day = Annotated[str, QueryParameter(max_length=10)]


def render(
    node: Node,
    seat: Seat,
    template: str,
    *,
    here: str = "",
    back: str = "/",
    done: str = "",
    error: PingyaoError | None = None,
    status: int = 200,
    **context: Any,
) -> Response[str]:
    """Renders a page for who sits before it.

    Args:
        node: whose page it is.
        seat: who sits before it.
        template: its name.
        here: the word of the menu that leads here.
        back: where a change of language leads.
        done: what has just been done, as ``words.json`` has it below ``done.``.
        error: why it was not; told above all else, and by the status.
        status: of the answer, where nothing went wrong.
        context: what the template speaks of.
    """
    words = _words()[seat.language]
    refusal = error and problem_of(error, seat.language)
    status = refusal.status if refusal else status
    session = seat.session
    text = (
        _templates()
        .get_template(template)
        .render(
            t=words.__getitem__,
            has=words.__contains__,
            lang=seat.language,
            theme=seat.theme,
            node=node,
            here=here,
            back=back,
            done=done,
            refusal=refusal,
            me=session,
            may=lambda action, account=None: (
                session is not None and permits(session.actor, action, account)
            ),
            **context,
        )
    )
    return Response(text, status_code=status, media_type=MediaType.HTML)


def go(path: str) -> Redirect:
    """Sends a browser on after what it changed."""
    return Redirect(path, status_code=HTTP_303_SEE_OTHER)


def local(path: str) -> str:
    """Returns a path of this node; whatever leads elsewhere becomes the front page."""
    fine = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if fine and len(path) < 2000 else "/"


def one(data: dict[str, Any], name: str) -> str:
    """Returns a field of a form; empty if it is missing, the last if it is there twice."""
    value = data.get(name, "")
    value = value[-1] if isinstance(value, list) and value else value
    return value if isinstance(value, str) else ""


def many(data: dict[str, Any], name: str) -> list[str]:
    """Returns all of a field that may be there many times."""
    value = data.get(name, [])
    return [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str)]


def day(given: str) -> date | None:
    """Returns a day as a form sends it; None for an empty field.

    Raises:
        Invalid: it is no day.
    """
    try:
        return date.fromisoformat(given) if given else None
    except ValueError:
        raise Invalid("web.bad_day", "日期写法有误", "请写成 2026-01-31") from None


@cache
def _templates() -> jinja2.Environment:
    loader = jinja2.ChoiceLoader([jinja2.PackageLoader(room) for room in ROOMS])
    made = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["spoken"] = SPOKEN  # type: ignore[assignment]  # any value may be a global
    made.filters["visible"] = visible
    made.filters["n"] = lambda number: f"{number:,}"
    made.filters["moment"] = _moment
    return made


def _moment(seconds: int) -> str:
    """Returns seconds since the epoch as a moment in UTC; nothing for 0."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}" if seconds else ""


def visible(text: str, limit: int = 400) -> str:
    """Returns untrusted text with control and direction characters made visible."""
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:limit])
    return shown + ("…" if len(text) > limit else "")


@cache
def _words() -> dict[str, dict[str, str]]:
    raw = files("pingyao.platform.web").joinpath("words.json").read_bytes()
    return msgspec.json.decode(raw, type=dict[str, dict[str, str]])
