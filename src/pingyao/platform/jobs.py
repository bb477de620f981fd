"""Periodic work: each job on one worker at a time, taken up by another when that one dies.

A lease in the database says who does a job. It ends by itself, so that a killed worker holds nobody
up; a job that outlasts its lease may run twice at once, and so every job is one that can.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from pingyao.kernel.errors import PingyaoError

_LOG = logging.getLogger("pingyao.jobs")
LEASE_SECONDS = 600
_LONGEST_NAP = 5.0
_MOST_SAID = 200
metadata = sa.MetaData()
jobs = sa.Table(
    "node_job",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("owner", sa.String(32), nullable=False),
    sa.Column("leased_until", sa.BigInteger, nullable=False),
    sa.Column("due_at", sa.BigInteger, nullable=False),
    sa.Column("done_at", sa.BigInteger, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("said", sa.Text, nullable=False),
)


class Job(msgspec.Struct, frozen=True):
    """Something to be done again and again.

    Attributes:
        name: stable.
        every: seconds from one end to the next beginning.
        run: does it, and says what it did, or nothing.
    """

    name: str
    every: int
    run: Callable[[], str]


class Worker:
    """Does the jobs that are due, until it is stopped.

    Args:
        engine: the database with the leases.
        listed: every job there is.
        clock: Unix seconds.
    """

    def __init__(
        self, engine: sa.Engine, listed: Sequence[Job], clock: Callable[[], float] = time.time
    ) -> None:
        self._engine, self._jobs, self._clock = engine, listed, clock
        self._me = secrets.token_hex(8)
        self._stopped = threading.Event()

    def run(self) -> None:
        """Works until `stop`; whatever fails is said, and tried again when it is due next."""
        nap = min(_LONGEST_NAP, *(float(j.every) for j in self._jobs))
        while not self._stopped.wait(nap):
            self.once()

    def stop(self) -> None:
        """Makes `run` return when the job at hand is done."""
        self._stopped.set()

    def once(self) -> int:
        """Does every job that is due and that nobody else does; returns how many."""
        done = 0
        for job in self._jobs:
            if self._stopped.is_set():
                break
            try:
                if not self._lease(job):
                    continue
                self._do(job)
                done += 1
            except SQLAlchemyError as error:
                _LOG.warning("job %s: the database failed (%s)", job.name, type(error).__name__)
        return done

    def _lease(self, job: Job) -> bool:
        now, t = int(self._clock()), jobs.c
        free = sa.and_(t.name == job.name, t.due_at <= now, t.leased_until <= now)
        with self._engine.connect() as db:  # looking locks nobody
            row = db.execute(sa.select(t.due_at, t.leased_until).where(t.name == job.name)).first()
        if row is not None and (row.due_at > now or row.leased_until > now):
            return False
        with self._engine.begin() as db:
            if row is None:
                db.execute(_FIRST, {"name": job.name})
            lease = {"owner": self._me, "leased_until": now + LEASE_SECONDS}
            return db.execute(sa.update(jobs).where(free).values(lease)).rowcount == 1

    def _do(self, job: Job) -> None:
        failed = 0
        try:
            said = job.run()
        except PingyaoError as error:
            failed, said = 1, f"{error.code}: {error.detail}"
            _LOG.warning("job %s: %s", job.name, said[:_MOST_SAID])
        except Exception as error:  # one job's fault must not keep the others from their work
            failed, said = 1, type(error).__name__
            _LOG.exception("job %s failed", job.name)
        now, t = int(self._clock()), jobs.c
        ours = sa.and_(t.name == job.name, t.owner == self._me)
        values: dict[str, object] = {"leased_until": 0, "due_at": now + job.every}
        values |= {"failures": t.failures + 1 if failed else 0, "said": said[:_MOST_SAID]}
        with self._engine.begin() as db:
            kept = values if failed else values | {"done_at": now}
            db.execute(sa.update(jobs).where(ours).values(kept))


_FIRST = sa.text(
    "INSERT INTO node_job (name, owner, leased_until, due_at, done_at, failures, said) "
    "VALUES (:name, '', 0, 0, 0, 0, '') ON CONFLICT (name) DO NOTHING"
)
