"""A folder as a source: every file in it that can be read, each under its own path."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pyarrow as pa

from pingyao.classify.model import Table, Unread, unforeseen
from pingyao.classify.ports import Source
from pingyao.classify.sources.failures import shown
from pingyao.classify.sources.fingerprints import file_fingerprint
from pingyao.kernel.errors import PingyaoError

_DEEPEST = 12
_MOST_FILES = 200_000


class FolderSource:
    """The files below a folder; links that lead out of it are not followed."""

    kind = "folder"

    def __init__(self, path: Path, opener: Callable[[Path], Source]) -> None:
        self._root = path
        self._open = opener
        self.name = path.resolve().name
        self._where: dict[tuple[str, str], tuple[Path, Table]] = {}

    def tables(self) -> Iterator[Table | Unread]:
        """Yields the tables of every file, with the file's path below the folder as schema."""
        for number, path in enumerate(_files(self._root)):
            relative = path.relative_to(self._root).as_posix()
            if number >= _MOST_FILES:
                yield Unread(
                    shown(self.name),
                    "scan.too_many_files",
                    f"文件超过 {_MOST_FILES:,} 个，其余未读",
                    "请分目录扫描",
                )
                return
            try:
                source = self._open(path)
            except PingyaoError as error:
                yield Unread(shown(relative), error.code, error.detail, error.remedy)
                continue
            except Exception as error:
                yield unforeseen(shown(relative), error)
                continue
            try:
                for table in source.tables():
                    if isinstance(table, Unread):
                        yield msgspec.structs.replace(
                            table, where=f"{shown(relative)} {table.where}"
                        )
                        continue
                    # A database in the folder keeps its schemas apart in the table's name.
                    inside = "" if table.schema in ("", source.name) else f"{table.schema}."
                    placed = msgspec.structs.replace(
                        table, schema=relative, name=f"{inside}{table.name}"
                    )
                    self._where[placed.schema, placed.name] = (path, table)
                    yield placed
            except PingyaoError as error:
                yield Unread(shown(relative), error.code, error.detail, error.remedy)
            except Exception as error:
                yield unforeseen(shown(relative), error)
            finally:
                source.close()

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Opens the table's file again and yields its rows."""
        path, inner = self._where[table.schema, table.name]
        inner = msgspec.structs.replace(inner, columns=table.columns)
        with closing(self._open(path)) as source:
            yield from source.batches(inner, limit, after)

    def fingerprint(self, table: Table) -> str | None:
        """Returns the fingerprint of the table's file; views may ask the clock."""
        path, inner = self._where[table.schema, table.name]
        return None if inner.kind == "view" else file_fingerprint(path)

    def close(self) -> None:
        """Nothing is held open between tables."""


def _files(root: Path) -> Iterator[Path]:
    """Yields the files below a folder by name; hidden ones and links are left out."""
    for folder, names, files in os.walk(root, followlinks=False):
        depth = len(Path(folder).relative_to(root).parts)
        names[:] = sorted(n for n in names if not n.startswith(".")) if depth < _DEEPEST else []
        for name in sorted(files):
            path = Path(folder) / name
            companion = name.endswith(("-wal", "-shm", "-journal"))
            if not name.startswith((".", "~$")) and not path.is_symlink() and not companion:
                yield path


def open_folder(path: Path, opener: Callable[[Path], Source]) -> FolderSource:
    """Opens a folder; ``opener`` opens each of its files."""
    return FolderSource(path, opener)
