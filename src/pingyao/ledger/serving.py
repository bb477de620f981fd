"""The commands that serve a log, witness others' and watch over them."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from pingyao.kernel.errors import Invalid
from pingyao.ledger.files import read_policy_file
from pingyao.ledger.formats.note import format_vkey, verifier_key
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.model import (
    ED25519_COSIGNATURE,
    ML_DSA_44_COSIGNATURE,
    SM2_COSIGNATURE,
    Policy,
    VerifierKey,
)
from pingyao.ledger.witness import Cosigner
from pingyao.platform.crypto.keystore import KeyStore
from pingyao.platform.crypto.signers import Algorithm
from pingyao.platform.files import write_atomically
from pingyao.platform.term import safe

if TYPE_CHECKING:
    pass

Host = Annotated[str, Parameter(help="监听的 IP 地址；默认只供本机，对外时请置于反向代理之后")]
Port = Annotated[int, Parameter(help="端口；0 为任取一个空闲的")]
Keystore = Annotated[Path | None, Parameter(help="密钥库文件；默认为本人的密钥库")]
Key = Annotated[str, Parameter(help="见证密钥在密钥库中的名称")]
Device = Annotated[bool, Parameter(help="Ed25519 密钥在 PKCS#11 设备中生成，永不离开", negative="")]
_KINDS = {k.algorithm: k for k in (ED25519_COSIGNATURE, ML_DSA_44_COSIGNATURE, SM2_COSIGNATURE)}
_POLICY = "policy"
witness = App(name="witness", help="见证方：新建与运行 · a witness of others' logs")
mirror = App(name="mirror", help="镜像方：新建与运行 · a mirror of others' logs")
witness.command("pingyao.ledger.rotating:rotate_witness", name="rotate", help="轮换联署密钥")


def serve(
    folder: Annotated[Path, Parameter(help="账本目录")],
    /,
    *,
    host: Host = "127.0.0.1",
    port: Port = 8710,
) -> None:
    """发布账本：按 C2SP tlog-tiles 提供检查点、瓦片与条目，只含已发布的部分；与追加互不影响。"""
    from pingyao.ledger.http import tiles
    from pingyao.platform.asgi import serve as run

    run(tiles(folder), host, port, started=lambda p: _started(host, p))


@mirror.command(name="init")
def init_mirror(
    folder: Annotated[Path, Parameter(help="镜像目录")],
    /,
    *,
    name: Annotated[str, Parameter(help="镜像方名称，全联盟唯一，且不同于本机构的见证方")],
    algorithm: Annotated[tuple[Algorithm, ...], Parameter(help="联署算法，可重复给出")] = (
        Algorithm.ED25519,
        Algorithm.ML_DSA_44,
    ),
    device: Device = False,
    key: Annotated[str, Parameter(help="镜像密钥在密钥库中的名称")] = "mirror",
    keystore: Keystore = None,
) -> None:
    """新建镜像方：生成联署密钥，写出 policy 文件；把各日志的 log 行加入其中即可运行。"""
    init(folder, name=name, algorithm=algorithm, device=device, key=key, keystore=keystore)


@witness.command
def init(
    folder: Annotated[Path, Parameter(help="见证目录")],
    /,
    *,
    name: Annotated[str, Parameter(help="见证方名称，全联盟唯一，如 witness.pboc.example")],
    algorithm: Annotated[tuple[Algorithm, ...], Parameter(help="联署算法，可重复给出")] = (
        Algorithm.ED25519,
        Algorithm.ML_DSA_44,
    ),
    device: Device = False,
    key: Key = "witness",
    keystore: Keystore = None,
) -> None:
    """新建见证方：生成联署密钥，写出 policy 文件；把各日志的 log 行加入其中即可运行。"""
    from pingyao.ledger.keys import make_key, open_store

    if folder.exists() and any(folder.iterdir()):
        raise Invalid("ledger.exists", f"目录 {folder.name} 不是空的", "请换一个目录")
    verifier_key(name, ED25519_COSIGNATURE, bytes(32))  # the name is tried before a key is made
    store = open_store(keystore, create=True)
    keys: dict[str, VerifierKey] = {}
    for each in algorithm:
        on_device = device and each == Algorithm.ED25519
        public = make_key(store, f"{key}.{each}", each, f"witness {name}", device=on_device)
        keys[f"self-{each}"] = verifier_key(name, _KINDS[each], public)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(folder / _POLICY, format_policy(Policy((), keys, {}, "none")))
    print(f"已新建 {safe(name)}")
    for vkey in keys.values():
        print(f"验证公钥：{format_vkey(vkey)}")
    print(f"请把各日志的 log 行加入 {folder / _POLICY}")


@witness.command(name="serve")
def serve_witness(
    folder: Annotated[Path, Parameter(help="见证目录")],
    /,
    *,
    host: Host = "127.0.0.1",
    port: Port = 8711,
    key: Key = "witness",
    keystore: Keystore = None,
) -> None:
    """运行见证方：只为只增不改的日志联署，先落盘后答复（C2SP tlog-witness）。"""
    from pingyao.ledger.http import witness as answer
    from pingyao.ledger.keys import open_store
    from pingyao.ledger.witness_store import WitnessStore
    from pingyao.platform.asgi import serve as run

    policy, logs = _read_logs(folder)
    cosigners = _cosigners(policy, open_store(keystore), key)
    store = WitnessStore(folder / "witness.db")
    try:
        run(answer(logs, cosigners, store), host, port, started=lambda p: _started(host, p))
    finally:
        store.close()


@mirror.command(name="serve")
def serve_mirror(
    folder: Annotated[Path, Parameter(help="镜像目录")],
    /,
    *,
    host: Host = "127.0.0.1",
    port: Port = 8712,
    key: Annotated[str, Parameter(help="镜像密钥在密钥库中的名称")] = "mirror",
    keystore: Keystore = None,
) -> None:
    """运行镜像方：存下并发布所见证日志的全部条目，落盘之后才联署（C2SP tlog-mirror）。"""
    from contextlib import ExitStack, closing

    from pingyao.ledger.formats.tlog_witness import origin_hash
    from pingyao.ledger.http import mirror as answer
    from pingyao.ledger.keys import open_store
    from pingyao.ledger.mirror import Mirror
    from pingyao.ledger.witness_store import WitnessStore
    from pingyao.platform.asgi import serve as run

    policy, logs = _read_logs(folder)
    cosigners = _cosigners(policy, open_store(keystore), key)
    with ExitStack() as stack:
        store = stack.enter_context(closing(WitnessStore(folder / "pending.db")))
        mirrors = {
            origin: stack.enter_context(
                closing(Mirror(folder / origin_hash(origin), keys, cosigners, store, time.time))
            )
            for origin, keys in logs.items()
        }
        run(answer(logs, mirrors, store), host, port, started=lambda p: _started(host, p))


@mirror.command(name="list")
def list_mirrored(folder: Annotated[Path, Parameter(help="镜像目录")], /) -> None:
    """列出所镜像的日志、条数与所在目录；该目录可用 fsck 通读、用 export 导出。"""
    from pingyao.ledger.formats.tlog_witness import origin_hash
    from pingyao.ledger.store.reader import read_checkpoint, read_policy

    for origin in _read_logs(folder)[1]:
        place = folder / origin_hash(origin)
        held = read_checkpoint(place, read_policy(place)) if place.exists() else None
        print(f"{safe(origin)}　{held[0].size if held else 0:,} 条　{place}")


def _read_logs(folder: Path) -> tuple[Policy, dict[str, list[VerifierKey]]]:
    """Returns whose logs are witnessed or mirrored here, with their keys."""
    policy = read_policy_file(folder / _POLICY)
    if not policy.logs:
        raise Invalid("ledger.no_logs", "没有登记任何日志", "请把 log 行加入 policy 文件")
    origins = dict.fromkeys(k.name for k in policy.logs)
    return policy, {o: [k for k in policy.logs if k.name == o] for o in origins}


def _cosigners(policy: Policy, store: KeyStore, name: str) -> list[Cosigner]:
    from pingyao.ledger.keys import signer_of

    found = [Cosigner(k.name, k.type, signer_of(store, name, k)) for k in policy.witnesses.values()]
    if not found:
        raise Invalid("ledger.no_key", "policy 文件没有自己的 witness 行", "请用 witness init 新建")
    return found


def _started(host: str, port: int) -> None:
    where = f"[{host}]" if ":" in host else host
    print(f"http://{where}:{port}", flush=True)
