"""The commands of the SM3 tree: its heads signed, proofs under them made and verified."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pingyao.kernel.errors import Invalid, NotFound, NotYet
from pingyao.ledger.cli import extra
from pingyao.ledger.cosigning import open_log, publish
from pingyao.ledger.formats.sm3_proof import format_sm3_proof, verify_sm3_proof
from pingyao.ledger.keys import open_store, own_keys
from pingyao.ledger.national import append_head, check_heads
from pingyao.ledger.national import prove as make_proof
from pingyao.ledger.store.mark import default_mark
from pingyao.ledger.store.reader import open_reader, read_checkpoint, read_policy
from pingyao.platform.crypto.signers import Algorithm
from pingyao.platform.files import write_atomically


def national(
    folder: Annotated[Path, Parameter(help="账本目录")],
    /,
    *,
    check: Annotated[bool, Parameter(help="只核验已有的国密树头", negative="")] = False,
    prove: Annotated[
        int | None, Parameter(help="不签署树头，而取得这一序号的条目在国密树中的证明")
    ] = None,
    out: Annotated[Path | None, Parameter(help="与 --prove 同用：证明写到哪个文件")] = None,
    key: Annotated[str, Parameter(help="账本密钥在密钥库中的名称")] = "ledger",
    keystore: Annotated[Path | None, Parameter(help="密钥库文件；默认为本人的密钥库")] = None,
) -> None:
    """以 SM3 建全部条目的树，由账本的 SM2 密钥签署树头并写入账本；或核验各个树头；或取得条目在其中的证明。

    证明用 pingyao ledger verify 离线核验，与 .tlog-proof 相同。
    """
    if (prove is None) != (out is None) or (check and prove is not None):
        raise Invalid("ledger.bad_option", "--prove 与 --out 须同时给出，且不与 --check 同用", "")
    if check:
        print(f"{_check(folder):,} 个国密树头全部相符")
    elif prove is not None and out is not None:
        _prove(folder, prove, out)
        print(f"第 {prove:,} 条在国密树中的证明：{out}")
    else:
        print(f"国密树头已签署，写为第 {_sign(folder, key, keystore):,} 条")


def _check(folder: Path) -> int:
    policy = read_policy(folder)
    published = read_checkpoint(folder, policy)
    with closing(open_reader(folder)) as log:
        return check_heads(log, published[0].size if published else 0, policy)


def _prove(folder: Path, index: int, out: Path) -> None:
    policy = read_policy(folder)
    published = read_checkpoint(folder, policy)
    if published is None:
        raise NotYet("ledger.not_published", "账本还没有发布检查点", "请先追加条目并发布")
    with closing(open_reader(folder)) as log:
        if not 0 <= index < published[0].size:
            raise NotFound("ledger.no_entry", "已发布的账本中没有该条目", "请核对序号，或稍后再试")
        (entry,) = log.entries(index, 1)
        proof = make_proof(log, index, published, policy, extra(entry, None))
    # What is handed out was checked: damaged files give no proof, instead of a wrong one.
    verify_sm3_proof(proof, entry, policy)
    write_atomically(out, format_sm3_proof(proof))


def _sign(folder: Path, key: str, keystore: Path | None) -> int:
    policy = read_policy(folder)
    keys = own_keys(open_store(keystore), key, policy)
    signer = next((s for k, s in keys if k.algorithm == Algorithm.SM2), None)
    if signer is None:
        raise Invalid(
            "ledger.no_sm2",
            "账本没有 SM2 密钥",
            "请在 init 时加上 --algorithm sm2（与 ed25519 并用）",
        )
    with open_log(folder, keys, default_mark(policy.logs[0].name)) as (log, cosigning):
        index = append_head(log, signer)
        publish(log, cosigning)
    return index
