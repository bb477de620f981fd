"""Signing in by the institution's own OpenID provider: it says who somebody is, never what she may do.

Authorization code with PKCE; a subject opens an account only after its owner, signed in otherwise, has
linked it herself. Neither an administrator nor the provider can link or make an account.

Cites: OpenID Connect Core 1.0, 3.1; RFC 7636; RFC 9207; RFC 9700, 2.1.
"""

import hashlib
import secrets
import time
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import Conflict, Invalid, NotPermitted, Unavailable
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.identity import passkeys, pending, sessions, store
from pingyao.platform.identity.model import SecondStep, Session
from pingyao.platform.outbox import emit
from pingyao.platform.policy import Actor, require

CALLBACK = "/sign-in/oidc/callback"
FLOW_SECONDS = 600
_STEP_SECONDS = 120
_ALGORITHMS = ["RS256", "PS256", "ES256", "Ed25519", "EdDSA"]
_LEEWAY, _SECONDS, _MOST, _FRESH = 60, 10.0, 256 * 1024, 600.0


class _Metadata(msgspec.Struct, frozen=True):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str


class Provider:
    """An OpenID provider, and what it publishes of itself.

    Args:
        issuer: its name; https, or http on this machine.
        client: what this node is called there.
        secret: what this node shows there.
        asks_second: whether an account's own second factor is asked for as well.
    """

    def __init__(self, issuer: str, client: str, secret: str, *, asks_second: bool = True) -> None:
        _check_address(issuer)
        self.issuer, self.client, self.asks_second = issuer, client, asks_second
        self._secret = secret
        self._kept: dict[str, tuple[float, bytes]] = {}

    def metadata(self) -> _Metadata:
        """Returns where its endpoints are."""
        raw = self._get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        try:
            found = msgspec.json.decode(raw, type=_Metadata)
        except msgspec.MsgspecError:
            raise _unavailable() from None
        if found.issuer != self.issuer:
            raise _unavailable()
        for address in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
            _check_address(address)
        return found

    def keys(self, *, anew: bool = False) -> Any:
        """Returns the keys it signs with."""
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        try:
            raw = self._get(self.metadata().jwks_uri, anew=anew)
            return KeySet.import_key_set(msgspec.json.decode(raw))
        except (msgspec.MsgspecError, JoseError, ValueError, TypeError, KeyError):
            raise _unavailable() from None

    def redeem(self, code: str, verifier: str, callback: str) -> str:
        """Returns the ID token that a code stands for."""
        import urllib3

        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": callback,
            "code_verifier": verifier,
        }
        # RFC 6749, 2.3.1: both are encoded as in a form before they are joined.
        basic = f"{quote_plus(self.client)}:{quote_plus(self._secret)}"
        headers = urllib3.make_headers(basic_auth=basic)
        headers["content-type"] = "application/x-www-form-urlencoded"
        endpoint = self.metadata().token_endpoint
        raw = _fetch("POST", endpoint, headers=headers, body=urlencode(fields))
        try:
            return msgspec.json.decode(raw, type=_Tokens).id_token
        except msgspec.MsgspecError:
            raise _unavailable() from None

    def _get(self, address: str, *, anew: bool = False) -> bytes:
        at, raw = self._kept.get(address, (0.0, b""))
        if anew or not raw or time.monotonic() - at > _FRESH:
            raw = _fetch("GET", address)
            self._kept[address] = time.monotonic(), raw
        return raw


def begin(
    engine: sa.Engine, provider: Provider, origin: str, actor: Actor | None = None
) -> tuple[str, str]:
    """Returns where to send a browser, and what to give it to bring back.

    Args:
        engine: the database.
        provider: who is asked.
        origin: scheme, name and port the node was called by.
        actor: who links her account; None for a sign-in.
    """
    if actor is not None:
        require(actor, "own.second_factor")
    browser, verifier, nonce = (secrets.token_urlsafe(32) for _ in range(3))
    held = {"browser": _hash(browser), "verifier": verifier, "nonce": nonce, "origin": origin}
    address = provider.metadata().authorization_endpoint
    with engine.begin() as db:
        state = pending.hold(db, "oidc", actor and actor.id, held, FLOW_SECONDS)
    query = {
        "response_type": "code",
        "client_id": provider.client,
        "redirect_uri": origin + CALLBACK,
        "scope": "openid",
        "state": state,
        "nonce": nonce,
        "code_challenge": _hash(verifier),
        "code_challenge_method": "S256",
    }
    return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}", browser


def finish(
    engine: sa.Engine,
    provider: Provider,
    answer: dict[str, str],
    browser: str,
    origin: str,
    site: str,
    address: str,
) -> Session | SecondStep | None:
    """Ends what was begun: a session, its second step, or None where an account was linked.

    Args:
        engine: the database.
        provider: who was asked.
        answer: the query the browser came back with.
        browser: what it was given to bring back.
        origin: scheme, name and port the node was called by.
        site: the name alone.
        address: where the person is.

    Raises:
        NotPermitted: anything is not as it was begun, or nobody has linked the subject.
    """
    with engine.begin() as db:
        taken = pending.take(db, "oidc", answer.get("state", ""))
    try:
        if taken is None or taken[1]["origin"] != origin or taken[1]["browser"] != _hash(browser):
            raise _refused()
        if answer.get("iss", provider.issuer) != provider.issuer or not answer.get("code"):
            raise _refused()
        token = provider.redeem(answer["code"], taken[1]["verifier"], origin + CALLBACK)
        subject = _subject(provider, token, taken[1]["nonce"])
    except NotPermitted:
        with engine.begin() as db:
            sessions.count_failure(db, None, "oidc", address, datetime.now(UTC))
        raise
    if taken[0] is not None:
        _link(engine, provider, subject, taken[0])
        return None
    return _sign_in(engine, provider, subject, site, address)


