"""Files as a target: written beside it under a hidden name, then moved into place at once."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from pingyao.kernel.errors import Conflict, Invalid, Unavailable
from pingyao.protect.model import Asset, Made, Staged

_CHUNK = 1 << 20
_STAGING = ".pingyao-"
_locks: dict[Path, int] = {}


def _parquet(file: Any, schema: pa.Schema) -> Any:
    # Level 1 writes at about the speed of Snappy, and smaller.
    return pq.ParquetWriter(file, schema, compression="zstd", compression_level=1)


def _csv(file: Any, schema: pa.Schema) -> Any:
    return pa_csv.CSVWriter(file, schema)


_WRITERS: dict[str, Callable[[Any, pa.Schema], Any]] = {"parquet": _parquet, "csv": _csv}


class FilesSink:
    """A file, or a folder with a file for each table.

    Args:
        target: must not exist yet.
        form: ``parquet`` or ``csv``.
        single: whether the target is one file.
    """

    def __init__(self, target: Path, form: str, *, single: bool) -> None:
        self.name = target.name
        self._target, self._form, self._single = target, form, single
        refuse_existing(target)
        self._staging = stage(target)
        self._made: list[Made] = []
        self._taken: set[str] = set()

    def write(self, asset: Asset, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
        """Writes a table into its file."""
        if self._single and self._made:
            raise Invalid(
                "protect.one_file",
                f"{self.name} 是一个文件，而数据源有多张表",
                "请把目标写成目录，每张表各成一个文件",
            )
        file = self._file(asset)
        path = self._staging / file
        rows = 0
        with full_disk_said(self.name):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as raw:
                with _WRITERS[self._form](raw, schema) as writer:
                    for batch in batches:
                        writer.write_batch(batch)
                        rows += batch.num_rows
                raw.flush()
                os.fsync(raw.fileno())
        self._made.append(Made(asset.schema, asset.name, rows, file, sha256_of(path)))
        return rows

    def staged(self) -> Staged:
        """Returns the folder the files are in; a scan names a table by its file."""
        tables = {
            (m.file, m.file.rpartition("/")[2].removesuffix(f".{self._form}")): (m.schema, m.table)
            for m in self._made
        }
        files = tuple(str(self._staging / m.file) for m in self._made)
        return Staged(str(self._staging), tables, tuple(self._made), files)

    def commit(self) -> None:
        """Moves the file or the folder into place."""
        refuse_existing(self._target)
        with full_disk_said(self.name):
            source = self._staging / self._made[0].file if self._single else self._staging
            source.rename(self._target)
        self.discard()

    def discard(self) -> None:
        """Removes what was written and not moved."""
        unstage(self._staging)

    def _file(self, asset: Asset) -> str:
        suffix = f".{self._form}"
        if self._single:
            return self._target.name
        # A file keeps the name it had, a table of a database lies in a folder of its database.
        parts = [p for p in asset.schema.split("/") if p]
        last = Path(parts[-1]).stem if parts else ""
        folder = parts[:-1] if last in ("", asset.name) else [*parts[:-1], last]
        name = "/".join(safe_name(p) for p in (*folder, asset.name)) + suffix
        if name.lower() in self._taken:
            raise Conflict(
                "protect.same_file", f"两张表都会写成 {name[:120]}", "请分别处理这两张表"
            )
        self._taken.add(name.lower())
        return name


class WholeFile:
    """A file as a target, written by whoever is given its ``path``."""

    def __init__(self, target: Path) -> None:
        self.name = target.name
        self._target = target
        refuse_existing(target)
        self._staging = stage(target)
        self.path = self._staging / target.name

    def staged(self) -> Staged:
        """Returns the file, complete."""
        made = Made("", self._target.stem, 0, self.name, sha256_of(self.path))
        return Staged(str(self.path), {}, (made,), (str(self.path),))

    def commit(self) -> None:
        """Moves the file into place."""
        refuse_existing(self._target)
        with full_disk_said(self.name):
            self.path.rename(self._target)
        self.discard()

    def discard(self) -> None:
        """Removes what was written and not moved."""
        unstage(self._staging)


def safe_name(text: str) -> str:
    """Returns a name that is one part of a path, whatever it was."""
    cleaned = "".join("_" if c in '/\\:*?"<>|' or c < " " else c for c in text).strip(". ")
    return cleaned.encode()[:180].decode("utf-8", "ignore") or "_"


def refuse_existing(target: Path) -> None:
    """Refuses a target that is there already: nothing is overwritten.

    Raises:
        Conflict: there is something by this name.
        Invalid: its folder is missing.
    """
    if target.exists() or target.is_symlink():
        raise Conflict(
            "protect.target_exists", f"目标 {target.name} 已存在", "请另取名称，或先移走它"
        )
    if not target.absolute().parent.is_dir():
        raise Invalid("protect.no_folder", f"{target.name} 所在的目录不存在", "请先建立该目录")


def stage(target: Path) -> Path:
    """Makes the hidden folder beside a target in which it is prepared, readable by its owner only.

    Who prepares something holds the lock of its folder: one that nobody holds was left by a run that
    was killed, and what lies in it was never proved. It is removed.
    """
    folder = target.absolute().parent
    try:
        for left in folder.glob(f"{_STAGING}*"):
            if _lock(left):
                unstage(left)
        made = Path(tempfile.mkdtemp(dir=folder, prefix=_STAGING))
        _lock(made)
        return made
    except OSError as error:
        raise Invalid(
            "protect.not_writable", f"目标目录不可写：{error.strerror}", "请检查权限与磁盘"
        ) from None


def unstage(folder: Path) -> None:
    """Removes a folder that `stage` made, where it is still there, and gives its lock back."""
    shutil.rmtree(folder, ignore_errors=True)
    if (held := _locks.pop(folder, None)) is not None:
        os.close(held)


def _lock(folder: Path) -> bool:
    """Takes the lock of a folder, which ends with the process at the latest."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        return False
    _locks[folder] = held
    return True


class full_disk_said:
    """Turns a failure to write into an error that says what to do."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        """Begins."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        """Raises in its place."""
        if isinstance(error, OSError):
            raise Unavailable(
                "protect.write_failed",
                f"写入 {self._name} 失败：{error.strerror or type(error).__name__}",
                "目标未作任何改动；请检查磁盘空间与权限后重试",
            ) from None


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()
