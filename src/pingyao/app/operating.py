"""The commands ``pingyao node backup|restore|check|work``: what keeps a node in good health."""

import getpass
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from cyclopts import Parameter

from pingyao.app.opening import Db, Store, open_catalogue, store_path
from pingyao.kernel.errors import Conflict, Invalid
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.settings import load_settings
from pingyao.platform.term import safe

if TYPE_CHECKING:
    from pingyao.app.backing_up import Manifest

Ledger = Annotated[Path | None, Parameter(help="账本目录；默认取 PINGYAO_LEDGER")]
Key = Annotated[Path | None, Parameter(help="节点密钥文件；默认在本人数据目录")]
Json = Annotated[bool, Parameter(help="以 JSON 输出到标准输出", negative="")]
Log = Annotated[Literal["text", "json"], Parameter(help="日志写到标准错误：text 或 json")]
PASSPHRASE = "PINGYAO_BACKUP_PASSPHRASE"


def backup(
    folder: Annotated[Path, Parameter(help="备份写到哪个目录；须不存在")],
    /,
    *,
    keys: Annotated[
        bool, Parameter(help="连同节点密钥与密钥库，另以备份口令加密", negative="")
    ] = False,
    db: Db = None,
    ledger: Ledger = None,
    key: Key = None,
    keystore: Store = None,
) -> None:
    """备份节点：数据库与账本在同一时点的一致内容，节点照常运行；写成一个目录，逐文件有校验值。

    备份口令取自 PINGYAO_BACKUP_PASSPHRASE、其 _FILE 所指文件或终端。恢复到哪种数据库都可以。
    """
    from pingyao.app.backing_up import SUMS, back_up
    from pingyao.app.migrations import NEWEST
    from pingyao.platform.crypto.passphrases import passphrase
    from pingyao.platform.outbox import emit
    from pingyao.platform.term import counting

    asked = passphrase(PASSPHRASE, "备份口令", twice=True) if keys else ""
    engine = open_catalogue(db)
    files = _key_files(key, keystore) if keys else {}
    with counting("已备份 {:,} 行") as told:
        manifest, digest = back_up(
            engine,
            folder.absolute(),
            ledger=_ledger(ledger),
            keys=files,
            passphrase=asked,
            told=told,
        )
    body: dict[str, object] = {"sha256": digest, "rows": sum(manifest.rows.values())}
    body |= {"ledger": manifest.ledger.entries if manifest.ledger else 0, "keys": manifest.keys}
    event = EvidenceEvent(
        "node.backed_up", manifest.institution, getpass.getuser(), datetime.now(UTC), body
    )
    with engine.begin() as connection:
        emit(connection, [event])
    print(f"已备份：{_say(manifest)}，版本 {NEWEST}")
    print(f"核对：在 {folder} 中执行 sha256sum --check {SUMS}")
    if not keys:
        print("密钥不在其中：节点密钥与密钥库请另行备份，或加 --keys")


def restore(
    folder: Annotated[Path, Parameter(help="备份目录")],
    /,
    *,
    db: Db = None,
    ledger: Ledger = None,
    no_ledger: Annotated[bool, Parameter(help="不恢复账本", negative="")] = False,
    keys: Annotated[bool, Parameter(help="连同密钥一起恢复", negative="")] = False,
    key: Key = None,
    keystore: Store = None,
    moved: Annotated[
        bool, Parameter(help="确知备份之后原节点未再存证（如计划中的搬迁）", negative="")
    ] = False,
) -> None:
    """恢复节点：只写入空的位置；全部核验之后才生效，否则什么也不留下。恢复后所有人须重新登录。"""
    from pingyao.app.backing_up import read_manifest
    from pingyao.app.restoring import restore as put_back
    from pingyao.platform.crypto.passphrases import passphrase
    from pingyao.platform.db import default_url
    from pingyao.platform.term import counting

    with counting("已核验 {:,} 字节") as told:
        manifest = read_manifest(folder, told)
    if keys and not manifest.keys:
        raise Conflict("backup.no_keys", "这份备份不含密钥", "请去掉 --keys，密钥另行恢复")
    where = None if no_ledger or manifest.ledger is None else _ledger(ledger)
    if manifest.ledger is not None and where is None and not no_ledger:
        raise Invalid(
            "backup.no_ledger_place",
            "备份含有账本，但没有说明恢复到哪里",
            "请以 --ledger 给出目录，或以 --no-ledger 不恢复",
        )
    files = _key_files(key, keystore, of=folder) if keys else {}
    with counting("已恢复 {:,} 行") as told:
        put_back(
            folder,
            manifest,
            db or load_settings().database_url or default_url(),
            ledger=where,
            keys=files,
            passphrase=passphrase(PASSPHRASE, "备份口令") if keys else "",
            moved=moved,
            actor=getpass.getuser(),
            told=told,
        )
    print(f"已恢复：{_say(manifest)}；备份于 {manifest.made_at.astimezone():%Y-%m-%d %H:%M:%S %z}")
    print(
        "所有人须重新登录；备份之后停用的账号、收回的权限请重新办理。随后请运行 pingyao node check"
    )


