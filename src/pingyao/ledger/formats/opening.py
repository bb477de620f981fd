"""What a proof file carries beside the proof: the entry, and for whoever may read it salt and event."""

import msgspec

from pingyao.kernel.errors import IntegrityBroken
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger.rules.sealing import Opening, check_opening


class Disclosed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry, and the event it stands for laid open.

    Attributes:
        entry, event: as logged and as committed to; without the event the entry alone is shown.
        salt: hexadecimal.
    """

    entry: str
    salt: str = ""
    event: str = ""


def format_opening(entry: bytes, opening: Opening | None = None) -> bytes:
    """Writes what goes into ``extra``."""
    told = Disclosed(entry.decode())
    if opening is not None:
        told = Disclosed(entry.decode(), opening.salt.hex(), opening.event.decode())
    return msgspec.json.encode(told, order="sorted")


def read_opening(extra: bytes | None) -> tuple[bytes, Opening | None] | None:
    """Reads and checks what a proof file shows: the entry, and its opening; None when it shows nothing.

    Raises:
        IntegrityBroken: it cannot be read, or the entry does not commit to the event shown.
    """
    if extra is None:
        return None
    try:
        told = msgspec.json.decode(extra, type=Disclosed)
        entry = told.entry.encode()
        opening = Opening(bytes.fromhex(told.salt), told.event.encode())
        # One form for one content: fromhex would take capitals and spaces as well.
        if opening.salt.hex() != told.salt or msgspec.json.encode(told, order="sorted") != extra:
            raise ValueError("another form")
    except (ValueError, RecursionError):
        raise IntegrityBroken(
            "ledger.opening.malformed", "证明文件所附的条目与内容无法读取", "请向出具方重新取得证明"
        ) from None
    if not opening.salt and not opening.event:
        return entry, None
    check_opening(entry, opening)
    return entry, opening


def read_event(opening: Opening) -> EvidenceEvent:
    """Reads the event an opening shows.

    Raises:
        IntegrityBroken: it is none.
    """
    try:
        return msgspec.json.decode(opening.event, type=EvidenceEvent)
    except (ValueError, RecursionError):
        raise IntegrityBroken(
            "ledger.opening.no_event", "条目所承诺的不是一件事项", "请向出具方询问其内容"
        ) from None
