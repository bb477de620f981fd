"""The one durable file: entries in batches, each with its length and checksum, one flush per batch.

A batch is ``length u32 | count u32 | first index u64 | checksum 16 B``, then its entries as an entry
bundle writes them. Batches follow one another; only the last can be torn, because the next is written
only after the one before is on the disk.
"""

import errno
import hashlib
import os
import struct
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pingyao.kernel.errors import IntegrityBroken, Invalid, PingyaoError, Unavailable
from pingyao.ledger.formats.tlog_tiles import join_bundle, split_bundle

MAGIC = b"pingyao-ledger-1"
_HEADER = struct.Struct(">IIQ16s")
MAX_BODY = 1 << 26
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Batch(NamedTuple):
    """What was appended at once: where its entries lie in the file, and which they are."""

    position: int
    first: int
    entries: list[bytes]
    end: int


class EntryFile:
    """The file of entries.

    Attributes:
        end: where the next batch goes.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        if writable and not path.exists():
            _create(path)
        self._handle = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        self._broken = False
        self.end = len(MAGIC)
        if os.pread(self._handle, len(MAGIC), 0) != MAGIC:
            self.close()
            raise _damaged("文件头不对")

    def close(self) -> None:
        """Closes the file."""
        os.close(self._handle)

    def append(self, first: int, entries: Sequence[bytes]) -> int:
        """Writes a batch and waits until it is on the disk.

        Returns:
            The position of the first entry's length in the file.

        Raises:
            Unavailable: there is no room; nothing was written and the log goes on. Or the disk failed,
                and the log must be opened anew to learn what is on it.
        """
        if self._broken:
            raise disk_failed()
        body = join_bundle(entries)
        record = _pack(len(entries), first, body) + body
        try:
            write_at(self._handle, record, self.end)
        except OSError as error:
            self._take_back()
            if error.errno in _NO_ROOM:
                raise Unavailable(
                    "ledger.disk_full",
                    "磁盘空间不足，本批未写入，此前条目完好",
                    "请腾出空间后重试；重试不会产生重复条目",
                ) from None
            raise disk_failed(error) from None
        try:
            os.fdatasync(self._handle)
        except OSError:
            # What a failed flush left behind is unknown to everybody: never go on from here.
            self._broken = True
            raise disk_failed() from None
        position = self.end + _HEADER.size
        self.end += len(record)
        return position

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._handle, self.end)
        except OSError:
            self._broken = True

    def batches(self, position: int, first: int) -> Iterator[Batch]:
        """Yields the batches from a position on, checked, and leaves ``end`` after the last.

        Raises:
            IntegrityBroken: a batch that others follow is damaged.
        """
        self.end = position
        size = self.length()
        while self.end < size:
            batch = self._read(self.end, first, size)
            if batch is None:
                return
            yield batch
            first += len(batch.entries)
            self.end = batch.end

    def length(self) -> int:
        """Returns how long the file is."""
        return os.fstat(self._handle).st_size

    def torn(self) -> int:
        """Returns how many bytes of an unfinished batch follow the last whole one."""
        return self.length() - self.end

    def cut(self) -> None:
        """Removes an unfinished batch: it was never acknowledged."""
        os.ftruncate(self._handle, self.end)
        os.fsync(self._handle)

    def _read(self, at: int, first: int, size: int) -> Batch | None:
        """Reads a batch; None when it is the last and torn."""
        header = os.pread(self._handle, _HEADER.size, at).ljust(_HEADER.size, b"\0")
        length, count, index, _ = _HEADER.unpack(header)
        position = at + _HEADER.size
        end = position + length
        if length <= MAX_BODY and end <= size:
            body = os.pread(self._handle, length, position)
            if header == _pack(count, index, body) and index == first and count:
                return Batch(position, index, split_bundle(body, count), end)
        if self._whole_after(at, size, first):
            raise _damaged(f"第 {first} 条起的一批校验不符")
        return None

    def _whole_after(self, at: int, size: int, first: int) -> bool:
        """Tells whether whole batches follow a damaged one: then it is no torn end.

        A torn batch is the last thing written and at most as long as a batch can be.
        """
        if size - at > MAX_BODY + _HEADER.size:
            return True
        rest = os.pread(self._handle, size - at, at)
        for place in range(1, len(rest) - _HEADER.size):
            length, count, index, _ = _HEADER.unpack_from(rest, place)
            end = place + _HEADER.size + length
            if (
                first < index < first + (1 << 24)
                and 0 < count <= length
                and end <= len(rest)
                and rest[place : place + _HEADER.size]
                == _pack(count, index, rest[place + _HEADER.size : end])
            ):
                return True
        return False

    def read(self, position: int, length: int) -> bytes:
        """Reads bytes of the file."""
        return os.pread(self._handle, length, position)


def _pack(count: int, first: int, body: bytes) -> bytes:
    named = struct.pack(">IIQ", len(body), count, first)
    return named + hashlib.sha256(named + body).digest()[:16]


def _create(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, MAGIC)
        os.fsync(handle)
    finally:
        os.close(handle)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_at(handle: int, data: bytes, at: int) -> None:
    """Writes all of the bytes at a place."""
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, at)
        view, at = view[written:], at + written


def disk_failed(error: OSError | None = None) -> PingyaoError:
    """Returns the error after which a log must be opened anew."""
    if error is not None and error.errno in _NO_ROOM:
        return Unavailable(
            "ledger.no_room",
            "磁盘空间不足，账本已停止追加，已确认的条目完好",
            "请腾出空间，然后重新打开账本；重试不会产生重复条目",
        )
    if error is not None and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Invalid("ledger.not_writable", "账本目录不可写", "请检查目录的属主、权限与挂载方式")
    return Unavailable(
        "ledger.disk_failed", "磁盘写入失败，账本已停止追加", "请检查磁盘，然后重新打开账本"
    )


@contextmanager
def disk_explained() -> Generator[None]:
    """Says what it means that a file could not be read or written."""
    try:
        yield
    except OSError as error:
        raise disk_failed(error) from None


def _damaged(detail: str) -> IntegrityBroken:
    return IntegrityBroken(
        "ledger.entries.damaged",
        f"条目文件损坏：{detail}",
        "请勿改动现场；运行 pingyao ledger fsck 查看范围，再从镜像成员或备份恢复",
    )
