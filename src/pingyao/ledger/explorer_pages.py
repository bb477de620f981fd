"""The pages of the evidence: searched, one event with its proof step by step, and files verified."""

import tempfile
from pathlib import Path, PurePosixPath
from threading import BoundedSemaphore
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from anyio import to_thread
from litestar import Request, Response, Router, get, post
from litestar.params import QueryParameter

from pingyao.kernel.errors import Invalid, PingyaoError, Unavailable
from pingyao.ledger import desk, explorer
from pingyao.ledger.apart import read_apart
from pingyao.ledger.explorer_http import MOST_PROOF, AtArchive, Place, Text, as_file, as_proof
from pingyao.platform import audit
from pingyao.platform.policy import permits, require
from pingyao.platform.web.node import After, AtNode, InSeat, Node, Seat
from pingyao.platform.web.pages import Day, Form, day, go, one, render

MOST_UPLOAD = 64 << 20
_PAGE = 50
_AT_ONCE = 2
_SUFFIXES = (".xlsx", ".json", ".csv", ".html", ".jsonl", ".sql", ".txt")
_uploads = BoundedSemaphore(_AT_ONCE)
FileName = Annotated[str, QueryParameter(max_length=255)]


@get("/evidence", action="evidence.read", sync_to_thread=True)
def evidence_page(
    node: AtNode,
    seat: InSeat,
    archive: AtArchive,
    kind: Text = "",
    actor: Text = "",
    subject: Text = "",
    since: Day = "",
    until: Day = "",
    place: Text = "",
    before: After = 0,
) -> Response[Any]:
    """Shows how the log stands, and what was sealed."""
    if place := place.strip().lower().replace(",", ""):
        if not (place.isascii() and place.isalnum() and len(place) <= 32):
            raise Invalid("ledger.bad_place", "存证编号写法有误", "请填账本中的序号或 32 位编号")
        return go(f"/evidence/{place}")
    wanted = explorer.Search(kind, actor.strip(), subject, day(since), day(until))
    page = desk.listed(archive, seat.actor, wanted, before or None, _PAGE)
    given = {"kind": kind, "actor": actor, "subject": subject, "since": since, "until": until}
    query = urlencode({k: v for k, v in given.items() if v})
    return render(
        node,
        seat,
        "evidence.html.j2",
        here="evidence_page",
        back=f"/evidence?{query}",
        state=desk.state(archive, seat.actor),
        page=page,
        search=wanted,
        query=query,
        kinds=audit.kinds(),
    )


@get("/evidence/{place:str}", action="evidence.read", sync_to_thread=True)
def event_page(place: Place, node: AtNode, seat: InSeat, archive: AtArchive) -> Response[str]:
    """Shows one event and what proves it; its content stays sealed."""
    return _event(node, seat, archive, desk.shown(archive, seat.actor, place))


@post("/evidence/{place:str}/open", action="evidence.open", sync_to_thread=True)
def open_event(
    place: Place, data: Form, node: AtNode, seat: InSeat, archive: AtArchive
) -> Response[str]:
    """Shows one event with its content, for a reason that is noted."""
    reason = one(data, "reason")
    try:
        event = desk.opened(archive, seat.actor, place, reason)
    except Invalid as error:
        return _event(node, seat, archive, desk.shown(archive, seat.actor, place), error=error)
    return _event(node, seat, archive, event, reason)


@get("/evidence/{place:str}/proof", action="evidence.read", sync_to_thread=True)
def proof(place: Place, seat: InSeat, archive: AtArchive) -> Response[bytes]:
    """Gives the proof file of an event, its content left sealed."""
    return as_proof(*desk.proof(archive, seat.actor, place))


@post("/evidence/{place:str}/proof", action="evidence.open", sync_to_thread=True)
def open_proof(place: Place, data: Form, seat: InSeat, archive: AtArchive) -> Response[bytes]:
    """Gives a proof file that lays the content open, for a reason that is noted."""
    return as_proof(*desk.opened_proof(archive, seat.actor, place, one(data, "reason")))


