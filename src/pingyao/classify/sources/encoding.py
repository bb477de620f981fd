"""Tells the encoding of a text file and reads it without ever losing a line."""

import codecs
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PROBE = 4 * 1024 * 1024


def detect_encoding(path: Path) -> str:
    """Returns ``utf-8``, ``utf-8-sig``, ``utf-16`` or ``gb18030`` from the file's first 4 MiB."""
    with path.open("rb") as file:
        head = file.read(_PROBE)
    for bom, name in _BOMS:
        if head.startswith(bom):
            return name
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < _PROBE)
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8"


@contextmanager
def open_text(path: Path) -> Generator[Iterator[str]]:
    """Opens a text file line by line; bytes its encoding cannot explain become U+FFFD."""
    with path.open(encoding=detect_encoding(path), errors="replace", newline=None) as file:
        yield file
