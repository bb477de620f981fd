"""HTTP endpoints of the ledger, exactly as the C2SP texts say."""

import asyncio
import sqlite3
import time
from collections.abc import Mapping, Sequence

from pingyao.ledger.formats.tlog_witness import origin_hash
from pingyao.ledger.model import VerifierKey
from pingyao.ledger.witness import Cosigner, Memory, add_checkpoint
from pingyao.platform.asgi import Handler, Refusal, Reply, Request

# 16 post-quantum signatures and a full proof are 60 kB.
_CHECKPOINT_BYTES = 256 * 1024
_FRESH = (("cache-control", "no-cache"),)


def witness(
    logs: Mapping[str, Sequence[VerifierKey]], cosigners: Sequence[Cosigner], memory: Memory
) -> Handler:
    """Returns what answers as a witness: ``add-checkpoint``, and its view of each log.

    Cites: C2SP tlog-witness v1.0.0.
    """
    served = {f"/{origin_hash(origin)}/checkpoint": origin for origin in logs}

    async def handle(request: Request) -> Reply:
        if request.path == "/add-checkpoint":
            _only(request, "POST")
            body = await request.body(_CHECKPOINT_BYTES)
            try:
                answer = await asyncio.to_thread(
                    add_checkpoint, body, logs, cosigners, memory, time.time
                )
            except sqlite3.Error:
                # Not remembered, so not answered for: the log will ask again.
                raise Refusal(503, "见证记录无法写入") from None
            return Reply(answer.status, answer.body, answer.media)
        origin = served.get(request.path)
        seen = memory.latest(origin) if origin is not None else None
        if seen is None:
            raise Refusal(404, "没有这样的资源")
        _only(request, "GET", "HEAD")
        return Reply(200, seen.note.encode(), headers=_FRESH)

    return handle


def _only(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise Refusal(405, "不支持这一方法", headers=(("allow", ", ".join(methods)),))
