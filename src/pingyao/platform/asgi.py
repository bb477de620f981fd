"""Small HTTP servers of their own: bounded requests, plain answers, loopback unless told otherwise."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from pingyao.kernel.errors import Invalid, Unavailable

BODY_SECONDS = 30.0
if TYPE_CHECKING:  # the server is imported by who serves
    import uvicorn

_Scope = Mapping[str, Any]
_Receive = Callable[[], Awaitable[Mapping[str, Any]]]
_Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Request(msgspec.Struct, frozen=True):
    """What was asked.

    Attributes:
        path: without the query, percent-decoded.
        headers: names in lower case.
        receive: where the body comes from.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    receive: _Receive

    async def stream(self) -> AsyncIterator[bytes]:
        """Yields the body as it comes; a client that stalls is given up."""
        more = True
        while more:
            try:
                message = await asyncio.wait_for(self.receive(), BODY_SECONDS)
            except TimeoutError:
                raise Refusal(408, "请求体迟迟未到") from None
            if message["type"] == "http.disconnect":
                return
            more = message.get("more_body", False)
            if message.get("body"):
                yield message["body"]

    async def body(self, limit: int) -> bytes:
        """Returns the whole body.

        Raises:
            Refusal: it is longer than the limit.
        """
        held = bytearray()
        async for piece in self.stream():
            held += piece
            if len(held) > limit:
                raise Refusal(413, "请求体过大")
        return bytes(held)


class Reply(msgspec.Struct, frozen=True):
    """What is answered."""

    status: int
    body: bytes = b""
    media: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


class Refusal(Exception):
    """A request that is answered with a plain refusal."""

    def __init__(
        self, status: int, words: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(words)
        self.reply = Reply(status, f"{words}\n".encode(), headers=headers)


Handler = Callable[[Request], Awaitable[Reply]]


class Application:
    """An ASGI application around one handler."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answers one request; ASGI's own entry point."""
        if scope["type"] != "http":
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        try:
            reply = await self._handler(Request(scope["method"], scope["path"], headers, receive))
        except Refusal as refusal:
            reply = refusal.reply
        head = [(b"content-type", reply.media.encode()), (b"x-content-type-options", b"nosniff")]
        head += [(k.encode(), v.encode()) for k, v in reply.headers]
        head.append((b"content-length", str(len(reply.body)).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": head})
        body = b"" if scope["method"] == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})


def serve(handler: Handler, host: str, port: int, *, started: Callable[[int], None]) -> None:
    """Serves until interrupted.

    Args:
        handler: answers requests.
        host: an address of this machine.
        port: 0 for any free one.
        started: told the port once connections are taken.

    Raises:
        Invalid: the address is none.
        Unavailable: the address is taken.
    """
    with contextlib.closing(listen(host, port)) as listener:
        started(int(listener.getsockname()[1]))
        with contextlib.suppress(KeyboardInterrupt):
            make_server(handler).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Takes an address of this machine."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        raise Invalid("serve.bad_address", "监听地址须为 IP 地址", "如 127.0.0.1 或 ::1") from None
    # The protocol is named: only then is a short answer sent at once (TCP_NODELAY), not 40 ms later.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise Unavailable(
            "serve.address_taken", f"{host}:{port} 不能监听", "请换一个端口，或停掉占用它的程序"
        ) from None
    return listener


def make_server(handler: Handler) -> "uvicorn.Server":
    """Returns a server around a handler, not running yet."""
    import uvicorn

    config = uvicorn.Config(
        Application(handler),
        log_level="warning",
        lifespan="off",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
        limit_concurrency=256,
        h11_max_incomplete_event_size=16 * 1024,
        ws="none",
    )
    return uvicorn.Server(config)
