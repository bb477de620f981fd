"""What a proof file of a sealed event carries beside the proof: entry, salt and event."""

import msgspec

from pingyao.kernel.errors import IntegrityBroken
from pingyao.ledger.rules.sealing import Opening, check_opening


class Disclosed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sealed event laid open for whoever is handed the proof.

    Attributes:
        entry, event: as logged and as sealed.
        salt: hexadecimal.
    """

    entry: str
    salt: str
    event: str


def format_opening(entry: bytes, opening: Opening) -> bytes:
    """Writes what goes into ``extra``."""
    told = Disclosed(entry.decode(), opening.salt.hex(), opening.event.decode())
    return msgspec.json.encode(told, order="sorted")


def read_opening(extra: bytes | None) -> tuple[bytes, Opening] | None:
    """Reads and checks an opening; None when there is none.

    Raises:
        IntegrityBroken: the entry does not commit to the event shown.
    """
    try:
        told = msgspec.json.decode(extra, type=Disclosed) if extra else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if told is None:
        return None
    try:
        opening = Opening(bytes.fromhex(told.salt), told.event.encode())
    except ValueError:
        raise IntegrityBroken(
            "ledger.opening.malformed", "盐值写法有误", "请重新取得证明"
        ) from None
    check_opening(told.entry.encode(), opening)
    return told.entry.encode(), opening
