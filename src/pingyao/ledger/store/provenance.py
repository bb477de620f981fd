"""Where a document is taken in, and by which clock."""

import ctypes
import hashlib
import platform
from importlib.metadata import version

import msgspec

from pingyao.ledger.formats.documents import Document, Facts

# adjtimex(2): the clock is not synchronised.
_TIME_ERROR = 5


def facts_of(document: Document, about: dict[str, str] | None = None) -> Facts:
    """Says what is known of a document taken in on this machine."""
    parts = msgspec.msgpack.encode(document.parts)
    return Facts(
        name=document.name,
        size=document.size,
        sha256=document.sha256,
        sm3=document.sm3,
        modified_at=document.modified_at,
        system=f"{platform.node()} pingyao/{version('pingyao')}",
        time_source=_time_source(),
        parts=hashlib.sha256(parts).hexdigest(),
        about=about or {},
    )


def _time_source() -> str:
    """Says what set the clock, as far as the kernel knows: it knows only whether something keeps it."""
    said = {None: "synchronisation unknown", True: "synchronised", False: "not synchronised"}
    return f"system clock, {said[clock_kept()]}"


def clock_kept() -> bool | None:
    """Tells whether something keeps the clock right; None where the kernel does not say."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        # struct timex begins with the modes; all zero only asks. It is 208 bytes at most.
        state = libc.adjtimex(ctypes.create_string_buffer(256))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR
