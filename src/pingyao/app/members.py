"""The commands ``pingyao members …``: who acts signs in, and may do what her role may do."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from pingyao.app.node import Key
from pingyao.app.opening import Db, open_catalogue
from pingyao.kernel.errors import Invalid, NotFound, NotYet
from pingyao.platform.term import safe

if TYPE_CHECKING:  # only who runs a node has the web's libraries
    from pingyao.platform.members.desk import Desk
    from pingyao.platform.members.model import Member
    from pingyao.platform.policy import Actor

app = App(name="members", help="成员机构：邀请、加入、核对指纹、吊销、轮换 · members")
As = Annotated[
    str,
    Parameter(
        name="--as", help="以哪个账号办理；口令取自 PINGYAO_PASSWORD、其 _FILE 所指文件或终端"
    ),
]
Code = Annotated[str, Parameter(help="启用了动态口令的账号：当前的六位数字")]
Ca = Annotated[Path | None, Parameter(help="另行信任的 TLS 根证书，PEM")]
Json = Annotated[bool, Parameter(help="以 JSON 输出到标准输出", negative="")]
_STATES = {"pending": "待确认", "active": "已确认", "revoked": "已吊销"}
_ROLES = {"member": "成员", "centre": "中心"}


@app.command(name="list")
def list_(*, as_: As, code: Code = "", json: Json = False, db: Db = None, key: Key = None) -> None:
    """列出成员、密钥期限与发出的邀请。"""
    from pingyao.platform.members import register
    from pingyao.platform.members.documents import grouped

    with _desk(as_, code, db, key) as (desk, actor):
        view = register.view(desk.engine, actor)
    if json:
        import msgspec

        sys.stdout.buffer.write(msgspec.json.encode(view) + b"\n")
        return
    us = view.profile
    print(f"本机构：{safe(us.name)}（{us.uscc}）密钥第 {view.generation} 代")
    for m in view.members:
        role = _ROLES[m.profile.role]
        print(f"{m.profile.uscc}  {_STATES[m.state]}  {role}  {m.suite}  {safe(m.profile.name)}")
        if m.state == "pending":
            print(f"  指纹：{grouped(m.fingerprint)}")
        if m.state == "active" and m.known < view.generation:
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

    with _desk(as_, code, db, key) as (desk, actor):
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

    with _desk(as_, code, db, key) as (desk, actor):
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
    with _desk(as_, code, db, key, ca) as (desk, actor):
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
    from pingyao.platform.members import joining

    with _desk(as_, code, db, key) as (desk, actor):
        number = _member(desk, actor, uscc).id
        member = joining.confirm(desk.engine, actor, number, fingerprint)
    print(f"已确认 {safe(member.profile.name)}（{member.profile.uscc}）")


@app.command
def revoke(
    uscc: str,
    /,
    *,
    why: Annotated[str, Parameter(help="理由")],
    since: Annotated[datetime | None, Parameter(help="密钥失密的时间；此后签的都不再可信")] = None,
    as_: As,
    code: Code = "",
    db: Db = None,
    key: Key = None,
) -> None:
    """吊销成员（安全管理员）：从此不接受它的任何请求。USCC：对方的统一社会信用代码。"""
    from pingyao.platform.members import register

    with _desk(as_, code, db, key) as (desk, actor):
        number = _member(desk, actor, uscc).id
        at = int(since.astimezone(UTC).timestamp()) if since else None
        member = register.revoke(desk.engine, actor, number, why, at)
    print(f"已吊销 {safe(member.profile.name)}（{member.profile.uscc}）")


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
    with _desk(as_, code, db, key, ca) as (desk, actor):
        told = desk.rotate(actor, anew=anew)
    print("本节点已启用新密钥，原密钥再用 30 天")
    for each in told:
        print(f"  {safe(each.name)}：{safe(each.error) or '已收下'}")
    if any(each.error for each in told):
        sys.exit(1)


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
    """向成员发一个签名请求，核对其签名的应答。USCC：对方的统一社会信用代码。"""
    from pingyao.platform.members.machine import PREFIX, Pong

    with _desk(as_, code, db, key, ca) as (desk, actor):
        member = _member(desk, actor, uscc)
        pong = desk.send(member.id, "POST", f"{PREFIX}/ping", b"{}").read(Pong)
    print(f"{safe(member.profile.name)} 应答无误（{pong.suite}），认得本机构：{safe(pong.name)}")


@contextmanager
def _desk(
    account: str, code: str, db: str | None, key: Path | None, ca: Path | None = None
) -> Generator[tuple["Desk", "Actor"]]:
    """Opens a node's register for who signs in, and signs out at the end."""
    from pingyao.app.node import needs_extra

    needs_extra()
    from pingyao.platform import nodekey
    from pingyao.platform.crypto.passphrases import passphrase
    from pingyao.platform.identity import sessions, store
    from pingyao.platform.members import ring
    from pingyao.platform.members.desk import Desk

    engine = open_catalogue(db)
    try:
        with engine.connect() as connection:
            institution = store.read_institution(connection)
        if institution is None:
            raise NotYet("node.none", "此数据库还不是一个节点", "请先运行 pingyao node init")
        path = key or nodekey.default_key()
        secret = nodekey.read_key(path)
        password = passphrase("PINGYAO_PASSWORD", f"{account} 的口令")
        session = sessions.sign_in(engine, secret, account, password, code, "command line")
        try:
            keys = ring.StoreRing(path, secret)
            ring.ensure(engine, keys, session.actor.name)
            trusted = None if ca is None else str(ca)
            yield Desk(engine, keys, institution.uscc, trusted), session.actor
        finally:
            sessions.sign_out(engine, session)
    finally:
        engine.dispose()


def _member(desk: "Desk", actor: "Actor", uscc: str) -> "Member":
    from pingyao.platform.members import register

    wanted = uscc.strip().upper()
    for member in register.view(desk.engine, actor).members:
        if member.profile.uscc == wanted:
            return member
    raise NotFound(
        "members.no_such_member", f"没有成员 {wanted[:18]}", "pingyao members list 可查看"
    )


def _text(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(16_384)


def _when(at: int) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")
