"""The command ``pingyao node recover``: an administrator who lost password or device, vouched for by two."""

from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pingyao.app.opening import Db, open_catalogue
from pingyao.kernel.errors import Invalid
from pingyao.platform.term import safe

if TYPE_CHECKING:
    from pingyao.platform.policy import Actor

Key = Annotated[Path | None, Parameter(help="节点密钥文件；默认在本人数据目录")]


def recover(
    account: Annotated[str, Parameter(help="要找回的管理员账号")],
    *,
    vouch: Annotated[
        tuple[str, ...],
        Parameter(help="另外两个角色的管理员账号，须给出两次；两人到场，依次输入口令与动态口令"),
    ] = (),
    db: Db = None,
    key: Key = None,
) -> None:
    """管理员遗失口令或动态口令设备时，由另外两名管理员到场作保，换发一次性口令。"""
    from pingyao.platform import nodekey
    from pingyao.platform.crypto.passphrases import passphrase
    from pingyao.platform.identity import people, sessions

    if len({*vouch}) != 2:
        raise Invalid("node.two_vouch", "须有两名管理员作保", "请给出 --vouch 甲 --vouch 乙")
    engine, secret = open_catalogue(db), nodekey.read_key(key or nodekey.default_key())
    vouching: list[Actor] = []
    for name in vouch:
        password = passphrase("", f"{name} 的口令", environment={})
        code = getpass(f"{name} 的动态口令（未启用则直接回车）：")
        session = sessions.sign_in(engine, secret, name, password, code, "node recover")
        sessions.sign_out(engine, session)
        vouching.append(session.actor)
    issued = people.recover(engine, vouching, account)
    print(f"{safe(issued.account.name)} 的一次性口令：{issued.password}")
    print("请当面交给本人；首次登录即须修改，并重新启用第二因子")
