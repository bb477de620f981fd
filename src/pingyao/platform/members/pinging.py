"""Asking a member whether it is there, knows us, and was told the same by the centre as we were."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import IntegrityBroken
from pingyao.platform.members import roster_store, store
from pingyao.platform.members.client import Client
from pingyao.platform.members.model import Sender
from pingyao.platform.members.proofs import event
from pingyao.platform.outbox import emit
from pingyao.platform.policy import Actor, require

PING = "/member/v1/ping"


class Ping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question whether the other side is there."""

    text: Annotated[str, msgspec.Meta(max_length=200)] = ""


class Pong(msgspec.Struct, frozen=True):
    """The answer: the text again, and who is understood to have asked.

    Attributes:
        rosters: serial and digest, by the USCC of the centre, of every roster that is kept there.
    """

    text: str
    name: str
    uscc: str
    suite: str
    rosters: dict[str, tuple[int, str]] = {}


def answer(engine: sa.Engine, sender: Sender, given: Ping) -> Pong:
    """Answers a member."""
    with engine.connect() as db:
        return Pong(given.text, sender.name, sender.uscc, sender.suite, _rosters(db))


def ping(engine: sa.Engine, client: Client, actor: Actor, number: int) -> Pong:
    """Asks a member, and compares the rosters both sides have of the same centre.

    Raises:
        IntegrityBroken: two rosters of one serial differ: a centre tells one this and the other that.
    """
    require(actor, "members.list")
    pong = client.send(number, "POST", PING, b"{}").read(Pong)
    with engine.connect() as db:
        ours, member = _rosters(db), store.get(db, number)
    for centre, (serial, digest) in pong.rosters.items():
        kept = ours.get(centre)
        if member is None or kept is None or kept[0] != serial or kept[1] == digest:
            continue
        body: dict[str, object] = {"serial": serial, "ours": kept[1], "theirs": digest}
        body |= {"member": member.profile.uscc}
        with engine.begin() as db:
            emit(db, [event("members.roster.differed", centre, actor, datetime.now(UTC), body)])
        raise IntegrityBroken(
            "members.roster_differs",
            f"名册 {serial} 有两份内容不同的版本",
            "请保留现场，与中心和其他成员核对摘要",
        )
    return pong


def _rosters(db: sa.Connection) -> dict[str, tuple[int, str]]:
    us, found = store.read_profile(db), {}
    for roster in roster_store.read_all(db):
        whose = store.get(db, roster.centre)
        uscc = whose.profile.uscc if whose else (us.uscc if us else "")
        found[uscc] = (roster.serial, roster.digest)
    return found
