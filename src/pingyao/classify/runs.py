"""Sources that a node may scan, and the runs over them: asked for, carried out elsewhere, watched.

A run is carried out by a process of its own, which holds it as long as it tells, every few seconds,
that it lives. Who asks for a run or to stop it only writes that down.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from pingyao.classify.store import metadata
from pingyao.kernel.errors import Conflict, Invalid, NotFound
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.outbox import emit
from pingyao.platform.policy import Actor, require

SILENT_SECONDS = 30
"""After so long without a word, a run counts as interrupted."""
MOST_LISTED = 50
State = Literal["queued", "running", "done", "failed", "stopped", "interrupted"]

sources = sa.Table(
    "classify_source",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("secret", sa.LargeBinary),
    sa.Column("removed", sa.Boolean, nullable=False),
)
runs = sa.Table(
    "classify_run",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.Integer, sa.ForeignKey("classify_source.id"), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("sample", sa.Integer, nullable=False),
    sa.Column("incremental", sa.Boolean, nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("asked_at", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("finished_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    sa.Column("stopping", sa.Boolean, nullable=False),
    sa.Column("tables", sa.Integer, nullable=False),
    sa.Column("now", sa.Text, nullable=False),
    sa.Column("now_rows", sa.BigInteger, nullable=False),
    sa.Column("now_of", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("unread", sa.Integer, nullable=False),
    sa.Column("changes", sa.Integer, nullable=False),
    sa.Column("code", sa.String(64), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("remedy", sa.Text, nullable=False),
)


class SourceRow(msgspec.Struct, frozen=True):
    """A source that may be scanned; its address tells no password."""

    id: int
    name: str
    address: str


class Run(msgspec.Struct, frozen=True):
    """A run, as far as it is known; times are seconds since the epoch, 0 for not yet.

    Attributes:
        source: name of the source.
        sample: rows of a table to read at most; 0 for all.
        stopping: whether somebody asked to stop it.
        tables: that were finished; ``now`` is the one being read, ``now_rows`` of it so far,
            ``now_of`` about how many it has, 0 where nobody knows.
        unread: tables that could not be read, or not to their end.
        changes: differences from what the catalogue held.
        code, detail, remedy: what went wrong, and what to do.
    """

    id: int
    source: str
    state: State
    sample: int
    incremental: bool
    asked_by: str
    asked_at: int
    started_at: int
    finished_at: int
    seen_at: int
    stopping: bool
    tables: int
    now: str
    now_rows: int
    now_of: int
    rows: int
    bytes: int
    unread: int
    changes: int
    code: str
    detail: str
    remedy: str

    @property
    def over(self) -> bool:
        """Whether nothing more is to come."""
        return self.state not in ("queued", "running")

    @property
    def seconds(self) -> int:
        """How long it took so far."""
        until = self.finished_at or _now()
        return max(0, until - self.started_at) if self.started_at else 0


class Progress(msgspec.Struct):
    """How far a run came; see `Run`."""

    tables: int = 0
    now: str = ""
    now_rows: int = 0
    now_of: int = 0
    rows: int = 0
    bytes: int = 0


class Ending(msgspec.Struct, frozen=True):
    """How a run ended; see `Run`."""

    state: State
    unread: int = 0
    changes: int = 0
    code: str = ""
    detail: str = ""
    remedy: str = ""


def register(db: sa.Connection, name: str, address: str, secret: bytes | None, actor: str) -> int:
    """Adds a source that may be scanned; returns its number.

    Args:
        address: as ``open_source`` takes it, without a password.
        secret: the password, sealed.

    Raises:
        Conflict: the name is taken.
    """
    values = {"name": name, "address": address, "secret": secret, "removed": False}
    try:
        with db.begin_nested():
            key = db.execute(sa.insert(sources).values(**values)).inserted_primary_key
    except IntegrityError:
        raise Conflict(
            "source.taken", f"已有名为 {name} 的数据源", "请换一个名称，或先移除原来的"
        ) from None
    body: dict[str, object] = {"address": address}
    emit(db, [EvidenceEvent("classify.source.registered", name, actor, _at(), body)])
    return int(key[0]) if key else 0


def remove(db: sa.Connection, name: str, actor: str) -> None:
    """Takes a source away; its past runs stay, its password does not.

    Raises:
        NotFound: there is none of this name.
    """
    s = sources.c
    query = sa.select(s.id).where(s.name == name, sa.not_(s.removed))
    if (found := db.execute(query).scalar()) is None:
        raise NotFound("source.none", f"没有名为 {name} 的数据源", "请核对名称")
    gone = {"removed": True, "secret": None, "name": f"{name}#{found}"}
    db.execute(sa.update(sources).where(s.id == found).values(**gone))
    emit(db, [EvidenceEvent("classify.source.removed", name, actor, _at(), {})])


def listed_sources(db: sa.Connection) -> list[SourceRow]:
    """Returns the sources that may be scanned, by name."""
    s = sources.c
    query = sa.select(s.id, s.name, s.address).where(sa.not_(s.removed)).order_by(s.name)
    return [SourceRow(*row) for row in db.execute(query)]


def address_of(db: sa.Connection, run: int) -> tuple[int, str, bytes | None]:
    """Returns number, address and sealed password of the source of a run."""
    query = sa.select(sources.c.id, sources.c.address, sources.c.secret)
    row = db.execute(query.join(runs, runs.c.source == sources.c.id).where(runs.c.id == run)).one()
    return row.id, row.address, row.secret


def ask(
    engine: sa.Engine, actor: Actor, source: int, *, sample: int = 0, incremental: bool = True
) -> Run:
    """Asks for a run; one source is never waited for twice.

    Raises:
        NotPermitted: the actor may not.
        NotFound: no such source.
        Conflict: it is waited for, or running.
    """
    require(actor, "scan.start")
    if not 0 <= sample <= 10**9:
        raise Invalid("scan.bad_option", "抽样行数须为正整数", "请改正后再试")
    with engine.begin() as db:
        _give_up(db)
        s = sources.c
        query = sa.select(s.name).where(s.id == source, sa.not_(s.removed)).with_for_update()
        if (name := db.execute(query).scalar()) is None:
            raise NotFound("source.none", "没有这个数据源", "请刷新页面后重新选择")
        waiting = runs.c.state.in_(("queued", "running"))
        if db.execute(sa.select(runs.c.id).where(runs.c.source == source, waiting)).first():
            raise Conflict("scan.already_running", f"{name} 正在扫描或等待扫描", "请待其结束")
        nothing = {c.name: "" if isinstance(c.type, sa.String) else 0 for c in runs.c}
        asked = {
            "source": source,
            "state": "queued",
            "sample": sample,
            "incremental": incremental,
            "asked_by": actor.name,
            "asked_at": _now(),
            "stopping": False,
        }
        del nothing["id"]
        key = db.execute(sa.insert(runs).values(**nothing | asked)).inserted_primary_key
        number = int(key[0]) if key else 0
        body: dict[str, object] = {"run": number, "sample": sample, "incremental": incremental}
        emit(db, [EvidenceEvent("classify.scan.requested", name, actor.name, _at(), body)])
        return _read(db, number)


def stop(engine: sa.Engine, actor: Actor, number: int) -> Run:
    """Asks a run to stop; what it read is kept, and the next run goes on from there.

    Raises:
        NotPermitted: the actor may not.
        NotFound: no such run.
        Conflict: it is over.
    """
    require(actor, "scan.stop")
    with engine.begin() as db:
        _give_up(db)
        run = _read(db, number)
        if run.over:
            raise Conflict("scan.over", "该次扫描已经结束", "请刷新页面")
        values: dict[str, object] = {"stopping": True}
        if run.state == "queued":
            values |= {"state": "stopped", "finished_at": _now()}
        same = (runs.c.id == number, runs.c.state == run.state)
        db.execute(sa.update(runs).where(*same).values(**values))
        body: dict[str, object] = {"run": number}
        emit(db, [EvidenceEvent("classify.scan.stopped", run.source, actor.name, _at(), body)])
        return _read(db, number)


def listed(engine: sa.Engine, actor: Actor) -> tuple[list[SourceRow], list[Run]]:
    """Returns the sources that may be scanned, and the latest runs."""
    require(actor, "scan.read")
    with engine.connect() as db:
        query = _query().order_by(runs.c.id.desc()).limit(MOST_LISTED)
        return listed_sources(db), [_run(row) for row in db.execute(query)]


def one(engine: sa.Engine, actor: Actor, number: int) -> Run:
    """Returns a run.

    Raises:
        NotFound: there is none of this number.
    """
    require(actor, "scan.read")
    with engine.connect() as db:
        return _read(db, number)


def waits(engine: sa.Engine) -> bool:
    """Tells whether a run waits that no process is about to carry out."""
    with engine.begin() as db:
        _give_up(db)
        states = set(db.execute(sa.select(runs.c.state).distinct()).scalars())
    return "queued" in states and "running" not in states


def claim(engine: sa.Engine) -> Run | None:
    """Takes the next run that waits, unless one is running; only one process gets it."""
    with engine.begin() as db:
        _give_up(db)
        r, now = runs.c, _now()
        other = runs.alias()
        first = sa.select(sa.func.min(r.id)).where(r.state == "queued").scalar_subquery()
        busy = sa.exists().where(other.c.state == "running")
        taken = {"state": "running", "started_at": now, "seen_at": now}
        claimed = sa.update(runs).where(r.id == first, r.state == "queued", sa.not_(busy))
        number = db.execute(claimed.values(**taken).returning(r.id)).scalar()
        return _read(db, number) if number is not None else None


def tell(engine: sa.Engine, number: int, progress: Progress) -> bool:
    """Tells that a run lives and how far it came; returns whether it may go on."""
    with engine.begin() as db:
        same = (runs.c.id == number, runs.c.state == "running")
        values = msgspec.to_builtins(progress) | {"seen_at": _now()}
        told = sa.update(runs).where(*same).values(**values).returning(runs.c.stopping)
        return db.execute(told).scalar() is False


def end(engine: sa.Engine, number: int, progress: Progress, ending: Ending) -> None:
    """Writes down how a run ended."""
    at = {"finished_at": _now(), "seen_at": _now()}
    values = msgspec.to_builtins(progress) | msgspec.to_builtins(ending) | at
    with engine.begin() as db:
        same = (runs.c.id == number, runs.c.state == "running")
        db.execute(sa.update(runs).where(*same).values(**values))


def _give_up(db: sa.Connection) -> None:
    """Takes runs whose process fell silent for interrupted."""
    silent = (runs.c.state == "running", runs.c.seen_at < _now() - SILENT_SECONDS)
    over = {"state": "interrupted", "finished_at": runs.c.seen_at}
    db.execute(sa.update(runs).where(*silent).values(**over))


def _query() -> sa.Select[Any]:
    named = [sources.c.name.label("source") if f == "source" else runs.c[f] for f in _FIELDS]
    return sa.select(*named).join(sources, runs.c.source == sources.c.id)


_FIELDS: Sequence[str] = Run.__struct_fields__


def _run(row: Any) -> Run:
    run = Run(*row)
    silent = run.state == "running" and run.seen_at < _now() - SILENT_SECONDS
    return msgspec.structs.replace(run, state="interrupted") if silent else run


def _read(db: sa.Connection, number: int) -> Run:
    row = db.execute(_query().where(runs.c.id == number)).one_or_none()
    if row is None:
        raise NotFound("scan.no_such_run", f"没有编号 {number} 的扫描", "请回到扫描列表重新选择")
    return _run(row)


def _now() -> int:
    return int(time.time())


def _at() -> datetime:
    return datetime.now(UTC)
