"""The files of the SM3 tree, compared as it is made again from the entries."""

from collections.abc import Sequence
from pathlib import Path

from pingyao.kernel.errors import PingyaoError
from pingyao.ledger.formats.checkpoint import parse_checkpoint
from pingyao.ledger.formats.note import parse_note
from pingyao.ledger.formats.sm3_proof import Last, read_head, read_last
from pingyao.ledger.model import HASH, HEIGHT, Checkpoint
from pingyao.ledger.rules.tree import leaf_hashes, sm3
from pingyao.ledger.store.compared import Compared, Finding, grown, root_of
from pingyao.ledger.store.hashes import LEVELS

FOLDER = "sm3"
LAST = "head"


class Sm3Tree:
    """The tree as far as its files go: it is as large as when its last head was signed, or a little larger."""

    def __init__(self, folder: Path, found: list[Finding]) -> None:
        self._folder, self._found = folder / FOLDER, found
        self._tails: list[list[bytes]] = [[] for _ in range(LEVELS)]
        names = [f"{FOLDER}/level-{n}" for n in range(LEVELS)]
        self._files = [Compared(folder, name, found) for name in names]
        self._lengths = [p.stat().st_size if (p := folder / n).exists() else 0 for n in names]
        self._size, self._seen = 0, 0
        self._last = self._read_last()
        self._root = root_of(self._tails, sm3)
        self._head: Checkpoint | None = None

    def _read_last(self) -> Last | None:
        try:
            return read_last((self._folder / LAST).read_bytes())
        except FileNotFoundError:
            return None  # stopped before the first head was logged
        except ValueError:
            self._found.append(Finding(f"{FOLDER}/{LAST}", "无法读取"))
            return None

    def take(self, entries: Sequence[bytes]) -> None:
        """Takes the next entries of the log."""
        last = self._last
        if last is not None and 0 <= last.entry - self._seen < len(entries):
            self._head = _head(entries[last.entry - self._seen])
        self._seen += len(entries)
        leaves = leaf_hashes(entries[: self._lengths[0] // HASH - self._size], sm3)
        at = last.size - self._size if last is not None else 0
        if 0 < at <= len(leaves):
            self._grow(leaves[:at])
            self._root = root_of(self._tails, sm3)
            leaves = leaves[at:]
        self._grow(leaves)

    def _grow(self, leaves: list[bytes]) -> None:
        for level, added in grown(self._tails, leaves, sm3):
            self._files[level].expect(b"".join(added))
        self._size += len(leaves)

    def finish(self) -> None:
        """Tells what is beyond the tree, or short of its last head."""
        last, head = self._last, self._head
        least = last.size if last is not None else 0
        for level, length in enumerate(self._lengths):
            shift = HEIGHT * level
            if length % HASH or not least >> shift <= length // HASH <= self._size >> shift:
                self._found.append(Finding(f"{FOLDER}/level-{level}", "长度与树的大小不符"))
        if last is not None and (head is None or (head.size, head.root) != (last.size, self._root)):
            self._found.append(Finding(f"{FOLDER}/{LAST}", "不是这棵树最后签署的树头"))
        for file in self._files:
            file.finish()


def _head(entry: bytes) -> Checkpoint | None:
    try:
        text = read_head(entry)
        return None if text is None else parse_checkpoint(parse_note(text).text)
    except PingyaoError:
        return None
