"""Hashes of the tree, one file per tile level, and where each entry lies: derived, never flushed for one batch.

A tile is a stretch of its level's file, a partial tile the beginning of one: nothing is written twice and
every width ever signed can be served. What is written never changes, so it may be read from any thread
while one appends.
"""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from pingyao.kernel.errors import IntegrityBroken
from pingyao.ledger.model import HASH, HEIGHT, WIDTH
from pingyao.ledger.rules.tree import perfect_root, range_hash
from pingyao.ledger.store.entries import write_at

_LEVELS = 6
_POSITION = 8
_CACHED = 4096


class HashFiles:
    """The tree up to a size.

    Attributes:
        size: leaves that are written.
    """

    def __init__(self, folder: Path, *, writable: bool) -> None:
        if writable:
            folder.mkdir(exist_ok=True, mode=0o700)
        flags = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
        names = [*(f"level-{n}" for n in range(_LEVELS)), "positions"]
        self._handles = [os.open(folder / name, flags, 0o600) for name in names]
        self._positions = self._handles.pop()
        self._tails: list[list[bytes]] = [[] for _ in range(_LEVELS)]
        # A perfect subtree never changes; the left edge of one head is that of the next.
        self._nodes = lru_cache(_CACHED)(self._node)
        self.size = 0

    def close(self) -> None:
        """Closes the files."""
        for handle in (*self._handles, self._positions):
            os.close(handle)

    def written(self) -> int:
        """Returns how many leaves the files could hold, by their lengths."""
        size = os.fstat(self._positions).st_size // _POSITION
        for level, handle in enumerate(self._handles):
            held = os.fstat(handle).st_size // HASH
            if held < size >> HEIGHT * level:
                size = ((held + 1) << HEIGHT * level) - 1
        return size

    def resume(self, size: int) -> None:
        """Goes on from a size that is written; what lies after it is dropped, to be written again."""
        self.size = size
        self._nodes.cache_clear()
        os.ftruncate(self._positions, size * _POSITION)
        for level in range(_LEVELS):
            count = size >> HEIGHT * level
            os.ftruncate(self._handles[level], count * HASH)
            start = count - count % WIDTH
            self._tails[level] = self._read(level, start, count % WIDTH)

    def append(
        self, leaves: Sequence[bytes], positions: "np.ndarray[tuple[int], np.dtype[np.uint64]]"
    ) -> None:
        """Adds leaves and where their entries lie."""
        write_at(self._positions, positions.astype(">u8").tobytes(), self.size * _POSITION)
        added: Sequence[bytes] = leaves
        for level in range(_LEVELS):
            if not added:
                break
            at = (self.size >> HEIGHT * level) * HASH
            write_at(self._handles[level], b"".join(added), at)
            tail = self._tails[level]
            tail.extend(added)
            full = len(tail) // WIDTH
            added = [perfect_root(tail[i * WIDTH : (i + 1) * WIDTH]) for i in range(full)]
            del tail[: full * WIDTH]
        self.size += len(leaves)

    def flush(self) -> None:
        """Waits until everything is on the disk."""
        for handle in (*self._handles, self._positions):
            os.fdatasync(handle)

    def root(self, size: int) -> bytes:
        """Returns the root of the tree when it had this size."""
        return range_hash(0, size, self.node)

    def node(self, level: int, index: int) -> bytes:
        """Returns the hash of the perfect subtree over ``[index << level, (index + 1) << level)``."""
        return self._nodes(level, index)

    def _node(self, level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        return perfect_root(self._read(tile_level, index << height, 1 << height))

    def _read(self, level: int, first: int, count: int) -> list[bytes]:
        data = self.tile(level, first, count)
        return [data[i : i + HASH] for i in range(0, len(data), HASH)]

    def tile(self, level: int, first: int, count: int) -> bytes:
        """Returns so many hashes of a level.

        Raises:
            IntegrityBroken: the file is shorter.
        """
        data = os.pread(self._handles[level], count * HASH, first * HASH)
        return self._whole(data, count * HASH)

    def positions(self, first: int, count: int) -> list[int]:
        """Returns where so many entries lie in the file of entries."""
        data = os.pread(self._positions, count * _POSITION, first * _POSITION)
        return np.frombuffer(self._whole(data, count * _POSITION), ">u8").tolist()

    @staticmethod
    def _whole(data: bytes, length: int) -> bytes:
        if len(data) < length:
            raise IntegrityBroken(
                "ledger.hashes.short",
                "派生的树文件不完整",
                "删除账本目录下的 hashes 后重新打开，即由条目文件重建",
            )
        return data
