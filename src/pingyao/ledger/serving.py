"""The commands that serve a log, witness others' and watch over them."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import App, Parameter

from pingyao.kernel.errors import IntegrityBroken, Invalid, NotFound, NotYet, PingyaoError
from pingyao.ledger.formats.note import format_vkey, verifier_key
from pingyao.ledger.formats.tlog_policy import format_policy, parse_policy
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
    from pingyao.ledger.monitor import Alarm

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


def restore(
    folder: Annotated[Path, Parameter(help="恢复到哪个目录，须为空")],
    /,
    *,
    policy: Annotated[Path, Parameter(help="该账本的 policy 文件，须写明镜像方地址")],
    url: Annotated[
        str | None, Parameter(help="只从这个地址恢复：镜像方给出的账本地址，或原账本的地址")
    ] = None,
) -> None:
    """从镜像方恢复丢失的账本：取其最大的检查点，逐条重算，与签名的树根一致才算恢复。"""
    from pingyao.ledger.cosigning import standings
    from pingyao.ledger.formats.tlog_witness import origin_hash
    from pingyao.ledger.remote import Remote
    from pingyao.ledger.store.restore import restore as make
    from pingyao.ledger.views import read_view

    trust = _read_policy(policy)
    if not trust.logs:
        raise Invalid("ledger.no_logs", "policy 文件没有 log 行", "请给出该账本自己的 policy 文件")
    origin = trust.logs[0].name
    own = [k for k in trust.logs if k.name == origin]
    if url is not None:
        sources = [url]
    else:
        found = [s for s in standings(trust, origin) if s.view is not None]
        found.sort(key=lambda s: s.view.head.size if s.view else 0, reverse=True)
        sources = [f"{s.url.rstrip('/')}/{origin_hash(origin)}" for s in found]
    failure: PingyaoError | None = None
    for source in sources:
        remote = Remote(source, seconds=30)
        try:
            note = remote.fetch("checkpoint").decode("utf-8", "surrogateescape")
            read_view(source, note, own)
            count = make(folder, policy.read_bytes(), note, remote.fetch)
        except PingyaoError as error:
            failure = error
            print(f"{safe(source)}：{safe(error.detail, 200)}", file=sys.stderr)
            continue
        finally:
            remote.close()
        print(f"已从 {safe(source)} 恢复 {count:,} 条到 {folder}；继续追加前请运行 fsck")
        return
    raise failure or NotFound(
        "ledger.no_mirror", "没有可用的镜像方", "请核对 policy 文件中的地址，或用 --url 指明"
    )


def _read_logs(folder: Path) -> tuple[Policy, dict[str, list[VerifierKey]]]:
    """Returns whose logs are witnessed or mirrored here, with their keys."""
    policy = _read_policy(folder / _POLICY)
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


def monitor(
    policy: Annotated[Path, Parameter(help="信任策略文件：日志与见证方，须写明地址")],
    /,
    *,
    folder: Annotated[Path, Parameter(help="存放所见检查点与报警材料的目录")],
    every: Annotated[int, Parameter(help="每隔多少秒比较一次；0 为只比较一次")] = 0,
    check: Annotated[
        Path | None, Parameter(help="不监测，只核验别人交来的分叉报警材料（目录）")
    ] = None,
    json: Annotated[bool, Parameter(help="以 JSON 输出到标准输出", negative="")] = False,
) -> None:
    """比较日志与各见证方所见的检查点；发现分叉或回退即报警，写出两份签名文书作为证明，以退出码 5 结束。"""
    from pingyao.ledger.monitor import check_alarm, watch

    trust = _read_policy(policy)
    if check is not None:
        first, second = check_alarm(check, trust.logs)
        print(
            f"材料成立：{safe(first.head.origin)} 签发过互相矛盾的检查点"
            f"（{first.head.size:,} 条与 {second.head.size:,} 条）"
        )
        return
    while True:
        try:
            told = watch(trust, folder)
        except PingyaoError as error:
            if not every or not error.retriable:
                raise
            print(f"{error.detail}；{error.remedy}", file=sys.stderr)
        else:
            if json:
                sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
            else:
                for view in told.views:
                    print(f"{safe(view.source)}　{view.head.size:,} 条")
                for source, why in (told.silent | told.unsettled).items():
                    print(f"{safe(source)}　{safe(why, 200)}", file=sys.stderr)
            if told.alarms:
                raise IntegrityBroken(
                    f"ledger.{told.alarms[0].kind}",
                    f"发现 {len(told.alarms)} 项异常：" + "；".join(map(_say, told.alarms)),
                    f"两份签名文书已写入 {folder / 'alarms'}，请分送各成员并停止信任该日志",
                )
        if not every:
            return
        time.sleep(every)


def timestamp(
    folder: Annotated[Path, Parameter(help="账本目录")],
    /,
    *,
    tsa: Annotated[str, Parameter(help="时间戳机构的地址（RFC 3161）")],
    root: Annotated[Path, Parameter(help="时间戳机构的根证书（PEM）")],
) -> None:
    """为当前检查点取得时间戳令牌，核验后存于账本目录；宜定时运行。"""
    from pingyao.ledger import timestamps
    from pingyao.ledger.formats.note import parse_note
    from pingyao.ledger.store.reader import read_checkpoint, read_policy

    published = read_checkpoint(folder, read_policy(folder))
    if published is None:
        raise NotYet("ledger.not_published", "账本还没有发布检查点", "请先追加条目并发布")
    text = parse_note(published[1]).text.encode()
    token = timestamps.stamp(tsa, text, timestamps.read_roots(root))
    path = timestamps.keep(folder, published[0].size, token)
    print(f"{published[0].size:,} 条的检查点已加盖时间戳：{path}")


_ALARMS = {
    "split": "日志给各方看的不是同一棵树",
    "witness_rolled_back": "见证方退回到更小的树",
    "log_rolled_back": "日志退回到更小的树",
}


def _say(alarm: "Alarm") -> str:
    return f"{_ALARMS[alarm.kind]}（{'、'.join(dict.fromkeys(map(safe, alarm.sources)))}）"


def _read_policy(path: Path) -> Policy:
    try:
        return parse_policy(path.read_bytes())
    except OSError:
        raise NotFound("ledger.no_policy", f"没有信任策略文件 {path.name}", "请核对路径") from None


def _started(host: str, port: int) -> None:
    where = f"[{host}]" if ":" in host else host
    print(f"http://{where}:{port}", flush=True)
