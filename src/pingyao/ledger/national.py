"""The same entries under SM3, their root signed with SM2, and that head an entry of the log itself.

The tiles others read are SHA-256. Where the national algorithms are wanted, a second tree over the same
entries is kept; its heads are notes under SM2, logged like any entry, so that each tree fixes the other.

The files of the second tree are derived, and not believed: before a head is signed, what they held must
have the root that the last head signed, and what came since is read from entries that the first tree fixes.

Cites: GB/T 32905-2016 (SM3), GB/T 32918.2-2016 (SM2); RFC 6962, 2.1 with SM3 for the hash.
"""

import hashlib
from contextlib import closing

import msgspec

from pingyao.kernel.errors import IntegrityBroken, NotYet, PingyaoError, Unsupported
from pingyao.ledger.formats.checkpoint import format_checkpoint, parse_checkpoint
from pingyao.ledger.formats.note import format_note, parse_note, sign, verify_note
from pingyao.ledger.formats.sm3_proof import (
    Last,
    Sm3Proof,
    format_head,
    format_last,
    read_head,
    read_last,
)
from pingyao.ledger.model import SM2, Checkpoint, Note, Policy, TlogProof
from pingyao.ledger.rules.proofs import verify_inclusion
from pingyao.ledger.rules.tree import (
    Hasher,
    inclusion_ranges,
    leaf_hash,
    leaf_hashes,
    node_hash,
    perfect_ranges,
    sm3,
)
from pingyao.ledger.store.entries import disk_explained
from pingyao.ledger.store.hashes import TreeFiles
from pingyao.ledger.store.reader import LogFiles
from pingyao.ledger.store.sm3_check import FOLDER, LAST
from pingyao.ledger.store.writer import Log
from pingyao.platform.crypto.signers import Signer
from pingyao.platform.files import write_atomically

_STEP = 4_096


class Frontier(msgspec.Struct):
    """A tree that grows, by the roots of its perfect subtrees from the largest.

    Attributes:
        size: leaves so far.
        roots: one for each bit of the size that is set.
    """

    hasher: Hasher
    size: int = 0
    roots: list[bytes] = []

    def add(self, leaves: list[bytes]) -> None:
        """Adds leaf hashes."""
        for leaf in leaves:
            node, size = leaf, self.size
            while size & 1:
                node, size = node_hash(self.roots.pop(), node, self.hasher), size >> 1
            self.roots.append(node)
            self.size += 1

    def root(self) -> bytes:
        """Returns the root of the tree so far."""
        if not self.roots:
            return self.hasher(b"").digest()
        found = self.roots[-1]
        for left in self.roots[-2::-1]:
            found = node_hash(left, found, self.hasher)
        return found


def append_head(log: Log, signer: Signer) -> int:
    """Logs the head of the SM3 tree over all entries so far; returns the new entry's index.

    Raises:
        Unsupported: the log is empty.
        Unavailable: the disk is full or failed; what was signed before stays.
        IntegrityBroken: the entries are not what the log's own tree holds, or not what was signed before.
    """
    size = log.size
    if not size:
        raise Unsupported("ledger.sm3_empty", "账本还没有条目，无从签署国密树头", "请先追加条目")
    before = last_head(log, log.policy)
    with disk_explained():
        with closing(TreeFiles(log.folder / FOLDER, writable=True, hasher=sm3)) as tree:
            _take_up(tree, before[1] if before else None)
            _advance(log, tree, size)
            root = tree.root(size)
            if before and tree.root(before[1].size) != before[1].root:
                raise _differs(before[0])
            tree.flush()
        text = format_checkpoint(Checkpoint(log.origin, size, root))
        note = format_note(Note(text, (sign(text, log.origin, SM2, signer),)))
        (index,) = log.append([format_head(note)])
        write_atomically(log.folder / FOLDER / LAST, format_last(Last(index, size)))
    return index


def last_head(log: LogFiles, policy: Policy) -> tuple[int, Checkpoint, str] | None:
    """Returns where the last head is logged, the head, and its note, whose signature was checked; None in doubt."""
    try:
        index, size = read_last((log.folder / FOLDER / LAST).read_bytes())
        (entry,) = log.entries(index, 1)
        text = read_head(entry)
        if text is None:
            return None
        note = parse_note(text)
        head = parse_checkpoint(note.text)
        verify_note(note, [k for k in policy.logs if k.type == SM2 and k.name == head.origin])
    except (OSError, ValueError, OverflowError, PingyaoError):
        return None
    return (index, head, text) if head.size == size <= index else None


