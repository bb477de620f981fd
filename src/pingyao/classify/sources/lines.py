"""A text file as UTF-8, in blocks of whole lines."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pingyao.classify.sources.bytes import gb18030_to_utf8, is_utf8
from pingyao.classify.sources.encoding import LONGEST_LINE, detect_encoding, open_bytes

_BLOCK = 2 * 1024 * 1024


def line_blocks(path: Path, instead: bytes | None = None) -> Iterator[bytes]:
    """Yields whole lines, each ending with a line break: LF, CR or both.

    Bytes the encoding cannot explain become U+FFFD. A line longer than `LONGEST_LINE` is not held: in
    its place comes ``instead``, or else one piece of it after another.
    """
    encoding = detect_encoding(path)
    with open_bytes(path) as raw:
        if encoding == "utf-8-sig":
            raw.read(len(codecs.BOM_UTF8))
        if encoding == "utf-16":
            yield from _whole(_from_utf16(raw), instead)
        else:
            for block in _whole(iter(lambda: raw.read(_BLOCK), b""), instead):
                yield _as_utf8(block, encoding)


def _whole(blocks: Iterator[bytes], instead: bytes | None) -> Iterator[bytes]:
    rest = b""
    skipping = False
    for block in blocks:
        text = rest + block
        # A CR at the very end may be the first half of a line break.
        end = max(text.rfind(b"\n"), text.rfind(b"\r", 0, len(text) - 1)) + 1
        if skipping and end and instead is not None:
            start = min(at for at in (text.find(b"\n"), text.find(b"\r")) if at >= 0)
            yield instead + text[start:end]
            skipping = False
        elif end:
            yield text[:end]
        rest = text[end:]
        if len(rest) > LONGEST_LINE and instead is None:
            yield rest + b"\n"
            rest = b""
        elif len(rest) > LONGEST_LINE or skipping:
            rest, skipping = text[-1:], True
    if rest:
        yield (instead if skipping and instead else rest) + b"\n"


def _from_utf16(raw: BinaryIO) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    while block := raw.read(_BLOCK):
        yield decoder.decode(block).encode()
    yield decoder.decode(b"", final=True).encode()


def _as_utf8(block: bytes, encoding: str) -> bytes:
    if encoding == "gb18030":
        if (quick := gb18030_to_utf8(block)) is not None:
            return quick
    elif is_utf8(block):
        return block
    return block.decode(encoding, "replace").encode()
