"""What a running node does by itself; every room that has periodic work adds it here."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import sqlalchemy as sa

from pingyao.app.running import take_up
from pingyao.kernel.errors import Unavailable
from pingyao.platform import forwarding
from pingyao.platform.identity import overrides, sessions
from pingyao.platform.jobs import Job, Worker
from pingyao.platform.settings import load_settings
from pingyao.platform.web import answers


def listed(engine: sa.Engine, key: Path, keystore: Path | None = None) -> list[Job]:
    """Returns every job of a node, with what it works on.

    Args:
        engine: its database.
        key: the node's own key file.
        keystore: what the ledger's keys are in.
    """

    def end_overrides() -> str:
        overrides.end_over(engine)
        return ""

    def forget_answers() -> str:
        answers.forget_old(engine)
        return ""

    found = [
        Job("overrides.end", 30, end_overrides),
        Job("answers.forget", 30, forget_answers),
        Job("sessions.clear", 300, lambda: _clear_sessions(engine)),
        Job("scans.take_up", 30, lambda: take_up(engine, key)),
        Job("members.fetch", 300, lambda: _fetch(engine, key)),
    ]
    folder = load_settings().ledger
    if folder:
        found.append(Job("ledger.drain", 60, lambda: _drain(engine, Path(folder), keystore)))
    return found


@contextmanager
def doing(
    engine: sa.Engine,
    targets: tuple[forwarding.Target, ...],
    *,
    work: bool,
    key: Path,
    keystore: Path | None = None,
) -> Generator[None]:
    """Forwards the trail beside what is served, and does the jobs if it is to, until left."""
    stop, worker = Event(), Worker(engine, listed(engine, key, keystore))
    threads = [
        Thread(target=forwarding.run, args=(engine, t, stop), name="forwarding", daemon=True)
        for t in targets
    ]
    if work:
        threads.append(Thread(target=worker.run, name="work", daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        worker.stop()
        for thread in threads:
            thread.join(15)


def _clear_sessions(engine: sa.Engine) -> str:
    with engine.begin() as db:
        count = sessions.clear(db, int(datetime.now(UTC).timestamp()))
    return f"{count} 个过期会话"


def _fetch(engine: sa.Engine, key: Path) -> str:
    """Asks every centre for its roster."""
    from pingyao.platform import nodekey
    from pingyao.platform.identity.store import read_institution
    from pingyao.platform.members.desk import Desk
    from pingyao.platform.members.ring import StoreRing

    with engine.connect() as db:
        us = read_institution(db)
    if us is None or not key.exists():
        return ""
    desk = Desk(engine, StoreRing(key, nodekey.read_key(key)), us.uscc)
    found = desk.keep_up("members.fetch")
    if wrong := [f.error for f in found if f.error]:
        raise Unavailable("members.not_fetched", "；".join(wrong), "请检查到中心的网络")
    return "；".join(f"名册 {f.serial}" for f in found if f.new)


def _drain(engine: sa.Engine, folder: Path, keystore: Path | None) -> str:
    from pingyao.app.evidence import move
    from pingyao.platform import outbox

    with engine.connect() as db:
        if not outbox.count_waiting(db):
            return ""
    return f"{move(engine, folder, keystore, 'ledger')} 件存证"
