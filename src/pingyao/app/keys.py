"""The commands ``pingyao keys …``: the keystore and the providers of cryptography."""

import sys
from datetime import datetime
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from pingyao.app.opening import Db, Store, open_catalogue, open_store, persons, store_path
from pingyao.kernel.errors import Invalid

app = App(
    name="keys",
    help="密钥库：生成、轮换、双人启用、销毁 · the keystore",
)
Custodian = Annotated[
    tuple[str, ...],
    Parameter(help="设为双人密钥，由所列保管人中任意两名共同启用；写法同 --approve"),
]
Json = Annotated[bool, Parameter(help="以 JSON 输出到标准输出", negative="")]


@app.command
def init(*, store: Store = None, suite: str = "intl") -> None:
    """新建密钥库。口令取自 PINGYAO_KEYSTORE_PASSPHRASE、其 _FILE 所指文件或终端。

    SUITE：intl 以 AES-256-GCM 保存，gm 以 SM4-GCM 保存。
    """
    from pingyao.platform.crypto.keystore import create_keystore
    from pingyao.platform.crypto.passphrases import passphrase
    from pingyao.protect.formats.sealed import SUITES

    if suite not in SUITES:
        raise Invalid("keys.bad_suite", "没有此密码套件", f"可用：{'、'.join(SUITES)}")
    path = store_path(store)
    create_keystore(path, passphrase(twice=True), cipher=SUITES[suite][0])
    print(f"已新建密钥库 {path}。请另行备份该文件与口令：二者缺一，数据即无法打开")
    print("这是软件密钥库，不是经认证的密码模块")


@app.command
def accept(*, reason: str, store: Store = None) -> None:
    """认可一份比本机上次所见为旧的密钥库（例如从备份恢复），理由记入其历史。"""
    from pingyao.platform.crypto.keystore import accept_keystore
    from pingyao.platform.crypto.passphrases import passphrase

    accept_keystore(store_path(store), passphrase(), reason)
    print("已认可。请核对：此后轮换、销毁过的密钥须重新轮换、销毁")


@app.command
def create(
    name: str, kind: str, /, *, purpose: str = "", custodian: Custodian = (), store: Store = None
) -> None:
    """生成一把密钥。

    KIND：aes-256、sm4（加密数据）、hmac-sha256、hmac-sm3（令牌）、ed25519、ml-dsa-44、sm2（签名）。
    """
    info = open_store(store).create(name, kind, purpose=purpose, custodians=persons(custodian))
    print(f"已生成 {info.name}（{info.kind}）" + _two(info.persons))


@app.command(name="list")
def list_(*, store: Store = None, json: Json = False) -> None:
    """列出密钥；不显示密钥本身。"""
    infos = open_store(store).infos()
    if json:
        _dump(infos)
        return
    from pingyao.platform.term import print_table

    states = {"active": "在用", "retired": "仅解密", "destroyed": "已销毁"}
    print_table(
        ("名称", "版本", "种类", "用途", "生成时间", "状态", "保管人"),
        [
            (
                *(i.name, str(i.version), i.kind, i.purpose, _local(i.created_at)),
                *(states[i.state], "、".join(i.persons)),
            )
            for i in infos
        ],
    )


@app.command
def rotate(name: str, /, *, custodian: Custodian = (), store: Store = None) -> None:
    """轮换密钥：新版本用于加密，旧版本只用于解密。"""
    info = open_store(store).rotate(name, persons(custodian))
    print(f"{name} 已轮换至版本 {info.version}；旧文件可用 protect rewrap 换用新版本")


@app.command
def destroy(name: str, version: int, /, *, reason: str, store: Store = None, db: Db = None) -> None:
    """销毁密钥的一个版本：由它加密的数据从此无法打开。销毁前的备份须一并销毁。"""
    from pingyao.app.evidence import note, settle

    held, engine = open_store(store), open_catalogue(db)
    held.destroy(name, version, reason=reason)
    print(f"{name} 版本 {version} 已销毁")
    note(engine, "keys.destroyed", name, {"version": version, "reason": reason})
    settle(engine)


@app.command
def passphrase(*, store: Store = None) -> None:
    """更换密钥库口令；新口令取自 PINGYAO_NEW_PASSPHRASE、其 _FILE 所指文件或终端。"""
    from pingyao.platform.crypto import passphrases

    held = open_store(store)
    held.change_passphrase(passphrases.passphrase("PINGYAO_NEW_PASSPHRASE", "新口令", twice=True))
    print("口令已更换；旧备份仍以旧口令打开")


@app.command
def history(*, store: Store = None, json: Json = False) -> None:
    """查看密钥的生成、轮换、启用与销毁记录。"""
    events = open_store(store).history()
    if json:
        _dump(events)
        return
    from pingyao.platform.term import print_table

    said = {
        "keys.created": "生成",
        "keys.rotated": "轮换",
        "keys.released": "双人启用",
        "keys.destroyed": "销毁",
        "keys.passphrase_changed": "更换口令",
        "keys.accepted": "认可较旧的密钥库",
    }
    rows = [
        (
            _local(e.occurred_at),
            e.actor,
            said[e.kind],
            e.subject,
            str(e.body.get("version", "")),
            str(e.body.get("reason") or "、".join(e.body.get("approved_by") or ())),  # type: ignore[arg-type]  # the list that `get` notes
        )
        for e in events
    ]
    print_table(("时间", "经办人", "动作", "密钥", "版本", "说明"), rows)


@app.command
def providers(*, json: Json = False) -> None:
    """显示每种算法由哪个密码库完成：先过已知答案自检，再按本机实测速度选用。"""
    from pingyao.platform.crypto import choose

    choices = [choose.choice(a) for a in choose.ALGORITHMS]
    if json:
        _dump({"providers": {p.name: p.version for p in choose.providers()}, "choices": choices})
        return
    from pingyao.platform.term import print_table

    for each in choose.providers():
        print(f"{each.name} {each.version}")
    print_table(
        ("算法", "采用", "实测 MB/秒", "自检未过"),
        [
            (
                c.algorithm,
                c.provider,
                "　".join(f"{name} {rate / 1e6:,.0f}" for name, rate in c.rates.items()),
                "、".join(c.unfit),
            )
            for c in choices
        ],
    )
    print(
        "以上均为软件实现，不是经认证的密码模块；有合规要求的，请接入密码机或智能密码钥匙（PKCS#11）"
    )


def _two(persons: tuple[str, ...]) -> str:
    return f"，须由 {'、'.join(persons)} 中任意两名共同启用" if persons else ""


def _local(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


def _dump(value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
