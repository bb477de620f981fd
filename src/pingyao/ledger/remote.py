"""The other side of the ledger's HTTP endpoints: bounded answers, deadlines, nothing believed unchecked."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import urllib3

from pingyao.kernel.errors import Invalid, Unavailable

_LIMIT = 4 << 20  # a full bundle of the largest entries is 16 MB; ours are kilobytes
BUNDLE_LIMIT = 17 << 20
_PIECE = 64 * 1024
Fetch = Callable[[str], bytes]


class Response(NamedTuple):
    """What came back."""

    status: int
    body: bytes
    media: str


class Remote:
    """One server; connections are kept.

    Raises:
        Invalid: the address is no HTTP address.
    """

    def __init__(self, url: str, *, seconds: float = 5.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise Invalid("ledger.bad_url", f"地址 {url[:80]} 写法有误", "形如 https://主机/路径")
        self._prefix = url.rstrip("/")
        self._seconds = seconds
        self._pool = urllib3.PoolManager(num_pools=2, maxsize=4, retries=False)

    def close(self) -> None:
        """Closes its connections."""
        self._pool.clear()

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
        """Posts a body.

        Raises:
            Unavailable: no answer in time.
        """
        return self._ask("POST", path, body, headers or {}, _LIMIT)

    def get(self, path: str, limit: int = _LIMIT) -> Response:
        """Gets a resource.

        Raises:
            Unavailable: no answer in time.
        """
        return self._ask("GET", path, None, {}, limit)

    def fetch(self, path: str) -> bytes:
        """Gets a resource that ought to be there.

        Raises:
            Unavailable: it is not, or there is no answer.
        """
        response = self.get(path, BUNDLE_LIMIT)
        if response.status != 200:
            raise self._unavailable(f"答复 {response.status}")
        return response.body

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], limit: int
    ) -> Response:
        until = time.monotonic() + self._seconds
        try:
            answer = self._pool.request(
                method,
                f"{self._prefix}/{path}" if path else self._prefix,
                body=body,
                headers=dict(headers),
                timeout=urllib3.Timeout(total=self._seconds),
                redirect=False,
                preload_content=False,
            )
            held = bytearray()
            while piece := answer.read(_PIECE):
                held += piece
                if len(held) > limit or time.monotonic() > until:
                    answer.close()
                    raise self._unavailable("答复过大或过慢")
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError):
            raise self._unavailable("没有按时应答") from None
        return Response(answer.status, bytes(held), answer.headers.get("content-type", ""))

    def _unavailable(self, why: str) -> Unavailable:
        return Unavailable(
            "ledger.remote_silent",
            f"{urlsplit(self._prefix).netloc} {why}",
            "请检查对方服务与网络，稍后重试",
        )
