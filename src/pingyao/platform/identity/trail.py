"""The audit trail for the audit administrator: searched, taken along, and cleared of what is long past."""

import hashlib
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import Conflict, Invalid, NotYet
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform import audit
from pingyao.platform.audit_lines import FORMS, as_json
from pingyao.platform.forwarding import least_position
from pingyao.platform.outbox import emit
from pingyao.platform.policy import Actor, require
from pingyao.platform.sheets import printable

MOST_ROWS = 100_000
LEAST_DAYS = 180
_BATCH = 1000
_HEADS = {
    "zh": ("编号", "时间（UTC）", "事项", "代码", "经办人", "对象", "内容"),
    "en": ("No.", "When (UTC)", "Event", "Code", "Who", "Object", "Details"),
}


def read(
    engine: sa.Engine, actor: Actor, search: audit.Search, before: int | None, limit: int
) -> list[audit.Entry]:
    """Returns lines of the trail, newest first."""
    require(actor, "audit.read")
    with engine.connect() as db:
        return audit.read(db, search, before=before, limit=limit)


def export(engine: sa.Engine, actor: Actor, search: audit.Search, language: str) -> bytes:
    """Returns what a search finds as an Excel workbook; that it was taken is itself noted."""
    require(actor, "audit.export")
    file = BytesIO()
    with engine.connect() as db:
        rows = write_workbook(file, audit.read_all(db, search, MOST_ROWS), language)
    note_export(engine, actor.name, "xlsx", rows, whole=rows < MOST_ROWS)
    return file.getvalue()


def export_lines(
    engine: sa.Engine, by: str, search: audit.Search, form: str, file: BinaryIO
) -> int:
    """Writes what a search finds in one of ``audit_lines.FORMS``, oldest first, and returns how many."""
    shape, last, rows = FORMS[form], 0, 0
    with engine.connect() as db:
        while lines := audit.read_after(db, last, _BATCH, search):
            file.writelines(f"{shape(line)}\n".encode() for line in lines)
            last, rows = lines[-1].id, rows + len(lines)
    note_export(engine, by, form, rows, whole=True)
    return rows


def write_workbook(file: BinaryIO, lines: Iterable[audit.Entry], language: str) -> int:
    """Writes lines as an Excel workbook and returns how many.

    Every cell is text: what looks like a formula stays what it looks like.
    """
    import xlsxwriter

    rows = 0
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(file, options) as book:
        sheet = book.add_worksheet("audit")
        sheet.set_column(0, 0, 8)
        sheet.set_column(1, 6, 26)
        sheet.freeze_panes(1, 0)
        printable(sheet)
        bold = book.add_format({"bold": True, "bg_color": "#e8eef6"})
        for column, head in enumerate(_HEADS[language]):
            sheet.write_string(0, column, head, bold)
        for rows, line in enumerate(lines, 1):
            said = audit.kinds().get(line.kind, {}).get(language, line.kind)
            facts = msgspec.json.encode(line.body).decode()
            texts = (line.at[:19], said, line.kind, line.actor, line.subject, facts)
            sheet.write_number(rows, 0, line.id)
            for column, text in enumerate(texts, 1):
                sheet.write_string(rows, column, text[:32_000])
    return rows


def note_export(engine: sa.Engine, by: str, form: str, rows: int, *, whole: bool) -> None:
    """Keeps evidence of who took the trail along."""
    body: dict[str, object] = {"form": form, "rows": rows, "whole": whole}
    with engine.begin() as db:
        emit(db, [EvidenceEvent("audit.exported", "", by, datetime.now(UTC), body)])


def purge(engine: sa.Engine, by: str, before: date, archive: Path) -> int:
    """Moves the lines of days long past into a file, and leaves evidence of it.

    Args:
        engine: the database.
        by: who runs the machine.
        before: the first day that stays.
        archive: a new file, one JSON object a line.

    Returns:
        How many lines were moved.

    Raises:
        NotYet: a line would be younger than 180 days, or has not been forwarded.
        Conflict: the file is there already.

    Cites: 网络安全法 第二十一条（留存网络日志不少于六个月，待核对）.
    """
    today = datetime.now(UTC).date()
    if before > today - timedelta(days=LEAST_DAYS):
        raise NotYet(
            "audit.too_young",
            f"审计记录至少留存 {LEAST_DAYS} 天",
            f"最晚可写 {today - timedelta(days=LEAST_DAYS)}",
        )
    last, rows, digest = 0, 0, hashlib.sha256()
    past = audit.Search(until=before - timedelta(days=1))
    with engine.begin() as db, new_file(archive) as file:
        while lines := audit.read_after(db, last, _BATCH, past):
            text = "".join(f"{as_json(line)}\n" for line in lines).encode()
            digest.update(text)
            file.write(text)
            last, rows = lines[-1].id, rows + len(lines)
        sent = least_position(db)
        if sent is not None and sent < last:
            raise NotYet("audit.not_forwarded", "其中有尚未转发的记录", "请待转发完毕后再清理")
        os.fsync(file.fileno())  # the file is safe before the lines go
        t = audit.trail.c
        gone = db.execute(
            sa.delete(audit.trail).where(t.id <= last, t.at < before.isoformat())
        ).rowcount
        if gone != rows:
            raise Conflict("audit.changed_meanwhile", "清理期间审计表有变动", "请重试")
        body: dict[str, object] = {"rows": rows, "before": before.isoformat()}
        body["sha256"] = digest.hexdigest()
        emit(db, [EvidenceEvent("audit.purged", archive.name, by, datetime.now(UTC), body)])
    return rows


@contextmanager
def new_file(path: Path) -> Generator[BinaryIO]:
    """A file that was not there; it goes again when the work fails."""
    try:
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError:
        raise Conflict("audit.file_exists", f"{path.name} 已存在", "请换一个文件名") from None
    except OSError:
        raise Invalid("audit.cannot_write", f"{path.name} 不可写", "请检查目录与权限") from None
    try:
        with file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise
