"""Reading a log: heads, entries, tiles and proofs, beside the sequencer or without one."""

from pathlib import Path

import numpy as np

from pingyao.kernel.errors import NotFound, NotYet
from pingyao.ledger.formats.checkpoint import parse_checkpoint
from pingyao.ledger.formats.note import parse_note, verify_note
from pingyao.ledger.formats.tlog_policy import parse_policy
from pingyao.ledger.formats.tlog_tiles import Tile, join_bundle
from pingyao.ledger.model import ENTRY_BYTES, HASH, WIDTH, Checkpoint, Policy, TlogProof
from pingyao.ledger.rules.tree import (
    consistency_ranges,
    inclusion_ranges,
    range_hash,
    subtree_ranges,
)
from pingyao.ledger.store.entries import EntryFile
from pingyao.ledger.store.hashes import HashFiles

CHECKPOINT = "checkpoint"
POLICY = "policy"
ENTRIES = "entries"
HASHES = "hashes"
_LOOKED_AT = 1 << 18


def read_policy(folder: Path) -> Policy:
    """Returns a log's own policy: its keys, its witnesses and its quorum.

    Raises:
        NotFound: the folder holds no log.
    """
    try:
        return parse_policy((folder / POLICY).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(
            "ledger.no_log", f"{folder.name} 不是账本目录", "请先运行 pingyao ledger init"
        ) from None


def read_checkpoint(folder: Path, policy: Policy) -> tuple[Checkpoint, str] | None:
    """Returns the published head, its log's signature checked, and the note; None before the first.

    Raises:
        IntegrityBroken: it is not what the log signed.
    """
    try:
        text = (folder / CHECKPOINT).read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    return own_head(text, policy), text


def own_head(text: str, policy: Policy) -> Checkpoint:
    """Reads a head that the log itself must have signed.

    Raises:
        IntegrityBroken: it did not.
    """
    note = parse_note(text)
    verify_note(note, [k for k in policy.logs if k.name == policy.logs[0].name])
    head = parse_checkpoint(note.text)
    if head.origin != policy.logs[0].name:
        raise NotFound("ledger.other_log", "检查点出自另一个账本", "请核对目录与来源名")
    return head


class LogFiles:
    """The files of a log, read at any size that is written.

    Args:
        folder: of the log.
        entries: its entries.
        hashes: its tree.
    """

    def __init__(self, folder: Path, entries: EntryFile, hashes: HashFiles) -> None:
        self.folder = folder
        self._entries = entries
        self._hashes = hashes

    def written(self) -> int:
        """Returns how many entries the files hold, as far as their lengths tell."""
        return self._hashes.written()

    def root(self, size: int) -> bytes:
        """Returns the root of the tree when it had this size."""
        return self._hashes.root(size)

    def node(self, level: int, index: int) -> bytes:
        """Returns the hash of a perfect subtree."""
        return self._hashes.node(level, index)

    def entries(self, first: int, count: int) -> list[bytes]:
        """Returns entries."""
        if not count:
            return []
        places = self._hashes.positions(first, count)
        start = places[0]
        data = self._entries.read(start, places[-1] - start + 2 + ENTRY_BYTES)
        return [
            data[p - start + 2 : p - start + 2 + int.from_bytes(data[p - start : p - start + 2])]
            for p in places
        ]

    def tile(self, tile: Tile, size: int) -> bytes:
        """Returns a tile or bundle as it is served, in the tree of a size.

        Raises:
            NotFound: the tree has none so wide.
        """
        level = max(tile.level, 0)
        first = tile.index * WIDTH
        if level > 5 or first + tile.width > size >> 8 * level:
            raise NotFound("ledger.tile.absent", "账本还没有这一瓦片", "请按检查点的大小请求")
        if tile.is_bundle:
            return join_bundle(self.entries(first, tile.width))
        return self._hashes.tile(level, first, tile.width)

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Proves that an entry stands in the tree of a size.

        Raises:
            NotYet: the tree is not so large.
        """
        if not 0 <= index < size:
            raise NotYet("ledger.not_published", "检查点尚未覆盖该条目", "请稍后再取证明")
        node = self._hashes.node
        return tuple(range_hash(*r, node) for r in inclusion_ranges(index, size))

    def consistency(self, old: int, size: int) -> tuple[bytes, ...]:
        """Proves that the tree of one size grew from another; nothing is needed from an empty one."""
        if not old:
            return ()
        node = self._hashes.node
        return tuple(range_hash(*r, node) for r in consistency_ranges(old, size))

    def subtree(self, start: int, end: int, size: int) -> tuple[bytes, ...]:
        """Proves that the subtree over some entries stands in the tree of a size."""
        return tuple(range_hash(*r, self._hashes.node) for r in subtree_ranges(start, end, size))

    def prove(self, index: int, note: str, extra: bytes | None = None) -> TlogProof:
        """Makes the proof of an entry under a signed head."""
        size = parse_checkpoint(parse_note(note).text).size
        return TlogProof(index, self.inclusion(index, size), note, extra)

    def leaves(self, first: int, count: int) -> list[bytes]:
        """Returns leaf hashes."""
        data = self._hashes.tile(0, first, count)
        return [data[i : i + HASH] for i in range(0, len(data), HASH)]

    def find(self, leaf: bytes, size: int) -> int | None:
        """Looks through the leaves for one; None when it is not there."""
        wanted = np.frombuffer(leaf, "<u8")
        for first in range(0, size, _LOOKED_AT):
            count = min(_LOOKED_AT, size - first)
            held = np.frombuffer(self._hashes.tile(0, first, count), "<u8").reshape(count, 4)
            hits = np.flatnonzero((held == wanted).all(axis=1))
            if len(hits):
                return first + int(hits[0])
        return None

    def close(self) -> None:
        """Closes the files."""
        self._entries.close()
        self._hashes.close()


def open_reader(folder: Path) -> LogFiles:
    """Opens a log for reading.

    Raises:
        NotFound: the folder holds no log, or an empty one.
    """
    read_policy(folder)
    try:
        entries = EntryFile(folder / ENTRIES, writable=False)
        return LogFiles(folder, entries, HashFiles(folder / HASHES, writable=False))
    except FileNotFoundError:
        raise NotFound("ledger.empty", "账本还没有条目", "请先追加条目") from None
