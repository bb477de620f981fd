"""A scan with its journal and its reports: what the command line and the console's runs share."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import sqlalchemy as sa

from pingyao.classify.carrying import Carrying
from pingyao.classify.journal import FileJournal
from pingyao.classify.knowledge import Knowledge
from pingyao.classify.model import Coverage, ScanResult
from pingyao.classify.ports import Pace, Progress, Source
from pingyao.classify.reading import Journal
from pingyao.classify.service import scan
from pingyao.classify.store import Reading, read_readings
from pingyao.kernel.errors import Conflict, Unavailable
from pingyao.platform.files import state_home

REPORTS = ("result.json", "report.xlsx", "report.html")
# What may have passed by the next time.
_WORTH_RETRYING = frozenset(
    {
        *("scan.unreachable", "scan.too_busy", "scan.locked", "scan.timed_out"),
        *("scan.not_permitted", "scan.read_failed"),
    }
)


class How(msgspec.Struct, frozen=True):
    """How a source is read.

    Attributes:
        sample: rows of a table to read at most; None for all.
        resume: go on from where an interruption left it.
        quiet: say nothing of it.
    """

    coverage: Coverage
    sample: int | None
    pace: Pace | None
    progress: Progress | None
    resume: bool = False
    quiet: bool = False


def carrying(
    catalogue: sa.Engine, opened: Source, sample: int, journal: Journal | None, *, reuse: bool
) -> Carrying:
    """Returns a journal that gives back what the catalogue knows of tables unchanged since."""
    with catalogue.connect() as db:
        known = read_readings(db, opened.name, sample)
    return Carrying(opened, known, sample_rows=sample, reuse=reuse, journal=journal)


def read_all(
    opened: Source,
    key: str,
    knowledge: Knowledge,
    how: How,
    carry: Callable[[Journal | None], Carrying] | None,
) -> tuple[ScanResult, list[Reading]]:
    """Scans with a journal that outlives an interruption, and is removed when all was read."""
    with _journal(
        state_home() / "scans" / key, opened.name, resume=how.resume, quiet=how.quiet
    ) as journal:
        carrying = carry(journal) if carry is not None else None
        result = scan(
            opened,
            knowledge,
            coverage=how.coverage,
            sample_rows=how.sample,
            journal=carrying or (journal if how.coverage != "metadata" else None),
            pace=how.pace,
            progress=how.progress,
        )
        if any(u.code in _WORTH_RETRYING for u in result.unread):
            if not how.quiet:
                print("有表未读完；加 --resume 可从中断处再试", file=sys.stderr)
        elif journal is not None:
            journal.discard()
    return (carrying.told(result), carrying.fresh) if carrying is not None else (result, [])


@contextmanager
def _journal(
    folder: Path, source: str, *, resume: bool, quiet: bool
) -> Generator[FileJournal | None]:
    try:
        journal = FileJournal(folder, resume=resume)
    except BlockingIOError:
        raise Conflict(
            "scan.already_running", f"{source} 正在由另一进程以同样方式扫描", "请待其结束后再试"
        ) from None
    except OSError:
        print(f"{folder.parent} 不可写，本次扫描若中断须从头再来", file=sys.stderr)
        yield None
        return
    with journal:
        if resume and not quiet and not journal.found:
            print("没有未完成的扫描，从头开始", file=sys.stderr)
        yield journal


def write_reports(result: ScanResult, folder: Path) -> Unavailable | None:
    """Writes the reports; returns what prevented it, after which the result is still shown."""
    from xlsxwriter.exceptions import FileCreateError

    from pingyao.classify.formats.report_html import write_html
    from pingyao.classify.formats.report_json import write_json
    from pingyao.classify.formats.report_xlsx import write_xlsx

    try:
        for name, write in zip(REPORTS, (write_json, write_xlsx, write_html), strict=True):
            write(result, folder / name)
    except (OSError, FileCreateError) as error:
        return not_written(folder, error)
    return None


def not_written(folder: Path, error: Exception) -> Unavailable:
    """Says why reports could not be written."""
    return Unavailable(
        "report.not_written",
        f"报告写不进目录 {folder}（{getattr(error, 'strerror', None) or type(error).__name__}）",
        "请检查该目录是否存在、可写，磁盘是否已满，工作簿是否正被打开，然后再试",
    )
