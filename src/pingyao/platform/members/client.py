"""Asking other nodes: signed requests, bounded answers, nothing believed that is not signed in return."""

import secrets
import time
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa
import urllib3

from pingyao.kernel.errors import IntegrityBroken, NotPermitted, NotYet, Unavailable
from pingyao.platform.crypto.signers import verify
from pingyao.platform.crypto.suites import suite_of
from pingyao.platform.members import checking, codes, reach, signatures, store, trust
from pingyao.platform.members.model import Member, OwnKey
from pingyao.platform.members.ring import Ring
from pingyao.platform.members.signatures import Asked, Parameters

SECONDS = 15.0
MOST_ANSWER = 4 << 20
_GOOD_FOR = 60
_PIECE = 64 * 1024
_TRIES = 3
_T = TypeVar("_T")


class Answer(msgspec.Struct, frozen=True):
    """What came back.

    Attributes:
        signature: of the answer, with ``base`` what it was made over; both empty where it is unsigned.
    """

    status: int
    body: bytes
    fields: tuple[tuple[str, str], ...]
    signature: bytes = b""
    base: bytes = b""

    def read(self, kind: type[_T]) -> _T:
        """Returns the body as a value.

        Raises:
            NotPermitted: the other side refused.
            Unavailable: it failed, or answered what is not understood.
        """
        if self.status >= 300:
            raise _said_no(self)
        try:
            return msgspec.json.decode(self.body, type=kind)
        except msgspec.MsgspecError:
            raise _silent("对方的应答无法理解") from None


