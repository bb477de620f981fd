"""A backup put back into an empty place: all of it verified before any of it is live, or nothing happens."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from pingyao.app.backing_up import DATABASE, KEYS, LEDGER, MANIFEST, Manifest
from pingyao.app.migrations import NEWEST, migrate, shape_of, version_of
from pingyao.kernel.errors import Conflict, IntegrityBroken, NotYet
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger.store.copying import complete, held_back
from pingyao.ledger.store.entries import sync_folder
from pingyao.ledger.store.fsck import fsck
from pingyao.ledger.store.mark import default_mark
from pingyao.ledger.store.reader import read_policy
from pingyao.platform import dump
from pingyao.platform.crypto import keymark
from pingyao.platform.crypto.keystore import open_keystore
from pingyao.platform.db import open_engine
from pingyao.platform.files import write_atomically
from pingyao.platform.identity import store
from pingyao.platform.outbox import emit

Progress = Callable[[int], None]


def restore(
    folder: Path,
    manifest: Manifest,
    url: str,
    *,
    ledger: Path | None,
    keys: Mapping[str, Path],
    passphrase: str,
    moved: bool,
    actor: str,
    told: Progress,
) -> None:
    """Puts a backup back; everybody must sign in again.

    Args:
        folder: of the backup, read and checked.
        manifest: what it holds.
        url: of a database that is empty or not there.
        ledger: the folder to make of the ledger's copy; None to leave it out.
        keys: where each key goes, by the name it was kept under.
        passphrase: what the keys were kept under.
        moved: nothing was signed after the backup, as who restores it answers for.
        actor: who restores.
        told: is told how many rows were read.

    Raises:
        Conflict: a place is not empty, or a newer program made the backup.
        IntegrityBroken: something in it does not hold.
        NotYet: nothing here would notice that the ledger had gone further.
    """
    if manifest.schema > NEWEST:
        raise Conflict(
            "backup.newer",
            f"备份出自更新的程序（{manifest.version}，版本 {manifest.schema}）",
            "请升级 pingyao 后再恢复",
        )
    secrets = _secrets(folder, passphrase) if keys else {}
    placed = {keys[name]: secret for name, secret in secrets.items() if name in keys}
    for path in (*placed, *([ledger] if ledger else [])):
        if path.exists() and (path.is_file() or any(path.iterdir())):
            raise Conflict(
                "backup.not_empty", f"{path.name} 已存在", "恢复只写入空的位置；请另指定"
            )
    with ExitStack() as undo:
        work = undo.enter_context(_log(folder / LEDGER, ledger, moved=moved)) if ledger else None
        with _database(url) as (engine, appear):
            with engine.begin() as db:
                _fill(db, folder, manifest, actor, told)
                # The database comes last: with it the node is there, and not before.
                if work is not None and ledger is not None:
                    _take_place(work, ledger, undo)
                for path, secret in placed.items():
                    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    undo.callback(path.unlink, missing_ok=True)
                    write_atomically(path, secret)
                    # Older than was seen here it may be: that is what restoring is, and is evidence.
                    keymark.forget(path)
            appear()
        undo.pop_all()


def _secrets(folder: Path, passphrase: str) -> dict[str, bytes]:
    """Opens the keys; whoever closed them vouched for the manifest as it was then."""
    with tempfile.TemporaryDirectory() as apart:  # the backup may lie where nothing can be written
        copy = Path(apart) / KEYS
        write_atomically(copy, (folder / KEYS).read_bytes())
        kept = open_keystore(copy, passphrase)
        found = {i.name: kept.get(i.name).secret for i in kept.infos()}
        keymark.forget(copy)
    if found.pop("manifest", b"") != hashlib.sha256((folder / MANIFEST).read_bytes()).digest():
        raise IntegrityBroken(
            "backup.forged", "清单不是与密钥一同备份的那一份", "备份被改动过；请换一份，并查明原因"
        )
    return found


@contextmanager
def _log(copy: Path, ledger: Path, *, moved: bool) -> Generator[Path]:
    """Gives a whole log made of the copy, beside where it will be; every byte of it holds."""
    ledger.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{ledger.name}.", dir=ledger.parent))
    try:
        shutil.copytree(copy, work, dirs_exist_ok=True)
        size = complete(work)
        report = fsck(work)
        if report.findings:
            found = report.findings[0]
            raise IntegrityBroken(
                "backup.ledger", f"备份中的账本不符：{found.where}，{found.detail}", "请换一份备份"
            )
        policy = read_policy(work)
        mark = default_mark(policy.logs[0].name)
        further = held_back(work, mark)
        if further is not None:
            raise IntegrityBroken(
                "ledger.rolled_back",
                f"备份中的账本只有 {size:,} 条，本机此后签出过 {further.size:,} 条的检查点",
                "请以 --no-ledger 恢复其余部分，再用 pingyao ledger restore 从镜像方取回全部条目",
            )
        if not moved and policy.quorum == "none" and not (mark / "head").exists():
            raise NotYet(
                "backup.unguarded",
                "账本没有见证方，本机也没有高水位：备份之后若还签出过检查点，无从发觉，续写即成分叉",
                "确知备份之后原节点未再存证（如计划中的搬迁），请加 --moved；"
                "否则以 --no-ledger 恢复，账本另立来源名",
            )
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _take_place(work: Path, ledger: Path, undo: ExitStack) -> None:
    for path in (p for p in work.rglob("*") if p.is_file()):
        sync_folder(path)  # flushes a file as well
    work.replace(ledger)
    undo.callback(shutil.rmtree, ledger, ignore_errors=True)
    sync_folder(ledger.parent)


@contextmanager
def _database(url: str) -> Generator[tuple[sa.Engine, Callable[[], None]]]:
    """Gives an empty database to fill, and what makes it appear once its transaction is over."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        engine = open_engine(url, _refuse_unless_empty)
        try:
            yield engine, lambda: None
        finally:
            engine.dispose()
        return
    place = Path(parsed.database)
    if place.exists() and place.stat().st_size:
        raise Conflict("backup.not_empty", f"{place.name} 已存在", "恢复只写入空的位置；请另指定")
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as folder:
        made = Path(folder) / place.name
        engine = open_engine(f"sqlite:///{made}", _refuse_unless_empty)

        def appear() -> None:
            engine.dispose()  # the last to leave puts the write-ahead log into the file
            made.chmod(0o600)
            sync_folder(made)
            made.replace(place)
            sync_folder(place.parent)

        try:
            yield engine, appear
        finally:
            engine.dispose()


