"""The same entries under SM3, their root signed with SM2, and that head an entry of the log itself.

The tiles others read are SHA-256. Where the national algorithms are wanted, a second tree over the same
entries is kept; its heads are notes under SM2, logged like any entry, so that each tree fixes the other.

Cites: GB/T 32905-2016 (SM3), GB/T 32918.2-2016 (SM2); RFC 6962, 2.1 with SM3 for the hash.
"""

from pathlib import Path

import msgspec

from pingyao.kernel.errors import IntegrityBroken, Unsupported
from pingyao.ledger.formats.checkpoint import format_checkpoint, parse_checkpoint
from pingyao.ledger.formats.note import format_note, parse_note, sign, verify_note
from pingyao.ledger.model import SM2, Checkpoint, Note, Policy
from pingyao.ledger.rules.tree import leaf_hashes, node_hash, sm3
from pingyao.ledger.store.reader import LogFiles
from pingyao.ledger.store.writer import Log
from pingyao.platform.crypto.signers import Signer
from pingyao.platform.files import write_atomically

SCHEMA = "pingyao.sm3-head/1"
_FILE = "sm3.json"
_STEP = 4_096


class Sm3Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry that holds a head of the SM3 tree.

    Attributes:
        note: origin, size and SM3 root of the entries before this one, signed with SM2.
    """

    schema: str
    note: str


class Frontier(msgspec.Struct):
    """A tree that grows, by the roots of its perfect subtrees from the largest.

    Attributes:
        size: leaves so far.
        roots: one for each bit of the size that is set.
    """

    size: int = 0
    roots: list[bytes] = []

    def add(self, leaves: list[bytes]) -> None:
        """Adds leaf hashes."""
        for leaf in leaves:
            node, size = leaf, self.size
            while size & 1:
                node, size = node_hash(self.roots.pop(), node, sm3), size >> 1
            self.roots.append(node)
            self.size += 1

    def root(self) -> bytes:
        """Returns the root of the tree so far."""
        if not self.roots:
            return sm3(b"").digest()
        found = self.roots[-1]
        for left in self.roots[-2::-1]:
            found = node_hash(left, found, sm3)
        return found


def advance(log: LogFiles, frontier: Frontier, size: int) -> None:
    """Reads the log on to a size."""
    while frontier.size < size:
        count = min(_STEP, size - frontier.size)
        frontier.add(leaf_hashes(log.entries(frontier.size, count), sm3))


def append_head(log: Log, signer: Signer) -> int:
    """Logs the head of the SM3 tree over all entries so far; returns the new entry's index.

    Raises:
        Unsupported: the log is empty.
    """
    size = log.size
    if not size:
        raise Unsupported("ledger.sm3_empty", "账本还没有条目，无从签署国密树头", "请先追加条目")
    frontier = _load(log.folder, size)
    advance(log, frontier, size)
    text = format_checkpoint(Checkpoint(log.origin, size, frontier.root()))
    note = format_note(Note(text, (sign(text, log.origin, SM2, signer),)))
    entry = msgspec.json.encode(Sm3Head(SCHEMA, note), order="sorted")
    (index,) = log.append([entry])
    write_atomically(log.folder / _FILE, msgspec.json.encode(frontier))
    return index


def _load(folder: Path, size: int) -> Frontier:
    """Returns where the tree was left; derived, and made anew when in doubt."""
    try:
        found = msgspec.json.decode((folder / _FILE).read_bytes(), type=Frontier)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return Frontier()
    fits = found.size <= size and len(found.roots) == found.size.bit_count()
    return found if fits else Frontier()


def check_heads(log: LogFiles, size: int, policy: Policy) -> int:
    """Recomputes the SM3 tree and checks every head logged; returns how many there are.

    Raises:
        IntegrityBroken: a head is not the tree's, or not signed by the log's SM2 key.
    """
    keys = [k for k in policy.logs if k.type == SM2]
    frontier, heads = Frontier(), 0
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
                raise IntegrityBroken(
                    "ledger.sm3_differs",
                    f"第 {first + offset:,} 条的国密树头与条目不符",
                    "请保护现场，与镜像成员核对条目",
                )
            heads += 1
        frontier.add(leaves[done:])
    return heads


def _before(log: LogFiles, size: int) -> Frontier:
    """The tree as it was when entries came between it and its head."""
    frontier = Frontier()
    advance(log, frontier, size)
    return frontier


def read_head(entry: bytes) -> str | None:
    """Returns the note of a logged SM3 head; None for any other entry."""
    try:
        told = msgspec.json.decode(entry, type=Sm3Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return told.note if told.schema == SCHEMA else None
