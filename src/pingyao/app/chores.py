"""What a running node does by itself: ends what has run out, forgets old answers, forwards the trail."""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Event, Thread

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from pingyao.kernel.errors import PingyaoError
from pingyao.platform import forwarding
from pingyao.platform.identity import overrides
from pingyao.platform.web import answers

_LOG = logging.getLogger("pingyao.node")
_SECONDS = 30.0
_CHORES: tuple[Callable[[sa.Engine], None], ...] = (overrides.end_over, answers.forget_old)


@contextmanager
def doing(engine: sa.Engine, targets: tuple[forwarding.Target, ...]) -> Generator[None]:
    """Does the chores beside what is served, until left."""
    stop = Event()
    threads = [Thread(target=_keep_house, args=(engine, stop), name="chores", daemon=True)]
    threads += [
        Thread(target=forwarding.run, args=(engine, t, stop), name="forwarding", daemon=True)
        for t in targets
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(15)


def _keep_house(engine: sa.Engine, stop: Event) -> None:
    while not stop.wait(_SECONDS):
        for chore in _CHORES:
            try:
                chore(engine)
            except (SQLAlchemyError, PingyaoError) as error:
                _LOG.warning("chore %s: %s", chore.__name__, type(error).__name__)
