"""The page of the audit trail: searched, and taken along as a workbook."""

from typing import Annotated
from urllib.parse import urlencode

from litestar import Response, Router, get
from litestar.params import QueryParameter

from pingyao.platform import audit
from pingyao.platform.identity import trail
from pingyao.platform.identity.http import Words
from pingyao.platform.web.node import LANGUAGES, After, AtNode, InSeat
from pingyao.platform.web.pages import Day, day, render

_PAGE = 100


def _search(kind: str, actor: str, words: str, since: str, until: str) -> audit.Search:
    return audit.Search(kind, actor.strip().lower(), words, day(since), day(until))


@get("/audit", action="audit.read", sync_to_thread=True)
def audit_page(
    node: AtNode,
    seat: InSeat,
    kind: Words = "",
    actor: Words = "",
    words: Words = "",
    since: Day = "",
    until: Day = "",
    before: After = 0,
) -> Response[str]:
    """Shows what was done."""
    search = _search(kind, actor, words, since, until)
    found = trail.read(node.engine, seat.actor, search, before or None, _PAGE + 1)
    given = {"kind": kind, "actor": actor, "words": words, "since": since, "until": until}
    query = urlencode({k: v for k, v in given.items() if v})
    return render(
        node,
        seat,
        "audit.html.j2",
        here="audit",
        back=f"/audit?{query}",
        entries=found[:_PAGE],
        more=len(found) > _PAGE,
        search=search,
        query=query,
        kinds=audit.kinds(),
    )


@get("/audit/export", action="audit.export", sync_to_thread=True)
def audit_export(
    node: AtNode,
    seat: InSeat,
    kind: Words = "",
    actor: Words = "",
    words: Words = "",
    since: Day = "",
    until: Day = "",
    language: Annotated[str, QueryParameter(name="lang")] = "",
) -> Response[bytes]:
    """Gives what a search finds as a workbook."""
    said = language if language in LANGUAGES else seat.language
    search = _search(kind, actor, words, since, until)
    return Response(
        trail.export(node.engine, seat.actor, search, said),
        media_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        headers={"content-disposition": 'attachment; filename="audit.xlsx"'},
    )


router = Router("/", include_in_schema=False, route_handlers=[audit_page, audit_export])
