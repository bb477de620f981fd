"""A log as the plain files that any web server can serve and any verifier of the format can read."""

from pathlib import Path

from pingyao.kernel.errors import NotYet
from pingyao.ledger.formats.tlog_tiles import format_path, tiles_of
from pingyao.ledger.store.reader import CHECKPOINT, open_reader, read_checkpoint, read_policy
from pingyao.platform.files import write_atomically


def export(folder: Path, out: Path) -> int:
    """Writes the published tree below a folder; files that are there already stay.

    Full tiles never change; so a later export adds only what is new, and the checkpoint comes last.

    Returns:
        How many files were written.

    Raises:
        NotYet: nothing was published yet.
        IntegrityBroken: the published head is not this log's.

    Cites: C2SP tlog-tiles v0.1.0.
    """
    published = read_checkpoint(folder, read_policy(folder))
    if published is None:
        raise NotYet("ledger.not_published", "账本还没有发布检查点", "请先追加条目并发布")
    head, note = published
    reader = open_reader(folder)
    written = 0
    try:
        for tile in tiles_of(head.size):
            path = out / format_path(tile)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(reader.tile(tile, head.size))
                written += 1
    finally:
        reader.close()
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / CHECKPOINT, note.encode())
    (out / CHECKPOINT).chmod(0o644)
    return written + 1
