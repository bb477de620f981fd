"""The terminal: progress and errors on stderr, text made safe to show."""

import sys
import time
import unicodedata
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pingyao.kernel.errors import PingyaoError

if TYPE_CHECKING:  # rich is imported late: most commands never draw a bar
    from rich.progress import Progress, TaskID

_VISIBLE_CONTROL = {i: f"\\x{i:02x}" for i in (*range(32), *range(127, 160))}


def safe(text: str, limit: int = 80) -> str:
    """Returns untrusted text fit for a terminal: controls and direction marks made visible."""
    shown = text[: limit * 4].translate(_VISIBLE_CONTROL)
    shown = "".join(f"\\u{ord(c):04x}" if unicodedata.category(c) == "Cf" else c for c in shown)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def print_error(error: PingyaoError) -> None:
    """Prints what went wrong and what to do about it."""
    lines = [f"{error.title}：{safe(error.detail, 400)}"]
    if error.remedy:
        lines.append(f"处理办法：{safe(error.remedy, 400)}")
    lines.append(f"代码：{error.code}")
    print("\n".join(lines), file=sys.stderr)


class TerminalProgress:
    """Shows how a scan goes on; silent when there is no terminal to show it on."""

    def __init__(self, bar: "Progress | None") -> None:
        self._bar = bar
        self._task: TaskID | None = None

    def table(self, name: str, estimated_rows: int | None) -> None:
        """Starts the next table."""
        if self._bar is None:
            return
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(safe(name, 40), total=estimated_rows, bytes=0)

    def rows(self, count: int, size: int) -> None:
        """Moves the bar on by so many rows of so many bytes."""
        if self._bar is not None and self._task is not None:
            held = self._bar.tasks[0].fields["bytes"]
            self._bar.update(self._task, advance=count, bytes=held + size)


@contextmanager
def scan_progress(*, enabled: bool) -> Generator[TerminalProgress]:
    """Gives a progress display on stderr for the time of a scan."""
    if not enabled or not sys.stderr.isatty():
        yield TerminalProgress(None)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            seconds = task.elapsed or 0.0
            if seconds < 0.5:
                return Text("")
            size = task.fields["bytes"] / 1_000_000
            return Text(f"{task.completed / seconds:,.0f} 行/秒  {size / seconds:,.0f} MB/秒")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} 行"),
        Rate(),
        TimeElapsedColumn(),
        TextColumn("剩余"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield TerminalProgress(bar)


@contextmanager
def bytes_progress(what: str, total: int) -> Generator[Callable[[int], None]]:
    """Gives what is told of bytes done, and shows them on stderr where there is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(safe(what, 40), total=total)
        yield lambda done: bar.advance(task, done)


@contextmanager
def counting(words: str) -> Generator[Callable[[int], None]]:
    """Gives what is told of things done, and shows their count on stderr where there is a terminal.

    Args:
        words: what is shown, with a place for the count.
    """
    done, shown = 0, time.monotonic()

    def told(more: int) -> None:
        nonlocal done, shown
        done += more
        if sys.stderr.isatty() and time.monotonic() - shown > 0.5:
            shown = time.monotonic()
            print(f"\r{words.format(done)}", end="", file=sys.stderr)

    yield told
    if sys.stderr.isatty():
        print(f"\r{words.format(done)}", file=sys.stderr)


def print_table(headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Prints a table on stdout; every cell is made safe first."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*headers)
    for row in rows:
        table.add_row(*(escape(safe(cell, 48)) for cell in row))
    Console().print(table)
