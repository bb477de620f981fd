"""The commands ``pingyao ledger …``."""

import getpass
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import App, Parameter

from pingyao.kernel.errors import IntegrityBroken, Invalid, NotFound, NotYet, Unavailable
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger.files import MOST_PROOF, read_file, write_json
from pingyao.ledger.formats.documents import RECORDED, Facts, read_document
from pingyao.ledger.formats.note import format_vkey
from pingyao.ledger.formats.opening import format_opening, read_event, read_opening
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.formats.tlog_proof import format_proof, verify_proof
from pingyao.ledger.model import Policy
from pingyao.ledger.rules.sealing import Opening, commit_to, read_entry
from pingyao.ledger.rules.tree import leaf_hash
from pingyao.platform.crypto.signers import Algorithm
from pingyao.platform.files import write_atomically
from pingyao.platform.term import safe

if TYPE_CHECKING:
    from pingyao.ledger.store.compared import Finding

app = App(
    name="ledger",
    help="存证账本：登记、取证、核验、检查 · the evidence ledger",
)
Folder = Annotated[Path, Parameter(help="账本目录")]
Json = Annotated[bool, Parameter(help="以 JSON 输出到标准输出", negative="")]
Keystore = Annotated[Path | None, Parameter(help="密钥库文件；默认为本人的密钥库")]
Key = Annotated[str, Parameter(help="账本密钥在密钥库中的名称")]
Mark = Annotated[
    Path | None,
    Parameter(help="高水位目录，须在账本目录之外；默认在本人状态目录，用于识破从旧备份恢复"),
]
_OPENING = ".tlog-opening"


@app.command
def init(
    folder: Folder,
    /,
    *,
    origin: Annotated[str, Parameter(help="来源名，全联盟唯一，如 bank.example/evidence")],
    algorithm: Annotated[
        tuple[Algorithm, ...], Parameter(help="签名算法，可重复给出；须含 ed25519")
    ] = (Algorithm.ED25519,),
    device: Annotated[
        bool, Parameter(help="Ed25519 密钥在 PKCS#11 设备中生成，永不离开", negative="")
    ] = False,
    key: Key = "ledger",
    keystore: Keystore = None,
) -> None:
    """新建账本：在密钥库或设备中生成签名密钥，写出信任策略（policy 文件）。

    policy 文件即交给核验方的信任依据；其中加入 witness、group、quorum 行后，检查点须经见证方联署才发布。
    """
    from pingyao.ledger.keys import make_keys, open_store
    from pingyao.ledger.store.writer import create_log

    if folder.exists() and any(folder.iterdir()):
        raise Invalid("ledger.exists", f"目录 {folder.name} 不是空的", "请换一个目录")
    on_device = (Algorithm.ED25519,) if device else ()
    keys = make_keys(open_store(keystore, create=True), key, algorithm, origin, on_device)
    create_log(folder, format_policy(Policy(keys, {}, {}, "none")))
    print(f"已新建账本 {safe(origin)}")
    for each in keys:
        print(f"验证公钥：{format_vkey(each)}")
    print(f"信任策略：{folder / 'policy'}（请经可靠途径交给核验方）")


@app.command
def append(
    folder: Folder,
    files: Annotated[tuple[Path, ...], Parameter(help="要登记的文件")],
    /,
    *,
    member: Annotated[str, Parameter(help="登记机构的名称，写入条目")] = "",
    operator: Annotated[str, Parameter(help="经办人，只写入承诺值；默认为当前登录用户")] = "",
    out: Annotated[Path | None, Parameter(help="证明文件放在哪个目录；默认与原文件同处")] = None,
    key: Key = "ledger",
    keystore: Keystore = None,
    mark: Mark = None,
    json: Json = False,
) -> None:
    """登记文件：记下其杂凑值、来源与时间，只把加盐的承诺值写入账本；每个文件得到一份 .tlog-proof 证明。"""
    from pingyao.ledger.cosigning import open_log, publish
    from pingyao.ledger.keys import open_store, own_keys
    from pingyao.ledger.store.mark import default_mark
    from pingyao.ledger.store.provenance import facts_of
    from pingyao.ledger.store.reader import read_policy
    from pingyao.ledger.store.writer import MAX_BATCH

    policy = read_policy(folder)
    origin = policy.logs[0].name
    if not 0 < len(files) <= MAX_BATCH:
        raise Invalid("ledger.no_files", f"请给出 1 至 {MAX_BATCH:,} 个文件", "请分批登记")
    places = [(out or f.parent) / f"{f.name}.tlog-proof" for f in files]
    if len(set(places)) < len(places):
        raise Invalid("ledger.same_name", "有同名的文件，证明会互相覆盖", "请分次登记或分放目录")
    signers = own_keys(open_store(keystore), key, policy)
    at = datetime.now(UTC)
    actor = operator or getpass.getuser()
    events = [_recorded(facts_of(read_document(f, marked=False)), actor, at) for f in files]
    shown = [
        _opening(place, event, member or origin)
        for event, place in zip(events, places, strict=True)
    ]
    with open_log(folder, signers, mark or default_mark(origin)) as (log, cosigning):
        indices = log.append([entry for entry, _ in shown])
        try:
            note = publish(log, cosigning)
        except Unavailable as error:
            raise NotYet(
                "ledger.not_final",
                f"{len(indices):,} 条已落盘；{error.detail}",
                "所需的盐与文件信息存于 .tlog-opening；联署达到要求后用 prove --opening 取得证明",
            ) from None
        proofs = [
            log.prove(i, note, format_opening(*s)) for i, s in zip(indices, shown, strict=True)
        ]
    for place, proof in zip(places, proofs, strict=True):
        write_atomically(place, format_proof(proof))
        place.with_suffix(_OPENING).unlink()
    if json:
        rows = [
            {"file": f.name, "index": i, "proof": str(p)}
            for f, i, p in zip(files, indices, places, strict=True)
        ]
        write_json(rows)
        return
    for file, index, place in zip(files, indices, places, strict=True):
        print(f"{safe(file.name)}：第 {index:,} 条，证明 {place}")


