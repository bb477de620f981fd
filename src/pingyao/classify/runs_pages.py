"""The pages of scans: what may be scanned, a run as it goes on, its reports."""

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import File, Redirect

from pingyao.classify import runs
from pingyao.classify.http import Text
from pingyao.classify.runs_http import CarryOut
from pingyao.kernel.errors import Invalid, NotFound
from pingyao.platform.web.node import AtNode, InSeat, RowNumber
from pingyao.platform.web.pages import Form, go, one, render
from pingyao.platform.web.problems import said

_REPORTS = {
    "report.xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "report.html": "text/html; charset=utf-8",
    "result.json": "application/json",
}


@get("/scans", action="scan.read", sync_to_thread=True)
def scans(node: AtNode, seat: InSeat, done: Text = "") -> Response[str]:
    """Lists what may be scanned, and the latest runs."""
    found, latest = runs.listed(node.engine, seat.actor)
    return render(
        node,
        seat,
        "scans.html.j2",
        here="scans_page",
        back="/scans",
        done=done,
        found=found,
        runs=latest,
    )


@post("/scans", action="scan.start", sync_to_thread=True)
def start(data: Form, node: AtNode, seat: InSeat, carry_out: NamedDependency[CarryOut]) -> Redirect:
    """Asks for a run."""
    source, sample = one(data, "source"), one(data, "sample").strip() or "0"
    if not all(t.isascii() and t.isdigit() and len(t) <= 9 for t in (source, sample)):
        raise Invalid("scan.bad_option", "抽样行数须为正整数", "请改正后再试")
    incremental = one(data, "incremental") == "yes"
    run = runs.ask(
        node.engine, seat.actor, int(source), sample=int(sample), incremental=incremental
    )
    carry_out.launch()
    return go(f"/scans/{run.id}")


@get("/scans/{number:int}", action="scan.read", sync_to_thread=True)
def scan(
    number: RowNumber,
    node: AtNode,
    seat: InSeat,
    carry_out: NamedDependency[CarryOut],
    done: Text = "",
) -> Response[str]:
    """Shows a run; while it goes on, the page asks for how far it came by itself."""
    folder = carry_out.reports(number)
    run = runs.one(node.engine, seat.actor, number)
    return render(
        node,
        seat,
        "scan.html.j2",
        here="scans_page",
        back=f"/scans/{number}",
        done=done,
        run=run,
        said=said(run.code, run.detail, run.remedy, seat.language),
        reports=[name for name in _REPORTS if (folder / name).is_file()],
    )


@post("/scans/{number:int}/stop", action="scan.stop", sync_to_thread=True)
def stop(number: RowNumber, node: AtNode, seat: InSeat) -> Redirect:
    """Asks a run to stop."""
    runs.stop(node.engine, seat.actor, number)
    return go(f"/scans/{number}?done=stopping")


@get("/scans/{number:int}/reports/{name:str}", action="scan.read", sync_to_thread=True)
def report(
    number: RowNumber,
    name: FromPath[str],
    node: AtNode,
    seat: InSeat,
    carry_out: NamedDependency[CarryOut],
) -> File:
    """Gives a report of a run, to be kept: it is no page of this console."""
    runs.one(node.engine, seat.actor, number)
    path = carry_out.reports(number) / name
    if name not in _REPORTS or not path.is_file():
        raise NotFound("scan.no_report", "没有这份报告", "报告可能已被清理，请重新扫描")
    return File(path, filename=f"scan-{number}-{name}", media_type=_REPORTS[name])


router = Router("/", include_in_schema=False, route_handlers=[scans, start, scan, stop, report])
