"""The commands of members that are about keys: seeing, rotating and revoking them."""

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from pingyao.app.member_desk import As, Ca, Code, Json, Since, Why, open_desk, seconds
from pingyao.app.node import Key
from pingyao.app.opening import Db
from pingyao.kernel.errors import Invalid
from pingyao.platform.term import safe

if TYPE_CHECKING:
    from pingyao.platform.members.desk import Desk
    from pingyao.platform.members.rotating import Told
    from pingyao.platform.policy import Actor

app = App()
_USES = {"sign": "签名", "seal": "加密"}
_SHORTEST = 8


@app.command
def keys(
    uscc: str = "",
    /,
    *,
    as_: As,
    code: Code = "",
    json: Json = False,
    db: Db = None,
    key: Key = None,
) -> None:
    """列出本节点的密钥，或成员的。USCC：成员的统一社会信用代码，不给出即本节点。"""
    from pingyao.platform.members import register

    with open_desk(as_, code, db, key) as (desk, actor):
        if uscc:
            held = [*register.find(desk.engine, actor, uscc).keys]
        else:
            held = register.view(desk.engine, actor, limit=0).keys
    if json:
        import msgspec

        sys.stdout.buffer.write(msgspec.json.encode(held) + b"\n")
        return
    for each in held:
        until = f"{datetime.fromtimestamp(each.not_after).astimezone():%Y-%m-%d}"
        state = f"至 {until}"
        if each.revoked_at:
            gone = f"{datetime.fromtimestamp(each.revoked_at).astimezone():%Y-%m-%d %H:%M}"
            state = f"{gone} 已吊销 {safe(each.why)}".rstrip()
        print(f"{each.id}  {_USES[each.use]}  {each.kind:8}{state}")


@app.command
def rotate(
    *,
    as_: As,
    anew: Annotated[
        bool, Parameter(help="即使有成员未收到上次的，也再换一次", negative="")
    ] = False,
    code: Code = "",
    ca: Ca = None,
    db: Db = None,
    key: Key = None,
) -> None:
    """轮换本节点的密钥并通知各成员（安全管理员）；上次没通知到的，只补通知。"""
    with open_desk(as_, code, db, key, ca) as (desk, actor):
        told = desk.rotate(actor, anew=anew)
    print("本节点已启用新密钥，原密钥再用 30 天")
    _say(told)


@app.command(name="revoke-key")
def revoke_key(
    named: Annotated[str, Parameter(help="密钥编号，或其开头至少 8 位")],
    /,
    *,
    why: Why,
    since: Since = None,
    as_: As,
    code: Code = "",
    ca: Ca = None,
    db: Db = None,
    key: Key = None,
) -> None:
    """吊销一把密钥（安全管理员）：成员的，或本节点的；本节点的先换新密钥，再告知各成员。"""
    from pingyao.platform.members import revoking

    with open_desk(as_, code, db, key, ca) as (desk, actor):
        number, found = _find(desk, actor, named)
        if number is None:
            told = desk.revoke_own(actor, found, why, seconds(since))
        else:
            revoking.revoke_key(desk.engine, actor, number, found, why, seconds(since))
            told = []
    print(f"已吊销密钥 {found}")
    _say(told)


def _find(desk: "Desk", actor: "Actor", named: str) -> tuple[int | None, str]:
    """Returns whose a key is, None for our own, and its whole name."""
    from pingyao.platform.members import register

    wanted = named.strip().lower()
    view = register.view(desk.engine, actor)
    held: list[tuple[int | None, str]] = [(None, k.id) for k in view.keys]
    held += [(m.id, k.id) for m in view.members for k in m.keys]
    found = [h for h in held if h[1].startswith(wanted)]
    if len(wanted) < _SHORTEST or len(found) != 1:
        raise Invalid(
            "members.no_such_key",
            f"没有唯一以 {safe(wanted, 32)} 开头的密钥",
            "请以 pingyao members keys 查看编号，给出至少 8 位",
        )
    return found[0]


def _say(told: list["Told"]) -> None:
    for each in told:
        print(f"  {safe(each.name)}：{safe(each.error) or '已收下'}")
    if any(each.error for each in told):
        sys.exit(1)
