"""Paths and contents of tiles and entry bundles.

Cites: C2SP tlog-tiles v0.1.0.
"""

import re
from collections.abc import Iterable

import msgspec

from pingyao.kernel.errors import NotFound
from pingyao.ledger.formats.text import malformed
from pingyao.ledger.model import ENTRY_BYTES, HASH, HEIGHT, WIDTH

_ENTRIES = -1
_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<n>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<w>[1-9][0-9]{0,2}))?"
)


class Tile(msgspec.Struct, frozen=True):
    """A tile, or with level -1 a bundle of entries; the width is 256 when it is full."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def is_bundle(self) -> bool:
        """Whether it holds entries instead of hashes."""
        return self.level == _ENTRIES


def bundle(index: int, width: int = WIDTH) -> Tile:
    """Names a bundle of entries."""
    return Tile(_ENTRIES, index, width)


def format_path(tile: Tile) -> str:
    """Writes the path of a tile below a log's prefix."""
    digits = f"{tile.index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    index = "/".join([*("x" + g for g in groups[:-1]), groups[-1]])
    level = "entries" if tile.is_bundle else str(tile.level)
    return f"tile/{level}/{index}" + (f".p/{tile.width}" if tile.width < WIDTH else "")


def parse_path(path: str) -> Tile:
    """Reads the path of a tile; every tile has one path only.

    Raises:
        NotFound: it is no such path.
    """
    found = _PATH.fullmatch(path) if len(path) < 64 else None
    if found:
        level = _ENTRIES if found["level"] == "entries" else int(found["level"])
        index = int(found["n"].replace("x", "").replace("/", ""))
        tile = Tile(level, index, int(found["w"] or WIDTH))
        if level < 64 and format_path(tile) == path:
            return tile
    raise NotFound("ledger.tile.bad_path", "没有这样的瓦片路径", "请按 tlog-tiles 的写法请求")


def width_at(level: int, index: int, size: int) -> int:
    """Returns how wide a tile is in a tree of this size; 0 when it is not there."""
    hashes = size >> (HEIGHT * max(level, 0))
    return max(0, min(WIDTH, hashes - index * WIDTH))


def tiles_of(size: int) -> Iterable[Tile]:
    """Yields every tile and bundle of a tree of this size."""
    for level in range(_ENTRIES, 8):
        hashes = size >> (HEIGHT * max(level, 0))
        for index in range(-(-hashes // WIDTH)):
            yield Tile(level, index, width_at(level, index, size))


def join_bundle(entries: Iterable[bytes]) -> bytes:
    """Writes a bundle: each entry after its length."""
    parts: list[bytes] = []
    for entry in entries:
        parts += (len(entry).to_bytes(2), entry)
    return b"".join(parts)


def split_bundle(data: bytes, width: int) -> list[bytes]:
    """Reads a bundle of so many entries.

    Raises:
        IntegrityBroken: it holds more, fewer, or half of one.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(data) and len(entries) <= width:
        end = at + 2 + int.from_bytes(data[at : at + 2])
        entries.append(data[at + 2 : end])
        at = end
    if at != len(data) or len(entries) != width:
        raise malformed("bundle", "条目包的长度或条数不对")
    return entries


def split_tile(data: bytes, width: int) -> list[bytes]:
    """Reads a tile of so many hashes.

    Raises:
        IntegrityBroken: it is longer or shorter.
    """
    if len(data) != width * HASH:
        raise malformed("tile", "瓦片的长度不对")
    return [data[i : i + HASH] for i in range(0, len(data), HASH)]


def fits(entry: bytes) -> bool:
    """Tells whether an entry can stand in a bundle."""
    return len(entry) <= ENTRY_BYTES
