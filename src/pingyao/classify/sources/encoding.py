"""Tells the encoding of a text file and reads it without ever losing a line."""

import codecs
import gzip
import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PROBE = 4 * 1024 * 1024
_BLOCK = 4 * 1024 * 1024
# Beyond this a compressed file is taken for a bomb.
_LARGEST_UNPACKED = 1 << 40


def detect_encoding(path: Path) -> str:
    """Returns ``utf-8``, ``utf-8-sig``, ``utf-16`` or ``gb18030``, by most lines of the first 4 MiB."""
    with open_bytes(path) as file:
        head = file.read(_PROBE)
    for bom, name in _BOMS:
        if head.startswith(bom):
            return name
    whole = head.rpartition(b"\n")[0] or head
    try:
        whole.decode("utf-8")
    except UnicodeDecodeError:
        lines = [line for line in whole.split(b"\n") if not line.isascii()]
        valid = sum(_is_utf8(line) for line in lines)
        return "utf-8" if valid * 2 > len(lines) else "gb18030"
    return "utf-8"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@contextmanager
def open_bytes(path: Path) -> Generator[BinaryIO]:
    """Opens a file, unpacking it on the way when its name ends in ``.gz``."""
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rb") as file:
            yield file  # type: ignore[misc]  # a GzipFile reads like any binary file
    else:
        with path.open("rb") as file:
            yield file


@contextmanager
def open_text(path: Path) -> Generator[Iterator[str]]:
    """Opens a text file line by line; bytes its encoding cannot explain become U+FFFD."""
    encoding = detect_encoding(path)
    with open_bytes(path) as raw:
        yield io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline=None)


class Utf8Reader(io.RawIOBase):
    """A file as UTF-8 bytes, line by line in the encoding each line turns out to have.

    Attributes:
        mended: lines that were not in the file's encoding and were read in the other one.
        quotes: quotation marks read so far.
    """

    def __init__(self, raw: BinaryIO, encoding: str) -> None:
        super().__init__()
        self._raw = raw
        self._plain = encoding in ("utf-8", "utf-8-sig")
        self._other = "gb18030" if self._plain else "utf-8"
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder("utf-16")() if encoding == "utf-16" else None
        self._rest = b""
        self._ready = b""
        self._unpacked = 0
        self.mended = 0
        self.quotes = 0
        if encoding == "utf-8-sig":
            raw.read(len(codecs.BOM_UTF8))

    def readable(self) -> bool:
        """Tells that it can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Reads up to ``size`` bytes of UTF-8."""
        while not self._ready:
            block = self._raw.read(_BLOCK)
            self._unpacked += len(block)
            if self._unpacked > _LARGEST_UNPACKED:
                return b""
            if not block and not self._rest:
                return b""
            self._ready = self._convert(block)
            self.quotes += self._ready.count(b'"')
        if size < 0:
            size = len(self._ready)
        taken, self._ready = self._ready[:size], self._ready[size:]
        return taken

    def _convert(self, block: bytes) -> bytes:
        if self._decoder is not None:
            return self._decoder.decode(block, final=not block).encode("utf-8")
        whole, newline, rest = (self._rest + block).rpartition(b"\n")
        if not block:
            whole, newline, rest = self._rest, b"", b""
        self._rest = rest
        try:
            text = (whole + newline).decode("utf-8" if self._plain else self._encoding)
        except UnicodeDecodeError:
            return b"\n".join(self._line(line) for line in (whole + newline).split(b"\n"))
        return whole + newline if self._plain else text.encode("utf-8")

    def _line(self, line: bytes) -> bytes:
        first = "utf-8" if self._plain else self._encoding
        try:
            return line.decode(first).encode("utf-8")
        except UnicodeDecodeError:
            self.mended += 1
            return line.decode(self._other, "replace").encode("utf-8")
