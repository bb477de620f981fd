"""Is a signed request to be believed: whose it is, whether for us, when, whether seen before."""

import itertools

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from pingyao.kernel.errors import IntegrityBroken, NotPermitted, Unavailable
from pingyao.platform.crypto.signers import verify
from pingyao.platform.crypto.suites import suite_of
from pingyao.platform.members import signatures, store
from pingyao.platform.members.model import Key, Member, Sender
from pingyao.platform.members.signatures import Asked, Parameters, Signed

SKEW_SECONDS = 300
MOST_SECONDS = 300
"""How long a signature may be good for."""
MOST_NONCES = 100_000
"""Of one key, alive at one time: about 150 requests a second without pause."""
_COUNT_EVERY = 64
_tick = itertools.count()


def check_request(
    engine: sa.Engine, us: str, signed: Signed, request: Asked, now: int
) -> tuple[Sender, Member]:
    """Returns who sent a request, by its fields alone: nothing of its content has been read yet.

    Args:
        engine: the database.
        us: our own USCC.
        signed: what was read of the fields.
        request: what they cover.
        now: seconds since the epoch.

    Raises:
        NotPermitted: unknown, revoked or expired key, another suite or recipient, or another time.
        IntegrityBroken: the signature does not hold.
    """
    said = signed.parameters
    with engine.connect() as db:
        member = store.find_by_key(db, said.keyid)
    key = None if member is None else next(k for k in member.keys if k.id == said.keyid)
    if member is None or key is None:
        raise NotPermitted(
            "members.unknown_key",
            "签名所用的密钥不在成员登记中",
            "请先受邀加入，由安全管理员确认；刚加入或换过密钥的，等对方取得新名册（5 分钟内）",
        )
    suite = suite_of(member.suite)
    algorithm, _ = signatures.read_digest(request.digest)
    if said.alg != suite.alg or key.kind != suite.signature or algorithm != suite.digest_field:
        raise NotPermitted(
            "members.wrong_suite",
            f"该成员登记的密码套件是 {suite.name}，请求用的是另一种",
            "套件只能随重新加入而改变",
        )
    if said.tag != f"{signatures.TAG}:{us}":
        raise NotPermitted(
            "members.wrong_recipient", "请求不是发给本机构的", "请核对对方机构的统一社会信用代码"
        )
    check_times(said, now)
    verify(suite.signature, key.public, signed.base, signed.signature)
    _check_standing(member, key, now)
    profile = member.profile
    sender = Sender(
        member.id, profile.name, profile.uscc, suite.name, key.id, signed.signature, signed.base
    )
    return sender, member


def check_times(said: Parameters, now: int) -> None:
    """Refuses a signature of another time, and says by how much the clocks differ.

    Raises:
        NotPermitted: it is too early, too late, or good for too long.
    """
    if not 0 < said.expires - said.created <= MOST_SECONDS:
        raise NotPermitted(
            "members.bad_lifetime", "签名的有效期不合规定", f"有效期须为 1 至 {MOST_SECONDS} 秒"
        )
    if not said.created - SKEW_SECONDS <= now <= said.expires + SKEW_SECONDS:
        late = now - said.created
        how = f"慢 {late}" if late > 0 else f"快 {-late}"
        raise NotPermitted(
            "members.clock_skew",
            f"请求的签名时间比本机时钟{how} 秒，超出允许的 {SKEW_SECONDS} 秒",
            "请双方校准时钟（NTP）；若时钟无误，则请求滞留过久，请重新发送",
        )


def take_nonce(engine: sa.Engine, said: Parameters, now: int) -> None:
    """Lets a nonce pass once; it is remembered as long as its signature could be shown again.

    Raises:
        NotPermitted: it has been seen before, or is no nonce.
        Unavailable: this key has sent too much for what may be remembered.
    """
    if not 16 <= len(said.nonce) <= 64:
        raise NotPermitted("members.bad_nonce", "签名的随机数不合规定", "须为 16 至 64 个字符")
    t = store.nonces.c
    try:
        with engine.begin() as db:
            db.execute(sa.delete(store.nonces).where(t.until < now))
            if next(_tick) % _COUNT_EVERY == 0:
                mine = sa.select(sa.func.count()).where(t.key == said.keyid)
                if db.execute(mine).scalar_one() >= MOST_NONCES:
                    raise Unavailable(
                        "members.too_many", "该成员在几分钟内的请求过多", "请稍后重试"
                    )
            until = said.expires + SKEW_SECONDS
            row = {"key": said.keyid, "nonce": said.nonce, "until": until}
            db.execute(sa.insert(store.nonces).values(**row))
    except IntegrityError:
        raise NotPermitted(
            "members.replayed", "此请求已经收到过一次，重放的不予受理", "请重新签名后再发送"
        ) from None


def check_content(request: Asked, digest: bytes) -> None:
    """Compares what was read with what was signed.

    Raises:
        IntegrityBroken: it is something else.
    """
    if signatures.read_digest(request.digest)[1] != digest:
        raise IntegrityBroken(
            "members.bad_digest", "请求内容与所签的摘要不符", "内容在途中被改动，请重新发送"
        )


def _check_standing(member: Member, key: Key, now: int) -> None:
    if member.state == "pending":
        raise NotPermitted(
            "members.pending", "该成员尚待安全管理员确认", "请双方电话核对指纹后确认"
        )
    if member.state == "revoked" or key.revoked_at:
        raise NotPermitted(
            "members.revoked", "该成员或其密钥已被吊销", "如需恢复，请由中心重新邀请"
        )
    if key.use != "sign" or not key.holds(now):
        raise NotPermitted("members.key_expired", "签名所用的密钥不在有效期内", "请对方轮换密钥")
