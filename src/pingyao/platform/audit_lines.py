"""Lines of the audit trail as other systems read them: RFC 5424, CEF, JSON.

Cites: RFC 5424, 6; RFC 6587, 3.4.1; ArcSight Common Event Format, Implementing CEF 25.
"""

import re
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version

import msgspec

from pingyao.platform import audit

_FACILITY = 13  # log audit
_INFO, _WARNING, _ALERT = 6, 4, 1
# A number of one's own is given by IANA; this one stands for "none yet" (RFC 5612).
_ENTERPRISE = "pingyao@32473"
_MOST = 32_000
_CEF_SEVERITY = {_INFO: 3, _WARNING: 6, _ALERT: 9}


def as_json(entry: audit.Entry) -> str:
    """Returns a line as one JSON object."""
    return msgspec.json.encode(entry).decode()


def as_syslog(entry: audit.Entry, message: str | None = None) -> str:
    """Returns a line as an RFC 5424 message.

    Args:
        entry: the line.
        message: what stands in its free text; by default the event in words.
    """
    at = _moment(entry).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    host = "".join(c for c in socket.gethostname() if c.isascii() and c.isprintable() and c != " ")
    facts = msgspec.json.encode(entry.body).decode()
    data = {
        "id": str(entry.id),
        "kind": entry.kind,
        "actor": entry.actor,
        "subject": entry.subject,
        "body": facts,
    }
    said = " ".join(f'{name}="{_in_data(value)}"' for name, value in data.items())
    text = _line(_name(entry) if message is None else message)
    head = f"<{_FACILITY * 8 + severity(entry.kind)}>1 {at} {host[:255] or '-'} pingyao -"
    return f"{head} {entry.kind[:32]} [{_ENTERPRISE} {said}] \ufeff{text}"


def as_cef(entry: audit.Entry) -> str:
    """Returns a line in the Common Event Format."""
    level = _CEF_SEVERITY[severity(entry.kind)]
    fields = (version("pingyao"), entry.kind, _name(entry), str(level))
    head = "|".join(["CEF:0", "Pingyao", "pingyao", *map(_in_head, fields)])
    more = {
        "rt": str(int(_moment(entry).timestamp() * 1000)),
        "externalId": str(entry.id),
        "suser": entry.actor,
        "cs1Label": "object",
        "cs1": entry.subject,
        "msg": msgspec.json.encode(entry.body).decode(),
    }
    return f"{head}|{' '.join(f'{k}={_in_extension(v)}' for k, v in more.items() if v)}"


def as_cef_over_syslog(entry: audit.Entry) -> str:
    """Returns a line in the Common Event Format, as syslog carries it."""
    return as_syslog(entry, as_cef(entry))


FORMS: dict[str, Callable[[audit.Entry], str]] = {
    "jsonl": as_json,
    "syslog": as_syslog,
    "cef": as_cef,
}


def severity(kind: str) -> int:
    """Returns how grave an event is, as syslog counts."""
    last = kind.rpartition(".")[2]
    if last in ("suspected", "recovered") or kind == "identity.override.used":
        return _ALERT
    graver = last in ("refused", "locked", "purged") or kind.startswith("identity.override.")
    return _WARNING if graver else _INFO


def _name(entry: audit.Entry) -> str:
    return audit.kinds().get(entry.kind, {}).get("zh", entry.kind)


def _moment(entry: audit.Entry) -> datetime:
    return datetime.fromisoformat(entry.at).astimezone(UTC)


def _line(text: str) -> str:
    # What was written by others must not begin a line, or a colour, of its own.
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:_MOST])


def _in_data(value: str) -> str:
    value = _line(value)
    for mark in ("\\", '"', "]"):
        value = value.replace(mark, "\\" + mark)
    return value


def _in_head(value: str) -> str:
    return _line(value).replace("\\", "\\\\").replace("|", "\\|")


def _in_extension(value: str) -> str:
    parts = (_line(part) for part in re.split("\r\n|\r|\n", value))
    return "\\n".join(p.replace("\\", "\\\\").replace("=", "\\=") for p in parts)
