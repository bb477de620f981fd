"""What SQLite's errors mean for a scan."""

import re
import sqlite3

from pingyao.classify.sources.failures import failure
from pingyao.kernel.errors import PingyaoError

_BY_NAME = {
    "SQLITE_BUSY": "scan.locked",
    "SQLITE_LOCKED": "scan.locked",
    "SQLITE_NOTADB": "scan.not_a_database",
    "SQLITE_CORRUPT": "scan.damaged",
    "SQLITE_PERM": "scan.file_not_permitted",
    "SQLITE_AUTH": "scan.file_not_permitted",
    "SQLITE_INTERRUPT": "scan.timed_out",
    "SQLITE_TOOBIG": "scan.cell_too_long",
    "SQLITE_SCHEMA": "scan.table_changed",
    "SQLITE_READONLY": "scan.needs_recovery",
    "SQLITE_CANTOPEN": "scan.needs_recovery",
}
# Generic errors tell what is missing only in their (English, never translated) text.
_MISSING = re.compile(r"no such (table|column|function|module)")


def explain(error: sqlite3.Error, what: str, *, view: bool) -> PingyaoError:
    """Translates a driver's error; its text stays behind, because it may quote data."""
    name = getattr(error, "sqlite_errorname", None) or "SQLITE_ERROR"
    code = _BY_NAME.get("_".join(name.split("_")[:2]), "scan.read_failed")
    if name == "SQLITE_ERROR" and not view and _MISSING.search(str(error)):
        code = "scan.table_changed"
    if view and code == "scan.read_failed":
        code = "scan.view_broken"
    return failure(code, what, name)
