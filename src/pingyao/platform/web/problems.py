"""Errors at the edge: RFC 9457 problem details for programs, a page for people."""

from functools import cache
from importlib.resources import files

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException

from pingyao.kernel.errors import (
    Conflict,
    IntegrityBroken,
    Invalid,
    NotFound,
    NotPermitted,
    NotYet,
    PingyaoError,
    Unavailable,
    Unsupported,
)

STATUS: tuple[tuple[type[PingyaoError], int], ...] = (
    (NotPermitted, 403),
    (NotFound, 404),
    (Conflict, 409),
    (NotYet, 409),
    (Invalid, 422),
    (Unsupported, 422),
    (IntegrityBroken, 409),
    (Unavailable, 503),
)
_NOBODY = ("identity.signed_out", "identity.refused", "identity.bad_token", "identity.oidc_refused")


class Problem(msgspec.Struct, frozen=True):
    """Problem details of one failed request (Cites: RFC 9457, 3.1).

    Attributes:
        type: a URN made of ``code``; it names the problem and leads nowhere.
        code: stable dotted name.
        remedy: what the reader can do about it.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    remedy: str


def problem_of(error: Exception, language: str = "zh") -> Problem:
    """Says what went wrong; what nobody foresaw is named by its kind alone."""
    if isinstance(error, PingyaoError):
        status = next((s for kind, s in STATUS if isinstance(error, kind)), 500)
        if error.code in _NOBODY:
            status = 401
        elif error.code == "members.too_large":
            status = 413
        return _worded(
            type(error).__name__, status, error.code, error.detail, error.remedy, language
        )
    if isinstance(error, HTTPException):
        code = f"http.{error.status_code}"
        return _worded(code, error.status_code, code, "", "", language)
    detail = f"程序出错，本次操作未完成（{type(error).__name__}）"
    return _worded("http.500", 500, "internal.unforeseen", detail, "", language)


def said(code: str, detail: str, remedy: str, language: str) -> tuple[str, str]:
    """Returns detail and remedy of an error in a language, by its code.

    Chinese is written where the error is raised; English, and what the web itself says, is in
    ``problems.json``. A code without English is told as it was raised.
    """
    written = _words()[language].get(code)
    if written is None or (language == "zh" and detail):
        return detail, remedy or (written or ("", ""))[1]
    return written


def _worded(title: str, status: int, code: str, detail: str, remedy: str, language: str) -> Problem:
    name = _words()[language].get(title, (title, ""))[0]
    detail, remedy = said(code, detail, remedy, language)
    return Problem(f"urn:pingyao:{code}", name, status, detail or name, code, remedy)


@cache
def _words() -> dict[str, dict[str, tuple[str, str]]]:
    raw = files("pingyao.platform.web").joinpath("problems.json").read_bytes()
    return msgspec.json.decode(raw, type=dict[str, dict[str, tuple[str, str]]])


def as_json(problem: Problem, headers: dict[str, str]) -> Response[bytes]:
    """Answers a program."""
    return Response(
        msgspec.json.encode(problem),
        status_code=problem.status,
        media_type="application/problem+json",
        headers=headers,
    )
