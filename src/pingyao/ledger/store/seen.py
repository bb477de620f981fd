"""Which entries are already in the log, so that a repeated submission adds nothing.

Leaf hashes are kept by their first eight bytes in sorted runs of equal length, mapped from files. A filter
over every few runs tells at once of nearly every new leaf that it is in none of them, so that the cost of a
batch hardly grows with the log. A hit is only a candidate; the whole hash decides. The runs are derived and
may be deleted.
"""

import os
from pathlib import Path

import numpy as np

from pingyao.ledger.model import HASH
from pingyao.ledger.store.hashes import HashFiles
from pingyao.platform.files import write_atomically

RUN = 1 << 18
# A filter has one word for two leaves: one new leaf in four thousand is looked up in vain.
_RUNS = 16
_WORD_BITS = 21
_BITS = 6
_KEY = np.dtype("<u8")
_PLACE = np.dtype("<u4")
_Keys = np.ndarray[tuple[int], np.dtype[np.uint64]]
_Words = np.ndarray[tuple[int], np.dtype[np.intp]]
_Places = np.ndarray[tuple[int], np.dtype[np.uint32]]


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
        self._runs: list[tuple[_Keys, _Places]] = []
        self._filters: list[_Keys] = []
        folder.mkdir(exist_ok=True, mode=0o700)
        while (len(self._runs) + 1) * RUN <= hashes.size:
            self._open_run()
        wanted = {self._name(i) for i in range(len(self._runs))}
        for name in set(os.listdir(folder)) - wanted:
            (folder / name).unlink()
        start = len(self._runs) * RUN
        rest = hashes.tile(0, start, hashes.size - start)
        for i in range(0, len(rest), HASH):
            self._fresh[rest[i : i + HASH]] = start + i // HASH

    def find(self, leaves: list[bytes]) -> list[int | None]:
        """Returns the index of each leaf, None for those that are new."""
        found = [self._fresh.get(leaf) for leaf in leaves]
        if not self._runs:
            return found
        keys = np.frombuffer(b"".join(leaf[:8] for leaf in leaves), _KEY)
        words, bits = _spread(keys)
        for group, held in enumerate(self._filters):
            # "wrap" spares the check of every word against the length, half the time of a look.
            for which in np.flatnonzero(held.take(words, mode="wrap") & bits == bits).tolist():
                for run in range(group * _RUNS, min((group + 1) * _RUNS, len(self._runs))):
                    index = self._exact(leaves[which], keys[which], run)
                    if index is not None:
                        found[which] = index
        return found

    def _exact(self, leaf: bytes, key: np.uint64, run: int) -> int | None:
        keys, places = self._runs[run]
        at = int(np.searchsorted(keys, key))
        while at < len(keys) and keys[at] == key:
            index = run * RUN + int(places[at])
            if self._hashes.tile(0, index, 1) == leaf:
                return index
            at += 1
        return None

    def add(self, leaves: list[bytes], first: int) -> None:
        """Notes new leaves; a full run is sorted and put away."""
        self._fresh.update(zip(leaves, range(first, first + len(leaves)), strict=True))
        before = len(self._runs)
        while (len(self._runs) + 1) * RUN <= first + len(leaves):
            self._open_run()
        if len(self._runs) > before:
            start = len(self._runs) * RUN
            self._fresh = {leaf: i for leaf, i in self._fresh.items() if i >= start}

    def _name(self, run: int) -> str:
        return f"{run * RUN}-{(run + 1) * RUN}"

    def _open_run(self) -> None:
        run = len(self._runs)
        path = self._folder / self._name(run)
        if not path.exists() or path.stat().st_size != RUN * (8 + 4):
            leaves = np.frombuffer(self._hashes.tile(0, run * RUN, RUN), np.uint8)
            write_atomically(path, sorted_run(leaves))
        # Plain arrays over the mapping: every look at a `memmap` itself costs ten times as much.
        keys = np.asarray(np.memmap(path, _KEY, "r", 0, (RUN,)))
        places = np.asarray(np.memmap(path, _PLACE, "r", RUN * 8, (RUN,)))
        self._runs.append((keys, places))
        if run % _RUNS == 0:
            self._filters.append(np.zeros(1 << _WORD_BITS, np.uint64))
        words, bits = _spread(keys)
        np.bitwise_or.at(self._filters[-1], words, bits)


def _spread(keys: _Keys) -> tuple[_Words, _Keys]:
    """Returns for each key its word of a filter, and its bits in the word."""
    one, last = np.uint64(1), np.uint64(63)
    bits = np.zeros(len(keys), np.uint64)
    for shift in range(_WORD_BITS, _WORD_BITS + 6 * _BITS, 6):
        bits |= one << (keys >> np.uint64(shift) & last)
    return (keys & np.uint64((1 << _WORD_BITS) - 1)).astype(np.intp), bits


def sorted_run(leaves: "np.ndarray[tuple[int], np.dtype[np.uint8]]") -> bytes:
    """Returns the content of the run over leaf hashes that stand one after another."""
    keys = np.ascontiguousarray(leaves.reshape(-1, HASH)[:, :8]).view(_KEY).ravel()
    order = np.argsort(keys, kind="stable")
    return keys[order].tobytes() + order.astype(_PLACE).tobytes()