def _event(
    node: Node,
    seat: Seat,
    archive: desk.Archive,
    event: desk.Event,
    reason: str = "",
    error: PingyaoError | None = None,
) -> Response[str]:
    return render(
        node,
        seat,
        "event.html.j2",
        here="evidence_page",
        back=f"/evidence/{event.key}",
        error=error,
        event=event,
        readable=archive.reader is not None,
        reason=reason,
        least=desk.LEAST_REASON,
        most=desk.MOST_REASON,
        kinds=audit.kinds(),
    )


@get("/evidence/checkpoint", action="evidence.read", sync_to_thread=True)
def checkpoint(seat: InSeat, archive: AtArchive) -> Response[bytes]:
    """Gives the published head as it is signed."""
    return as_file(desk.checkpoint(archive, seat.actor).encode(), "checkpoint")


@get("/evidence/verify", action="evidence.verify", sync_to_thread=True)
def verify_page(node: AtNode, seat: InSeat, archive: AtArchive) -> Response[str]:
    """Asks for a file."""
    return _verified(node, seat, archive)


@post("/evidence/verify", action="evidence.verify", sync_to_thread=True)
def verify(data: Form, node: AtNode, seat: InSeat, archive: AtArchive) -> Response[str]:
    """Tells what a file is by its hash, which the browser computed: the file itself has not left it."""
    sha256, name = one(data, "sha256"), one(data, "name")[:255]
    try:
        if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
            raise Invalid("ledger.bad_hash", "SHA-256 须为 64 位十六进制", "请重新选择文件")
        found = desk.check_document(archive, seat.actor, name, sha256)
    except PingyaoError as error:
        return _verified(node, seat, archive, error=error)
    return _verified(node, seat, archive, found)


@post("/evidence/verify/proof", action="evidence.verify", request_max_body_size=MOST_PROOF)
async def verify_proof(
    request: Request[Any, Any, Any],
    node: AtNode,
    seat: InSeat,
    archive: AtArchive,
    name: FileName = "",
) -> Response[str]:
    """Checks a proof file."""
    data = await request.body()

    def check() -> Response[str]:
        try:
            return _verified(node, seat, archive, desk.check_proof(archive, seat.actor, data, name))
        except PingyaoError as error:
            return _verified(node, seat, archive, error=error)

    return await to_thread.run_sync(check)


@post("/evidence/verify/file", action="evidence.verify", request_max_body_size=MOST_UPLOAD)
async def verify_file(
    request: Request[Any, Any, Any],
    node: AtNode,
    seat: InSeat,
    archive: AtArchive,
    name: FileName = "",
) -> Response[str]:
    """Tells where a file differs from the one recorded; what was sent is gone when that is told."""
    require(seat.actor, "evidence.verify")
    if not _uploads.acquire(blocking=False):
        raise Unavailable("ledger.uploads_busy", "正在比较其他人的文件", "请稍后再试")
    try:
        with tempfile.TemporaryDirectory(prefix="pingyao-") as folder:
            suffix = PurePosixPath(name).suffix.lower()
            path = Path(folder) / f"sent{suffix if suffix in _SUFFIXES else ''}"
            with path.open("wb") as file:
                async for piece in request.stream():
                    await to_thread.run_sync(file.write, piece)

            def check() -> Response[str]:
                try:
                    document = msgspec.structs.replace(read_apart(path), name=name)
                    found = desk.check_document(
                        archive, seat.actor, name, document.sha256, document
                    )
                except PingyaoError as error:
                    return _verified(node, seat, archive, error=error)
                return _verified(node, seat, archive, found)

            return await to_thread.run_sync(check)
    finally:
        _uploads.release()


def _verified(
    node: Node,
    seat: Seat,
    archive: desk.Archive,
    found: desk.Verdict | None = None,
    error: PingyaoError | None = None,
) -> Response[str]:
    return render(
        node,
        seat,
        "verify.html.j2",
        here="evidence_page" if permits(seat.actor, "evidence.read") else "verify_page",
        back="/evidence/verify",
        error=error,
        configured=archive.folder is not None,
        found=found,
        kinds=audit.kinds(),
        most_upload=MOST_UPLOAD,
    )


router = Router(
    "/",
    include_in_schema=False,
    route_handlers=[
        evidence_page,
        event_page,
        open_event,
        proof,
        open_proof,
        checkpoint,
        verify_page,
        verify,
        verify_proof,
        verify_file,
    ],
)
