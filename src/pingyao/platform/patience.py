"""HTTP connections that are not waited for without end: what dribbles in, or is never read, is cut off.

uvicorn limits how long a connection may idle between requests, but not how long one request may take
to arrive or one answer to be taken; a few hundred slow clients would hold every place.
"""

import asyncio
from collections import OrderedDict
from typing import Any
from weakref import WeakKeyDictionary

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

HEAD_SECONDS, BODY_SECONDS, ANSWER_SECONDS = 10.0, 60.0, 300.0
MOST_WAITING = 256
"""Connections whose request has not arrived whole; one more, and the oldest of them goes."""


_waiting: "WeakKeyDictionary[ServerState, OrderedDict[PatientProtocol, None]]" = WeakKeyDictionary()


class PatientProtocol(H11Protocol):
    """HTTP/1.1 with a time for the head, the body and the answer of every request."""

    _deadline: asyncio.TimerHandle | None = None
    _part = ""

    def connection_made(self, transport: Any) -> None:
        """Begins to wait for the first request."""
        super().connection_made(transport)
        self._wait_for("head", HEAD_SECONDS)
        waiting = _waiting[self.server_state]
        while len(waiting) > MOST_WAITING:
            oldest, _ = waiting.popitem(last=False)
            oldest._cut()

    def data_received(self, data: bytes) -> None:
        """Takes bytes, then waits for the part of the request that is now due."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Waits for the next request; the time between two is uvicorn's to limit."""
        super().on_response_complete()
        self._rest()
        if self.transport.get_write_buffer_size():
            self._wait_for("taken", ANSWER_SECONDS)
        elif self.timeout_keep_alive_task is None:  # another request has begun to arrive
            self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no more."""
        self._rest()
        super().connection_lost(exc)

    def _look(self) -> None:
        state = self.conn.their_state
        if self.transport.is_closing():
            self._rest()
        elif state is h11.IDLE:
            self._wait_for("head", HEAD_SECONDS)
        elif state is h11.SEND_BODY:
            self._wait_for("body", BODY_SECONDS)
        else:
            self._wait_for("answer", ANSWER_SECONDS)

    def _wait_for(self, part: str, seconds: float) -> None:
        # Each part has its time once: a byte now and then does not begin it anew.
        if self._part == part:
            return
        self._rest()
        self._part = part
        self._deadline = self.loop.call_later(seconds, self._cut)
        if part in ("head", "body"):
            _waiting.setdefault(self.server_state, OrderedDict())[self] = None

    def _rest(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._part, self._deadline = "", None
        _waiting.get(self.server_state, {}).pop(self, None)

    def _cut(self) -> None:
        self._rest()
        self.transport.abort()