def linked(engine: sa.Engine, account: int) -> bool:
    """Tells whether an account has a subject linked to it."""
    t = store.federated.c
    with engine.connect() as db:
        return db.execute(sa.select(t.subject).where(t.account == account)).first() is not None


def _sign_in(
    engine: sa.Engine, provider: Provider, subject: str, site: str, address: str
) -> Session | SecondStep:
    t, at = store.federated.c, datetime.now(UTC)
    with engine.begin() as db:
        mine = (t.issuer == provider.issuer, t.subject == subject)
        number = db.execute(sa.select(t.account).where(*mine)).scalar_one_or_none()
        row: Any = store.get(db, number) if number is not None else None
        works = row is not None and row.state == "active" and row.locked_until <= at.timestamp()
        if row is None or not works:
            sessions.count_failure(db, row, "oidc", address, at)
        elif not (provider.asks_second and (row.totp_step or row.keyed)):
            return sessions.start(db, row, at, address, "", "oidc")
        elif passkeys.known(db, row.id, site):
            step = passkeys.challenge(db, row.id, site, "oidc")
            return msgspec.structs.replace(step, code=row.totp_step > 0)
        elif row.totp_step:
            ticket = pending.hold(db, "second", row.id, {"way": "oidc"}, _STEP_SECONDS)
            return SecondStep(ticket, "", code=True)
    raise _refused()


def _link(engine: sa.Engine, provider: Provider, subject: str, account: int) -> None:
    t, at = store.federated.c, datetime.now(UTC)
    with engine.begin() as db:
        row = store.get(db, account)
        taken = sa.select(t.account).where(
            t.issuer == provider.issuer, sa.or_(t.subject == subject, t.account == account)
        )
        if row is None or row.state != "active" or db.execute(taken).first() is not None:
            raise Conflict(
                "identity.oidc_linked", "本账号或该统一身份已关联", "更换须由系统管理员重置账号"
            )
        values: dict[str, object] = {"issuer": provider.issuer, "subject": subject}
        linked_at = int(at.timestamp())
        db.execute(
            sa.insert(store.federated).values(**values, account=account, linked_at=linked_at)
        )
        emit(db, [EvidenceEvent("identity.oidc.linked", row.name, row.name, at, values)])


def _subject(provider: Provider, token: str, nonce: str) -> str:
    """Returns whom an ID token speaks of, once all of it is right."""
    from joserfc import jwt
    from joserfc.errors import InvalidKeyIdError, JoseError

    try:
        try:
            read = jwt.decode(token, provider.keys(), algorithms=_ALGORITHMS)
        except InvalidKeyIdError:  # the provider has changed its keys
            read = jwt.decode(token, provider.keys(anew=True), algorithms=_ALGORITHMS)
        jwt.JWTClaimsRegistry(
            leeway=_LEEWAY,
            iss={"essential": True, "value": provider.issuer},
            aud={"essential": True, "value": provider.client},
            nonce={"essential": True, "value": nonce},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
        ).validate(read.claims)
    except (JoseError, ValueError, TypeError, KeyError):
        raise _refused() from None
    audience, subject = read.claims["aud"], read.claims["sub"]
    several = isinstance(audience, list) and len(audience) > 1
    if several or read.claims.get("azp", provider.client) != provider.client:
        raise _refused()
    if not isinstance(subject, str) or not 1 <= len(subject) <= 255:
        raise _refused()
    return subject


def _fetch(method: str, address: str, **more: Any) -> bytes:
    import urllib3

    try:
        with urllib3.PoolManager(retries=False, timeout=_SECONDS) as pool:
            answer = pool.request(method, address, redirect=False, preload_content=False, **more)
            raw = answer.read(_MOST + 1)
            answer.release_conn()
    except urllib3.exceptions.HTTPError:
        raise _unavailable() from None
    if 400 <= answer.status < 500 and method == "POST":
        raise _refused()  # the code is none of its own, or was used before
    if answer.status != 200 or len(raw) > _MOST:
        raise _unavailable()
    return raw


def _check_address(address: str) -> None:
    parts = urlsplit(address)
    here = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not (parts.scheme == "https" or (parts.scheme == "http" and here)) or parts.username:
        raise Invalid(
            "identity.bad_issuer",
            "统一身份服务的地址须为 https",
            "请核对 oidc_issuer 与其发布的地址",
        )


def _hash(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _refused() -> NotPermitted:
    return NotPermitted(
        "identity.oidc_refused",
        "统一身份登录未成功，或该身份没有关联本节点的账号",
        "请用账号口令登录后，在“我的账号”中关联",
    )


def _unavailable() -> Unavailable:
    return Unavailable(
        "identity.oidc_unavailable", "统一身份服务没有正确应答", "请稍后重试，或用账号口令登录"
    )
