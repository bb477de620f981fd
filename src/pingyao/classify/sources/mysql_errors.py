"""What the error numbers of MySQL and MariaDB mean for a scan."""

import pymysql

from pingyao.classify.sources.failures import failure
from pingyao.kernel.errors import PingyaoError

_BY_NUMBER = {
    1045: "scan.wrong_password",
    1698: "scan.wrong_password",
    1130: "scan.not_admitted",
    1227: "scan.not_permitted",
    1044: "scan.no_such_database",
    1049: "scan.no_such_database",
    1142: "scan.not_permitted",
    1143: "scan.not_permitted",
    1370: "scan.not_permitted",
    3159: "scan.tls_required",
    4151: "scan.wrong_password",
    2026: "scan.tls_required",
    1146: "scan.table_gone",
    1051: "scan.table_gone",
    1054: "scan.table_changed",
    1412: "scan.table_changed",
    1205: "scan.locked",
    1213: "scan.locked",
    1317: "scan.timed_out",
    1969: "scan.timed_out",
    3024: "scan.timed_out",
    1040: "scan.too_busy",
    1203: "scan.too_busy",
    1226: "scan.too_busy",
    2003: "scan.unreachable",
    2006: "scan.unreachable",
    2013: "scan.unreachable",
    1053: "scan.unreachable",
    1356: "scan.view_broken",
    1034: "scan.damaged",
    126: "scan.damaged",
    1712: "scan.damaged",
}


def explain(error: pymysql.Error, what: str, *, view: bool) -> PingyaoError:
    """Translates a driver's error; its text stays behind, because it may quote data."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    code = _BY_NUMBER.get(number, "scan.read_failed")
    if number == 2003 and "SSL" in str(error):
        code = "scan.tls_required"
    if view and code in ("scan.read_failed", "scan.table_gone"):
        code = "scan.view_broken"
    return failure(code, what, str(number) if number else "")
