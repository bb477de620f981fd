"""The API of scans that a node carries out."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from pingyao.classify import runs
from pingyao.platform.web.node import MOST, AtNode, InSeat, RowNumber


class CarryOut(msgspec.Struct, frozen=True):
    """How what waits is carried out.

    Attributes:
        launch: starts the process that does it.
        reports: tells the folder of a run's reports.
    """

    launch: Callable[[], object]
    reports: Callable[[int], Path]


class NewRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run to be asked for: of which source, how many rows of a table at most (0 for all)."""

    source: Annotated[int, msgspec.Meta(ge=1, le=MOST)]
    sample: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0
    incremental: bool = True


class Runs(msgspec.Struct, frozen=True):
    """Sources that may be scanned, and the latest runs, newest first."""

    sources: list[runs.SourceRow]
    runs: list[runs.Run]


@get("/", summary="数据源与扫描 · Sources and scans", action="scan.read", sync_to_thread=True)
def listed(node: AtNode, seat: InSeat) -> Runs:
    """Returns the sources and the latest runs."""
    return Runs(*runs.listed(node.engine, seat.actor))


@post(
    "/",
    summary="发起扫描 · Start a scan",
    action="scan.start",
    status_code=HTTP_201_CREATED,
    sync_to_thread=True,
)
def start(
    data: JSONBody[NewRun], node: AtNode, seat: InSeat, carry_out: NamedDependency[CarryOut]
) -> runs.Run:
    """Asks for a run."""
    run = runs.ask(
        node.engine, seat.actor, data.source, sample=data.sample, incremental=data.incremental
    )
    carry_out.launch()
    return run


@get("/{number:int}", summary="一次扫描 · A scan", action="scan.read", sync_to_thread=True)
def one(number: RowNumber, node: AtNode, seat: InSeat) -> runs.Run:
    """Returns a run and how far it came."""
    return runs.one(node.engine, seat.actor, number)


@post(
    "/{number:int}/stop",
    summary="停止扫描 · Stop a scan",
    action="scan.stop",
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def stop(number: RowNumber, node: AtNode, seat: InSeat) -> runs.Run:
    """Asks a run to stop."""
    return runs.stop(node.engine, seat.actor, number)


router = Router("/scans", tags=["scans"], route_handlers=[listed, start, one, stop])
