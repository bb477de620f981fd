"""What a log and a witness say to each other.

Cites: C2SP tlog-witness v1.0.0, HTTP Interface.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from pingyao.ledger.formats.text import decimal, malformed, to_base64, unbase64
from pingyao.ledger.model import HASH

SIZE_MEDIA = "text/x.tlog.size"
MOST_HASHES = 63
_OLD = "old "


class AddCheckpoint(msgspec.Struct, frozen=True):
    """A request to cosign.

    Attributes:
        old: size the sender believes the witness last cosigned.
        path: proof that the tree grew from there.
        note: the signed checkpoint, verbatim.
    """

    old: int
    path: tuple[bytes, ...]
    note: str


def parse_add_checkpoint(body: bytes) -> AddCheckpoint:
    """Reads a request; nothing in it is checked yet.

    Raises:
        IntegrityBroken: it is none.
    """
    try:
        head, found, note = body.decode("utf-8").partition("\n\n")
        first, *hashes = head.split("\n")
        if not found or not first.startswith(_OLD) or len(hashes) > MOST_HASHES:
            raise ValueError("request")
        path = tuple(unbase64(h, HASH) for h in hashes)
        return AddCheckpoint(decimal(first.removeprefix(_OLD)), path, note)
    except ValueError:
        raise malformed("witness", "add-checkpoint 请求格式不对") from None


def format_add_checkpoint(old: int, path: Sequence[bytes], note: str) -> bytes:
    """Writes a request."""
    lines = (f"{_OLD}{old}", *map(to_base64, path))
    return ("\n".join(lines) + "\n\n" + note).encode()


def parse_size(body: bytes) -> int:
    """Reads the size a witness states when it last cosigned another one.

    Raises:
        IntegrityBroken: it is none.
    """
    try:
        text = body.decode("ascii")
        if not text.endswith("\n"):
            raise ValueError("line")
        return decimal(text[:-1])
    except ValueError:
        raise malformed("witness", "见证方答复的树大小格式不对") from None


def origin_hash(origin: str) -> str:
    """Returns the name under which witnesses and mirrors serve a log."""
    return hashlib.sha256(origin.encode()).hexdigest()
