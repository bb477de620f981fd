"""Work on the chunks of a file on the cores there are: each reads, works and writes by itself."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import BinaryIO

import numpy as np

from pingyao.kernel.errors import Conflict, Unavailable
from pingyao.platform.crypto import choose, lanes
from pingyao.platform.crypto.ports import TAG_BYTES

_MOST_WORKERS = 4
Told = Callable[[int], None]
Work = Callable[[int, int], int]


class Hashing:
    """Leaf hashes of up to sixteen chunks: one by one, or side by side where that is faster.

    A leaf's 00 stands before its chunk, so that they are hashed as one.
    """

    def __init__(self, algorithm: str, chunk_bytes: int) -> None:
        self._algorithm, self._digest = algorithm, choose.digest(algorithm)
        self._full = 1 + chunk_bytes + TAG_BYTES
        self._abreast = algorithm == "sm3" and lanes.beats_provider(algorithm)
        width = lanes.row_bytes(self._full)
        self._rows = np.zeros((lanes.LANES if self._abreast else 1, width), np.uint8)
        self._sizes: list[int] = []
        self._made = bytearray()

    def row(self, number: int, size: int) -> memoryview:
        """Returns where a chunk of this size is to be put."""
        row = self._rows[number % len(self._rows)]
        row[0] = 0
        self._sizes.append(1 + size)
        return row.data[1 : 1 + size]

    def take(self, number: int) -> None:
        """Takes the chunk that was put there."""
        if not self._abreast:
            self._made += self._digest(self._rows[0].data[: self._sizes[number]])

    def leaves(self) -> bytearray:
        """Returns the leaves of the chunks taken, and begins anew."""
        if self._sizes == [self._full] * lanes.LANES and self._abreast:
            self._made += b"".join(lanes.digest_rows(self._algorithm, self._rows, self._full))
        elif self._abreast:
            for row, size in zip(self._rows, self._sizes, strict=False):
                self._made += self._digest(row.data[:size])
        made, self._made, self._sizes = self._made, bytearray(), []
        return made


def spread(count: int, worker: Callable[[], Work], told: Told) -> None:
    """Works on numbered chunks, sixteen at a time, on the cores there are.

    Every core reads, works and writes by itself, so that a chunk stays in its cache.

    Args:
        worker: makes what works on a range of chunks, for one thread, and says how many bytes they were.
    """
    begins = iter(range(0, count, lanes.LANES))
    failed = Event()

    def run() -> None:
        work = worker()
        try:
            while not failed.is_set() and (first := next(begins, None)) is not None:
                told(work(first, min(first + lanes.LANES, count)))
        except BaseException:
            failed.set()
            raise

    cores = min(os.cpu_count() or 1, _MOST_WORKERS, -(-count // lanes.LANES))
    with ThreadPoolExecutor(cores) as pool:
        futures = [pool.submit(run) for _ in range(cores)]
        try:
            for future in futures:
                future.result()
        finally:
            failed.set()


def read_at(given: BinaryIO, buffer: memoryview, offset: int) -> None:
    """Fills a buffer from a place in a file.

    Raises:
        Conflict: the file ends before it.
        Unavailable: it cannot be read.
    """
    filled = 0
    try:
        while filled < len(buffer):
            got = os.preadv(given.fileno(), [buffer[filled:]], offset + filled)
            if not got:
                raise Conflict(
                    "protect.source_changed",
                    "源文件在读取中变短了",
                    "请待其写完后重试，目标未作改动",
                )
            filled += got
    except OSError:
        raise Unavailable("protect.unreadable", "源文件读取中断", "请检查存储后重试") from None


def write_at(file: BinaryIO, data: memoryview, offset: int) -> None:
    """Writes all of it to a place in a file."""
    while len(data):
        done = os.pwrite(file.fileno(), data, offset)
        data, offset = data[done:], offset + done
