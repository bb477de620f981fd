"""Which entries are already in the log, so that a repeated submission adds nothing.

Leaf hashes are kept by their first eight bytes in sorted runs, mapped from files and merged two by two like
the digits of a binary counter: so few of them that a batch is looked up in a handful of searches. A hit is
only a candidate; the whole hash decides. The runs are derived and may be deleted.
"""

import os
from pathlib import Path

import numpy as np

from pingyao.ledger.model import HASH
from pingyao.ledger.store.hashes import HashFiles
from pingyao.platform.files import write_atomically

RUN = 1 << 18
_KEY = np.dtype("<u8")
_PLACE = np.dtype("<u4")
_Array = np.ndarray[tuple[int], np.dtype[np.uint64]]


class Seen:
    """Finds leaves in the log.

    Args:
        folder: where the runs are kept.
        hashes: the tree whose leaves they are.
    """

    def __init__(self, folder: Path, hashes: HashFiles) -> None:
        self._folder = folder
        self._hashes = hashes
        self._fresh: dict[bytes, int] = {}
        self._runs: list[tuple[int, int, _Array, np.ndarray[tuple[int], np.dtype[np.uint32]]]] = []
        self._end = 0
        folder.mkdir(exist_ok=True, mode=0o700)
        for start, end in _cuts(hashes.size):
            self._open(start, end)
        self._sweep()
        rest = hashes.tile(0, self._end, hashes.size - self._end)
        for i in range(0, len(rest), HASH):
            self._fresh.setdefault(rest[i : i + HASH], self._end + i // HASH)

    def find(self, leaves: list[bytes]) -> list[int | None]:
        """Returns the index of each leaf, None for those that are new."""
        found = [self._fresh.get(leaf) for leaf in leaves]
        if not self._runs:
            return found
        keys = np.frombuffer(b"".join(leaf[:8] for leaf in leaves), _KEY)
        order = np.argsort(keys)
        ordered = keys[order]
        for start, _, held, places in self._runs:
            at = np.searchsorted(held, ordered)
            inside = np.minimum(at, len(held) - 1)
            for hit in np.flatnonzero(held[inside] == ordered):
                which = int(order[hit])
                index = self._exact(leaves[which], start, held, places, int(at[hit]))
                if index is not None:
                    found[which] = index
        return found

    def _exact(
        self,
        leaf: bytes,
        start: int,
        held: _Array,
        places: np.ndarray[tuple[int], np.dtype[np.uint32]],
        at: int,
    ) -> int | None:
        key = held[at]
        while at < len(held) and held[at] == key:
            index = start + int(places[at])
            if self._hashes.tile(0, index, 1) == leaf:
                return index
            at += 1
        return None

    def add(self, leaves: list[bytes], first: int) -> None:
        """Notes new leaves; full runs are sorted and put away."""
        self._fresh.update(zip(leaves, range(first, first + len(leaves)), strict=True))
        end = first + len(leaves)
        if end - self._end < RUN:
            return
        whole = end - end % RUN
        for start, stop in _cuts(whole):
            if (start, stop) not in {(r[0], r[1]) for r in self._runs}:
                self._open(start, stop)
        kept = set(_cuts(whole))
        self._runs = [r for r in self._runs if (r[0], r[1]) in kept]
        self._sweep()
        self._end = whole
        self._fresh = {leaf: i for leaf, i in self._fresh.items() if i >= whole}

    def _open(self, start: int, end: int) -> None:
        path = self._folder / f"{start}-{end}"
        count = end - start
        if not path.exists() or path.stat().st_size != count * (8 + 4):
            leaves = np.frombuffer(self._hashes.tile(0, start, count), np.uint8)
            write_atomically(path, sorted_run(leaves))
        held = np.memmap(path, _KEY, "r", 0, (count,))
        places = np.memmap(path, _PLACE, "r", count * 8, (count,))
        self._runs.append((start, end, held, places))
        self._end = max(self._end, end)

    def _sweep(self) -> None:
        wanted = {f"{r[0]}-{r[1]}" for r in self._runs}
        for name in os.listdir(self._folder):
            if name not in wanted:
                (self._folder / name).unlink()


def sorted_run(leaves: "np.ndarray[tuple[int], np.dtype[np.uint8]]") -> bytes:
    """Returns the content of the run over leaf hashes that stand one after another."""
    keys = np.ascontiguousarray(leaves.reshape(-1, HASH)[:, :8]).view(_KEY).ravel()
    order = np.argsort(keys, kind="stable")
    return keys[order].tobytes() + order.astype(_PLACE).tobytes()


def _cuts(size: int) -> list[tuple[int, int]]:
    """Cuts a size into runs, each a power of two of the smallest, the longest first."""
    found: list[tuple[int, int]] = []
    start, count = 0, size // RUN
    while count:
        width = 1 << (count.bit_length() - 1)
        found.append((start, start + width * RUN))
        start, count = start + width * RUN, count - width
    return found