def _take_up(tree: TreeFiles, head: Checkpoint | None) -> None:
    """Goes on from the last head, if the files have its root; else the tree is made anew."""
    if head is not None and head.size <= tree.written():
        tree.resume(head.size)
        if tree.root(head.size) == head.root:
            return
    tree.resume(0)


def _advance(log: LogFiles, tree: TreeFiles, size: int) -> None:
    """Reads the log on to a size; what is read must be what the log's own tree holds."""
    start = tree.size
    known = Frontier(hashlib.sha256, start, [log.node(*r) for r in perfect_ranges(0, start)])
    while tree.size < size:
        entries = log.entries(tree.size, min(_STEP, size - tree.size))
        known.add(leaf_hashes(entries))
        tree.add(leaf_hashes(entries, sm3))
    if known.root() != log.root(size):
        raise IntegrityBroken(
            "ledger.entries.damaged",
            f"第 {start:,} 条之后的条目与账本的树不符，未签署国密树头",
            "请勿改动现场；运行 pingyao ledger fsck 查看范围，再从镜像成员或备份恢复",
        )


def prove(
    log: LogFiles,
    index: int,
    published: tuple[Checkpoint, str],
    policy: Policy,
    extra: bytes | None = None,
) -> Sm3Proof:
    """Makes the proof of an entry under the last SM3 head, which the published head covers.

    Raises:
        NotYet: no published head of the SM3 tree covers the entry.
        IntegrityBroken: the files of the SM3 tree are damaged.
    """
    last = last_head(log, policy)
    if last is None or not 0 <= index < last[1].size or last[0] >= published[0].size:
        raise NotYet(
            "ledger.sm3_not_yet",
            "没有已发布的国密树头覆盖该条目",
            "请运行 pingyao ledger sm3 签署树头，发布后再取证明",
        )
    at, head, note = last
    (entry,) = log.entries(index, 1)
    try:
        with closing(TreeFiles(log.folder / FOLDER, writable=False, hasher=sm3)) as tree:
            path = tuple(tree.range(*r) for r in inclusion_ranges(index, head.size))
        verify_inclusion(index, head.size, leaf_hash(entry, sm3), path, head.root, sm3)
    except (FileNotFoundError, IntegrityBroken):
        raise IntegrityBroken(
            "ledger.sm3_damaged",
            "国密树的派生文件或条目已损坏",
            "请运行 pingyao ledger fsck；若条目完好，删去账本目录下的 sm3，再运行 pingyao ledger sm3 即重建",
        ) from None
    return Sm3Proof(TlogProof(index, path, note, extra), log.prove(at, published[1]))


def check_heads(log: LogFiles, size: int, policy: Policy) -> int:
    """Recomputes the SM3 tree and checks every head logged; returns how many there are.

    Raises:
        IntegrityBroken: a head is not the tree's, or not signed by the log's SM2 key.
    """
    keys = [k for k in policy.logs if k.type == SM2]
    frontier, heads = Frontier(sm3), 0
    for first in range(0, size, _STEP):
        entries = log.entries(first, min(_STEP, size - first))
        leaves = leaf_hashes(entries, sm3)
        done = 0
        for offset, entry in enumerate(entries):
            note = read_head(entry)
            if note is None:
                continue
            frontier.add(leaves[done:offset])
            done = offset
            verify_note(parse_note(note), keys)
            head = parse_checkpoint(parse_note(note).text)
            roots = frontier if head.size == frontier.size else _before(log, head.size)
            if head.size > first + offset or roots.root() != head.root:
                raise _differs(first + offset)
            heads += 1
        frontier.add(leaves[done:])
    return heads


def _before(log: LogFiles, size: int) -> Frontier:
    """The tree as it was when entries came between it and its head."""
    frontier = Frontier(sm3)
    while frontier.size < size:
        entries = log.entries(frontier.size, min(_STEP, size - frontier.size))
        frontier.add(leaf_hashes(entries, sm3))
    return frontier


def _differs(index: int) -> IntegrityBroken:
    return IntegrityBroken(
        "ledger.sm3_differs",
        f"第 {index:,} 条的国密树头与条目不符",
        "请保护现场，与镜像成员核对条目",
    )
