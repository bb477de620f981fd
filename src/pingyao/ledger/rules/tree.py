"""Merkle trees: hashes, and the ranges a proof is made of.

Cites: RFC 6962, 2.1; draft-ietf-plants-merkle-tree-certs-03, 4 (subtrees).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

# ``hashlib.sha256``, or SM3 for the parallel tree.
Hasher = Callable[[bytes], Any]
# The hash of the perfect subtree over ``[index << level, (index + 1) << level)``.
ReadNode = Callable[[int, int], bytes]
Range = tuple[int, int]

EMPTY_ROOT = hashlib.sha256(b"").digest()


def sm3(data: bytes) -> Any:
    """The SM3 hasher of the parallel tree. Cites: GB/T 32905-2016."""
    return hashlib.new("sm3", data)


def leaf_hash(entry: bytes, hasher: Hasher = hashlib.sha256) -> bytes:
    """Returns the hash of an entry."""
    return hasher(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes], hasher: Hasher = hashlib.sha256) -> list[bytes]:
    """Returns the hashes of many entries."""
    return [hasher(b"\x00" + e).digest() for e in entries]


def node_hash(left: bytes, right: bytes, hasher: Hasher = hashlib.sha256) -> bytes:
    """Returns the hash of two subtrees."""
    return hasher(b"\x01" + left + right).digest()


def perfect_root(hashes: Sequence[bytes], hasher: Hasher = hashlib.sha256) -> bytes:
    """Returns the root over a power of two of hashes."""
    level = hashes
    while len(level) > 1:
        level = [
            hasher(b"\x01" + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=True)
        ]
    return level[0]


def perfect_ranges(start: int, end: int) -> list[tuple[int, int]]:
    """Cuts a range of leaves into the perfect subtrees it is made of.

    Returns:
        ``(level, index)`` from left to right.
    """
    found: list[tuple[int, int]] = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        found.append((level, start >> level))
        start += 1 << level
    return found


def range_hash(start: int, end: int, read: ReadNode, hasher: Hasher = hashlib.sha256) -> bytes:
    """Returns the hash of a subtree, ``start`` being a multiple of a power of two ≥ its width."""
    if start == end:
        return hasher(b"").digest()
    parts = [read(level, index) for level, index in perfect_ranges(start, end)]
    found = parts.pop()
    while parts:
        found = node_hash(parts.pop(), found, hasher)
    return found


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Returns the subtrees whose hashes prove a leaf in a tree, from the leaf's sibling up.

    Cites: RFC 6962, 2.1.1.
    """
    if not 0 <= index < size:
        raise ValueError("no such leaf")
    low, high = 0, size
    found: list[Range] = []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            found.append((middle, high))
            high = middle
        else:
            found.append((low, middle))
            low = middle
    return found[::-1]


def consistency_ranges(old: int, size: int) -> list[Range]:
    """Returns the subtrees whose hashes prove that a tree grew from a smaller one.

    Cites: RFC 6962, 2.1.2.
    """
    return subtree_ranges(0, old, size)


def subtree_ranges(start: int, end: int, size: int) -> list[Range]:
    """Returns the subtrees whose hashes prove that the subtree ``[start, end)`` stands in a tree.

    Cites: draft-ietf-plants-merkle-tree-certs-03, 4.4 (subtree consistency proofs).
    """
    if not 0 <= start < end <= size:
        raise ValueError("no such smaller tree")
    low, high, whole = 0, size, True
    found: list[Range] = []
    while (start, end) != (low, high):
        middle = low + _split(high - low)
        if end <= middle:
            found.append((middle, high))
            high = middle
        else:
            found.append((low, middle))
            whole &= start >= middle
            low, start = middle, max(start, middle)
    return (found if whole else [*found, (low, high)])[::-1]


def _split(width: int) -> int:
    """The largest power of two below a width."""
    return 1 << ((width - 1).bit_length() - 1)
