"""Passkeys and security keys as second factor: registered by a person for herself, asked for at sign-in.

A challenge is taken once. A key works for the name it was registered under alone. One whose counter
does not grow may have been copied: it is refused, removed, and an alarm goes into the trail.

Cites: W3C Web Authentication Level 2, 7.1, 7.2.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import Conflict, Invalid, NotFound
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.identity import pending, store
from pingyao.platform.identity.model import Passkey, SecondStep
from pingyao.platform.outbox import emit
from pingyao.platform.policy import Actor, require

MOST = 10
_REGISTER_SECONDS, _ASK_SECONDS = 300, 120


def begin(engine: sa.Engine, actor: Actor, person: str, site: str, institution: str) -> str:
    """Returns what the browser asks a new key for, as JSON."""
    require(actor, "own.second_factor")
    from webauthn import generate_registration_options, options_to_json
    from webauthn.helpers import bytes_to_base64url

    t = store.passkeys.c
    with engine.begin() as db:
        mine = db.execute(sa.select(t.credential).where(t.account == actor.id)).scalars().all()
        if len(mine) >= MOST:
            raise Conflict("identity.too_many_passkeys", f"每人至多 {MOST} 把", "请先移除不用的")
        options = generate_registration_options(
            rp_id=site,
            rp_name=institution,
            user_id=b"account:%d" % actor.id,
            user_name=actor.name,
            user_display_name=person,
            exclude_credentials=_described(list(mine)),
        )
        secret = bytes_to_base64url(options.challenge)
        held = {"site": site}
        pending.hold(db, "register", actor.id, held, _REGISTER_SECONDS, secret)
    return options_to_json(options)


def register(
    engine: sa.Engine, actor: Actor, name: str, credential: str, site: str, origin: str
) -> None:
    """Takes a new key into use.

    Raises:
        Invalid: it does not answer the challenge, or the name is out of bounds.
    """
    require(actor, "own.second_factor")
    from webauthn import verify_registration_response
    from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
    from webauthn.helpers.exceptions import WebAuthnException

    name, at = " ".join(name.split()), datetime.now(UTC)
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise Invalid("identity.bad_passkey_name", "名称须为 1 至 64 个可见字符", "请改正名称")
    secret = _challenge_of(credential)
    with engine.begin() as db:
        held = pending.take(db, "register", secret)
    if held is None or held != (actor.id, {"site": site}):
        raise _bad()
    try:
        made = verify_registration_response(
            credential=credential,
            expected_challenge=base64url_to_bytes(secret),
            expected_rp_id=site,
            expected_origin=origin,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError):
        raise _bad() from None
    values: dict[str, object] = {
        "account": actor.id,
        "name": name,
        "site": site,
        "credential": bytes_to_base64url(made.credential_id),
        "public_key": made.credential_public_key,
        "sign_count": made.sign_count,
        "created_at": int(at.timestamp()),
        "used_at": 0,
    }
    t = store.passkeys
    with engine.begin() as db:
        store.get(db, actor.id)  # one at a time for each account
        known = t.c.credential == values["credential"]
        if db.execute(sa.select(t.c.id).where(known)).first() is not None:
            raise Conflict("identity.passkey_known", "这把安全密钥已登记", "请换一把")
        db.execute(sa.insert(t).values(**values))
        body: dict[str, object] = {"passkey": name, "site": site}
        emit(db, [EvidenceEvent("identity.passkey.added", actor.name, actor.name, at, body)])


def listed(engine: sa.Engine, actor: Actor) -> list[Passkey]:
    """Returns one's own keys."""
    t = store.passkeys.c
    query = sa.select(store.passkeys).where(t.account == actor.id).order_by(t.id)
    with engine.connect() as db:
        return [Passkey(r.id, r.name, r.site, r.created_at, r.used_at) for r in db.execute(query)]


