"""The API of the evidence: searching, proofs to take along, and what a file or a proof turns out to be."""

from datetime import date
from typing import Annotated

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter
from litestar.status_codes import HTTP_200_OK

from pingyao.kernel.errors import Invalid
from pingyao.ledger import desk, explorer
from pingyao.ledger.desk import Archive
from pingyao.platform.web.node import After, InSeat

AtArchive = NamedDependency[Archive]
Text = Annotated[str, QueryParameter(max_length=128)]
Limit = Annotated[int, QueryParameter(ge=1, le=explorer.MOST)]
Place = Annotated[str, PathParameter(min_length=1, max_length=32, pattern="^[0-9a-f]{1,32}$")]
OCTETS = "application/octet-stream"
MOST_PROOF = 128 * 1024


class Found(msgspec.Struct, frozen=True):
    """How the log stands, and part of what a search finds."""

    state: desk.State
    items: tuple[explorer.Line, ...]
    before: int | None


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For what reason a content is opened."""

    reason: Annotated[str, msgspec.Meta(max_length=desk.MOST_REASON)]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be verified: a file by its hash and name, or the text of a ``.tlog-proof``."""

    sha256: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")] = ""
    name: Annotated[str, msgspec.Meta(max_length=255)] = ""
    proof: Annotated[str, msgspec.Meta(max_length=MOST_PROOF)] = ""


@get("/", summary="查询存证 · Search the evidence", action="evidence.read", sync_to_thread=True)
def found(
    archive: AtArchive,
    seat: InSeat,
    kind: Text = "",
    actor: Text = "",
    subject: Text = "",
    since: FromQuery[date | None] = None,
    until: FromQuery[date | None] = None,
    before: After = 0,
    limit: Limit = 50,
) -> Found:
    """Returns how the log stands, and what was sealed, latest first."""
    wanted = explorer.Search(kind, actor, subject, since, until)
    page = desk.listed(archive, seat.actor, wanted, before or None, limit)
    return Found(desk.state(archive, seat.actor), page.lines, page.before)


@get(
    "/{place:str}",
    summary="一件存证及其证明 · An event and what proves it",
    action="evidence.read",
    sync_to_thread=True,
)
def shown(place: Place, archive: AtArchive, seat: InSeat) -> desk.Event:
    """Returns an event by its key or its position in the log, everything checked anew, its content sealed."""
    return desk.shown(archive, seat.actor, place)


@post(
    "/{place:str}/open",
    summary="查看存证内容 · Open a sealed content",
    action="evidence.open",
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def opened(place: Place, data: JSONBody[Why], archive: AtArchive, seat: InSeat) -> desk.Event:
    """Returns an event with its content; who opened it and why goes into the audit trail."""
    return desk.opened(archive, seat.actor, place, data.reason)


@get(
    "/{place:str}/proof",
    summary="证明文件 · Proof file (.tlog-proof)",
    action="evidence.read",
    media_type=OCTETS,
    sync_to_thread=True,
)
def proof(place: Place, archive: AtArchive, seat: InSeat) -> Response[bytes]:
    """Returns the proof file of an event, its content left sealed."""
    return as_proof(*desk.proof(archive, seat.actor, place))


@post(
    "/{place:str}/proof",
    summary="含内容的证明文件 · Proof file with the content",
    action="evidence.open",
    status_code=HTTP_200_OK,
    media_type=OCTETS,
    sync_to_thread=True,
)
def opened_proof(
    place: Place, data: JSONBody[Why], archive: AtArchive, seat: InSeat
) -> Response[bytes]:
    """Returns a proof file that lays the content open; that too goes into the audit trail."""
    return as_proof(*desk.opened_proof(archive, seat.actor, place, data.reason))


@get(
    "/checkpoint",
    summary="检查点 · Checkpoint",
    action="evidence.read",
    media_type=OCTETS,
    sync_to_thread=True,
)
def checkpoint(archive: AtArchive, seat: InSeat) -> Response[bytes]:
    """Returns the published head as it is signed."""
    return as_file(desk.checkpoint(archive, seat.actor).encode(), "checkpoint")


@post(
    "/verify",
    summary="核验文件或证明 · Verify a file or a proof",
    action="evidence.verify",
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def verify(data: JSONBody[Asked], archive: AtArchive, seat: InSeat) -> desk.Verdict:
    """Tells what a file, named by its SHA-256, or a proof turns out to be."""
    if bool(data.sha256) == bool(data.proof):
        raise Invalid(
            "ledger.nothing_to_verify", "须给出 sha256 与 proof 之一", "核验文件时另附文件名 name"
        )
    if data.proof:
        return desk.check_proof(archive, seat.actor, data.proof.encode(), data.name)
    return desk.check_document(archive, seat.actor, data.name, data.sha256)


def as_proof(key: str, content: bytes) -> Response[bytes]:
    """Gives a proof file to be kept."""
    return as_file(content, f"{key}.tlog-proof")


def as_file(content: bytes, name: str) -> Response[bytes]:
    """Gives a file to be kept; its name is of our own making."""
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=OCTETS, headers=headers)


router = Router(
    "/evidence",
    tags=["evidence"],
    route_handlers=[found, shown, opened, proof, opened_proof, checkpoint, verify],
)
