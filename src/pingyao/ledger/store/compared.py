"""What a check makes again from the entries, and the derived files that should hold it."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from pingyao.ledger.model import HEIGHT, WIDTH
from pingyao.ledger.rules.tree import Hasher, node_hash, perfect_root


class Finding(msgspec.Struct, frozen=True):
    """Something that does not follow from the entries.

    Attributes:
        where: file, and place in it where that is known.
        detail: what is wrong, in words.
    """

    where: str
    detail: str


class Compared:
    """A derived file, compared as its content is made again; only the first difference is told."""

    def __init__(self, folder: Path, name: str, found: list[Finding]) -> None:
        path = folder / name
        self._name, self._found = name, found
        self._file = path.open("rb") if path.exists() else None
        self._at = 0
        self._told = False

    def expect(self, data: bytes) -> None:
        """Says what the file must hold next."""
        if self._told:
            return
        held = self._file.read(len(data)) if self._file else b""
        if held != data:
            at = next((i for i, (a, b) in enumerate(zip(held, data, strict=False)) if a != b), 0)
            self._found.append(Finding(f"{self._name} @{self._at + at}", "与由条目重算的结果不符"))
            self._told = True
        self._at += len(data)

    def finish(self) -> None:
        """Says that the file must end here."""
        if self._file:
            if not self._told and self._file.read(1):
                self._found.append(Finding(f"{self._name} @{self._at}", "比由条目重算的结果长"))
            self._file.close()


def grown(
    tails: list[list[bytes]], leaves: Sequence[bytes], hasher: Hasher = hashlib.sha256
) -> Iterator[tuple[int, Sequence[bytes]]]:
    """Grows a tree, of which the unfinished tile of every level is given; yields what each level gets."""
    added = leaves
    for level, tail in enumerate(tails):
        if not added:
            return
        yield level, added
        tail.extend(added)
        full = len(tail) // WIDTH
        added = [perfect_root(tail[i * WIDTH : (i + 1) * WIDTH], hasher) for i in range(full)]
        del tail[: full * WIDTH]


def root_of(tails: list[list[bytes]], hasher: Hasher = hashlib.sha256) -> bytes:
    """Returns the root of a tree by the unfinished tile of every level."""
    parts: list[bytes] = []
    for tail in reversed(tails):
        at = 0
        for bit in reversed(range(HEIGHT)):
            if len(tail) & 1 << bit:
                parts.append(perfect_root(tail[at : at + (1 << bit)], hasher))
                at += 1 << bit
    if not parts:
        return hasher(b"").digest()
    found = parts.pop()
    while parts:
        found = node_hash(parts.pop(), found, hasher)
    return found
