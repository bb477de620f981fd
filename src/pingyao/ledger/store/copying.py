"""A copy of a log as it is now, whatever is appended meanwhile; and a copy made whole again."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from pingyao.kernel.errors import IntegrityBroken
from pingyao.ledger.model import Checkpoint
from pingyao.ledger.store.entries import MAGIC, EntryFile
from pingyao.ledger.store.growing import RESUME, GrowingLog
from pingyao.ledger.store.reader import (
    CHECKPOINT,
    ENTRIES,
    HASHES,
    own_head,
    read_checkpoint,
    read_policy,
)

# What follows from the entries is made again; a lock is of this machine.
_LEFT = frozenset({ENTRIES, CHECKPOINT, HASHES, RESUME, "seen", "lock"})
_PIECE = 1 << 20


def copy_log(folder: Path, out: Path) -> tuple[str, int]:
    """Copies what cannot be made again; returns the log's origin and how many entries the copy holds.

    The head is read before the entries: whatever it covers was durable by then, so the copy covers it.
    A batch that is just being written is left out: nobody was told that it is there.

    Raises:
        IntegrityBroken: entries are damaged.
    """
    policy = read_policy(folder)
    published = read_checkpoint(folder, policy)
    out.mkdir(mode=0o700)
    if published is not None:
        # Any bytes are let through, as the reader let them.
        (out / CHECKPOINT).write_bytes(published[1].encode("utf-8", "surrogateescape"))
    size = 0
    if (folder / ENTRIES).exists():
        entries = EntryFile(folder / ENTRIES, writable=False)
        try:
            for batch in entries.batches(len(MAGIC), 0):
                size += len(batch.entries)
            _copy(entries, out / ENTRIES)
        finally:
            entries.close()
    for path in _beside(folder):
        target = out / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(path, target)
    return policy.logs[0].name, size


def _copy(entries: EntryFile, out: Path) -> None:
    with out.open("wb") as file:
        for at in range(0, entries.end, _PIECE):
            file.write(entries.read(at, min(_PIECE, entries.end - at)))


def _beside(folder: Path) -> Iterator[Path]:
    """Yields the policy, its readers and seal, rotations, timestamps: all that is small."""
    for name in sorted(os.listdir(folder)):
        path = folder / name
        if name in _LEFT or name.startswith("."):
            continue
        yield from (p for p in sorted(path.rglob("*")) if p.is_file()) if path.is_dir() else [path]


def complete(folder: Path) -> int:
    """Makes what follows from the entries of a copy; returns how many there are.

    Raises:
        IntegrityBroken: entries are damaged, or fewer than the head says.
    """
    policy = read_policy(folder)
    published = read_checkpoint(folder, policy)
    with ExitStack() as undo:
        log = _Copied(folder, undo, [published[0]] if published else [])
        undo.pop_all()
    log.close()
    return log.copied


class _Copied(GrowingLog):
    """A copy while its tree is built."""

    def __init__(self, folder: Path, undo: ExitStack, known: list[Checkpoint]) -> None:
        super().__init__(folder, undo)
        self._take_up(known)
        self._save_resume()
        self.copied = self.size


def held_back(folder: Path, mark: Path) -> Checkpoint | None:
    """Returns the head this machine signed and the log does not hold, if there is one."""
    try:
        note = (mark / "head").read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    head = own_head(note, read_policy(folder))
    try:
        with ExitStack() as undo:
            log = _Copied(folder, undo, [head])
            undo.pop_all()
        log.close()
    except IntegrityBroken:
        return head
    return None