def _refuse_unless_empty(db: sa.Connection) -> None:
    if version_of(db):
        raise Conflict("backup.not_empty", "目标数据库不是空的", "恢复只写入空的数据库；请另指定")


def _fill(db: sa.Connection, folder: Path, manifest: Manifest, actor: str, told: Progress) -> None:
    """Makes the tables as they were, fills them, and only then brings them up to date."""
    migrate(db, manifest.schema)
    shape = shape_of(manifest.schema)
    if shape.tables.keys() != manifest.rows.keys():
        raise IntegrityBroken("backup.tables", "备份中的表与其版本不符", "请换一份备份")
    dump.read(db, shape, folder / DATABASE, manifest.rows, told)
    migrate(db)
    wrong = dump.check(db)
    if wrong:
        raise IntegrityBroken(
            "backup.database", f"恢复出的数据库不符：{wrong[0][:200]}", "请换一份备份"
        )
    db.execute(sa.delete(store.sessions))
    body: dict[str, object] = {
        "made_at": manifest.made_at.isoformat(timespec="seconds"),
        "version": manifest.version,
        "ledger": manifest.ledger.entries if manifest.ledger else 0,
    }
    event = EvidenceEvent("node.restored", manifest.institution, actor, datetime.now(UTC), body)
    emit(db, [event])
