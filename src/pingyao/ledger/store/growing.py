"""A log's files as they grow: entries made durable and hashed into the tree, taken up again after a crash."""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np

from pingyao.kernel.errors import IntegrityBroken
from pingyao.ledger.model import Checkpoint
from pingyao.ledger.rules.tree import leaf_hashes
from pingyao.ledger.store.entries import MAGIC, EntryFile, disk_failed
from pingyao.ledger.store.hashes import HashFiles
from pingyao.ledger.store.mark import lock
from pingyao.ledger.store.reader import ENTRIES, HASHES, LogFiles
from pingyao.platform.files import write_atomically

RESUME = "resume.json"
_FLUSH_EVERY = 1 << 18


class Resume(msgspec.Struct, frozen=True):
    """Up to where the derived files are on the disk."""

    size: int
    position: int


class GrowingLog(LogFiles):
    """A log open for appending by one thread, and by one process at a time; any thread may read.

    Args:
        folder: of the log.
        undo: what closes again what was opened, until the log is whole.

    Raises:
        Conflict: another process appends.
    """

    def __init__(self, folder: Path, undo: ExitStack) -> None:
        self._failed = False
        self._lock = lock(folder / "lock")
        undo.callback(os.close, self._lock)
        entries = EntryFile(folder / ENTRIES, writable=True)
        undo.callback(entries.close)
        hashes = HashFiles(folder / HASHES, writable=True)
        undo.callback(hashes.close)
        super().__init__(folder, entries, hashes)

    @property
    def size(self) -> int:
        """Entries that are on the disk."""
        return self._hashes.size

    def _take_up(self, known: Sequence[Checkpoint]) -> None:
        """Goes on from what is on the disk, which must hold every head that is known.

        Raises:
            IntegrityBroken: entries are damaged, or a head is known that this log does not hold.
        """
        resume = self._read_resume()
        self._integrate(resume)
        if resume.size and not self._holds(known):
            # The derived files may be to blame: they are made anew from the entries.
            self._integrate(Resume(0, len(MAGIC)))
        self._refuse_unless_held(known)
        if torn := self._entries.torn():
            self._entries.cut()
            print(f"账本末尾有 {torn:,} 字节未写完的一批，从未确认，已去除", file=sys.stderr)

    def _read_resume(self) -> Resume:
        nothing = Resume(0, len(MAGIC))
        try:
            found = msgspec.json.decode((self.folder / RESUME).read_bytes(), type=Resume)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return nothing
        if found.position > self._entries.length():
            raise IntegrityBroken(
                "ledger.rolled_back",
                f"条目文件比已落盘的短：曾有 {found.size:,} 条，末尾被截断",
                "请从镜像成员或备份补齐条目文件；若确知 resume.json 有误，删去它即由条目重建",
            )
        return found if 0 <= found.size <= self._hashes.written() else nothing

    def _save_resume(self) -> None:
        self._hashes.flush()
        self._resumed = Resume(self._hashes.size, self._entries.end)
        write_atomically(self.folder / RESUME, msgspec.json.encode(self._resumed))

    def _integrate(self, resume: Resume) -> None:
        self._hashes.resume(resume.size)
        try:
            for batch in self._entries.batches(resume.position, resume.size):
                self._hashes.append(
                    leaf_hashes(batch.entries), entry_positions(batch.position, batch.entries)
                )
        except IntegrityBroken:
            if not resume.size:
                raise
            self._integrate(Resume(0, len(MAGIC)))

    def _holds(self, heads: Sequence[Checkpoint]) -> bool:
        return all(h.size <= self.size and self.root(h.size) == h.root for h in heads)

    def _refuse_unless_held(self, heads: Sequence[Checkpoint]) -> None:
        for head in heads:
            if head.size > self.size:
                raise IntegrityBroken(
                    "ledger.rolled_back",
                    f"账本只有 {self.size:,} 条，而此前已签出 {head.size:,} 条的检查点："
                    "目录是旧备份，或末尾被截断",
                    "不得从旧备份继续；请从镜像成员补齐条目后再打开，或由成员另立新来源名",
                )
            if self.root(head.size) != head.root:
                raise IntegrityBroken(
                    "ledger.forked",
                    f"账本前 {head.size:,} 条与已签出的检查点不一致",
                    "另有追加者签出过不同的内容，或条目被改动；请停用并保留两份检查点作为证据",
                )

    def _extend(self, entries: Sequence[bytes], leaves: Sequence[bytes]) -> None:
        """Makes entries durable at the end of the log.

        Raises:
            Unavailable: the disk is full, and nothing happened; or it failed, and the log must be opened anew.
        """
        if self._failed:
            raise disk_failed()
        position = self._entries.append(self.size, entries)
        # Durable from here on: what fails below leaves the log to be opened anew.
        self._failed = True
        try:
            self._hashes.append(leaves, entry_positions(position, entries))
            self._note_extended(leaves)
            if self.size - self._resumed.size >= _FLUSH_EVERY:
                self._save_resume()
        except OSError as error:
            raise disk_failed(error) from None
        self._failed = False

    def _note_extended(self, leaves: Sequence[bytes]) -> None:
        """Is told what was added, before it counts as done."""

    def close(self) -> None:
        """Makes the derived files durable, closes everything and lets others append.

        Where there is no room for them they are made anew from the entries when the log is opened.
        """
        try:
            if not self._failed:
                self._save_resume()
        except OSError:
            print("派生文件未能落盘，下次打开账本时由条目重建", file=sys.stderr)
        finally:
            super().close()
            os.close(self._lock)


def entry_positions(
    start: int, entries: Sequence[bytes]
) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    """Returns where each entry of a batch lies."""
    lengths = np.fromiter((len(e) + 2 for e in entries), np.uint64, len(entries))
    return np.cumsum(lengths, dtype=np.uint64) - lengths + np.uint64(start)