def remove(engine: sa.Engine, actor: Actor, number: int) -> None:
    """Takes one's own key out of use, as long as another second factor remains.

    Raises:
        Conflict: it is the last; whoever sits at a forgotten screen must not strip the account of it.
    """
    require(actor, "own.second_factor")
    t, at = store.passkeys.c, datetime.now(UTC)
    with engine.begin() as db:
        account = store.get(db, actor.id)
        mine = db.execute(sa.select(store.passkeys).where(t.account == actor.id)).all()
        key = next((k for k in mine if k.id == number), None)
        if key is None:
            raise NotFound("identity.no_such_passkey", "没有这把安全密钥", "请刷新后重试")
        if len(mine) == 1 and not account.totp_step:
            raise Conflict(
                "identity.last_factor",
                "这是唯一的第二因子",
                "请先启用另一种；遗失的由系统管理员重置账号",
            )
        db.execute(sa.delete(store.passkeys).where(t.id == number))
        body: dict[str, object] = {"passkey": key.name}
        emit(db, [EvidenceEvent("identity.passkey.removed", actor.name, actor.name, at, body)])


def known(db: sa.Connection, account: int, site: str) -> bool:
    """Tells whether an account has a key for a site."""
    t = store.passkeys.c
    found = sa.select(t.id).where(t.account == account, t.site == site).limit(1)
    return bool(site) and db.execute(found).first() is not None


def challenge(db: sa.Connection, account: int, site: str, way: str = "password") -> SecondStep:
    """Goes on to the second step of a sign-in, with a challenge to be answered once."""
    from webauthn import generate_authentication_options, options_to_json
    from webauthn.helpers import bytes_to_base64url

    t = store.passkeys.c
    mine = sa.select(t.credential).where(t.account == account, t.site == site)
    options = generate_authentication_options(
        rp_id=site, allow_credentials=_described(list(db.execute(mine).scalars()))
    )
    held = {"site": site, "challenge": bytes_to_base64url(options.challenge), "way": way}
    ticket = pending.hold(db, "second", account, held, _ASK_SECONDS)
    return SecondStep(ticket, options_to_json(options))


def answered(
    db: sa.Connection, row: Any, held: dict[str, str], credential: str, origin: str
) -> bool:
    """Tells whether a key of the account answers the challenge; one that seems copied is removed."""
    from webauthn import verify_authentication_response
    from webauthn.helpers import base64url_to_bytes, parse_authentication_credential_json
    from webauthn.helpers.exceptions import WebAuthnException

    t, at = store.passkeys.c, datetime.now(UTC)
    try:
        shown = parse_authentication_credential_json(credential)
        mine = sa.select(store.passkeys).where(
            t.credential == shown.id, t.account == row.id, t.site == held["site"]
        )
        key = db.execute(mine.with_for_update()).one_or_none()
        if key is None:
            return False
        verified = verify_authentication_response(
            credential=shown,
            expected_challenge=base64url_to_bytes(held["challenge"]),
            expected_rp_id=held["site"],
            expected_origin=origin,
            credential_public_key=key.public_key,
            credential_current_sign_count=0,  # compared below, where it raises the alarm
        )
    except (WebAuthnException, ValueError, KeyError, TypeError):
        return False
    count = verified.new_sign_count
    if (count or key.sign_count) and count <= key.sign_count:
        db.execute(sa.delete(store.passkeys).where(t.id == key.id))
        body: dict[str, object] = {"passkey": key.name, "kept": key.sign_count, "shown": count}
        emit(db, [EvidenceEvent("identity.passkey.suspected", row.name, row.name, at, body)])
        return False
    values = {"sign_count": count, "used_at": int(at.timestamp())}
    db.execute(sa.update(store.passkeys).where(t.id == key.id).values(**values))
    return True


def _described(credentials: list[str]) -> Any:
    from webauthn.helpers import base64url_to_bytes
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(c)) for c in credentials]


class _Response(msgspec.Struct):
    clientDataJSON: str


class _Shown(msgspec.Struct):
    response: _Response


class _ClientData(msgspec.Struct):
    challenge: str


def _challenge_of(credential: str) -> str:
    """Returns which challenge a browser says it answers; it is verified after."""
    from webauthn.helpers import base64url_to_bytes

    try:
        shown = msgspec.json.decode(credential, type=_Shown)
        said = base64url_to_bytes(shown.response.clientDataJSON)
        return msgspec.json.decode(said, type=_ClientData).challenge
    except (msgspec.MsgspecError, ValueError):
        raise _bad() from None


def _bad() -> Invalid:
    return Invalid(
        "identity.bad_passkey", "安全密钥没有通过校验，或已超时", "请回到“我的账号”重新登记"
    )
