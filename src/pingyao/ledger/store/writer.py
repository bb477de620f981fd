"""The sequencer's side of a log: entries made durable, hashed into the tree, heads signed and published.

Only heads over what is on the disk are signed, and nothing on the disk is ever taken back: whatever was
signed can be signed again after a crash, and nothing else.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pingyao.kernel.errors import IntegrityBroken, Invalid
from pingyao.ledger.formats.checkpoint import format_checkpoint
from pingyao.ledger.formats.note import format_note, parse_note, sign, verifier_key, verify_note
from pingyao.ledger.formats.tlog_tiles import fits
from pingyao.ledger.model import Checkpoint, Note, Policy, SignatureType, VerifierKey
from pingyao.ledger.rules.tree import leaf_hashes
from pingyao.ledger.store.entries import MAGIC, EntryFile, disk_failed
from pingyao.ledger.store.hashes import HashFiles
from pingyao.ledger.store.mark import Mark, lock
from pingyao.ledger.store.reader import (
    CHECKPOINT,
    ENTRIES,
    HASHES,
    LogFiles,
    own_head,
    read_checkpoint,
    read_policy,
)
from pingyao.ledger.store.seen import Seen
from pingyao.platform.crypto.signers import Signer
from pingyao.platform.files import write_atomically

RESUME = "resume.json"
_FLUSH_EVERY = 1 << 18
MAX_BATCH = 16_384
_MAX_BATCH_BYTES = 1 << 25


class Resume(msgspec.Struct, frozen=True):
    """Up to where the derived files are on the disk."""

    size: int
    position: int


class Log(LogFiles):
    """A log open for appending and signing by one thread; any thread may read and publish.

    Args:
        folder: of the log, with its policy.
        signers: the log's own keys, with the kind of signature each makes.
        mark: where the high-water mark lies, apart from the folder.
        heads: signed heads that witnesses hold.
        clock: Unix seconds, for the kinds of signature that say when.

    Raises:
        Conflict: another process appends.
        IntegrityBroken: entries are damaged, or a head was signed that this log does not hold.
        Invalid: a key is not the log's.
    """

    def __init__(
        self,
        folder: Path,
        signers: Sequence[tuple[SignatureType, Signer]],
        *,
        mark: Path,
        heads: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.policy = read_policy(folder)
        self.origin = self.policy.logs[0].name
        self._signers = _own(self.policy, signers)
        self._clock, self._last_at = clock, 0
        self._failed = False
        with ExitStack() as undo:
            self._lock = lock(folder / "lock")
            undo.callback(os.close, self._lock)
            self._mark = Mark(mark)
            undo.callback(self._mark.close)
            entries = EntryFile(folder / ENTRIES, writable=True)
            undo.callback(entries.close)
            hashes = HashFiles(folder / HASHES, writable=True)
            undo.callback(hashes.close)
            super().__init__(folder, entries, hashes)
            self._start(heads)
            undo.pop_all()

    @property
    def size(self) -> int:
        """Entries that are on the disk."""
        return self._hashes.size

    def _start(self, heads: Sequence[str]) -> None:
        known = [
            own_head(text, self.policy) for text in (self._mark.read(), *heads) if text is not None
        ]
        published = read_checkpoint(self.folder, self.policy)
        known += [published[0]] if published else []
        self._published = published[0].size if published else 0
        self._notice_times(published[1] if published else "")
        resume = self._read_resume()
        self._integrate(resume)
        if resume.size and not self._holds(known):
            # The derived files may be to blame: they are made anew from the entries.
            self._integrate(Resume(0, len(MAGIC)))
        self._refuse_unless_held(known)
        if torn := self._entries.torn():
            self._entries.cut()
            print(f"账本末尾有 {torn:,} 字节未写完的一批，从未确认，已去除", file=sys.stderr)
        self._seen = Seen(self.folder / "seen", self._hashes)
        self._save_resume()

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

    def append(self, entries: Sequence[bytes]) -> list[int]:
        """Makes entries durable; returns their indices, for repeated ones the old.

        When this returns the entries survive any crash; when it raises, submitting the same bytes again
        is safe.

        Raises:
            Invalid: an entry is empty or too long, or there are too many.
            Unavailable: the disk is full or failed.
        """
        if self._failed:
            raise disk_failed()
        if len(entries) > MAX_BATCH or sum(map(len, entries)) > _MAX_BATCH_BYTES:
            raise Invalid("ledger.batch_too_big", "一批条目过多或过大", "请分批追加")
        if not all(e and fits(e) for e in entries):
            raise Invalid(
                "ledger.entry_too_long", "条目为空或超过 65535 字节", "大文件只登记其承诺值"
            )
        leaves = leaf_hashes(entries)
        indices = self._seen.find(leaves)
        fresh: dict[bytes, bytes] = {}
        for leaf, entry, index in zip(leaves, entries, indices, strict=True):
            if index is None:
                fresh.setdefault(leaf, entry)
        if fresh:
            first, new = self.size, list(fresh)
            position = self._entries.append(first, list(fresh.values()))
            # Durable from here on: what fails below leaves the log to be opened anew.
            self._failed = True
            try:
                self._hashes.append(new, entry_positions(position, list(fresh.values())))
                self._seen.add(new, first)
                if self.size - self._resumed.size >= _FLUSH_EVERY:
                    self._save_resume()
            except OSError:
                raise disk_failed() from None
            self._failed = False
            places = dict(zip(new, range(first, first + len(new)), strict=True))
            indices = [
                places[leaf] if i is None else i for leaf, i in zip(leaves, indices, strict=True)
            ]
        return [i for i in indices if i is not None]

    def sign(self) -> tuple[Checkpoint, str]:
        """Signs the head of everything durable; returns it and the note.

        Raises:
            Unavailable: the mark could not be written; the head must not leave.
        """
        if self._failed:
            raise disk_failed()
        head = Checkpoint(self.origin, self.size, self.root(self.size))
        text = format_checkpoint(head)
        at = self._now()
        lines = tuple(
            sign(text, self.origin, kind, signer, at if kind.timestamped else None)
            for kind, signer in self._signers
        )
        note = format_note(Note(text, lines))
        try:
            self._mark.raise_to(note)
        except OSError:
            raise disk_failed() from None
        return head, note

    def publish(self, note: str) -> None:
        """Puts a signed head before the public; a smaller one than before is left aside.

        Raises:
            IntegrityBroken: it is not this log's head.
            Unavailable: it could not be written; trying again later may succeed.
        """
        head = own_head(note, self.policy)
        if head.size > self.size or self.root(head.size) != head.root:
            raise IntegrityBroken("ledger.forked", "检查点与账本内容不一致", "请勿发布，并报告")
        if head.size < self._published:
            return
        path = self.folder / CHECKPOINT
        temporary = path.with_name(f".{CHECKPOINT}")
        # Not flushed: after a power failure the entries still tell the head.
        try:
            temporary.write_text(note, "utf-8", newline="")
            temporary.replace(path)
        except OSError:
            raise disk_failed() from None
        self._published = head.size

    def _now(self) -> int:
        """The clock, never going back: a head is never said to be older than one before it."""
        self._last_at = max(self._last_at, int(self._clock()))
        return self._last_at

    def _notice_times(self, *texts: str) -> None:
        for text in texts:
            if text:
                signed = verify_note(parse_note(text), self.policy.logs)
                self._last_at = max(self._last_at, *(s.at or 0 for s in signed))

    def close(self) -> None:
        """Makes the derived files durable, closes everything and lets others append."""
        try:
            if not self._failed:
                self._save_resume()
            self._mark.close()
        finally:
            super().close()
            os.close(self._lock)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _own(
    policy: Policy, signers: Sequence[tuple[SignatureType, Signer]]
) -> Sequence[tuple[SignatureType, Signer]]:
    """Refuses to sign with keys the policy does not know as the log's."""
    origin = policy.logs[0].name
    keys: list[VerifierKey] = [verifier_key(origin, k, s.public_key) for k, s in signers]
    if not keys or any(k not in policy.logs for k in keys):
        raise Invalid(
            "ledger.wrong_key",
            "签名密钥不在账本策略（policy 文件）之列",
            "请核对密钥库与 policy 文件",
        )
    return signers


def entry_positions(
    start: int, entries: Sequence[bytes]
) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    """Returns where each entry of a batch lies."""
    lengths = np.fromiter((len(e) + 2 for e in entries), np.uint64, len(entries))
    return np.cumsum(lengths, dtype=np.uint64) - lengths + np.uint64(start)


def create_log(folder: Path, policy: bytes) -> None:
    """Makes the folder of a new log.

    Raises:
        Invalid: it exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Invalid("ledger.exists", f"目录 {folder.name} 不是空的", "请换一个目录")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(folder / "policy", policy)