def check(
    *,
    db: Db = None,
    ledger: Ledger = None,
    key: Key = None,
    keystore: Store = None,
    tls_cert: Annotated[Path | None, Parameter(help="TLS 证书，检查其有效期")] = None,
    json: Json = False,
) -> None:
    """检查节点：数据库、版本、密钥、账本、待存证、审计留存、磁盘、时钟、证书；有不合格项以退出码 1 结束。"""
    from pingyao.app.checking import check as look
    from pingyao.platform import nodekey
    from pingyao.platform.db import default_url

    findings = [
        *look(
            db or load_settings().database_url or default_url(),
            ledger=_ledger(ledger),
            key=key or nodekey.default_key(),
            keystore=store_path(keystore),
            certificate=tls_cert,
        )
    ]
    if json:
        _write_json(findings)
    else:
        for each in findings:
            print(f"{_STATES[each.state]}　{_WHATS[each.what]}：{safe(each.detail, 300)}")
    if any(each.state == "failed" for each in findings):
        sys.exit(1)


_STATES = {"ok": "正常", "warning": "注意", "failed": "不合格"}
_WHATS = {
    "database": "数据库",
    "schema": "数据库版本",
    "integrity": "数据库完整性",
    "outbox": "待存证",
    "audit": "审计留存",
    "second_factors": "动态口令",
    "node_key": "节点密钥",
    "keystore": "密钥库",
    "ledger": "账本",
    "disk": "磁盘",
    "clock": "时钟",
    "certificate": "证书",
}


def work(
    *,
    once: Annotated[bool, Parameter(help="把到期的做一遍就结束", negative="")] = False,
    log: Log = "text",
    db: Db = None,
    keystore: Store = None,
    key: Key = None,
) -> None:
    """运行定时工作：把待存证的事项写入账本，接起等待中的扫描，清理过期会话。node serve 默认兼做；以 --no-work 分开时用它。

    同时运行几个也不会重复做：每项工作由数据库中的租约归一个进程，进程死了由别的接手。
    """
    import signal

    from pingyao.app.working import listed
    from pingyao.platform import nodekey
    from pingyao.platform.jobs import Worker
    from pingyao.platform.telemetry import set_up_logs

    set_up_logs(log)
    engine = open_catalogue(db)
    worker = Worker(engine, listed(engine, key or nodekey.default_key(), keystore))
    if once:
        print(f"已做 {worker.once()} 项")
        return
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    signal.signal(signal.SIGINT, lambda *_: worker.stop())
    worker.run()


def _ledger(given: Path | None) -> Path | None:
    said = given or load_settings().ledger
    return Path(said) if said else None


def _key_files(key: Path | None, keystore: Path | None, of: Path | None = None) -> dict[str, Path]:
    """Returns where the keys are, or are to be: the node's own, its keys as a member, the keystore."""
    from pingyao.platform import nodekey
    from pingyao.platform.members.ring import KEYS

    own = key or nodekey.default_key()
    members = own.with_name(KEYS)
    found = {"node.key": own, KEYS: members, "keystore": store_path(keystore)}
    if of is None:
        return {name: path for name, path in found.items() if name == "node.key" or path.exists()}
    return found


def _say(manifest: "Manifest") -> str:
    ledger = f"，账本 {manifest.ledger.entries:,} 条" if manifest.ledger else ""
    whose = safe(manifest.institution) or "数据资产目录"
    return f"{whose}，{len(manifest.rows)} 张表 {sum(manifest.rows.values()):,} 行{ledger}"


def _write_json(value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
