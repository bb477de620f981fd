"""Proof files (``.tlog-proof``): everything needed to check an entry offline.

Cites: C2SP tlog-proof (5ba5ee8, 2026-07-22).
"""

from pingyao.kernel.errors import IntegrityBroken
from pingyao.ledger.formats.checkpoint import parse_checkpoint
from pingyao.ledger.formats.note import MAX_BYTES, parse_note, verify_note
from pingyao.ledger.formats.text import decimal, malformed, to_base64, unbase64
from pingyao.ledger.formats.tlog_policy import check_quorum
from pingyao.ledger.model import HASH, Checkpoint, Policy, Signed, TlogProof
from pingyao.ledger.rules.proofs import verify_inclusion

_HEADER = "c2sp.org/tlog-proof@v1"
_MAX_PATH = 63


def parse_proof(data: bytes) -> TlogProof:
    """Reads a proof file; nothing in it is checked yet.

    Raises:
        IntegrityBroken: it is none, or beyond the limits.
    """
    try:
        if len(data) > 2 * MAX_BYTES:
            raise ValueError("too long")
        head, found, checkpoint = data.decode("utf-8").partition("\n\n")
        lines = head.split("\n")
        if not found or lines.pop(0) != _HEADER or not lines:
            raise ValueError("header")
        extra = None
        if lines[0].startswith("extra "):
            extra = unbase64(lines.pop(0).removeprefix("extra "))
        if not lines or not lines[0].startswith("index ") or len(lines) - 1 > _MAX_PATH:
            raise ValueError("index")
        index = decimal(lines.pop(0).removeprefix("index "))
        path = tuple(unbase64(line, HASH) for line in lines)
    except ValueError:
        raise malformed("proof", "证明文件（tlog-proof）格式不对") from None
    return TlogProof(index, path, checkpoint, extra)


def format_proof(proof: TlogProof) -> bytes:
    """Writes a proof file."""
    lines = [_HEADER]
    if proof.extra is not None:
        lines.append("extra " + to_base64(proof.extra))
    lines.append(f"index {proof.index}")
    lines += map(to_base64, proof.path)
    return ("\n".join(lines) + "\n\n" + proof.checkpoint).encode()


def verify_proof(
    proof: TlogProof, leaf: bytes, policy: Policy
) -> tuple[Checkpoint, tuple[Signed, ...]]:
    """Checks that an entry stands in a log that the policy trusts, as its quorum saw it.

    Args:
        leaf: hash of the entry.

    Returns:
        The head, and every signature that the policy knows.

    Raises:
        IntegrityBroken: anything does not hold.
    """
    head, signed = verify_head(proof.checkpoint, policy)
    verify_inclusion(proof.index, head.size, leaf, proof.path, head.root)
    return head, signed


def verify_head(note: str | bytes, policy: Policy) -> tuple[Checkpoint, tuple[Signed, ...]]:
    """Checks a signed checkpoint against a policy: a log it lists, and its quorum.

    Raises:
        IntegrityBroken: it is malformed, of a log not listed, or not cosigned as demanded.
    """
    parsed = parse_note(note)
    head = parse_checkpoint(parsed.text)
    logs = [k for k in policy.logs if k.name == head.origin]
    if not logs:
        raise IntegrityBroken(
            "ledger.checkpoint.unknown_log", "检查点出自信任策略之外的日志", "请核对日志来源与策略"
        )
    signed = verify_note(parsed, (*logs, *policy.witnesses.values()))
    if not any(s.key in logs for s in signed):
        raise IntegrityBroken(
            "ledger.checkpoint.unsigned", "检查点没有日志自己的签名", "请向日志重新取证"
        )
    check_quorum(policy, {s.key for s in signed})
    return head, signed
