"""Whom a centre vouches for, and for how long that is good enough without hearing from the centre.

A member that others know through the roster alone is dealt with under what the roster says. It is as
good as the centre is honest; see docs/design/members.md for what a dishonest one could do.
"""

import sqlalchemy as sa

from pingyao.kernel.errors import NotPermitted, NotYet, Unavailable
from pingyao.platform.members import roster_store, store
from pingyao.platform.members.checking import SKEW_SECONDS
from pingyao.platform.members.model import Member, OwnKey, Use
from pingyao.platform.members.ring import pick

MOST_AGE = 24 * 3600
"""Seconds a roster is relied on after the centre last said that it is the newest.

As long as a day's outage of the centre; and as long as who cuts a node off from its centre can keep a
revocation from it.
"""


def active(db: sa.Connection, number: int, now: int) -> Member:
    """Returns a member that may be dealt with.

    Raises:
        NotYet: it is not active.
        NotPermitted, Unavailable: see `check_vouched`.
    """
    member = store.get(db, number)
    if member is None or member.state != "active":
        raise NotYet("members.not_active", "对方不是已确认的成员", "请先完成加入与确认")
    check_vouched(db, member, now)
    return member


def check_vouched(db: sa.Connection, member: Member, now: int) -> None:
    """Lets a member pass whom people here have confirmed, or whom a centre vouches for today.

    Raises:
        NotPermitted: the centre itself is not an active member any more.
        Unavailable: its roster is too old.
    """
    if not member.via:
        return
    centre, roster = store.get(db, member.via), roster_store.read(db, member.via)
    if centre is None or centre.state != "active":
        raise NotPermitted(
            "members.centre_gone", "为该成员作保的中心已不是本机构的成员", "请先恢复与中心的往来"
        )
    age = now - (roster.checked_at if roster else 0)
    if not -SKEW_SECONDS <= age <= MOST_AGE:  # of the future: this machine's clock was set back
        raise Unavailable(
            "members.roster_too_old",
            f"超过 {MOST_AGE // 3600} 小时没有向中心核对名册，暂不与经名册认识的成员往来",
            "请检查到中心的网络与本机时钟，然后运行 pingyao members fetch",
        )


def own_key(db: sa.Connection, member: Member, use: Use, now: int) -> OwnKey:
    """Returns our key that a member knows: for signing what it is sent.

    Towards a member of the roster that is a key in our own suite. A new one has to be in every roster that
    anybody may still rely on before it is used; until then the one before is, unless it was revoked.

    Raises:
        NotFound: the member knows no key of ours that is good now.
        NotYet: no roster has a key of ours.
    """
    keys = store.read_own_keys(db)
    if not member.via:
        return pick(keys, member.suite, use, member.known, now)
    centre = store.get(db, member.via)
    suite = centre.suite if centre else ""
    known = [k for k in keys if (k.suite, k.use) == (suite, use) and k.listed_at and k.holds(now)]
    settled = [k for k in known if k.listed_at <= now - MOST_AGE]
    if settled:
        return max(settled, key=lambda k: k.generation)
    if known:
        return min(known, key=lambda k: k.generation)
    raise NotYet(
        "members.not_listed",
        "中心的名册中还没有本机构可用的密钥",
        "请运行 pingyao members fetch；刚换过密钥的，请先运行 pingyao members rotate",
    )
