"""Tells the encoding of a text file and reads it without ever losing a line."""

import codecs
import gzip
import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pingyao.classify.sources.bytes import gb18030_to_utf8, is_utf8

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PROBE = 4 * 1024 * 1024
_BLOCK = 2 * 1024 * 1024
LONGEST_LINE = 32 * 1024 * 1024
"""Bytes of a line that are held at once."""
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
        valid = sum(is_utf8(line) for line in lines)
        return "utf-8" if valid * 2 > len(lines) else "gb18030"
    return "utf-8"


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
    """Opens a text file line by line; bytes its encoding cannot explain become U+FFFD.

    Of a line longer than `LONGEST_LINE` one piece after another comes.
    """
    encoding = detect_encoding(path)
    with open_bytes(path) as raw:
        text = io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline=None)
        yield iter(lambda: text.readline(LONGEST_LINE), "")


class Utf8Reader:
    """A file as UTF-8 bytes, line by line in the encoding each line turns out to have.

    Attributes:
        consumed: bytes of the file read so far.
        mended: lines that were not in the file's encoding and were read in the other one.
        quotes: quotation marks read so far.
    """

    def __init__(self, raw: BinaryIO, encoding: str) -> None:
        self._raw = raw
        self._plain = encoding in ("utf-8", "utf-8-sig")
        self._other = "gb18030" if self._plain else "utf-8"
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder("utf-16")() if encoding == "utf-16" else None
        self.consumed = 0
        self.mended = 0
        self.quotes = 0
        if encoding == "utf-8-sig":
            raw.read(len(codecs.BOM_UTF8))

    def blocks(self) -> Iterator[bytes]:
        """Yields blocks of whole lines; a line longer than `LONGEST_LINE` comes in pieces."""
        rest = b""
        while block := self._raw.read(_BLOCK):
            self.consumed += len(block)
            if self.consumed > _LARGEST_UNPACKED:
                break
            text, rest = rest + block, b""
            if self._decoder is None and len(text) <= LONGEST_LINE + len(block):
                end = text.rfind(b"\n") + 1
                text, rest = text[:end], text[end:]
            yield self._convert(text)
        yield self._convert(rest, final=True)

    def _convert(self, block: bytes, *, final: bool = False) -> bytes:
        converted = self._converted(block, final=final)
        self.quotes += converted.count(b'"')
        return converted

    def _converted(self, block: bytes, *, final: bool) -> bytes:
        if self._decoder is not None:
            try:
                text = self._decoder.decode(block, final=final)
            except UnicodeDecodeError:
                self.mended += 1
                self._decoder.errors = "replace"
                text = self._decoder.decode(block, final=final)
            return text.encode("utf-8")
        if self._plain and is_utf8(block):
            return block
        if not self._plain and (quick := gb18030_to_utf8(block)) is not None:
            return quick
        return b"\n".join(self._line(line) for line in block.split(b"\n"))

    def _line(self, line: bytes) -> bytes:
        first = "utf-8" if self._plain else self._encoding
        try:
            return line.decode(first).encode("utf-8")
        except UnicodeDecodeError:
            self.mended += 1
            return line.decode(self._other, "replace").encode("utf-8")
