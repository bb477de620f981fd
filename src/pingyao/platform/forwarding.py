"""The audit trail sent on as it grows, to a syslog server: in order, at least once, over restarts.

Syslog acknowledges nothing, and what a machine's network stack has taken its server may never read. So
every batch has a connection of its own, which we end first: a server that has read all of it then
closes, one that hangs up before is told from that by a reset. Only then does the position move on,
which is kept in the database.

Cites: RFC 5424; RFC 5425; RFC 6587, 3.4.1; RFC 5426.
"""

import logging
import os
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from pingyao.kernel.errors import Invalid, PingyaoError
from pingyao.platform import audit
from pingyao.platform.audit_lines import as_cef_over_syslog, as_syslog
from pingyao.platform.db import explain

_LOG = logging.getLogger("pingyao.audit")
_BATCH = 500
_SECONDS = 10.0  # for connecting, and for the other side to read a batch
_PAUSE, _RETRY = 1.0, 10.0
_MOST_ANSWERS = 16  # pieces of what a server has no business to send
_SIOCOUTQ = 0x5411  # Linux: bytes sent and not yet acknowledged
_PORTS = {"udp": 514, "tcp": 601, "tls": 6514}
metadata = sa.MetaData()
positions = sa.Table(
    "audit_forward",
    metadata,
    sa.Column("target", sa.String(255), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
)


class Target(msgspec.Struct, frozen=True):
    """Where lines go.

    Attributes:
        way: ``udp``, ``tcp`` or ``tls``.
        cef: whether the text of a message is CEF.
        authority: file of the certificates trusted for ``tls``; None for the system's.
    """

    way: str
    host: str
    port: int
    cef: bool = False
    authority: Path | None = None

    @property
    def name(self) -> str:
        """What its position is kept under."""
        return f"{self.way}://{self.host}:{self.port}{'#cef' if self.cef else ''}"


def target(address: str, *, cef: bool = False, authority: Path | None = None) -> Target:
    """Reads ``tls://host:6514``.

    Raises:
        Invalid: it is not of this form.
    """
    try:
        parts = urlsplit(address)
        port, host = parts.port, parts.hostname
    except ValueError:
        parts = port = host = None
    if parts is None or not host or parts.scheme not in _PORTS or parts.path or parts.username:
        raise Invalid(
            "audit.bad_target", "syslog 地址写法有误", "请写成 tls://主机:6514、tcp://… 或 udp://…"
        )
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], cef, authority)


def run(engine: sa.Engine, to: Target, stop: Event) -> None:
    """Sends lines on until told to stop; what cannot be sent waits in the trail."""
    failing = False
    while not stop.is_set():
        try:
            sent = forward(engine, to)
        except (OSError, PingyaoError) as error:
            if not failing:
                _LOG.warning("audit forwarding to %s: %s", to.name, type(error).__name__)
            failing = True
            stop.wait(_RETRY)
            continue
        if failing and sent:
            _LOG.warning("audit forwarding to %s works again", to.name)
            failing = False
        if not sent:
            stop.wait(_PAUSE)


def connect(to: Target) -> socket.socket:
    """Opens the way to a target.

    Raises:
        OSError: it does not answer, or shows no certificate that is trusted.
    """
    if to.way == "udp":
        family, *_, address = socket.getaddrinfo(to.host, to.port, type=socket.SOCK_DGRAM)[0]
        peer = socket.socket(family, socket.SOCK_DGRAM)
        peer.connect(address)
        return peer
    plain = socket.create_connection((to.host, to.port), timeout=_SECONDS)
    if to.way == "tcp":
        return plain
    try:
        context = ssl.create_default_context(cafile=to.authority)
        return context.wrap_socket(plain, server_hostname=to.host)
    except BaseException:
        plain.close()
        raise


def forward(engine: sa.Engine, to: Target) -> int:
    """Sends the next batch; returns how many lines, 0 when there are none.

    Raises:
        OSError: not all were taken; they will be sent again.
    """
    lines = _next(engine, to)
    if not lines:
        return 0
    form: Callable[[audit.Entry], str] = as_cef_over_syslog if to.cef else as_syslog
    texts = [form(line).encode() for line in lines]
    with closing(connect(to)) as peer:
        if to.way == "udp":
            for text in texts:
                peer.send(text[:60_000])
        else:  # octet counting: what a line holds cannot end it
            for text in texts:
                peer.sendall(b"%d " % len(text) + text)
            _await_read(peer)
    _move(engine, to, lines[-1].id)
    return len(lines)


def least_position(db: sa.Connection) -> int | None:
    """Returns up to which line all targets have everything; None without targets."""
    return db.execute(sa.select(sa.func.min(positions.c.position))).scalar()


def _move(engine: sa.Engine, to: Target, position: int) -> None:
    with engine.begin() as db:
        mine = positions.c.target == to.name
        db.execute(sa.update(positions).where(mine).values(position=position))


def _next(engine: sa.Engine, to: Target) -> list[audit.Entry]:
    try:
        with engine.begin() as db:
            if engine.dialect.name == "postgresql":
                # A number is drawn before its line is committed: only while nobody is writing is
                # every line up to the newest one there. Who writes for long is not waited for.
                db.execute(sa.text("SET LOCAL lock_timeout = '500ms'"))
                db.execute(sa.text("LOCK TABLE audit_event IN SHARE MODE"))
            mine = positions.c.target == to.name
            position = db.execute(sa.select(positions.c.position).where(mine)).scalar()
            if position is None:
                db.execute(sa.insert(positions).values(target=to.name, position=0))
            return audit.read_after(db, position or 0, _BATCH)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") == "55P03":  # somebody is writing: later
            return []
        raise explain(error) from None


def _await_read(peer: socket.socket) -> None:
    """Ends what we send, and waits for the other side to end the connection.

    Raises:
        OSError: it has not read everything, or did not close in time.
    """
    if isinstance(peer, ssl.SSLSocket):
        with suppress(ssl.SSLEOFError, ssl.SSLZeroReturnError):  # it need not say that it closes
            peer = peer.unwrap()
    peer.shutdown(socket.SHUT_WR)
    for _ in range(_MOST_ANSWERS):
        if not peer.recv(4096):
            break
    else:
        raise ConnectionAbortedError
    # Who hung up before our end had come has ended too, and what came later is never acknowledged.
    until = time.monotonic() + _SECONDS
    while _unacknowledged(peer):
        if error := peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.005)


def _unacknowledged(peer: socket.socket) -> int:
    if sys.platform != "linux":
        return 0
    import fcntl

    return struct.unpack("i", fcntl.ioctl(peer.fileno(), _SIOCOUTQ, bytes(4)))[0]
