"""The commands ``pingyao keys …``: the keystore, sealed files, the token vault, providers."""

import getpass
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import App, Parameter

from pingyao.app.opening import Db
from pingyao.kernel.errors import Invalid

if TYPE_CHECKING:  # commands import what they need when they run
    from pingyao.protect.formats.sealing import Sealed

app = App(
    name="keys",
    help="密钥、加密文件与令牌库 · keys, sealed files and the token vault",
)
Store = Annotated[Path | None, Parameter(help="密钥库文件；默认取 PINGYAO_KEYSTORE 或本人数据目录")]
Approve = Annotated[
    tuple[str, ...],
    Parameter(help="批准使用双人密钥的保管人，须给两名：“姓名=口令文件”，或“姓名”后在终端输入口令"),
]
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
    path = _path(store)
    create_keystore(path, passphrase(twice=True), cipher=SUITES[suite][0])
    print(f"已新建密钥库 {path}。请另行备份该文件与口令：二者缺一，数据即无法打开")
    print("这是软件密钥库，不是经认证的密码模块")


@app.command
def create(
    name: str, kind: str, /, *, purpose: str = "", custodian: Custodian = (), store: Store = None
) -> None:
    """生成一把密钥。

    KIND：aes-256、sm4（加密数据）、hmac-sha256、hmac-sm3（令牌）、ed25519、ml-dsa-44、sm2（签名）。
    """
    info = _open(store).create(name, kind, purpose=purpose, custodians=_persons(custodian))
    print(f"已生成 {info.name}（{info.kind}）" + _two(info.persons))


@app.command(name="list")
def list_(*, store: Store = None, json: Json = False) -> None:
    """列出密钥；不显示密钥本身。"""
    infos = _open(store).infos()
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
    info = _open(store).rotate(name, _persons(custodian))
    print(f"{name} 已轮换至版本 {info.version}；旧文件可用 keys rewrap 换用新版本")


@app.command
def destroy(name: str, version: int, /, *, reason: str, store: Store = None) -> None:
    """销毁密钥的一个版本：由它加密的数据从此无法打开。销毁前的备份须一并销毁。"""
    _open(store).destroy(name, version, reason=reason)
    print(f"{name} 版本 {version} 已销毁")


@app.command
def passphrase(*, store: Store = None) -> None:
    """更换密钥库口令；新口令取自 PINGYAO_NEW_PASSPHRASE、其 _FILE 所指文件或终端。"""
    from pingyao.platform.crypto import passphrases

    held = _open(store)
    held.change_passphrase(passphrases.passphrase("PINGYAO_NEW_PASSPHRASE", "新口令", twice=True))
    print("口令已更换；旧备份仍以旧口令打开")


