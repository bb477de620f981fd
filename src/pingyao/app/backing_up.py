"""A backup of a node that runs: its database, its ledger and, on request, its keys, under one manifest.

The database is read first, in one snapshot, and the ledger copied after it: an event is durable in
the ledger before the database notes its place, so a copy made later holds whatever the snapshot
speaks of. The other way round, the database could speak of entries that the copy lacks. What the ledger
took in between waits in the snapshot still, and is logged once more after a restore.
"""

import errno
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
import sqlalchemy as sa

from pingyao.app.migrations import shape_of, version_of
from pingyao.kernel.errors import Conflict, IntegrityBroken, Invalid, NotFound, Unavailable
from pingyao.ledger.store.copying import copy_log
from pingyao.ledger.store.entries import sync_folder
from pingyao.platform import dump
from pingyao.platform.crypto import keymark
from pingyao.platform.crypto.keystore import create_keystore
from pingyao.platform.identity import store

FORMAT = "pingyao-backup-1"
MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
DATABASE, LEDGER, KEYS = "database", "ledger", "keys.pks"
_MOST_MANIFEST = 4 << 20
Progress = Callable[[int], None]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a backup, by its path in it."""

    path: str
    size: int
    sha256: str


class LedgerPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was copied of the ledger."""

    origin: str
    entries: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup holds.

    Attributes:
        format: ``FORMAT``.
        version: of the program that made it.
        schema: version of the schema.
        institution: whose node it is.
        rows: of every table.
        keys: whether the keys are there, under the backup's own passphrase.
        parts: every other file of it.
    """

    format: str
    version: str
    schema: int
    made_at: datetime
    institution: str
    rows: dict[str, int]
    ledger: LedgerPart | None
    keys: bool
    parts: tuple[Part, ...]


def back_up(
    engine: sa.Engine,
    out: Path,
    *,
    ledger: Path | None,
    keys: Mapping[str, Path],
    passphrase: str,
    told: Progress,
) -> tuple[Manifest, str]:
    """Makes a backup; its folder takes its name only once all of it is on the disk.

    Args:
        engine: the database, up to date.
        out: the folder to make; must not exist.
        ledger: folder of the ledger, if there is one.
        keys: files of keys by the name they are kept under; none to leave them out.
        passphrase: what they are kept under, another than that of the keystore.
        told: is told how many rows were written.

    Returns:
        The manifest, and its SHA-256.

    Raises:
        Conflict: there is such a folder.
        Unavailable: there is no room; nothing is left behind.
    """
    if out.exists():
        raise Conflict("backup.exists", f"{out.name} 已存在", "请换一个目录名；备份从不覆盖备份")
    with _appearing(out) as work:
        (work / DATABASE).mkdir(mode=0o700)
        with engine.connect() as db:
            dump.begin_reading(db)
            schema = version_of(db)
            institution = store.read_institution(db)
            rows = dump.write(db, shape_of(schema), work / DATABASE, told)
        copied = LedgerPart(*copy_log(ledger, work / LEDGER)) if ledger else None
        parts = tuple(_parts(work))
        manifest = Manifest(
            format=FORMAT,
            version=version("pingyao"),
            schema=schema,
            made_at=datetime.now(UTC),
            institution=institution.name if institution else "",
            rows=rows,
            ledger=copied,
            keys=bool(keys),
            parts=parts,
        )
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        digest = hashlib.sha256(text).hexdigest()
        (work / MANIFEST).write_bytes(text)
        sums = "".join(f"{p.sha256}  {p.path}\n" for p in parts) + f"{digest}  {MANIFEST}\n"
        (work / SUMS).write_text(sums, "utf-8")
        if keys:
            kept = create_keystore(work / KEYS, passphrase)
            # Who knows the passphrase also knows that the rest is what was backed up with these keys.
            kept.create("manifest", "opaque", secret=bytes.fromhex(digest))
            for name, path in keys.items():
                kept.create(name, "opaque", secret=_secret(path))
            (work / f".{KEYS}.lock").unlink()
            keymark.forget(work / KEYS)
    return manifest, digest


@contextmanager
def _appearing(out: Path) -> Generator[Path]:
    """Gives a folder to fill, mode 0700, that takes its name when it is whole and on the disk."""
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError:
        raise Invalid("backup.no_place", f"{out.parent} 不可写", "请核对备份放在哪里") from None
    try:
        yield work
        for path in work.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
            sync_folder(path)  # flushes a file as well
        sync_folder(work)
        work.replace(out)
        sync_folder(out.parent)
    except BaseException as error:
        shutil.rmtree(work, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise Unavailable(
                "backup.disk_full", "备份所在磁盘空间不足，未留下任何文件", "请腾出空间后重试"
            ) from None
        raise


def _parts(folder: Path) -> Iterator[Part]:
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        yield part_of(folder, path.relative_to(folder).as_posix())


def part_of(folder: Path, path: str) -> Part:
    """Returns what a file is now."""
    with (folder / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Part(path, file.tell(), digest)


def _secret(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise NotFound("backup.no_key", f"没有密钥文件 {path.name}", "请核对其路径") from None


def read_manifest(folder: Path, told: Progress) -> Manifest:
    """Reads a backup, and every byte of it, before anything is done with it.

    Args:
        folder: of the backup.
        told: is told how many bytes were read.

    Raises:
        NotFound: it is no backup.
        IntegrityBroken: a part is missing, damaged, or there by no right.
        Conflict: a newer program made it.
    """
    try:
        with (folder / MANIFEST).open("rb") as file:
            text = file.read(_MOST_MANIFEST + 1)
        sums = (folder / SUMS).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise NotFound(
            "backup.none", f"{folder.name} 不是备份", "请给出 pingyao node backup 所建的目录"
        ) from None
    if not sums.endswith(f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n"):
        raise _damaged(MANIFEST)
    try:
        if msgspec.json.decode(text, type=_Named).format != FORMAT:
            raise Conflict("backup.newer", "备份的格式本程序不认识", "请升级 pingyao 后再恢复")
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError:
        raise _damaged(MANIFEST) from None
    listed = {p.path for p in manifest.parts}
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
    for name in sorted(listed ^ (there - {MANIFEST, SUMS, KEYS})):
        raise _damaged(name)
    if manifest.keys != (KEYS in there):
        raise _damaged(KEYS)
    for part in manifest.parts:
        if (folder / part.path).is_symlink() or part_of(folder, part.path) != part:
            raise _damaged(part.path)
        told(part.size)
    return manifest


class _Named(msgspec.Struct):
    format: str


def _damaged(name: str) -> IntegrityBroken:
    return IntegrityBroken(
        "backup.damaged",
        f"备份中的 {name[:80]} 缺失、损坏或被改动",
        "请换一份备份；此份请保留，查明原因",
    )
