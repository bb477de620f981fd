"""What a log and a mirror say to each other.

Cites: C2SP tlog-mirror (0838f7b, untagged), add-entries.
"""

from collections.abc import Iterator, Sequence

import msgspec

from pingyao.ledger.formats.text import decimal, malformed, to_base64, unbase64
from pingyao.ledger.formats.tlog_tiles import join_bundle
from pingyao.ledger.model import HASH, WIDTH

INFO_MEDIA = "text/x.tlog.mirror-info"
MOST_PACKAGES = 32
_MOST_HASHES = 63


class AddEntries(msgspec.Struct, frozen=True):
    """A request to store entries.

    Attributes:
        start, end: the entries uploaded; the end is the size of a pending checkpoint.
        ticket: what the mirror gave out before, or nothing.
        packages: entry packages from the start on, each with its proof; maybe not all.
    """

    origin: str
    start: int
    end: int
    ticket: bytes
    packages: bytes


class Package(msgspec.Struct, frozen=True):
    """Entries within one bundle, and the proof that the bundle so far stands in the tree."""

    start: int
    end: int
    entries: list[bytes]
    path: list[bytes]


class Info(msgspec.Struct, frozen=True):
    """How far a mirror is: a pending size, the next entry it wants, and a ticket."""

    size: int
    next: int
    ticket: bytes = b""


def package_ranges(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yields the ranges an upload is cut into, at multiples of 256."""
    while start < end:
        stop = min(end, start - start % WIDTH + WIDTH)
        yield start, stop
        start = stop


def parse_add_entries(body: bytes) -> AddEntries:
    """Reads a request; its packages are not looked at yet.

    Raises:
        IntegrityBroken: it is none.
    """
    try:
        reader = _Reader(body)
        origin = reader.take(reader.number(2)).decode("utf-8")
        start, end = reader.number(8), reader.number(8)
        ticket = reader.take(reader.number(2))
        if start > end:
            raise ValueError("range")
        return AddEntries(origin, start, end, ticket, body[reader.at :])
    except ValueError:
        raise malformed("mirror", "add-entries 请求格式不对") from None


def read_packages(request: AddEntries) -> Iterator[Package]:
    """Yields the packages that are whole; what is left of a torn one is passed over."""
    reader = _Reader(request.packages)
    for start, end in package_ranges(request.start, request.end):
        try:
            entries = [reader.take(reader.number(2)) for _ in range(end - start)]
            path = [reader.take(HASH) for _ in range(reader.number(1))]
        except ValueError:
            return
        yield Package(start, end, entries, path)


def format_add_entries(
    origin: str, start: int, end: int, ticket: bytes, packages: Sequence[Package]
) -> bytes:
    """Writes a request."""
    name = origin.encode()
    parts = [len(name).to_bytes(2), name, start.to_bytes(8), end.to_bytes(8)]
    parts += [len(ticket).to_bytes(2), ticket]
    for each in packages:
        parts += [join_bundle(each.entries), bytes([len(each.path)]), *each.path]
    return b"".join(parts)


def format_info(info: Info) -> bytes:
    """Writes how far a mirror is."""
    return f"{info.size}\n{info.next}\n{to_base64(info.ticket)}\n".encode()


def parse_info(body: bytes) -> Info:
    """Reads how far a mirror is.

    Raises:
        IntegrityBroken: it does not say so.
    """
    try:
        size, following, ticket, rest = body.decode("ascii").split("\n")
        if rest or len(ticket) > 1 << 16:
            raise ValueError("lines")
        return Info(decimal(size), decimal(following), unbase64(ticket))
    except ValueError:
        raise malformed("mirror", "镜像方的答复格式不对") from None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def take(self, count: int) -> bytes:
        found = self._data[self.at : self.at + count]
        if len(found) < count:
            raise ValueError("torn")
        self.at += count
        return found

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width))


def fits_proof(path: Sequence[bytes]) -> bool:
    """Tells whether a proof is as short as the format asks."""
    return len(path) <= _MOST_HASHES
