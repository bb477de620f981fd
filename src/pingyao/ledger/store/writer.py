"""The sequencer's side of a log: entries made durable, hashed into the tree, heads signed and published.

Only heads over what is on the disk are signed, and nothing on the disk is ever taken back: whatever was
signed can be signed again after a crash, and nothing else.
"""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pingyao.kernel.errors import IntegrityBroken, Invalid
from pingyao.ledger.formats.checkpoint import format_checkpoint
from pingyao.ledger.formats.note import format_note, parse_note, sign, verifier_key, verify_note
from pingyao.ledger.formats.tlog_tiles import fits
from pingyao.ledger.model import ED25519, Checkpoint, Note, Policy, SignatureType, VerifierKey
from pingyao.ledger.rules.tree import leaf_hashes
from pingyao.ledger.store.entries import disk_explained, disk_failed
from pingyao.ledger.store.growing import GrowingLog
from pingyao.ledger.store.mark import Mark
from pingyao.ledger.store.reader import (
    CHECKPOINT,
    own_head,
    read_checkpoint,
    read_policy,
)
from pingyao.ledger.store.sealed import seal
from pingyao.ledger.store.seen import Seen
from pingyao.platform.crypto.signers import Signer
from pingyao.platform.files import write_atomically

MAX_BATCH = 16_384
_MAX_BATCH_BYTES = 1 << 25


class Log(GrowingLog):
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
        Unavailable: there is no room to take it up, or the disk failed.
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
        with ExitStack() as undo, disk_explained():
            super().__init__(folder, undo)
            self._mark = Mark(mark)
            undo.callback(self._mark.close)
            self._start(heads)
            self._seal_policy()
            undo.pop_all()

    def _start(self, heads: Sequence[str]) -> None:
        known = [
            own_head(text, self.policy) for text in (self._mark.read(), *heads) if text is not None
        ]
        published = read_checkpoint(self.folder, self.policy)
        known += [published[0]] if published else []
        self._published = published[0].size if published else 0
        self._notice_times(published[1] if published else "")
        self._take_up(known)
        self._seen = Seen(self.folder / "seen", self._hashes)
        self._save_resume()

    def _seal_policy(self) -> None:
        signer = next((s for kind, s in self._signers if kind == ED25519), None)
        if signer is not None and seal(self.folder, self.origin, signer):
            print("policy 或 readers 已改动，自即刻起按新内容执行", file=sys.stderr)

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
            self._extend(list(fresh.values()), new)
            places = dict(zip(new, range(first, first + len(new)), strict=True))
            indices = [
                places[leaf] if i is None else i for leaf, i in zip(leaves, indices, strict=True)
            ]
        return [i for i in indices if i is not None]

    def _note_extended(self, leaves: Sequence[bytes]) -> None:
        self._seen.add(list(leaves), self.size - len(leaves))

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
        except OSError as error:
            raise disk_failed(error) from None
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
        except OSError as error:
            raise disk_failed(error) from None
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
        """Makes everything durable, closes it and lets others append."""
        try:
            super().close()
        finally:
            self._mark.close()

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


def create_log(folder: Path, policy: bytes) -> None:
    """Makes the folder of a new log.

    Raises:
        Invalid: it exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Invalid("ledger.exists", f"目录 {folder.name} 不是空的", "请换一个目录")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(folder / "policy", policy)
