"""The whole log read again: every byte of it is recomputed from the entries and compared.

Nothing is mended and nothing is believed: checksums, hashes, positions, look-up runs, heads and their
signatures must all follow from the entries.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from pingyao.kernel.errors import IntegrityBroken, Invalid, PingyaoError
from pingyao.ledger.formats.checkpoint import parse_checkpoint
from pingyao.ledger.formats.note import parse_note, verify_note
from pingyao.ledger.model import HASH, Checkpoint, Policy
from pingyao.ledger.rules.tree import leaf_hashes
from pingyao.ledger.store.compared import Compared, Finding, grown, root_of
from pingyao.ledger.store.entries import MAGIC, Batch, EntryFile
from pingyao.ledger.store.growing import RESUME, Resume, entry_positions
from pingyao.ledger.store.hashes import LEVELS
from pingyao.ledger.store.reader import CHECKPOINT, ENTRIES, HASHES, POLICY, read_policy
from pingyao.ledger.store.sealed import SEALED
from pingyao.ledger.store.sealed import check as sealed
from pingyao.ledger.store.seen import sorted_run
from pingyao.ledger.store.sm3_check import FOLDER as SM3
from pingyao.ledger.store.sm3_check import Sm3Tree

Progress = Callable[[int], None]


class Report(msgspec.Struct, frozen=True):
    """What a check read and found; no finding means that everything follows."""

    entries: int
    checkpoint: Checkpoint | None
    findings: tuple[Finding, ...]


def fsck(folder: Path, mark: Path | None = None, progress: Progress | None = None) -> Report:
    """Reads a log whole.

    Args:
        mark: where the high-water mark lies.
        progress: is told how many entries were read.

    Raises:
        NotFound: the folder holds no log.
    """
    found: list[Finding] = []
    try:
        policy = read_policy(folder)
    except Invalid as error:
        return Report(0, None, (Finding(POLICY, error.detail),))
    if not policy.logs:
        return Report(0, None, (Finding(POLICY, "没有 log 行"),))
    try:
        if not sealed(folder, policy):
            found.append(Finding(POLICY, "policy 或 readers 自上次以密钥打开账本之后被改动"))
    except IntegrityBroken as error:
        found.append(Finding(SEALED, error.detail))
    notes = {CHECKPOINT: folder / CHECKPOINT, "mark": mark / "head" if mark else None}
    heads = {n: h for n, p in notes.items() if p and (h := _head(n, p, policy, found))}
    tree = _Tree(folder, heads, found)
    try:
        entries = EntryFile(folder / ENTRIES, writable=False)
    except FileNotFoundError:
        entries = None
    except PingyaoError as error:
        return Report(0, heads.get(CHECKPOINT), (*found, Finding(ENTRIES, error.detail)))
    if entries is not None:
        try:
            for batch in entries.batches(len(MAGIC), 0):
                tree.take(batch)
                if progress is not None:
                    progress(tree.size)
            if torn := entries.torn():
                found.append(Finding(ENTRIES, f"末尾有 {torn:,} 字节不成一批"))
        except PingyaoError as error:
            found.append(Finding(ENTRIES, error.detail))
        finally:
            entries.close()
    tree.finish()
    for name, head in heads.items():
        if head.size > tree.size:
            found.append(Finding(name, f"检查点有 {head.size:,} 条，条目只有 {tree.size:,} 条"))
    _check_runs(folder, found)
    return Report(tree.size, heads.get(CHECKPOINT), tuple(found))


def _head(name: str, path: Path, policy: Policy, found: list[Finding]) -> Checkpoint | None:
    """Reads a signed head; every signature on it must be of a known key."""
    try:
        note = parse_note(path.read_bytes())
        known = (*policy.logs, *policy.witnesses.values())
        signed = {s.key for s in verify_note(note, known)}
        head = parse_checkpoint(note.text)
    except FileNotFoundError:
        return None
    except PingyaoError as error:
        found.append(Finding(name, error.detail))
        return None
    if head.origin != policy.logs[0].name or not signed & set(policy.logs):
        found.append(Finding(name, "不是本账本签出的检查点"))
        return None
    ids = {(k.name, k.key_id) for k in signed}
    if any((line.name, line.key_id) not in ids for line in note.signatures):
        found.append(Finding(name, "有策略之外的签名"))
    return head


class _Tree:
    """The tree made again from the entries, beside the files that should hold it."""

    def __init__(self, folder: Path, heads: dict[str, Checkpoint], found: list[Finding]) -> None:
        self.size = 0
        self._found = found
        self._heads = heads
        self._tails: list[list[bytes]] = [[] for _ in range(LEVELS)]
        self._files = {n: Compared(folder, f"{HASHES}/{n}", found) for n in _names()}
        self._resume = _resume(folder, found)
        self._sm3 = Sm3Tree(folder, found) if (folder / SM3).is_dir() else None
        self._check_heads(0)

    def take(self, batch: Batch) -> None:
        leaves = leaf_hashes(batch.entries)
        positions = entry_positions(batch.position, batch.entries)
        self._files["positions"].expect(positions.astype(">u8").tobytes())
        if self._sm3:
            self._sm3.take(batch.entries)
        at = 0
        # Heads may lie inside a batch: the tree is looked at there.
        sizes = {h.size - self.size for h in self._heads.values()} | {len(leaves)}
        for stop in sorted(sizes):
            if at < stop <= len(leaves):
                self._grow(leaves[at:stop])
                at = stop
        if self._resume and self._resume.size == self.size:
            if self._resume.position != batch.end:
                self._found.append(Finding(RESUME, "续接位置与条目不符"))
            self._resume = None

    def _grow(self, leaves: list[bytes]) -> None:
        for level, added in grown(self._tails, leaves):
            self._files[f"level-{level}"].expect(b"".join(added))
        self.size += len(leaves)
        self._check_heads(self.size)

    def _check_heads(self, size: int) -> None:
        for name, head in self._heads.items():
            if head.size == size and head.root != root_of(self._tails):
                self._found.append(Finding(name, f"前 {size:,} 条的根与检查点不符"))

    def finish(self) -> None:
        if self._resume and self._resume != Resume(0, len(MAGIC)):
            self._found.append(Finding(RESUME, "续接位置与条目不符"))
        if self._sm3:
            self._sm3.finish()
        for file in self._files.values():
            file.finish()


def _names() -> Iterator[str]:
    yield "positions"
    for level in range(LEVELS):
        yield f"level-{level}"


def _resume(folder: Path, found: list[Finding]) -> Resume | None:
    try:
        return msgspec.json.decode((folder / RESUME).read_bytes(), type=Resume)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        found.append(Finding(RESUME, "无法读取"))
        return None


def _check_runs(folder: Path, found: list[Finding]) -> None:
    """Compares the look-up runs with the leaves, whose own file was compared before."""
    leaves = folder / HASHES / "level-0"
    runs = folder / "seen"
    for path in sorted(runs.iterdir()) if runs.exists() and leaves.exists() else ():
        start, _, end = path.name.partition("-")
        if not (start.isdecimal() and end.isdecimal()) or int(start) >= int(end):
            found.append(Finding(f"seen/{path.name}", "不是账本的文件"))
            continue
        with leaves.open("rb") as file:
            file.seek(int(start) * HASH)
            data = file.read((int(end) - int(start)) * HASH)
        expected = sorted_run(np.frombuffer(data, np.uint8)) if len(data) % HASH == 0 else b""
        if path.read_bytes() != expected:
            found.append(Finding(f"seen/{path.name}", "与由条目重算的结果不符"))
