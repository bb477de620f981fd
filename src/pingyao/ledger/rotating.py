"""The commands that put a new key in an old one's place, each step recorded in the log.

From the rotation on both keys sign; who trusts the old one goes on verifying, and takes over the new one
with a proof that the old one still signed. Ending the overlap is a step of its own.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from pingyao.kernel.errors import Conflict, Invalid, NotFound
from pingyao.ledger.cosigning import Cosigning, open_log, publish
from pingyao.ledger.formats.note import format_line, format_note, format_vkey, parse_note
from pingyao.ledger.formats.opening import format_opening
from pingyao.ledger.formats.rotation import follow, read_rotation, rotate, succeed
from pingyao.ledger.formats.tlog_policy import format_policy, parse_policy
from pingyao.ledger.formats.tlog_proof import format_proof, verify_proof
from pingyao.ledger.keys import next_key, open_store, own_keys, signer_of
from pingyao.ledger.model import ED25519, Note, Policy, VerifierKey
from pingyao.ledger.rules.tree import leaf_hash
from pingyao.ledger.store.mark import default_mark
from pingyao.ledger.store.reader import POLICY, read_policy
from pingyao.ledger.store.sealed import seal
from pingyao.platform.crypto.keystore import KeyStore
from pingyao.platform.crypto.signers import Algorithm
from pingyao.platform.files import write_atomically
from pingyao.platform.term import safe

Keystore = Annotated[Path | None, Parameter(help="密钥库文件；默认为本人的密钥库")]
Which = Annotated[Algorithm, Parameter(help="轮换哪种算法的密钥")]
_PENDING = "rotation.pending"
_FOLDER = "rotations"
_OLD = ".old"
_RETIRED = "重叠期已结束，此后只用新密钥；旧密钥可用 pingyao keys destroy 销毁"


def rotate_key(
    folder: Annotated[Path, Parameter(help="账本目录")],
    /,
    *,
    algorithm: Which = Algorithm.ED25519,
    accept: Annotated[
        Path | None, Parameter(help="见证方交来的轮换文件：登记它，并在信任策略中换上新公钥")
    ] = None,
    retire: Annotated[bool, Parameter(help="结束重叠期：此后只用新密钥签名", negative="")] = False,
    key: Annotated[str, Parameter(help="账本密钥在密钥库中的名称")] = "ledger",
    keystore: Keystore = None,
    mark: Annotated[Path | None, Parameter(help="高水位目录")] = None,
) -> None:
    """轮换签名密钥：新旧密钥共同签署的轮换写入账本，重叠期内两把都签；得到证明，核验方以 trust 离线换用。

    中途停下，再次运行即接着完成。
    """
    store = open_store(keystore)
    policy = read_policy(folder)
    if retire:
        _retire(folder, store, key, mark)
        print(_RETIRED)
        return
    pending = folder / _PENDING
    if accept is not None:
        entry = _read(accept)
    elif pending.exists():
        entry = pending.read_bytes()
    else:
        entry = _succession(store, key, policy, algorithm)
    old, new = read_rotation(entry)
    of_log = new.name == policy.logs[0].name
    if new not in (*policy.logs, *policy.witnesses.values()):
        _refuse_overlap(policy, old)
        after = _with_old(succeed(policy, old, new), old, new, of_log=of_log)
        write_atomically(pending, entry)
        if of_log:
            # Both sign from here on: the head over the rotation is one that the old key vouches for.
            write_atomically(folder / POLICY, format_policy(after))
    elif pending.exists():
        after = policy  # what an earlier run did not get to finish
    else:
        raise Conflict("ledger.rotation.again", "这次轮换已经登记过", "无须再做")
    where = mark or default_mark(policy.logs[0].name)
    with open_log(folder, own_keys(store, key, read_policy(folder)), where) as (log, cosigning):
        (index,) = log.append([entry])
        note = publish(log, cosigning)
        proof = log.prove(index, note, format_opening(entry))
    # What is handed out was checked by what its receivers trust now.
    verify_proof(proof, leaf_hash(entry), policy)
    (folder / _FOLDER).mkdir(exist_ok=True, mode=0o700)
    path = folder / _FOLDER / f"{index}.tlog-proof"
    write_atomically(path, format_proof(proof))
    _put_in_force(folder, after, store, key)
    pending.unlink()
    print(f"已轮换 {safe(new.name)} 的 {new.type.algorithm} 密钥，登记为第 {index:,} 条")
    print(f"新验证公钥：{format_vkey(new)}")
    print(f"证明：{path}；请交给核验方，由其以 pingyao ledger trust 换用")
    print("重叠期内新旧密钥都签名；各方换用后，以 --retire 结束")


def _succession(store: KeyStore, name: str, policy: Policy, algorithm: Algorithm) -> bytes:
    own = [k for k in policy.logs if k.type.algorithm == algorithm]
    if not own:
        raise NotFound("ledger.no_key", f"账本没有 {algorithm} 密钥", "请核对 --algorithm")
    old = own[-1]
    _refuse_overlap(policy, old)
    new, signer = next_key(store, name, old, policy.logs)
    return rotate(old, new, signer_of(store, name, old), signer)


def _refuse_overlap(policy: Policy, old: VerifierKey) -> None:
    """One rotation of a key at a time."""
    of_log = [k for k in policy.logs if (k.name, k.type) == (old.name, old.type)]
    ended = [n for n, k in policy.witnesses.items() if n.endswith(_OLD) and k.name == old.name]
    if len(of_log) > 1 or ended:
        raise Conflict(
            "ledger.rotation.overlap", "上一次轮换的重叠期还没有结束", "请先以 --retire 结束"
        )


def _with_old(policy: Policy, old: VerifierKey, new: VerifierKey, *, of_log: bool) -> Policy:
    """Keeps the old key beside the new: a witness's is published too, and counted by no group."""
    if of_log:
        logs = tuple(k for each in policy.logs for k in ((old, new) if each == new else (each,)))
        return msgspec.structs.replace(policy, logs=logs)
    (name,) = (n for n, k in policy.witnesses.items() if k == new)
    urls = dict(policy.urls)
    if name in urls:
        urls[name + _OLD] = urls[name]
    return msgspec.structs.replace(
        policy, witnesses=policy.witnesses | {name + _OLD: old}, urls=urls
    )


