"""Hashes of a tree, one file per tile level, and where each entry lies: derived, never flushed for one batch.

A tile is a stretch of its level's file, a partial tile the beginning of one: nothing is written twice and
every width ever signed can be served. What is written never changes, so it may be read from any thread
while one appends.
"""

import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from pingyao.kernel.errors import IntegrityBroken
from pingyao.ledger.model import HASH, HEIGHT, WIDTH
from pingyao.ledger.rules.tree import Hasher, perfect_root, range_hash
from pingyao.ledger.store.entries import write_at

LEVELS = 6
_POSITION = 8
_CACHED = 4096


class TreeFiles:
    """A tree up to a size.

    Args:
        hasher: SHA-256, or SM3 for the parallel tree.

    Attributes:
        size: leaves that are written.
    """

    def __init__(self, folder: Path, *, writable: bool, hasher: Hasher = hashlib.sha256) -> None:
        if writable:
            folder.mkdir(exist_ok=True, mode=0o700)
        self._hasher = hasher
        self._handles = [_open(folder / f"level-{n}", writable=writable) for n in range(LEVELS)]
        self._tails: list[list[bytes]] = [[] for _ in range(LEVELS)]
        # A perfect subtree never changes; the left edge of one head is that of the next.
        self._nodes = lru_cache(_CACHED)(self._node)
        self.size = 0

    def close(self) -> None:
        """Closes the files."""
        for handle in self._handles:
            os.close(handle)

    def written(self) -> int:
        """Returns how many leaves the files could hold, by their lengths."""
        return self._held(os.fstat(self._handles[0]).st_size // HASH)

    def _held(self, size: int) -> int:
        for level, handle in enumerate(self._handles):
            held = os.fstat(handle).st_size // HASH
            if held < size >> HEIGHT * level:
                size = ((held + 1) << HEIGHT * level) - 1
        return size

    def resume(self, size: int) -> None:
        """Goes on from a size that is written; what lies after it is dropped, to be written again."""
        self.size = size
        self._nodes.cache_clear()
        for level in range(LEVELS):
            count = size >> HEIGHT * level
            os.ftruncate(self._handles[level], count * HASH)
            start = count - count % WIDTH
            self._tails[level] = self._read(level, start, count % WIDTH)

    def add(self, leaves: Sequence[bytes]) -> None:
        """Adds leaves."""
        added: Sequence[bytes] = leaves
        for level in range(LEVELS):
            if not added:
                break
            at = (self.size >> HEIGHT * level) * HASH
            write_at(self._handles[level], b"".join(added), at)
            tail = self._tails[level]
            tail.extend(added)
            full = len(tail) // WIDTH
            added = [
                perfect_root(tail[i * WIDTH : (i + 1) * WIDTH], self._hasher) for i in range(full)
            ]
            del tail[: full * WIDTH]
        self.size += len(leaves)

    def flush(self) -> None:
        """Waits until everything is on the disk."""
        for handle in self._handles:
            os.fdatasync(handle)

    def root(self, size: int) -> bytes:
        """Returns the root of the tree when it had this size."""
        return self.range(0, size)

    def range(self, start: int, end: int) -> bytes:
        """Returns the hash of a subtree."""
        return range_hash(start, end, self.node, self._hasher)

    def node(self, level: int, index: int) -> bytes:
        """Returns the hash of the perfect subtree over ``[index << level, (index + 1) << level)``."""
        return self._nodes(level, index)

    def _node(self, level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        return perfect_root(self._read(tile_level, index << height, 1 << height), self._hasher)

    def _read(self, level: int, first: int, count: int) -> list[bytes]:
        data = self.tile(level, first, count)
        return [data[i : i + HASH] for i in range(0, len(data), HASH)]

    def tile(self, level: int, first: int, count: int) -> bytes:
        """Returns so many hashes of a level.

        Raises:
            IntegrityBroken: the file is shorter.
        """
        data = os.pread(self._handles[level], count * HASH, first * HASH)
        return _whole(data, count * HASH)


class HashFiles(TreeFiles):
    """The tree of a log, and beside it where each entry lies."""

    def __init__(self, folder: Path, *, writable: bool) -> None:
        super().__init__(folder, writable=writable)
        self._positions = _open(folder / "positions", writable=writable)

    def close(self) -> None:
        """Closes the files."""
        super().close()
        os.close(self._positions)

    def written(self) -> int:
        """Returns how many leaves the files could hold, by their lengths."""
        return self._held(os.fstat(self._positions).st_size // _POSITION)

    def resume(self, size: int) -> None:
        """Goes on from a size that is written; what lies after it is dropped, to be written again."""
        os.ftruncate(self._positions, size * _POSITION)
        super().resume(size)

    def append(
        self, leaves: Sequence[bytes], positions: "np.ndarray[tuple[int], np.dtype[np.uint64]]"
    ) -> None:
        """Adds leaves and where their entries lie."""
        write_at(self._positions, positions.astype(">u8").tobytes(), self.size * _POSITION)
        self.add(leaves)

    def flush(self) -> None:
        """Waits until everything is on the disk."""
        super().flush()
        os.fdatasync(self._positions)

    def positions(self, first: int, count: int) -> list[int]:
        """Returns where so many entries lie in the file of entries."""
        data = os.pread(self._positions, count * _POSITION, first * _POSITION)
        return np.frombuffer(_whole(data, count * _POSITION), ">u8").tolist()


def _open(path: Path, *, writable: bool) -> int:
    """Opens a derived file; returns its handle."""
    return os.open(path, os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY, 0o600)


def _whole(data: bytes, length: int) -> bytes:
    if len(data) < length:
        raise IntegrityBroken(
            "ledger.hashes.short",
            "派生的树文件不完整",
            "删除账本目录下的 hashes 后重新打开，即由条目文件重建",
        )
    return data