class Client:
    """Asks other nodes on behalf of this one; connections are kept.

    Args:
        engine: where the register is.
        ring: this node's secrets.
        us: our own USCC.
        certificates: file of certificates trusted for TLS beside the system's, PEM.
    """

    def __init__(
        self, engine: sa.Engine, ring: Ring, us: str, certificates: str | None = None
    ) -> None:
        self._engine, self._ring, self._us = engine, ring, us
        self._pool = urllib3.PoolManager(
            num_pools=8, maxsize=4, retries=False, ca_certs=certificates
        )

    def close(self) -> None:
        """Closes its connections."""
        self._pool.clear()

    def send(
        self,
        number: int,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        media: str = "application/json",
        most: int = MOST_ANSWER,
    ) -> Answer:
        """Sends a signed request to an active member and checks the answer's signature.

        What fails on the way is tried again for methods that may be repeated, each time signed anew.

        Raises:
            NotYet: the member is not active, or has no address.
            Unavailable: no answer in time, or the roster that vouches for the member is too old.
            NotPermitted: the answer is unsigned and a refusal.
            IntegrityBroken: the answer is not this member's to this request.
        """
        now = int(time.time())
        with self._engine.connect() as db:
            member = trust.active(db, number, now)
            key, us = trust.own_key(db, member, "sign", now), store.read_profile(db)
        if member.via:
            reach.check(member.profile.address, us.address if us else "")
        return self.send_as(member, key, method, path, body, media=media, most=most)

    def send_as(
        self,
        member: Member,
        key: OwnKey,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        media: str = "application/json",
        most: int = MOST_ANSWER,
    ) -> Answer:
        """Does as ``send``, with a key that was chosen."""
        tries = _TRIES if method in ("GET", "PUT", "DELETE") else 1
        while True:
            tries -= 1
            try:
                return self._exchange(member, key, method, path, body, media, most)
            except Unavailable:
                if tries <= 0:
                    raise
                time.sleep(0.2 * (_TRIES - tries))

    def plain(self, address: str, method: str, path: str, body: bytes = b"") -> Answer:
        """Asks without a signature, for what is public or comes before membership."""
        headers = {"content-type": "application/json"} if body else {}
        return self._ask(codes.address(address) + path, method, body, headers, MOST_ANSWER)

    def _exchange(
        self,
        member: Member,
        key: OwnKey,
        method: str,
        path: str,
        body: bytes,
        media: str,
        most: int,
    ) -> Answer:
        if not member.profile.address:
            raise NotYet(
                "members.no_address",
                "对方没有登记节点地址",
                "请对方登记地址后轮换密钥，即会告知本机构",
            )
        suite, url = suite_of(key.suite), member.profile.address + path
        hasher = signatures.hasher(suite)
        hasher.update(body)
        request = signatures.asked(method, url, signatures.content_digest(suite, hasher.digest()))
        now = int(time.time())
        tag = f"{signatures.TAG}:{member.profile.uscc}"
        said = Parameters(now, now + _GOOD_FOR, secrets.token_urlsafe(16), key.id, suite.alg, tag)
        signature = self._ring.signer(key).sign(signatures.request_base(request, said))
        headers = signatures.fields(said, signature) | {"content-digest": request.digest}
        if body:
            headers["content-type"] = media
        answer = self._ask(url, method, body, headers, most)
        return self._checked(member, request, signature, answer)

    def _checked(self, member: Member, request: Asked, sent: bytes, answer: Answer) -> Answer:
        if not signatures.is_signed(answer.fields):
            if answer.status >= 400:
                raise _said_no(answer)
            raise _not_theirs()
        signed = signatures.read_response(answer.fields, answer.status, request, sent)
        said, suite, now = signed.parameters, suite_of(member.suite), int(time.time())
        key = next((k for k in member.keys if k.id == said.keyid), None)
        digest = next(v for n, v in answer.fields if n == "content-digest")
        algorithm, given = signatures.read_digest(digest)
        hasher = signatures.hasher(suite)
        hasher.update(answer.body)
        fine = (
            key is not None
            and key.use == "sign"
            and key.holds(now)
            and (said.alg, algorithm) == (suite.alg, suite.digest_field)
            and said.tag == f"{signatures.TAG}:{self._us}"
            and given == hasher.digest()
        )
        if key is None or not fine:
            raise _not_theirs()
        checking.check_times(said, now)
        verify(suite.signature, key.public, signed.base, signed.signature)
        return msgspec.structs.replace(answer, signature=signed.signature, base=signed.base)

    def _ask(
        self, url: str, method: str, body: bytes, headers: Mapping[str, str], most: int
    ) -> Answer:
        until = time.monotonic() + SECONDS
        try:
            answer = self._pool.request(
                method,
                url,
                body=body or None,
                headers={"accept": "application/json", **headers},
                timeout=urllib3.Timeout(total=SECONDS),
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            held = bytearray()
            while piece := answer.read(_PIECE):
                held += piece
                if len(held) > most or time.monotonic() > until:
                    answer.close()
                    raise _silent("应答过大或过慢", url)
            answer.release_conn()
        except urllib3.exceptions.SSLError:
            raise _silent("的 TLS 证书不被信任", url) from None
        except (urllib3.exceptions.HTTPError, OSError):
            raise _silent("没有按时应答", url) from None
        fields = tuple((n.lower(), v) for n, v in answer.headers.items())
        return Answer(answer.status, bytes(held), fields)


class _Problem(msgspec.Struct, frozen=True):
    code: str = ""
    detail: str = ""
    remedy: str = ""


def _said_no(answer: Answer) -> NotPermitted | Unavailable:
    try:
        problem = msgspec.json.decode(answer.body, type=_Problem)
    except msgspec.MsgspecError:
        problem = _Problem()
    if answer.status >= 500 or not problem.code.startswith("members."):
        return _silent(f"对方答复 {answer.status}")
    said = "".join(c for c in problem.detail[:200] if c.isprintable())
    return NotPermitted(
        "members.they_refused",
        f"对方拒绝（{problem.code[:40]}）：{said}",
        "".join(c for c in problem.remedy[:200] if c.isprintable()) or "请联系对方的安全管理员",
    )


def _silent(why: str, url: str = "") -> Unavailable:
    return Unavailable(
        "members.silent", f"{urlsplit(url).netloc} {why}".strip(), "请检查对方节点与网络，稍后重试"
    )


def _not_theirs() -> IntegrityBroken:
    return IntegrityBroken(
        "members.bad_answer",
        "应答没有对方有效的签名，或签的不是这次请求",
        "请核对网络中间有无代理改动内容，以及对方是否更换了密钥",
    )
