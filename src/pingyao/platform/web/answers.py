"""Answers kept for a day: a request repeated under its ``Idempotency-Key`` is answered, not done again.

Cites: draft-ietf-httpapi-idempotency-key-header-07.
"""

import hashlib
import re
import time
import zlib
from typing import Any

import sqlalchemy as sa
from anyio import to_thread
from litestar import Request, Response
from litestar.exceptions import TooManyRequestsException
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from sqlalchemy.exc import IntegrityError

from pingyao.kernel.errors import Conflict, Invalid
from pingyao.platform import nodekey
from pingyao.platform.web.admission import seat_of
from pingyao.platform.web.node import Node

KEPT_SECONDS = 24 * 3600
MOST_KEYS = 2000
_MOST_ANSWER = 1024 * 1024
_KEY = re.compile(r'"?([!#-~]{1,64})"?')
_CLAIM = "kept_answer"
metadata = sa.MetaData()
answers = sa.Table(
    "web_answer",
    metadata,
    sa.Column("account", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("request", sa.String(64), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False, index=True),
    # 0 while the request is under way.
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("answer", sa.LargeBinary),
)


async def replay(request: Request[Any, Any, Any]) -> Response[bytes] | None:
    """Returns the answer kept under the request's key, or None to let it be done; runs after admission.

    Raises:
        Invalid: the key is not well formed, or was used for another request.
        Conflict: the first request is under way, or nobody knows how it ended.
    """
    given = request.headers.get("idempotency-key")
    session = seat_of(request).session
    if given is None or request.method != "POST" or session is None:
        return None
    found = _KEY.fullmatch(given)
    if not found:
        raise Invalid(
            "web.bad_key", "Idempotency-Key 写法有误", "请用 1 至 64 个可见 ASCII 字符，如一个 UUID"
        )
    node: Node = request.app.state.node
    asked = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    asked.update(await request.body())
    account, key = session.actor.id, found[1]
    kept = await to_thread.run_sync(_claim, node, account, key, asked.hexdigest())
    if kept is None:
        request.scope[_CLAIM] = account, key  # type: ignore[literal-required]  # our own key in the scope
        return None
    status, body = kept
    return Response(
        body,
        status_code=status,
        media_type="application/json",
        headers={"idempotency-replayed": "true"},
    )


def keeping(app: ASGIApp) -> ASGIApp:
    """Wraps an application: what is answered to a request that claimed a key is kept under it."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        status, body = 0, bytearray()

        async def listen(message: Message) -> None:
            nonlocal status
            if _CLAIM not in scope:
                await send(message)
                return
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b"")[: _MOST_ANSWER + 1])
                if not message.get("more_body"):
                    account, key = scope[_CLAIM]  # type: ignore[literal-required]  # our own key in the scope
                    node: Node = scope["litestar_app"].state.node
                    # Before it is sent: whoever has the answer can rely on it being kept.
                    await to_thread.run_sync(_keep, node, account, key, status, bytes(body))
            await send(message)

        await app(scope, receive, listen)

    return wrapped


def forget_old(engine: sa.Engine) -> None:
    """Removes what has been kept for a day."""
    with engine.begin() as db:
        db.execute(sa.delete(answers).where(answers.c.at < int(time.time()) - KEPT_SECONDS))


def _claim(node: Node, account: int, key: str, request: str) -> tuple[int, bytes] | None:
    """Takes a key for a request, or returns what was answered to the same request before."""
    now, t = int(time.time()), answers.c
    mine = (t.account == account, t.at > now - KEPT_SECONDS)
    with node.engine.begin() as db:
        count = db.execute(sa.select(sa.func.count()).where(*mine)).scalar_one()
        old = sa.delete(answers).where(t.account == account, t.key == key)
        db.execute(old.where(t.at <= now - KEPT_SECONDS))
        try:
            with db.begin_nested():
                values = {"request": request, "at": now, "status": 0}
                db.execute(sa.insert(answers).values(account=account, key=key, **values))
        except IntegrityError:
            row = db.execute(sa.select(answers).where(t.account == account, t.key == key)).one()
        else:
            if count >= MOST_KEYS:
                raise TooManyRequestsException(headers={"retry-after": "3600"})
            return None
    if row.request != request:
        raise Invalid(
            "web.key_reused", "此 Idempotency-Key 已用于另一请求", "每个新请求请另用一个键"
        )
    if row.status == 0:
        raise Conflict(
            "web.key_unfinished",
            "同一请求正在办理，或上次办理时中断",
            "请稍后重试；若一直如此，请先查询结果，再换一个键",
        )
    if row.answer is None:
        raise Conflict("web.answer_too_large", "该请求已办理完毕，答复过大未留存", "请查询结果")
    return row.status, _opened(node, account, key, row.answer)


def _keep(node: Node, account: int, key: str, status: int, body: bytes) -> None:
    t = answers.c
    mine = (t.account == account, t.key == key, t.status == 0)
    with node.engine.begin() as db:
        if not 200 <= status < 300:  # nothing was done: the key is free again
            db.execute(sa.delete(answers).where(*mine))
            return
        # An answer may hold a one-time password or a token: what is kept of it is sealed.
        sealed = nodekey.seal(node.key, zlib.compress(body, 1), _about(account, key))
        kept = sealed if len(body) <= _MOST_ANSWER else None
        db.execute(sa.update(answers).where(*mine).values(status=status, answer=kept))


def _opened(node: Node, account: int, key: str, sealed: bytes) -> bytes:
    return zlib.decompress(nodekey.unseal(node.key, sealed, _about(account, key)))


def _about(account: int, key: str) -> bytes:
    return f"answer:{account}:{key}".encode()
