"""What every page loads, and the headers that say what else it may not."""

import gzip
from functools import cache
from importlib.resources import files
from typing import Any

from litestar import Request, Response, get
from litestar.datastructures import MutableScopeHeaders
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.types import Message, Scope

from pingyao.platform.web.admission import PUBLIC

_MEDIA = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
# What a page may load: what this node serves, and nothing else; pictures inside the style sheet.
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


@get(
    "/static/{edition:str}/{name:str}",
    action=PUBLIC,
    uncounted=True,
    include_in_schema=False,
    sync_to_thread=False,
)
def asset(
    edition: FromPath[str], name: FromPath[str], request: Request[Any, Any, Any]
) -> Response[bytes]:
    """Returns a style sheet or script; one edition never changes."""
    held = _assets().get(name)
    if held is None:
        raise NotFoundException
    plain, packed, media = held
    headers = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type=media, headers=headers | {"content-encoding": "gzip"})
    return Response(plain, media_type=media, headers=headers)


def add_headers(message: Message, scope: Scope) -> None:
    """Adds what every answer says to a browser, pages or not."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    for name, value in _HEADERS.items():
        headers[name] = value
    headers.setdefault("cache-control", "no-store")
    if scope["scheme"] == "https":
        headers["strict-transport-security"] = "max-age=31536000"


@cache
def _assets() -> dict[str, tuple[bytes, bytes, str]]:
    found: dict[str, tuple[bytes, bytes, str]] = {}
    for file in files("pingyao.platform.web").joinpath("static").iterdir():
        media = _MEDIA.get(file.name[file.name.rfind(".") :])
        if media:
            plain = file.read_bytes()
            found[file.name] = plain, gzip.compress(plain, 9, mtime=0), media
    return found