@app.command
def history(*, store: Store = None, json: Json = False) -> None:
    """查看密钥的生成、轮换、启用与销毁记录。"""
    events = _open(store).history()
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
    }
    rows = [
        (
            _local(e.occurred_at),
            e.actor,
            said[e.kind],
            e.subject,
            str(e.body.get("version", "")),
            str(e.body.get("reason") or "、".join(e.body.get("approved_by") or ())),  # type: ignore[arg-type]
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


@app.command
def seal(
    source: Path,
    target: Path,
    /,
    *,
    to: Annotated[tuple[str, ...], Parameter(help="可打开此文件的密钥名称，可重复给出")],
    suite: Annotated[
        str, Parameter(help="intl：AES-256-GCM 与 SHA-256；gm：SM4-GCM 与 SM3")
    ] = "intl",
    approve: Approve = (),
    store: Store = None,
    json: Json = False,
) -> None:
    """加密一个文件或数据集，附散列树；目标要么完整，要么不出现。"""
    from pingyao.platform.term import bytes_progress
    from pingyao.protect.formats import sealing

    held = _holder(store)
    total = source.stat().st_size if source.exists() else 0
    with bytes_progress(source.name, total) as told:
        said = sealing.seal(
            source, target, held, to, suite=suite, approvals=_persons(approve), told=told
        )
    _say(said, json=json)


@app.command(name="open")
def open_(
    source: Path,
    target: Path,
    /,
    *,
    approve: Approve = (),
    store: Store = None,
    json: Json = False,
) -> None:
    """解密一个加密文件；有一处不符即不写出任何内容。"""
    from pingyao.platform.term import bytes_progress
    from pingyao.protect.formats import sealing

    held = _holder(store)
    total = source.stat().st_size if source.exists() else 0
    with bytes_progress(source.name, total) as told:
        said = sealing.open_(source, target, held, approvals=_persons(approve), told=told)
    _say(said, json=json)


@app.command
def verify(
    source: Path,
    /,
    *,
    root: Annotated[str | None, Parameter(help="加密时给出的树根，十六进制")] = None,
    json: Json = False,
) -> None:
    """不用密钥，核对加密文件与其散列树。"""
    from pingyao.protect.formats import sealing

    try:
        wanted = bytes.fromhex(root) if root else None
    except ValueError:
        raise Invalid("keys.bad_root", "树根应为 64 位十六进制", "请照封装时的输出填写") from None
    _say(sealing.verify(source, wanted), json=json)
    if wanted is None:
        print("未给出树根：只能说明文件自身相符，不能说明它就是当初那一份", file=sys.stderr)


@app.command
def rewrap(
    source: Path,
    /,
    *,
    to: Annotated[tuple[str, ...], Parameter(help="改由这些密钥打开；默认仍为原来的密钥")] = (),
    approve: Approve = (),
    store: Store = None,
) -> None:
    """密钥轮换后，把加密文件换到在用的版本；数据本身不重新加密。"""
    from pingyao.protect.formats import sealing

    said = sealing.rewrap(source, _holder(store), to, _persons(approve))
    print(f"{source.name} 现由 {_keys(said.keys)} 打开")


@app.command
def tokenise(
    vault: str,
    /,
    *,
    key: Annotated[str, Parameter(help="新建令牌库所用的密钥名称；已有的令牌库不必给出")] = "",
    suite: str = "intl",
    approve: Approve = (),
    store: Store = None,
    db: Db = None,
) -> None:
    """把标准输入的各行换成令牌库中的令牌，写到标准输出。"""
    import pyarrow as pa

    held = _vault(vault, key, suite, approve, store, db)
    given = held.tokenise(pa.array(sys.stdin.read().splitlines(), pa.string()), getpass.getuser())
    sys.stdout.writelines(f"{token}\n" for token in given.to_pylist())


@app.command
def detokenise(
    vault: str,
    /,
    *,
    reason: str,
    approve: Approve = (),
    store: Store = None,
    db: Db = None,
) -> None:
    """把标准输入各行的令牌还原为原值，写到标准输出；何人因何还原，一并存证。"""
    import pyarrow as pa

    held = _vault(vault, "", "intl", approve, store, db)
    lines = pa.array(sys.stdin.read().splitlines(), pa.string())
    given = held.detokenise(lines, getpass.getuser(), reason)
    sys.stdout.writelines(f"{value}\n" for value in given.to_pylist())


def _path(store: Path | None) -> Path:
    import os

    from pingyao.platform.crypto.keystore import default_path

    return store or Path(os.environ.get("PINGYAO_KEYSTORE") or default_path())


def _open(store: Path | None):
    from pingyao.platform.crypto.keystore import open_keystore
    from pingyao.platform.crypto.passphrases import passphrase as asked

    return open_keystore(_path(store), asked())


def _holder(store: Path | None):
    """Opens the device that ``PINGYAO_PKCS11_LIBRARY`` names, else the keystore."""
    import os

    library = os.environ.get("PINGYAO_PKCS11_LIBRARY")
    if not library or store is not None:
        return _open(store)
    from pingyao.platform.crypto.hsm import open_hsm
    from pingyao.platform.crypto.passphrases import passphrase as asked

    token = os.environ.get("PINGYAO_PKCS11_TOKEN", "")
    return open_hsm(Path(library), token, asked("PINGYAO_PKCS11_PIN", "设备口令"))


def _vault(vault: str, key: str, suite: str, approve: tuple[str, ...], store: Path | None, db: Db):
    from pingyao.app.opening import open_catalogue
    from pingyao.platform.outbox import emit
    from pingyao.protect.vault import open_vault

    approvals = _persons(approve)
    return open_vault(
        open_catalogue(db), vault, _holder(store), emit, key=key, suite=suite, approvals=approvals
    )


def _persons(given: tuple[str, ...]) -> dict[str, str] | None:
    """Reads persons and their passphrases: ``name=file``, or a name to be asked for."""
    from pingyao.platform.crypto import passphrases

    persons: dict[str, str] = {}
    for each in given:
        name, _, file = each.partition("=")
        if name in persons:
            raise Invalid("keys.custodians", f"{name} 给出了两次", "须为不同的人")
        persons[name] = (
            passphrases.from_file(Path(file))
            if file
            else passphrases.passphrase("", f"{name} 的口令", environment={})
        )
    return persons or None


def _two(persons: tuple[str, ...]) -> str:
    return f"，须由 {'、'.join(persons)} 中任意两名共同启用" if persons else ""


def _keys(keys: tuple[tuple[str, int], ...]) -> str:
    return "、".join(f"{name} 版本 {version}" for name, version in keys)


def _say(said: "Sealed", *, json: bool) -> None:
    if json:
        _dump({**msgspec.structs.asdict(said), "root": said.root.hex()})
        return
    print(
        f"{said.length:,} 字节，{said.chunks:,} 块，套件 {said.suite}，由 {_keys(said.keys)} 打开"
    )
    print(f"树根 {said.root.hex()}")


def _local(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


def _dump(value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
