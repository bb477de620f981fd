"""The audit trail for the audit administrator: searched, and taken along as a workbook."""

from datetime import UTC, datetime
from io import BytesIO

import msgspec
import sqlalchemy as sa

from pingyao.kernel.event import EvidenceEvent
from pingyao.platform import audit
from pingyao.platform.outbox import emit
from pingyao.platform.policy import Actor, require

MOST_ROWS = 100_000
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
    """Returns what a search finds as an Excel workbook; that it was taken is itself noted.

    Every cell is text: what looks like a formula stays what it looks like.
    """
    require(actor, "audit.export")
    import xlsxwriter

    file = BytesIO()
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    at = datetime.now(UTC)
    with xlsxwriter.Workbook(file, options) as book, engine.connect() as db:
        sheet = book.add_worksheet("audit")
        sheet.set_column(0, 0, 8)
        sheet.set_column(1, 6, 26)
        sheet.freeze_panes(1, 0)
        bold = book.add_format({"bold": True, "bg_color": "#e8eef6"})
        for column, head in enumerate(_HEADS[language]):
            sheet.write_string(0, column, head, bold)
        rows = 0
        for rows, line in enumerate(audit.read_all(db, search, MOST_ROWS), 1):
            said = audit.kinds().get(line.kind, {}).get(language, line.kind)
            facts = msgspec.json.encode(line.body).decode()
            texts = (line.at[:19], said, line.kind, line.actor, line.subject, facts)
            sheet.write_number(rows, 0, line.id)
            for column, text in enumerate(texts, 1):
                sheet.write_string(rows, column, text[:32_000])
    body: dict[str, object] = {"rows": rows, "whole": rows < MOST_ROWS}
    with engine.begin() as db:
        emit(db, [EvidenceEvent("audit.exported", "", actor.name, at, body)])
    return file.getvalue()
