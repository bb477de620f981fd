"""HTTP endpoints of the ledger, exactly as the C2SP texts say."""

import asyncio
import gzip
import sqlite3
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from pingyao.kernel.errors import IntegrityBroken, NotFound, PingyaoError
from pingyao.ledger.formats.tlog_mirror import parse_add_entries
from pingyao.ledger.formats.tlog_tiles import parse_path
from pingyao.ledger.formats.tlog_witness import origin_hash
from pingyao.ledger.mirror import Mirror
from pingyao.ledger.model import Checkpoint, VerifierKey
from pingyao.ledger.store.reader import (
    CHECKPOINT,
    LogFiles,
    open_reader,
    read_checkpoint,
    read_policy,
)
from pingyao.ledger.witness import Answer, Cosigner, Memory, add_checkpoint
from pingyao.platform.asgi import Application, Handler, Refusal, Reply, Request

# 16 post-quantum signatures and a full proof are 60 kB.
_CHECKPOINT_BYTES = 256 * 1024
# A package of the largest entries is 17 MB; a request is the fewer packages the larger they are.
_ENTRIES_BYTES = 48 << 20
_OCTETS = "application/octet-stream"
_FOREVER = (("cache-control", "public, max-age=31536000, immutable"), ("vary", "accept-encoding"))
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


def mirror(
    logs: Mapping[str, Sequence[VerifierKey]], mirrors: Mapping[str, Mirror], memory: Memory
) -> Handler:
    """Returns what answers as a mirror: takes heads and entries, and serves each log as its own would.

    Cites: C2SP tlog-mirror (0838f7b, untagged).
    """
    pending = witness(logs, (), memory)
    served = {origin_hash(origin): tiles(m.folder) for origin, m in mirrors.items()}

    async def handle(request: Request) -> Reply:
        if request.path == "/add-checkpoint":
            reply = await pending(request)
            for each in mirrors.values():
                each.notice()
            return reply
        if request.path == "/add-entries":
            _only(request, "POST")
            body = await _unzipped(request)
            answer = await asyncio.to_thread(_add_entries, mirrors, body)
            return Reply(answer.status, answer.body, answer.media, (("accept-encoding", "gzip"),))
        name, _, path = request.path[1:].partition("/")
        if name not in served:
            raise Refusal(404, "没有这样的资源")
        return await served[name](msgspec.structs.replace(request, path=f"/{path}"))

    return handle


def _add_entries(mirrors: Mapping[str, Mirror], body: bytes) -> Answer:
    try:
        request = parse_add_entries(body)
    except IntegrityBroken as error:
        raise Refusal(400, error.detail) from None
    if request.origin not in mirrors:
        raise Refusal(404, "没有登记这一日志")
    try:
        return mirrors[request.origin].add_entries(request)
    except PingyaoError as error:
        # Not stored, or not known to be: the log will ask again.
        raise Refusal(503 if error.retriable else 500, error.detail) from None


async def _unzipped(request: Request) -> bytes:
    body = await request.body(_ENTRIES_BYTES)
    if request.headers.get("content-encoding", "identity") == "identity":
        return body
    if request.headers["content-encoding"] != "gzip":
        raise Refusal(415, "只支持 gzip")
    reader = zlib.decompressobj(wbits=31)
    try:
        plain = reader.decompress(body, _ENTRIES_BYTES + 1)
    except zlib.error:
        raise Refusal(400, "gzip 内容有误") from None
    if len(plain) > _ENTRIES_BYTES:
        raise Refusal(413, "请求体过大")
    return plain


class _Published:
    """The head of a log as it is published, read again only when its file is another."""

    def __init__(self, folder: Path) -> None:
        read_policy(folder)  # a folder that holds no log is told of now, not to who asks first
        self._folder = folder
        self._file: tuple[int, int] | None = None
        self._head: tuple[Checkpoint, str] | None = None
        self._log: LogFiles | None = None

    def head(self) -> tuple[Checkpoint, str]:
        try:
            found = (self._folder / CHECKPOINT).stat()
        except FileNotFoundError:
            raise Refusal(404, "账本还没有发布检查点") from None
        if self._file != (found.st_ino, found.st_mtime_ns):
            # Its keys may have been rotated meanwhile.
            self._head = read_checkpoint(self._folder, read_policy(self._folder))
            self._file = (found.st_ino, found.st_mtime_ns)
        if self._head is None:
            raise Refusal(404, "账本还没有发布检查点")
        return self._head

    def log(self) -> LogFiles:
        if self._log is None:
            self._log = open_reader(self._folder)
        return self._log


def tiles(folder: Path) -> Handler:
    """Returns what serves a log: its checkpoint, tiles and bundles of entries, nothing unpublished.

    Cites: C2SP tlog-tiles v0.1.0, APIs.
    """
    published = _Published(folder)

    def answer(path: str, *, zipped: bool) -> Reply:
        head, note = published.head()
        if path == CHECKPOINT:
            return Reply(200, note.encode(), headers=_FRESH)
        tile = parse_path(path)
        body = published.log().tile(tile, head.size)
        if tile.is_bundle and zipped:
            headers = (*_FOREVER, ("content-encoding", "gzip"))
            return Reply(200, gzip.compress(body, 1), _OCTETS, headers)
        return Reply(200, body, _OCTETS, _FOREVER)

    async def handle(request: Request) -> Reply:
        _only(request, "GET", "HEAD")
        zipped = "gzip" in request.headers.get("accept-encoding", "")
        try:
            return await asyncio.to_thread(answer, request.path.lstrip("/"), zipped=zipped)
        except NotFound as error:
            raise Refusal(404, error.detail) from None
        except IntegrityBroken as error:
            raise Refusal(500, error.detail) from None

    return handle


def mounted(handler: Handler) -> Application:
    """Returns what another web server mounts at a path of its own, which ends what is below with a slash.

    For Litestar: ``asgi(path, is_mount=True, copy_scope=True)(mounted(tiles(folder)))``.
    """

    async def handle(request: Request) -> Reply:
        return await handler(msgspec.structs.replace(request, path=request.path.removesuffix("/")))

    return Application(handle)


def _only(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise Refusal(405, "不支持这一方法", headers=(("allow", ", ".join(methods)),))
