"""The names of keys to look for in lines of JSON, found by what is written."""

# pyright: basic
# Numba compiles these functions with types of its own; the checker knows only NumPy's.

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

LONGEST_NAME = 4096
"""Bytes of a name that is looked for, at most."""
NOWHERE = -1
_SPACE, _QUOTE = 32, 34


class Names(NamedTuple):
    """The names of keys to look for, by hash.

    Attributes:
        text: of all names, one after another; of every name that has dots, what comes before first.
        ends: where each ends, after a leading 0.
        columns: the column each is read into; -1 where it is not asked for.
        known: whether it is a key of the file's first lines.
        plain: whether JSON needs no escapes to write it.
        slots: entry by hash, -1 where there is none.
        width: number of columns.
    """

    text: NDArray[np.uint8]
    ends: NDArray[np.int64]
    columns: NDArray[np.int32]
    known: NDArray[np.bool_]
    plain: NDArray[np.bool_]
    slots: NDArray[np.int32]
    width: int


def look_for(chosen: list[str], known: list[str]) -> Names:
    """Returns the names to look for: the chosen ones are read, the known ones are no surprise."""
    column_of = {name: at for at, name in enumerate(chosen)}
    expected = {*known}
    entries: dict[str, None] = {}
    for name in [*known, *chosen]:
        cuts = [at for at, letter in enumerate(name) if letter == "."]
        entries.update(dict.fromkeys(name[:at] for at in cuts))
        entries[name] = None
    texts = [(name, name.encode("utf-8", "surrogatepass")) for name in entries]
    texts = [(name, text) for name, text in texts if len(text) < LONGEST_NAME]
    ends = np.cumsum([0, *(len(text) for _, text in texts)], dtype=np.int64)
    # Never empty: one byte more than the names.
    text = np.frombuffer(b"".join(t for _, t in texts) + b"\0", np.uint8)
    slots = np.full(1 << (4 * len(texts) + 4).bit_length(), NOWHERE, np.int32)
    _fill(text, ends, slots)
    return Names(
        text,
        ends,
        np.array([column_of.get(name, NOWHERE) for name, _ in texts] or [NOWHERE], np.int32),
        np.array([name in expected for name, _ in texts] or [False], np.bool_),
        np.array([_is_plain(text) for _, text in texts] or [False], np.bool_),
        slots,
        len(chosen),
    )


def _is_plain(name: bytes) -> bool:
    return min(name, default=_SPACE) >= _SPACE and b'"' not in name and b"\\" not in name


@njit(cache=True, nogil=True)
def hashed(text, start, end):
    """Returns a number for some bytes: FNV-1a, folded once."""
    value = np.uint64(14695981039346656037)
    for at in range(start, end):
        value = (value ^ np.uint64(text[at])) * np.uint64(1099511628211)
    return value ^ (value >> np.uint64(29))


@njit(cache=True, nogil=True)
def _fill(text, ends, slots) -> None:
    mask = np.uint64(len(slots) - 1)
    for entry in range(len(ends) - 1):
        slot = hashed(text, ends[entry], ends[entry + 1]) & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = entry


@njit(cache=True, nogil=True)
def _is(entry, path, size, text, ends) -> bool:
    start = ends[entry]
    if ends[entry + 1] - start != size:
        return False
    at = 0
    while at < size and text[start + at] == path[at]:
        at += 1
    return at == size


@njit(cache=True, nogil=True)
def find(code, path, size, text, ends, slots) -> int:
    """Returns the entry of a name by its hash, -1 where it has none."""
    mask = np.uint64(len(slots) - 1)
    slot = code & mask
    while slots[slot] >= 0:
        if _is(slots[slot], path, size, text, ends):
            return slots[slot]
        slot = (slot + np.uint64(1)) & mask
    return -1


@njit(cache=True, nogil=True)
def follows(entry, path, before, key, at, text, ends) -> bool:
    """Tells whether an entry is the key that begins in a text, behind what leads there."""
    start = ends[entry]
    size = ends[entry + 1] - start - before
    if size < 0 or at + size >= len(key) or key[at + size] != _QUOTE:
        return False
    i = 0
    while i < size and text[start + before + i] == key[at + i]:
        i += 1
    led = 0
    while led < before and text[start + led] == path[led]:
        led += 1
    return i == size and led == before
