"""The commands ``pingyao members …``: who acts signs in, and may do what her role may do."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from pingyao.app.member_desk import As, Ca, Code, Json, Since, Why, open_desk, seconds
from pingyao.app.member_keys import app as keys_app
from pingyao.app.node import Key
from pingyao.app.opening import Db
from pingyao.kernel.errors import Invalid
from pingyao.platform.term import safe

app = App(name="members", help="成员机构：邀请、加入、核对指纹、名册、吊销、轮换 · members")
for _name in ("keys", "rotate", "revoke-key"):
    app.command(keys_app[_name], name=_name)
_STATES = {"pending": "待确认", "active": "已确认", "revoked": "已吊销"}
_ROLES = {"member": "成员", "centre": "中心"}


@app.command(name="list")
def list_(
    *,
    as_: As,
    words: Annotated[str, Parameter(help="名称、统一社会信用代码或金融机构编码中的字")] = "",
    region: Annotated[str, Parameter(help="地区代码的前几位")] = "",
    state: Annotated[Literal["", "pending", "active", "revoked"], Parameter(help="状态")] = "",
    code: Code = "",
    json: Json = False,
    db: Db = None,
    key: Key = None,
) -> None:
    """列出成员、名册与发出的邀请。"""
    from pingyao.platform.members import register, rotating
    from pingyao.platform.members.documents import grouped
    from pingyao.platform.members.model import Search

    with open_desk(as_, code, db, key) as (desk, actor):
        view = register.view(desk.engine, actor, Search(words, region, state))
    if json:
        import msgspec

        sys.stdout.buffer.write(msgspec.json.encode(view) + b"\n")
        return
    us = view.profile
    print(f"本机构：{safe(us.name)}（{us.uscc}）密钥第 {view.generation} 代")
    for each in view.rosters:
        print(
            f"名册 {each.serial}（{safe(each.centre)}）：{each.members} 家，SHA-256 {each.digest}"
        )
        if each.good_until:
            print(f"  {_when(each.checked_at)} 与中心核对，可用至 {_when(each.good_until)}")
    for m in view.members:
        role = "经名册" if m.via else _ROLES[m.profile.role]
        print(f"{m.profile.uscc}  {_STATES[m.state]}  {role}  {m.suite}  {safe(m.profile.name)}")
        if m.state == "pending":
            print(f"  指纹：{grouped(m.fingerprint)}")
        if rotating.is_behind(m, view.keys):
            print("  尚未收到本节点的新密钥，请运行 pingyao members rotate")
    for each in view.invitations:
        if each.state == "open":
            print(f"邀请 {each.id}：{each.uscc} {safe(each.name)}，{_when(each.expires_at)} 到期")


@app.command
def profile(
    *,
    as_: As,
    address: Annotated[str, Parameter(help="其他机构访问本节点的地址")] = "",
    institution_code: Annotated[str, Parameter(help="金融机构编码，14 位")] = "",
    kind: Annotated[str, Parameter(help="机构类型")] = "bank",
    region: Annotated[str, Parameter(help="地区代码，6 位数字")] = "",
    code: Code = "",
    db: Db = None,
    key: Key = None,
) -> None:
    """登记本机构的地址、编码、类型与地区（系统管理员）。"""
    from pingyao.platform.members import register
    from pingyao.platform.members.model import Profile

    with open_desk(as_, code, db, key) as (desk, actor):
        us = register.view(desk.engine, actor).profile
        given = Profile(us.name, us.uscc, us.role, institution_code, kind, region, address)
        register.describe(desk.engine, actor, given)
    print("已登记；下次轮换密钥时一并告知各成员")


@app.command
def invite(
    uscc: str,
    name: str,
    /,
    *,
    as_: As,
    suite: Annotated[
        str, Parameter(help="international 国际算法，national 国密")
    ] = "international",
    hours: Annotated[int, Parameter(help="几小时内有效")] = 72,
    output: Annotated[Path | None, Parameter(help="邀请写入此文件（仅本人可读），不显示")] = None,
    code: Code = "",
    db: Db = None,
    key: Key = None,
) -> None:
    """邀请一家机构加入（中心的系统管理员）。USCC：对方的统一社会信用代码；NAME：其名称。"""
    from pingyao.platform.files import write_atomically

    with open_desk(as_, code, db, key) as (desk, actor):
        made = desk.invite(actor, uscc, name, suite, hours)
    if output is None:
        print(made.text)
    else:
        write_atomically(output, made.text.encode() + b"\n")
    print(
        f"请经双方约定的可靠途径交给{safe(made.invitation.name)}；"
        f"一次有效，{_when(made.invitation.expires_at)} 到期",
        file=sys.stderr,
    )


@app.command
def join(
    invitation: Path,
    /,
    *,
    as_: As,
    code: Code = "",
    ca: Ca = None,
    db: Db = None,
    key: Key = None,
) -> None:
    """用收到的邀请加入（成员的系统管理员）。INVITATION：存有邀请文字的文件，- 为标准输入。"""
    from pingyao.platform.members.documents import grouped

    try:
        text = sys.stdin.read(16_384) if str(invitation) == "-" else _text(invitation)
    except (OSError, UnicodeDecodeError):
        raise Invalid(
            "members.no_file", f"邀请文件 {invitation.name} 无法读取", "请核对路径与权限"
        ) from None
    with open_desk(as_, code, db, key, ca) as (desk, actor):
        centre = desk.join(actor, text)
    print(f"已向{safe(centre.profile.name)}（{centre.profile.uscc}）提交加入，待双方确认")
    print(f"指纹：{grouped(centre.fingerprint)}")
    print("请双方的安全管理员通话，互相读出指纹，各自确认：pingyao members confirm")


@app.command
def confirm(
    uscc: str,
    /,
    *,
    fingerprint: Annotated[str, Parameter(help="对方在电话里读出的 40 位数字")],
    as_: As,
    code: Code = "",
    db: Db = None,
    key: Key = None,
) -> None:
    """核对指纹并确认成员（安全管理员）。USCC：对方的统一社会信用代码。"""
    from pingyao.platform.members import joining, register

    with open_desk(as_, code, db, key) as (desk, actor):
        number = register.find(desk.engine, actor, uscc).id
        member = joining.confirm(desk.engine, actor, number, fingerprint)
    print(f"已确认 {safe(member.profile.name)}（{member.profile.uscc}）")


@app.command
def revoke(
    uscc: str,
    /,
    *,
    why: Why,
    since: Since = None,
    as_: As,
    code: Code = "",
    db: Db = None,
    key: Key = None,
) -> None:
    """吊销成员（安全管理员）：从此不接受它的任何请求。USCC：对方的统一社会信用代码。"""
    from pingyao.platform.members import register, revoking

    with open_desk(as_, code, db, key) as (desk, actor):
        number = register.find(desk.engine, actor, uscc).id
        member = revoking.revoke(desk.engine, actor, number, why, seconds(since))
    print(f"已吊销 {safe(member.profile.name)}（{member.profile.uscc}）")


@app.command
def ping(
    uscc: str,
    /,
    *,
    as_: As,
    code: Code = "",
    ca: Ca = None,
    db: Db = None,
    key: Key = None,
) -> None:
    """向成员发一个签名请求，核对其签名的应答与双方的名册。USCC：对方的统一社会信用代码。"""
    from pingyao.platform.members import register

    with open_desk(as_, code, db, key, ca) as (desk, actor):
        member = register.find(desk.engine, actor, uscc)
        pong = desk.ping(actor, member.id)
    print(f"{safe(member.profile.name)} 应答无误（{pong.suite}），认得本机构：{safe(pong.name)}")


@app.command
def fetch(*, as_: As, code: Code = "", ca: Ca = None, db: Db = None, key: Key = None) -> None:
    """立即向中心取名册（系统或安全管理员）；节点运行时每 5 分钟自动取一次。"""
    with open_desk(as_, code, db, key, ca) as (desk, actor):
        found = desk.fetch(actor)
    for each in found:
        said = f"名册 {each.serial}，{each.members} 家，SHA-256 {each.digest}"
        print(f"{safe(each.name)}：{safe(each.error) or said}")
    if not found:
        print("还没有已确认的中心")
    if any(each.error for each in found):
        sys.exit(1)


def _text(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(16_384)


def _when(at: int) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")
