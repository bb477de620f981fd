"""The commands ``pingyao node source …``: what the console may scan is said on the machine itself.

Whoever may name an address to a server can make it read any file and reach any host it can; so the
console offers only what an operator registered here.
"""

from contextlib import closing
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit, urlunsplit

from cyclopts import App, Parameter

from pingyao.app.opening import Db, open_catalogue
from pingyao.kernel.errors import Invalid
from pingyao.platform.term import print_table, safe

app = App(name="source", help="控制台可以扫描的数据源 · sources the console may scan")
Key = Annotated[Path | None, Parameter(help="节点密钥文件；默认在本人数据目录")]


@app.command
def add(name: str, source: str, /, *, db: Db = None, key: Key = None) -> None:
    """登记一个数据源，供数据安全员在控制台扫描；先试连一次。

    SOURCE：与 pingyao scan 相同的地址、文件或目录。口令取自环境变量 PINGYAO_SOURCE_PASSWORD、
    PINGYAO_SOURCE_PASSWORD_FILE 指向的文件或地址，以节点密钥加密保存，只对该地址有效。
    """
    import getpass

    from pingyao.app.running import bound
    from pingyao.classify import runs
    from pingyao.classify.sources.open import open_source
    from pingyao.platform import nodekey

    name = " ".join(name.split())
    if not 1 <= len(name) <= 40 or not name.isprintable():
        raise Invalid("source.bad_name", "名称须为 1 至 40 个可见字符", "请改正名称")
    with closing(open_source(source)) as opened:
        next(iter(opened.tables()), None)
    address, password = _parted(source)
    held = nodekey.read_key(key or nodekey.default_key())
    secret = nodekey.seal(held, password.encode(), bound(address)) if password is not None else None
    with open_catalogue(db).begin() as connection:
        runs.register(connection, name, address, secret, getpass.getuser())
    print(f"已登记 {safe(name)}：{safe(address, 200)}")


@app.command(name="list")
def list_(*, db: Db = None) -> None:
    """列出已登记的数据源。"""
    from pingyao.classify import runs

    with open_catalogue(db).connect() as connection:
        found = runs.listed_sources(connection)
    print_table(("名称", "地址"), [(s.name, s.address) for s in found])


@app.command
def remove(name: str, /, *, db: Db = None) -> None:
    """移除一个数据源及其口令；已有的扫描记录与目录不受影响。"""
    import getpass

    from pingyao.classify import runs

    with open_catalogue(db).begin() as connection:
        runs.remove(connection, name, getpass.getuser())
    print(f"已移除 {safe(name)}")


def _parted(source: str) -> tuple[str, str | None]:
    """Returns the address as it may be shown, and the password where there is one."""
    from urllib.parse import unquote

    from pingyao.classify.sources.credentials import kept_password

    if "://" not in source or source.startswith(("sqlite:", "duckdb:", "file:")):
        return str(Path(source.partition("://")[2] or source).resolve()), None
    parts = urlsplit(source)
    account, at, host = parts.netloc.rpartition("@")
    shown = urlunsplit(parts._replace(netloc=account.partition(":")[0] + at + host))
    given = unquote(parts.password) if parts.password is not None else None
    kept = kept_password()
    return shown, kept if kept is not None else given