def _retire(folder: Path, store: KeyStore, key: str, mark: Path | None) -> None:
    """Ends the overlap once the witnesses the policy demands cosign what the new key alone signed."""
    policy = read_policy(folder)
    if (folder / _PENDING).exists():
        raise Conflict(
            "ledger.rotation.pending", "轮换还没有登记完成", "请不带 --retire 再运行一次"
        )
    after = _without_old(policy)
    kept = {(k.name, k.key_id) for k in after.logs}
    where = mark or default_mark(policy.logs[0].name)
    with open_log(folder, own_keys(store, key, policy), where) as (log, cosigning):
        head, note = log.sign()
        both = parse_note(note)
        lines = tuple(s for s in both.signatures if (s.name, s.key_id) in kept)
        note = format_note(Note(both.text, lines))
        if cosigning is not None:
            with Cosigning(after) as asked:
                note += "".join(map(format_line, asked.cosign(log, head, note)))
        log.publish(note)
    _put_in_force(folder, after, store, key)
    with open_log(folder, own_keys(store, key, after), where) as (log, _):
        log.sign()  # the mark, too, is then one that the new key alone signed


def _put_in_force(folder: Path, policy: Policy, store: KeyStore, key: str) -> None:
    write_atomically(folder / POLICY, format_policy(policy))
    own = next(k for k in reversed(policy.logs) if k.type == ED25519)
    seal(folder, own.name, signer_of(store, key, own))


def _without_old(policy: Policy) -> Policy:
    logs = tuple({(k.name, k.type): k for k in policy.logs}.values())
    witnesses = {n: k for n, k in policy.witnesses.items() if not n.endswith(_OLD)}
    if len(logs) == len(policy.logs) and len(witnesses) == len(policy.witnesses):
        raise NotFound("ledger.rotation.none", "没有重叠期中的密钥", "请核对目录")
    urls = {n: u for n, u in policy.urls.items() if not n.endswith(_OLD)}
    return msgspec.structs.replace(policy, logs=logs, witnesses=witnesses, urls=urls)


def rotate_witness(
    folder: Annotated[Path, Parameter(help="见证目录")],
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="轮换文件写到哪里；交给各账本以 rotate --accept 登记")
    ] = None,
    algorithm: Which = Algorithm.ED25519,
    retire: Annotated[bool, Parameter(help="结束重叠期：此后只用新密钥联署", negative="")] = False,
    key: Annotated[str, Parameter(help="见证密钥在密钥库中的名称")] = "witness",
    keystore: Keystore = None,
) -> None:
    """轮换见证方的联署密钥：重新启动后新旧两把都签，直至各账本登记了轮换、以 --retire 结束。"""
    policy = read_policy(folder)
    if retire:
        write_atomically(folder / POLICY, format_policy(_without_old(policy)))
        print(_RETIRED)
        return
    if out is None:
        raise Invalid("ledger.no_out", "没有指明轮换文件写到哪里", "请用 --out 给出")
    own = {n: k for n, k in policy.witnesses.items() if k.type.algorithm == algorithm}
    if not own:
        raise NotFound("ledger.no_key", f"见证方没有 {algorithm} 密钥", "请核对 --algorithm")
    name, old = next(iter(own.items()))
    _refuse_overlap(policy, old)
    store = open_store(keystore)
    new, signer = next_key(store, key, old, policy.witnesses.values())
    write_atomically(out, rotate(old, new, signer_of(store, key, old), signer))
    witnesses = policy.witnesses | {name: new, name + _OLD: old}
    write_atomically(
        folder / POLICY, format_policy(msgspec.structs.replace(policy, witnesses=witnesses))
    )
    print(f"新验证公钥：{format_vkey(new)}")
    print(f"轮换文件：{out}；请重新启动见证方，再把它交给各账本登记")


def trust(
    policy: Annotated[Path, Parameter(help="现在信任的策略文件")],
    rotations: Annotated[tuple[Path, ...], Parameter(help="轮换的证明文件，按先后给出")],
    /,
    *,
    out: Annotated[Path, Parameter(help="新策略写到哪里；旧策略请留着核验旧证明")],
) -> None:
    """离线换用新公钥：轮换须由旧策略证明已在账本之中，并有新旧两把密钥的签名。"""
    after = follow(parse_policy(_read(policy)), [_read(p) for p in rotations])
    write_atomically(out, format_policy(after))
    print(f"{len(rotations):,} 次轮换属实，新策略：{out}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise NotFound("ledger.no_file", f"没有文件 {path.name}", "请核对路径") from None
