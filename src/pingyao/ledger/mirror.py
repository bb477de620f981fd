"""A mirror: stores every entry of a log, and cosigns a head once all that it covers is on its disk and served.

What is uploaded is believed only after it was proved to stand in a head that the log signed. A mirrored log
lies in a folder like any log's: it is checked, exported and restored from like one.

Cites: C2SP tlog-mirror (0838f7b, untagged); C2SP tlog-cosignature v1.1.0-rc.1.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from pingyao.kernel.errors import IntegrityBroken
from pingyao.ledger.formats.checkpoint import parse_checkpoint
from pingyao.ledger.formats.note import (
    format_line,
    format_note,
    parse_note,
    sign,
    verifier_key,
    verify_note,
)
from pingyao.ledger.formats.tlog_mirror import (
    INFO_MEDIA,
    AddEntries,
    Info,
    Package,
    fits_proof,
    format_info,
    read_packages,
)
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.model import WIDTH, Checkpoint, Note, Policy, VerifierKey
from pingyao.ledger.rules.proofs import verify_subtree_consistency
from pingyao.ledger.rules.tree import leaf_hashes, perfect_root, range_hash
from pingyao.ledger.store.entries import disk_explained
from pingyao.ledger.store.growing import GrowingLog
from pingyao.ledger.store.reader import CHECKPOINT, POLICY, read_checkpoint, read_policy
from pingyao.ledger.witness import Answer, Cosigner, Memory
from pingyao.platform.files import write_atomically

# Sizes an upload may have been begun for; older ones begin anew.
_PENDING = 8
_OVERLAP = 32 * WIDTH


class Mirror(GrowingLog):
    """One log as it is mirrored.

    Args:
        folder: where it is kept.
        keys: of the log.
        cosigners: the mirror's own keys.
        memory: pending heads, as its ``add-checkpoint`` keeps them.
        clock: Unix seconds.

    Raises:
        Conflict: another process mirrors it here.
        IntegrityBroken: what is kept is damaged or less than was cosigned.
        Unavailable: there is no room to take it up, or the disk failed.
    """

    def __init__(
        self,
        folder: Path,
        keys: Sequence[VerifierKey],
        cosigners: Sequence[Cosigner],
        memory: Memory,
        clock: Callable[[], float],
    ) -> None:
        self.origin = keys[0].name
        self._cosigners, self._memory, self._clock = cosigners, memory, clock
        self._turn, self._noticing = threading.Lock(), threading.Lock()
        self._pending: dict[int, str] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        own = {
            f"self-{i}": verifier_key(c.name, c.type, c.signer.public_key)
            for i, c in enumerate(cosigners)
        }
        policy = format_policy(Policy(tuple(keys), own, {}, "none"))
        if not (folder / POLICY).exists() or (folder / POLICY).read_bytes() != policy:
            write_atomically(folder / POLICY, policy)
        with ExitStack() as undo, disk_explained():
            super().__init__(folder, undo)
            published = read_checkpoint(folder, read_policy(folder))
            self._take_up([published[0]] if published else [])
            self._save_resume()
            undo.pop_all()
        self._cosigned = published[0].size if published else 0
        signed = verify_note(parse_note(published[1]), own.values()) if published else ()
        self._at = max((s.at or 0 for s in signed), default=0)

    def add_entries(self, request: AddEntries) -> Answer:
        """Stores what is proved, and cosigns the head once it is all there; durable before it answers.

        Raises:
            Unavailable: the disk is full or failed.
        """
        with self._turn:
            note = self.notice().get(request.end)
            behind = not self.size - _OVERLAP <= request.start <= self.size
            if note is None or request.end < self._cosigned or behind:
                return self._info(409, request.end if note is not None else None)
            head = parse_checkpoint(parse_note(note).text)
            entries: list[bytes] = []
            leaves: list[bytes] = []
            taken, wrong = 0, False
            for package in read_packages(request):
                try:
                    new = self._proved(package, head, leaves)
                except IntegrityBroken:
                    wrong = True
                    break
                taken += 1
                entries += package.entries[len(package.entries) - len(new) :]
                leaves += new
            if entries:
                self._extend(entries, leaves)
            if wrong:
                return Answer(422, "条目与待定检查点不符\n".encode())
            if not taken and request.start < request.end:
                return Answer(400, "没有一个完整的条目包\n".encode())
            if self.size < request.end:
                return self._info(202, request.end)
            return Answer(200, self._cosign(note, head))

    def notice(self) -> dict[int, str]:
        """Looks at the pending head; returns the last ones by size, for uploads begun for an earlier one."""
        seen = self._memory.latest(self.origin)
        with self._noticing:
            if seen is not None:
                self._pending[seen.size] = seen.note
                while len(self._pending) > _PENDING:
                    del self._pending[min(self._pending)]
            return dict(self._pending)

    def _info(self, status: int, size: int | None) -> Answer:
        if size is None or size < self._cosigned:
            size = max(self._pending, default=0)
        return Answer(status, format_info(Info(size, self.size)), INFO_MEDIA)

    def _proved(self, package: Package, head: Checkpoint, fresh: list[bytes]) -> list[bytes]:
        """Checks a package against the head; returns the leaves that are new."""
        if not fits_proof(package.path):
            raise IntegrityBroken("ledger.mirror.long_proof", "证明过长", "")
        start = package.start - package.start % WIDTH
        hashes = leaf_hashes(package.entries)
        # Only the first package can begin within a bundle, and what comes before it is on the disk.
        before = self.leaves(start, package.start - start)
        held = self.size + len(fresh)
        together = before + hashes
        root = range_hash(
            0, len(together), lambda n, i: perfect_root(together[i << n : (i + 1) << n])
        )
        verify_subtree_consistency(start, package.end, head.size, root, head.root, package.path)
        return hashes[max(held - package.start, 0) :]

    def _cosign(self, note: str, head: Checkpoint) -> bytes:
        if self.root(head.size) != head.root:
            raise IntegrityBroken("ledger.mirror.differs", "所存条目与检查点不符", "请保护现场")
        self._at = max(self._at, int(self._clock()))
        pending = parse_note(note)
        lines = [sign(pending.text, c.name, c.type, c.signer, self._at) for c in self._cosigners]
        if head.size >= self._cosigned:
            whole = Note(pending.text, (*pending.signatures, *lines))
            with disk_explained():
                write_atomically(self.folder / CHECKPOINT, format_note(whole).encode())
            self._cosigned = head.size
        return "".join(map(format_line, lines)).encode()
