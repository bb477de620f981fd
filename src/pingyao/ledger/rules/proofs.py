"""Proofs checked: every function returns when the proof holds and raises when it does not.

Cites: RFC 9162, 2.1.3.2 and 2.1.4.2; draft-ietf-plants-merkle-tree-certs-03, 4.3–4.4 (subtrees).
"""

import hashlib
from collections.abc import Sequence

from pingyao.kernel.errors import IntegrityBroken
from pingyao.ledger.model import HASH
from pingyao.ledger.rules.tree import Hasher, node_hash

# Sizes and times fit what every peer can hold.
MOST = 2**63 - 1


def verify_inclusion(
    index: int,
    size: int,
    leaf: bytes,
    path: Sequence[bytes],
    root: bytes,
    hasher: Hasher = hashlib.sha256,
) -> None:
    """Checks that a leaf stands at an index of the tree.

    Raises:
        IntegrityBroken: it does not, or the proof is malformed.
    """
    verify_subtree_inclusion(index, 0, size, leaf, path, root, hasher)


def verify_subtree_inclusion(
    index: int,
    start: int,
    end: int,
    leaf: bytes,
    path: Sequence[bytes],
    root: bytes,
    hasher: Hasher = hashlib.sha256,
) -> None:
    """Checks that a leaf stands at an index of the subtree ``[start, end)``."""
    _check_shape((leaf, *path))
    if not is_subtree(start, end) or not start <= index < end:
        raise _broken("inclusion")
    first, last = index - start, end - start - 1
    found = leaf
    for each in path:
        if not last:
            raise _broken("inclusion")
        if first & 1 or first == last:
            found = node_hash(each, found, hasher)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            found = node_hash(found, each, hasher)
        first, last = first >> 1, last >> 1
    if last or found != root:
        raise _broken("inclusion")


def verify_consistency(
    old: int,
    size: int,
    old_root: bytes,
    root: bytes,
    path: Sequence[bytes],
    hasher: Hasher = hashlib.sha256,
) -> None:
    """Checks that a tree grew from a smaller, not empty one.

    Raises:
        IntegrityBroken: it did not, or the proof is malformed.
    """
    if old < 1:
        raise _broken("consistency")
    verify_subtree_consistency(0, old, size, old_root, root, path, hasher)


def verify_growth(old: int, size: int, old_root: bytes, root: bytes, path: Sequence[bytes]) -> None:
    """Checks as a witness does: from an empty tree everything grows, and needs no proof.

    Cites: C2SP tlog-witness v1.0.0, add-checkpoint.
    """
    if old or path:
        verify_consistency(old, size, old_root, root, path)
    else:
        _check_shape((root,))
        if not 0 <= size <= MOST or (not size and root != hashlib.sha256(b"").digest()):
            raise _broken("consistency")


def verify_subtree_consistency(
    start: int,
    end: int,
    size: int,
    subtree_root: bytes,
    root: bytes,
    path: Sequence[bytes],
    hasher: Hasher = hashlib.sha256,
) -> None:
    """Checks that the subtree ``[start, end)`` stands in a tree; an empty one stands in every tree."""
    _check_shape(path)
    if 0 <= start == end <= size and not path and subtree_root == hasher(b"").digest():
        return
    if not is_subtree(start, end) or end > size:
        raise _broken("consistency")
    first, last, final = start, end - 1, size - 1
    while first != last and (last & 1 or last == final):
        first, last, final = first >> 1, last >> 1, final >> 1
    rest = list(path)
    if first == last:
        old = new = subtree_root
    elif rest:
        old = new = rest.pop(0)
    else:
        raise _broken("consistency")
    for each in rest:
        if not final:
            raise _broken("consistency")
        if last & 1 or last == final:
            if first < last:
                old = node_hash(each, old, hasher)
            new = node_hash(each, new, hasher)
            while not last & 1 and last:
                first, last, final = first >> 1, last >> 1, final >> 1
        else:
            new = node_hash(new, each, hasher)
        first, last, final = first >> 1, last >> 1, final >> 1
    if final or old != subtree_root or new != root:
        raise _broken("consistency")


def is_subtree(start: int, end: int) -> bool:
    """Tells whether a range of leaves is a subtree: it starts at a multiple of its width, rounded up."""
    return 0 <= start < end <= MOST and start % (1 << (end - start - 1).bit_length()) == 0


def _check_shape(hashes: Sequence[bytes]) -> None:
    if len(hashes) > 128 or any(len(h) != HASH for h in hashes):
        raise _broken("shape")


def _broken(what: str) -> IntegrityBroken:
    details = {
        "inclusion": "存在性证明不成立：该条目不在这棵树的这个位置",
        "consistency": "一致性证明不成立：新的树不是由旧的树追加而来",
        "shape": "证明的格式不对",
    }
    return IntegrityBroken(
        f"ledger.proof.{what}", details[what], "请向日志重新取证；若仍不成立，请保留两份材料并报告"
    )
