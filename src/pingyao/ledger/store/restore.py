"""A lost log made again from whoever serves its tiles: every entry is hashed, and the whole must be the signed head."""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from pingyao.kernel.errors import IntegrityBroken, Invalid
from pingyao.ledger.formats.checkpoint import parse_checkpoint
from pingyao.ledger.formats.note import parse_note
from pingyao.ledger.formats.tlog_tiles import bundle, format_path, split_bundle
from pingyao.ledger.model import WIDTH
from pingyao.ledger.rules.tree import leaf_hashes
from pingyao.ledger.store.entries import disk_explained
from pingyao.ledger.store.growing import GrowingLog
from pingyao.ledger.store.reader import CHECKPOINT, POLICY
from pingyao.platform.files import write_atomically

Fetch = Callable[[str], bytes]
Progress = Callable[[int], None]
_BUNDLES = 32


def restore(
    folder: Path, policy: bytes, note: str, fetch: Fetch, progress: Progress | None = None
) -> int:
    """Makes the folder of a log from its bundles; returns how many entries it holds.

    The folder takes its name only once all of it is there and right.

    Args:
        folder: of the log; must not exist or be empty.
        policy: the log's own, as it was.
        note: the signed head to restore up to, checked by the caller.
        fetch: gets a resource below the log's prefix.
        progress: is told how many entries are there.

    Raises:
        Invalid: the folder is in use.
        IntegrityBroken: what is served is not what the head covers.
        Unavailable: a bundle is not to be had.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Invalid("ledger.exists", f"目录 {folder.name} 不是空的", "请换一个目录")
    folder.parent.mkdir(parents=True, exist_ok=True)
    head = parse_checkpoint(parse_note(note).text)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        log = _Restored(work)
        try:
            while log.size < head.size:
                entries: list[bytes] = []
                for _ in range(_BUNDLES):
                    first = log.size + len(entries)
                    width = min(WIDTH, head.size - first)
                    if not width:
                        break
                    data = fetch(format_path(bundle(first // WIDTH, width)))
                    entries += split_bundle(data, width)
                log.extend(entries)
                if progress is not None:
                    progress(log.size)
            if log.root(head.size) != head.root:
                raise IntegrityBroken(
                    "ledger.restore.differs",
                    "所取条目与签名的检查点不符，未恢复",
                    "请换一个镜像方重试，并告知该镜像方",
                )
        finally:
            log.close()
        write_atomically(work / POLICY, policy)
        write_atomically(work / CHECKPOINT, note.encode())
        work.replace(folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return head.size


class _Restored(GrowingLog):
    """The log as it comes in."""

    def __init__(self, folder: Path) -> None:
        with ExitStack() as undo, disk_explained():
            super().__init__(folder, undo)
            self._take_up(())
            self._save_resume()
            undo.pop_all()

    def extend(self, entries: list[bytes]) -> None:
        """Adds entries."""
        self._extend(entries, leaf_hashes(entries))
