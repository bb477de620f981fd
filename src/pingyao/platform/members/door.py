"""The door for nodes: a request is believed or refused before any handler runs, and answered signed.

A room adds a route for members thus::

    @post("/exchange/offers", action=MEMBER, sync_to_thread=True)
    def offer(data: JSONBody[Offer], sender: FromSender, node: AtNode) -> Receipt: ...

and hands it to `machine.router_of`. The signature is checked from the header fields alone; only then is
the content read, bounded and hashed as it comes; only when it is what was signed does a nonce count as used
and the handler see it. The answer is signed with the key the member knows, whatever it says.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from litestar.di import NamedDependency
from litestar.enums import ScopeType
from litestar.exceptions import TooManyRequestsException
from litestar.middleware import ASGIMiddleware

from pingyao.kernel.errors import Invalid, NotYet, PingyaoError
from pingyao.platform.crypto.suites import suite_of
from pingyao.platform.members import checking, signatures, trust
from pingyao.platform.members.model import Member, OwnKey, Sender
from pingyao.platform.members.ring import Ring
from pingyao.platform.members.signatures import Asked, Parameters, Signed
from pingyao.platform.web.admission import MEMBER
from pingyao.platform.web.node import Node

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send
    from litestar.types.asgi_types import HTTPResponseStartEvent

_LOG = logging.getLogger("pingyao.members")
MOST_BODY = 256 * 1024
MOST_ANSWER = 16 << 20
BODY_SECONDS = 30.0
FromSender = NamedDependency[Sender]


class Door(ASGIMiddleware):
    """Stands before every route of a node that is for members.

    Args:
        ring: this node's secrets; None on a node that has none, where nobody is let in.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, ring: Ring | None, clock: Callable[[], float] = time.time) -> None:
        self._ring, self._clock = ring, clock

    async def handle(
        self, scope: "Scope", receive: "Receive", send: "Send", next_app: "ASGIApp"
    ) -> None:
        """Lets a request through to its handler, or refuses it."""
        handler: Any = scope["route_handler"]
        if handler.opt.get("action") != MEMBER:
            await next_app(scope, receive, send)
            return
        node: Node = scope["litestar_app"].state.node
        ring, now = self._ring, int(self._clock())
        client = scope["client"]
        # Before any signature is worked on, which is what costs.
        if wait := node.limits.nodes.take(client[0] if client else ""):
            raise TooManyRequestsException(headers={"retry-after": str(wait)})
        if ring is None:
            raise NotYet("members.no_keys", "本节点尚无成员密钥", "请重新启动节点")
        given = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]]
        method: str = scope["method"]  # type: ignore[reportGeneralTypeIssues]  # HTTP alone comes here
        signed, asked = signatures.read_request(given, method, _target(scope, given))
        try:
            sender, member, own = await to_thread.run_sync(_know, node, signed, asked, now)
            suite, most = suite_of(sender.suite), handler.opt.get("most_body", MOST_BODY)
            body, digest = await _read(receive, signatures.hasher(suite), most)
            checking.check_content(asked, digest)
            await to_thread.run_sync(checking.take_nonce, node.engine, signed.parameters, now)
        except PingyaoError as refusal:
            _LOG.warning("refused %s under key %s", refusal.code, signed.parameters.keyid[:32])
            raise
        scope["state"]["sender"] = sender
        answer = _Answering(ring, own, member, asked, signed, send, now)
        await next_app(scope, _replay(body, receive), answer.send)


class _Answering:
    """Holds an answer back until all of it is known, and signs it."""

    def __init__(
        self,
        ring: Ring,
        own: OwnKey,
        member: Member,
        asked: Asked,
        signed: Signed,
        send: "Send",
        now: int,
    ) -> None:
        self._ring, self._own, self._member, self._now = ring, own, member, now
        self._asked, self._signed, self._send = asked, signed, send
        self._start: HTTPResponseStartEvent | None = None
        self._body = bytearray()

    async def send(self, message: "Message") -> None:
        """Takes one message of the answer."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        if message["type"] != "http.response.body" or self._start is None:
            await self._send(message)
            return
        self._body += message["body"]
        if len(self._body) > MOST_ANSWER:
            raise Invalid("members.answer_too_large", "应答过大", "请分批取用")
        if message["more_body"]:
            return
        start, suite, own = self._start, suite_of(self._own.suite), self._own
        hasher = signatures.hasher(suite)
        hasher.update(self._body)
        digest = signatures.content_digest(suite, hasher.digest())
        said = Parameters(
            self._now,
            self._now + 60,
            self._signed.parameters.nonce,
            own.id,
            suite.alg,
            f"{signatures.TAG}:{self._member.profile.uscc}",
        )
        text = signatures.response_base(
            start["status"], digest, self._asked, self._signed.signature, said
        )
        fields = signatures.fields(said, self._ring.signer(own).sign(text), response=True)
        more = (fields | {"content-digest": digest}).items()
        headers = [*start["headers"], *((n.encode(), v.encode()) for n, v in more)]
        start["headers"] = headers
        await self._send(start)
        await self._send(
            {"type": "http.response.body", "body": bytes(self._body), "more_body": False}
        )


def sender_of(scope: Any) -> Sender:
    """Returns who sent a request that has come through the door."""
    return scope["state"]["sender"]


def _know(node: Node, signed: Signed, asked: Asked, now: int) -> tuple[Sender, Member, OwnKey]:
    us = node.institution.uscc
    sender, member = checking.check_request(node.engine, us, signed, asked, now)
    with node.engine.connect() as db:
        trust.check_vouched(db, member, now)
        own = trust.own_key(db, member, "sign", now)
    return sender, member, own


def _target(scope: "Scope", given: signatures.Fields) -> tuple[str, str, str]:
    hosts = [value for name, value in given if name == "host"]
    host = hosts[0] if len(hosts) == 1 else ""
    path = (scope.get("raw_path") or scope["path"].encode()).split(b"?")[0].decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return signatures.authority(scope["scheme"], host), path or "/", f"?{query}"


async def _read(receive: "Receive", hasher: Any, most: int) -> tuple[bytes, bytes]:
    """Reads the content, bounded in length and in time."""
    held = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Invalid("members.broken_off", "请求没有发完", "请重新发送")
                held += message["body"]
                hasher.update(message["body"])
                if len(held) > most:
                    raise Invalid("members.too_large", f"请求超过 {most} 字节", "请分批发送")
                if not message["more_body"]:
                    return bytes(held), hasher.digest()
    except TimeoutError:
        raise Invalid("members.too_slow", "请求体迟迟未到", "请检查网络后重新发送") from None


def _replay(body: bytes, receive: "Receive") -> "Receive":
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
