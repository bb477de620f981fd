"""Periodic work on SQLite and PostgreSQL: done once however many workers there are, and again after a death."""

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

import nodes
from pingyao.app.working import listed
from pingyao.kernel.errors import Unavailable
from pingyao.platform.identity import sessions, store
from pingyao.platform.jobs import LEASE_SECONDS, Job, Worker, jobs


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_many_workers_do_a_job_once(catalogue_engine: sa.Engine) -> None:
    done: list[int] = []
    clock = Clock()
    workers = [
        Worker(catalogue_engine, [Job("a", 60, lambda: done.append(1) or "")], clock)
        for _ in range(8)
    ]
    for round_ in range(1, 4):
        threads = [threading.Thread(target=w.once) for w in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == round_
        clock.now += 60


def test_a_worker_that_died_is_replaced_when_its_lease_is_over(catalogue_engine: sa.Engine) -> None:
    clock, done = Clock(), []

    def dies() -> str:
        raise KeyboardInterrupt  # as if the process ended here: nothing is noted

    with pytest.raises(KeyboardInterrupt):
        Worker(catalogue_engine, [Job("a", 60, dies)], clock).once()
    other = Worker(catalogue_engine, [Job("a", 60, lambda: done.append(1) or "x")], clock)
    assert other.once() == 0
    clock.now += LEASE_SECONDS
    assert other.once() == 1
    assert done == [1]


def test_what_fails_is_said_and_tried_again_and_holds_up_no_other(
    catalogue_engine: sa.Engine,
) -> None:
    clock, done = Clock(), []

    def fails() -> str:
        raise Unavailable("x.away", "不在")

    def breaks() -> str:
        raise ZeroDivisionError

    listed_ = [
        Job("a", 60, fails),
        Job("b", 60, breaks),
        Job("c", 60, lambda: done.append(1) or "好"),
    ]
    worker = Worker(catalogue_engine, listed_, clock)
    for _ in range(2):
        assert worker.once() == 3
        clock.now += 60
    with catalogue_engine.connect() as db:
        rows = {r.name: r for r in db.execute(sa.select(jobs))}
    assert (rows["a"].failures, rows["a"].said, rows["a"].done_at) == (2, "x.away: 不在", 0)
    assert (rows["b"].failures, rows["b"].said) == (2, "ZeroDivisionError")
    assert (rows["c"].failures, rows["c"].said, len(done)) == (0, "好", 2)


@pytest.mark.usefixtures("quick_passwords")
def test_sessions_that_are_over_are_cleared(catalogue_engine: sa.Engine, tmp_path: Path) -> None:
    nodes.make(catalogue_engine)
    kept = sessions.sign_in(catalogue_engine, nodes.KEY, "audit1", nodes.PASSWORD, "", "")
    with catalogue_engine.begin() as db:
        db.execute(sa.insert(store.sessions).values(digest="x", account=1, started_at=5, seen_at=5))
    assert Worker(catalogue_engine, listed(catalogue_engine, tmp_path / "node.key")).once() >= 1
    with catalogue_engine.connect() as db:
        digests = db.execute(sa.select(store.sessions.c.digest)).scalars().all()
    assert len(digests) == 1
    assert sessions.resume(catalogue_engine, kept.token)