def _recorded(facts: Facts, actor: str, at: datetime) -> EvidenceEvent:
    return EvidenceEvent(RECORDED, facts.name, actor, at, msgspec.to_builtins(facts))


def _opening(place: Path, event: EvidenceEvent, member: str) -> tuple[bytes, Opening]:
    """Keeps salt and event on the disk before the entry is logged: without them it could never be opened.

    What an interrupted run left is used again, so that the file is not recorded twice.
    """
    path = place.with_suffix(_OPENING)
    if path.exists():
        entry, opening = read_opening(read_file(path, MOST_PROOF)) or (b"", None)
        if opening is not None and read_entry(entry).member == member:
            left = read_event(opening)
            if msgspec.structs.replace(left, occurred_at=event.occurred_at) == event:
                return entry, opening
    entry, opening = commit_to(msgspec.json.encode(event), member, event.occurred_at)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, format_opening(entry, opening))
    return entry, opening


@app.command
def prove(
    folder: Folder,
    index: Annotated[int | None, Parameter(help="条目序号，从 0 起")] = None,
    /,
    *,
    opening: Annotated[
        Path | None, Parameter(help="登记未完成时留下的 .tlog-opening；给出它就不必给序号")
    ] = None,
    out: Annotated[Path, Parameter(help="写到哪个 .tlog-proof 文件")],
) -> None:
    """取得一个条目的证明文件；其中含条目本身；给出 --opening 时也含文件信息与盐。"""
    from pingyao.ledger.store.reader import open_reader, read_checkpoint, read_policy

    policy = read_policy(folder)
    published = read_checkpoint(folder, policy)
    if published is None:
        raise NotYet("ledger.not_published", "账本还没有发布检查点", "请先追加条目并发布")
    reader = open_reader(folder)
    try:
        shown = read_opening(read_file(opening, MOST_PROOF)) if opening else None
        if shown is not None:
            index = reader.find(leaf_hash(shown[0]), published[0].size)
        if index is None or not 0 <= index < published[0].size:
            raise NotFound("ledger.no_entry", "已发布的账本中没有该条目", "请核对序号，或稍后再试")
        (entry,) = reader.entries(index, 1)
        proof = reader.prove(index, published[1], extra(entry, shown))
    finally:
        reader.close()
    # What is handed out was checked: damaged files give no proof, instead of a wrong one.
    verify_proof(proof, leaf_hash(entry), policy)
    write_atomically(out, format_proof(proof))
    print(f"第 {index:,} 条的证明：{out}")


def extra(entry: bytes, shown: tuple[bytes, Opening | None] | None) -> bytes | None:
    """Returns what a proof file carries beside the proof: the entry, laid open where it may be."""
    if shown is not None:
        return format_opening(*shown)
    try:
        return format_opening(entry)
    except UnicodeDecodeError:
        return None  # no text: whoever checks it is given the entry apart


def fsck(
    folder: Path, mark: Path | None, *, json: bool, rows: Callable[[], "list[Finding]"] | None
) -> None:
    """Reads a log whole, and with it the rows kept beside it, and says what does not hold."""
    from pingyao.ledger.store.fsck import fsck as check
    from pingyao.ledger.store.mark import default_mark
    from pingyao.ledger.store.reader import read_policy

    where = mark or default_mark(read_policy(folder).logs[0].name)
    report = check(folder, where, None if json or not sys.stderr.isatty() else _progress)
    if rows is not None:
        found = (*report.findings, *rows())
        report = msgspec.structs.replace(report, findings=found)
    if json:
        write_json(report)
    else:
        print(f"通读 {report.entries:,} 条")
        for each in report.findings:
            print(f"不符　{safe(each.where)}：{safe(each.detail, 200)}")
    if report.findings:
        raise IntegrityBroken(
            "ledger.fsck",
            f"发现 {len(report.findings):,} 处不符",
            "请保护现场；派生文件可删去后重建，条目文件须由镜像成员或备份恢复",
        )
    if not json:
        print("全部相符")


@app.command
def export(folder: Folder, out: Annotated[Path, Parameter(help="写到哪个目录")], /) -> None:
    """按 C2SP tlog-tiles 写成静态文件，任何网页服务器可直接发布，任何同格式的核验程序可直接读取。"""
    from pingyao.ledger.store.export import export as write

    print(f"已写出 {write(folder, out):,} 个文件到 {out}")


def _progress(entries: int) -> None:
    print(f"\r已读 {entries:,} 条", end="", file=sys.stderr)
