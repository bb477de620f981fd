"""JSON files that people hand over: bounded in size, of one format, or none at all."""

from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")


def decoded(path: Path, kind: type[T], largest: int) -> T | None:
    """Returns what a file holds; None where it is too large or is not of the kind.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        raw = file.read(largest + 1)
    if len(raw) > largest:
        return None
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
