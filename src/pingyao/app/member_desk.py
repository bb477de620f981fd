"""What every command of members needs: the options they share, and a register opened for who signs in."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pingyao.app.opening import open_catalogue
from pingyao.kernel.errors import NotYet

if TYPE_CHECKING:  # only who runs a node has the web's libraries
    from pingyao.platform.members.desk import Desk
    from pingyao.platform.policy import Actor

As = Annotated[
    str,
    Parameter(
        name="--as", help="以哪个账号办理；口令取自 PINGYAO_PASSWORD、其 _FILE 所指文件或终端"
    ),
]
Code = Annotated[str, Parameter(help="启用了动态口令的账号：当前的六位数字")]
Ca = Annotated[Path | None, Parameter(help="另行信任的 TLS 根证书，PEM")]
Json = Annotated[bool, Parameter(help="以 JSON 输出到标准输出", negative="")]
Why = Annotated[str, Parameter(help="理由")]
Since = Annotated[datetime | None, Parameter(help="密钥失密的时间；此后签的都不再可信")]


def seconds(since: datetime | None) -> int | None:
    """Returns a moment as seconds since the epoch; without a zone it is the machine's."""
    return int(since.astimezone(UTC).timestamp()) if since else None


@contextmanager
def open_desk(
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
