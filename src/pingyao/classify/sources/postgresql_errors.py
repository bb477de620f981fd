"""What a PostgreSQL server's refusals mean, by state, class or text."""

import re

import psycopg

from pingyao.classify.sources.failures import failure
from pingyao.kernel.errors import PingyaoError

_BY_STATE = {
    "42501": "scan.not_permitted",
    "42P01": "scan.table_gone",
    "3F000": "scan.table_gone",
    "42703": "scan.table_changed",
    "55P03": "scan.locked",
    "40P01": "scan.locked",
    "57014": "scan.timed_out",
    "XX001": "scan.damaged",
    "XX002": "scan.damaged",
    "28P01": "scan.wrong_password",
    "28000": "scan.not_admitted",
    "3D000": "scan.no_such_database",
}
_BY_CLASS = {"08": "scan.unreachable", "53": "scan.too_busy", "57": "scan.unreachable"}
# A refused connection carries no SQLSTATE, only text in the server's language; the first that fits.
_BY_TEXT = (
    (
        "scan.tls_required",
        r"no encryption|SSL off|does not support SSL|SSL error|certificate|没有加密|不支持 ?SSL",
    ),
    ("scan.not_admitted", r"pg_hba\.conf|not permitted to log in|不允许.{0,4}登录"),
    (
        "scan.wrong_password",
        r"authentication failed|no password supplied|role \".*\" does not exist"
        r"|(认证|验证)失败|角色 ?\".*\" ?不存在",
    ),
    ("scan.not_permitted", r"permission denied|权限不够"),
    ("scan.no_such_database", r"database \".*\" does not exist|数据库 ?\".*\" ?不存在"),
    (
        "scan.too_busy",
        r"too many (connections|clients)|remaining connection slots|(太|过)多的?(连接|客户)",
    ),
)


def explain(error: psycopg.Error, what: str, *, view: bool, connecting: bool) -> PingyaoError:
    """Translates a driver's error; its text stays behind, because it may quote data."""
    state = error.sqlstate
    if state is None:
        code = "scan.unreachable"
        if connecting:
            text = str(error)
            code = next((code for code, shape in _BY_TEXT if re.search(shape, text)), code)
        return failure(code, what)
    code = _BY_STATE.get(state) or _BY_CLASS.get(state[:2]) or "scan.read_failed"
    if view and code in ("scan.read_failed", "scan.table_gone"):
        code = "scan.view_broken"
    return failure(code, what, state)
