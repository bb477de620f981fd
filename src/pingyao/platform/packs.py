"""Pack files: found, read within bounds, and decoded with the place of a mistake named."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from pingyao.kernel.errors import Invalid

_LARGEST = 8 * 1024 * 1024
_MOST_FILES = 64
_PLACE = re.compile(r"`\$\.(\w+)\[(\d+)\]")
_BYTE = re.compile(r"\(byte (\d+)\)")

P = TypeVar("P")


def expand(overlays: Sequence[Path]) -> list[Path]:
    """Returns the pack files named, and those in the directories named, by name.

    Raises:
        Invalid: a directory without packs, or too many of them.
    """
    paths: list[Path] = []
    for path in overlays:
        if not path.is_dir():
            paths.append(path)
            continue
        inside = sorted(p for p in path.glob("*.json") if p.is_file())
        if not inside:
            raise Invalid(
                "pack.unreadable", f"目录 {path.name} 中没有规则包", "规则包为扩展名 .json 的文件"
            )
        paths += inside
    if len(paths) > _MOST_FILES:
        raise Invalid("pack.too_many", f"规则包超过 {_MOST_FILES} 个", "请合并规则包")
    return paths


def read_pack(path: Path) -> bytes:
    """Reads a pack file of at most 8 MiB, without its byte order mark."""
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        raise Invalid(
            "pack.unreadable", f"无法读取规则包 {path.name}：{error.strerror}", "请检查路径与权限"
        ) from None
    if len(raw) > _LARGEST:
        raise Invalid("pack.too_large", f"规则包 {path.name} 超过 8 MiB", "请拆分规则包")
    return raw.removeprefix(b"\xef\xbb\xbf")


def decode_pack(raw: bytes, name: str, kind: type[P], guide: str) -> P:
    """Decodes a pack.

    Raises:
        Invalid: it does not fit; the detail names the line or the row, the remedy the guide.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(
            "pack.malformed", f"规则包 {name} 不合格式{_where(raw, str(error))}：{error}", guide
        ) from None


def _where(raw: bytes, message: str) -> str:
    """Names the line of a syntax error, or the row that does not fit the format."""
    byte = _BYTE.search(message)
    if byte:
        line = raw.count(b"\n", 0, int(byte[1])) + 1
        return f"（第 {line} 行）"
    place = _PLACE.search(message)
    if place:
        row = msgspec.json.decode(raw)[place[1]][int(place[2])]
        if isinstance(row, dict):
            for key in ("id", "path"):
                if isinstance(row.get(key), str):
                    return f"（{row[key][:60]}）"
    return ""
