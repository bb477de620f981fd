"""The sequencer: many submitters, one order; batches made durable together, heads cosigned beside them.

While the witnesses look at one head the next batches are already being written, and of the heads that wait
only the newest is sent: neither waits for the other, and a slow witness makes larger steps, not a queue.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType

import msgspec

from pingyao.kernel.errors import Invalid, PingyaoError, Unavailable
from pingyao.ledger.formats.note import format_line
from pingyao.ledger.formats.tlog_tiles import fits
from pingyao.ledger.model import Checkpoint, SignatureLine
from pingyao.ledger.ports import AppendLog, Cosigners

MAX_AT_ONCE = 4_096
_MAX_BYTES = 1 << 23
_WAITING = 64
_RETRY_SECONDS = 0.2


class Submission(msgspec.Struct, frozen=True):
    """What became of some entries.

    Attributes:
        durable: their indices, once they are on the disk.
        final: the published head that covers them, once the quorum cosigned it.
    """

    durable: Future[list[int]]
    final: Future[str]


class _Item(msgspec.Struct):
    entries: Sequence[bytes]
    told: Submission


class Sequencer:
    """Runs a log until it is closed.

    Args:
        log: opened for appending.
        cosigners: None where the log stands alone.
        wait: seconds a batch is held open for more, when less than ``batch`` entries came.
        batch: entries that are written at once without waiting for more.
    """

    def __init__(
        self,
        log: AppendLog,
        cosigners: Cosigners | None = None,
        *,
        wait: float = 0.005,
        batch: int = 1_024,
    ) -> None:
        self._log, self._cosigners = log, cosigners
        self._wait, self._batch = wait, batch
        self._items: queue.Queue[_Item | None] = queue.Queue(_WAITING)
        self._open: list[tuple[int, Future[str]]] = []
        self._signed: tuple[Checkpoint, str] | None = None
        self._done, self._published = -1, ""
        self._news = threading.Condition()
        self._closing = False
        self._failure: PingyaoError | None = None
        self._threads = [
            threading.Thread(target=self._guard, args=(run,), name=name, daemon=True)
            for run, name in ((self._commit, "ledger-commit"), (self._publish, "ledger-publish"))
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, entries: Sequence[bytes], timeout: float = 30.0) -> Submission:
        """Hands in entries; those of one call become durable together.

        Raises:
            Invalid: too many, or one that no log can hold.
            Unavailable: too much is waiting, or the sequencer has stopped.
        """
        if (
            not 0 < len(entries) <= MAX_AT_ONCE
            or sum(map(len, entries)) > _MAX_BYTES
            or not all(e and fits(e) for e in entries)
        ):
            raise Invalid(
                "ledger.entry_too_long",
                f"一次应提交 1 至 {MAX_AT_ONCE:,} 条，每条 1 至 65535 字节，共至多 8 MiB",
                "请分次提交；大文件只登记其承诺值",
            )
        item = _Item(entries, Submission(Future(), Future()))
        if self._failure is not None:
            raise self._failure
        try:
            if self._closing:
                raise queue.Full
            self._items.put(item, timeout=timeout)
        except queue.Full:
            raise Unavailable("ledger.busy", "账本繁忙或正在关闭", "请稍后重试") from None
        return item.told

    def _guard(self, run: Callable[[], None]) -> None:
        try:
            run()
        except PingyaoError as error:
            self._fail(error)
        except Exception:
            self._fail(_failed())
            raise

    def _fail(self, error: PingyaoError) -> None:
        """Stops: what waits is told why, and nothing more is taken."""
        self._failure = error
        with self._news:
            waiting, self._open = self._open, []
            self._news.notify_all()
        for _, future in waiting:
            future.set_exception(error)
        while True:
            try:
                item = self._items.get_nowait()
            except queue.Empty:
                return
            if item is not None:
                _refuse(item, error)

    def _commit(self) -> None:
        while self._failure is None:
            items = self._gather()
            if not items:
                break
            entries = [e for item in items for e in item.entries]
            try:
                indices = self._log.append(entries)
                signed = self._log.sign()
            except Exception as error:
                for item in items:
                    _refuse(item, error if isinstance(error, PingyaoError) else _failed())
                # A full disk may have room again; after anything else the log must be opened anew.
                if not isinstance(error, PingyaoError) or error.code != "ledger.disk_full":
                    raise
                continue
            at = 0
            with self._news:
                for item in items:
                    its = indices[at : at + len(item.entries)]
                    at += len(item.entries)
                    item.told.durable.set_result(its)
                    self._open.append((max(its) + 1, item.told.final))
                self._signed = signed
                self._news.notify_all()
            self._settle()
        with self._news:
            self._closing = True
            self._news.notify_all()

    def _gather(self) -> list[_Item]:
        """Waits for entries, and a little longer for more; none when closing."""
        item = self._items.get()
        items: list[_Item] = []
        count, size, deadline = 0, 0, time.monotonic() + self._wait
        while item is not None:
            items.append(item)
            count += len(item.entries)
            size += sum(map(len, item.entries))
            if count >= self._batch or size >= _MAX_BYTES:
                break
            try:
                item = self._items.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                break
            if item is None:
                self._items.put(None)
        return items

    def _publish(self) -> None:
        while self._failure is None:
            with self._news:
                self._news.wait_for(lambda: self._failure or self._closing or self._unpublished())
                signed, closing = self._unpublished(), self._closing
            if signed is None:
                if closing:
                    return
                continue
            head, note = signed
            try:
                note += "".join(map(format_line, self._cosign(head, note)))
                self._log.publish(note)
            except Unavailable:
                if closing:
                    raise
                time.sleep(_RETRY_SECONDS)
                continue
            self._done, self._published = head.size, note
            self._settle()

    def _settle(self) -> None:
        """Tells those whose entries the published head covers; repeated ones may be covered at once."""
        with self._news:
            final = [f for size, f in self._open if size <= self._done]
            self._open = [(size, f) for size, f in self._open if size > self._done]
        for future in final:
            future.set_result(self._published)

    def _unpublished(self) -> tuple[Checkpoint, str] | None:
        return self._signed if self._signed and self._signed[0].size > self._done else None

    def _cosign(self, head: Checkpoint, note: str) -> Sequence[SignatureLine]:
        return self._cosigners.cosign(self._log, head, note) if self._cosigners else ()

    def close(self) -> None:
        """Finishes what was handed in, and stops.

        Raises:
            PingyaoError: it had stopped before, or the last heads could not be published.
        """
        if not self._closing:
            self._items.put(None)
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> "Sequencer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _failed() -> PingyaoError:
    return Unavailable("ledger.failed", "账本内部出错而停止", "请查看日志并重新打开")


def _refuse(item: _Item, error: PingyaoError) -> None:
    item.told.durable.set_exception(error)
    item.told.final.set_exception(error)
