"""``pingyao ledger verify``: a proof checked offline, by whom it was given to."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from pingyao.kernel.errors import IntegrityBroken, Invalid
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger.files import MOST_PROOF, read_file, write_json
from pingyao.ledger.formats.documents import RECORDED, Facts, read_document
from pingyao.ledger.formats.note import parse_vkey
from pingyao.ledger.formats.opening import read_event, read_opening
from pingyao.ledger.formats.sm3_proof import HEADER, parse_sm3_proof, verify_sm3_proof
from pingyao.ledger.formats.tlog_policy import parse_policy
from pingyao.ledger.formats.tlog_proof import parse_proof, verify_proof
from pingyao.ledger.model import Checkpoint, Policy, Signed
from pingyao.ledger.rules.sealing import Entry, read_entry
from pingyao.ledger.rules.tree import leaf_hash
from pingyao.platform.term import safe


def verify(
    proof: Annotated[Path, Parameter(help=".tlog-proof 证明文件，或国密树的证明文件")],
    /,
    *,
    policy: Annotated[Path | None, Parameter(help="信任策略文件")] = None,
    vkey: Annotated[
        tuple[str, ...], Parameter(help="只信任这个账本的验证公钥，不要求见证联署")
    ] = (),
    file: Annotated[Path | None, Parameter(help="同时核对这份文件是否就是所登记的那份")] = None,
    entry: Annotated[Path | None, Parameter(help="条目原文；证明文件内没有时给出")] = None,
    json: Annotated[bool, Parameter(help="以 JSON 输出到标准输出", negative="")] = False,
) -> None:
    """离线核验证明文件：条目在账本之中，账本与见证方的签名有效；不符即以退出码 5 结束。"""
    trust = _trust(policy, vkey)
    data = read_file(proof, MOST_PROOF)
    national = parse_sm3_proof(data) if data.startswith(HEADER) else None
    parsed = national.proof if national else parse_proof(data)
    shown, opening = read_opening(parsed.extra) or (None, None)
    content = read_file(entry, 65_535) if entry is not None else shown
    if content is None:
        raise Invalid(
            "ledger.no_entry_given", "证明文件内没有条目原文", "请以 --entry 给出条目原文"
        )
    if national:
        head, _, signed = verify_sm3_proof(national, content, trust)
    else:
        head, signed = verify_proof(parsed, leaf_hash(content), trust)
    event = read_event(opening) if opening is not None and content == shown else None
    facts = None
    if event is not None and event.kind == RECORDED:
        facts = msgspec.convert(event.body, Facts)
    if file is not None:
        _compare(file, facts)
    told = _read_entry(content)
    if json:
        write_json(
            {
                "index": parsed.index,
                "size": head.size,
                "origin": head.origin,
                "tree": "sm3" if national else "sha256",
                "entry": told,
                "event": event,
                "file_matches": file is not None,
                "signed": [{"by": s.key.name, "at": s.at} for s in signed],
            }
        )
        return
    what = "国密树头" if national else "检查点"
    print(f"核验通过：{safe(head.origin)} 的第 {parsed.index:,} 条（{what}共 {head.size:,} 条）")
    if told is not None:
        print(
            f"登记机构：{safe(told.member)}　登记时间（登记方时钟）：{told.submitted_at:%F %T} UTC"
        )
    if event is not None:
        _show_event(event, facts)
    _show_signed(head, signed)
    if file is not None:
        print("所给文件与登记的一致")
    elif facts is not None:
        print("未核对文件本身；加 --file 给出文件即可核对")
    print("本核验只说明登记之后未被改动；登记之前内容是否真实，须另行审查")


def _read_entry(content: bytes) -> Entry | None:
    try:
        return read_entry(content)
    except IntegrityBroken:
        return None  # the log may hold what is no event: other people's bytes


def _show_event(event: EvidenceEvent, facts: Facts | None) -> None:
    if facts is None:
        print(f"事项：{safe(event.kind)}　{safe(event.subject)}　经办人：{safe(event.actor)}")
        return
    print(f"文件：{safe(facts.name)}　{facts.size:,} 字节　SHA-256 {facts.sha256}")
    print(
        f"经办人：{safe(event.actor)}　系统：{safe(facts.system)}　时钟：{safe(facts.time_source)}"
    )


def _show_signed(head: Checkpoint, signed: Sequence[Signed]) -> None:
    for each in signed:
        when = "" if each.at is None else f"　{datetime.fromtimestamp(each.at, UTC):%F %T} UTC"
        kind = "联署" if each.key.name != head.origin else "账本签名"
        print(f"{kind}：{safe(each.key.name)}（{each.key.type.algorithm}）{when}")


def _compare(file: Path, facts: Facts | None) -> None:
    if facts is None:
        raise Invalid(
            "ledger.no_facts",
            "证明文件不含文件信息，无法核对文件",
            "请向登记方索取其登记时所得的证明",
        )
    seen = read_document(file, marked=False)
    if (seen.sha256, seen.sm3, seen.size) != (facts.sha256, facts.sm3, facts.size):
        raise IntegrityBroken(
            "ledger.another_file",
            f"{file.name} 不是所登记的那份文件：内容不同",
            "请核对是否取错了版本；登记时的 SHA-256 为 " + facts.sha256,
        )


def _trust(policy: Path | None, vkeys: Sequence[str]) -> Policy:
    if (policy is None) == (not vkeys):
        raise Invalid(
            "ledger.no_trust", "请给出 --policy 或 --vkey 之一", "信任依据须另经可靠途径取得"
        )
    if policy is not None:
        return parse_policy(read_file(policy, 1_000_000))
    return Policy(tuple(map(parse_vkey, vkeys)), {}, {}, "none")
