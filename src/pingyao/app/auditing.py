"""The commands ``pingyao node audit …``: take the audit trail along, clear what is long past."""

import getpass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from pingyao.app.opening import Db, open_catalogue
from pingyao.app.signing import day

app = App(name="audit", help="审计：导出与清理 · the audit trail")


@app.command
def export(
    *,
    to: Annotated[Path, Parameter(help="写入此文件；须是新文件")],
    form: Annotated[
        Literal["cef", "syslog", "xlsx", "jsonl"],
        Parameter(name="--format", help="格式：Excel、JSON Lines、RFC 5424 syslog 或 CEF"),
    ] = "xlsx",
    kind: Annotated[str, Parameter(help="事项代码的开头，如 identity.")] = "",
    since: Annotated[str, Parameter(help="自此日（UTC），如 2026-01-31")] = "",
    until: Annotated[str, Parameter(help="至此日（UTC），含当日")] = "",
    db: Db = None,
) -> None:
    """导出审计记录；导出本身也记入审计。"""
    from pingyao.platform import audit
    from pingyao.platform.identity import trail

    first, last = (day(d) if d else None for d in (since, until))
    search, by = audit.Search(kind, since=first, until=last), getpass.getuser()
    engine = open_catalogue(db)
    with trail.new_file(to) as file:
        if form == "xlsx":
            with engine.connect() as connection:
                found = audit.read_all(connection, search, trail.MOST_ROWS)
                rows = trail.write_workbook(file, found, "zh")
            trail.note_export(engine, by, form, rows, whole=rows < trail.MOST_ROWS)
        else:
            rows = trail.export_lines(engine, by, search, form, file)
    print(f"已导出 {rows:,} 件：{to}")
    if form == "xlsx" and rows == trail.MOST_ROWS:
        print(f"Excel 只取最新的 {rows:,} 件；全部请用 --format jsonl")


@app.command
def purge(
    *,
    before: Annotated[str, Parameter(help="清理此日（UTC）以前的记录；须早于 180 天")],
    archive: Annotated[Path, Parameter(help="先写入此文件（JSON Lines），须是新文件")],
    db: Db = None,
) -> None:
    """把留存期满的审计记录移到归档文件，归档的 SHA-256 记入审计。"""
    from pingyao.platform.identity import trail

    rows = trail.purge(open_catalogue(db), getpass.getuser(), day(before), archive)
    print(f"已移出 {rows:,} 件：{archive}。请妥善保存该文件")
