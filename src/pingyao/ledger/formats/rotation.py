"""Keys succeeded by others: said by both keys, recorded in the log, applied to a policy offline."""

import base64
from collections.abc import Iterable

import msgspec

from pingyao.kernel.errors import IntegrityBroken, Invalid
from pingyao.ledger.formats.note import format_vkey, parse_vkey
from pingyao.ledger.formats.opening import read_opening
from pingyao.ledger.formats.tlog_proof import parse_proof, verify_proof
from pingyao.ledger.model import Policy, VerifierKey
from pingyao.ledger.rules.tree import leaf_hash
from pingyao.platform.crypto import signers
from pingyao.platform.crypto.signers import Signer

SCHEMA = "pingyao.rotation/1"


class _Told(msgspec.Struct, frozen=True):
    """What both keys sign, as canonical JSON: no note begins like it."""

    new: str
    old: str
    schema: str = SCHEMA


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key succeeded by another of the same name and kind.

    Attributes:
        old, new: verifier keys.
        by_old, by_new: signatures by each, Base64.
    """

    schema: str
    old: str
    new: str
    by_old: str
    by_new: str


def rotate(old: VerifierKey, new: VerifierKey, by_old: Signer, by_new: Signer) -> bytes:
    """Says that a key succeeds another; returns the entry for the log."""
    told = msgspec.json.encode(_Told(format_vkey(new), format_vkey(old)), order="sorted")
    signed = [base64.b64encode(s.sign(told)).decode() for s in (by_old, by_new)]
    rotation = Rotation(SCHEMA, format_vkey(old), format_vkey(new), *signed)
    return msgspec.json.encode(rotation, order="sorted")


def read_rotation(entry: bytes) -> tuple[VerifierKey, VerifierKey]:
    """Reads a rotation and checks both signatures; returns the old key and the new.

    Raises:
        IntegrityBroken: it is none, or not signed by both keys.
    """
    try:
        told = msgspec.json.decode(entry, type=Rotation)
        old, new = parse_vkey(told.old), parse_vkey(told.new)
        blobs = [base64.b64decode(b, validate=True) for b in (told.by_old, told.by_new)]
        if told.schema != SCHEMA or (old.name, old.type) != (new.name, new.type) or old == new:
            raise ValueError("no rotation")
    except (ValueError, RecursionError, Invalid):
        raise IntegrityBroken(
            "ledger.rotation.malformed", "该条目不是密钥轮换", "请向密钥持有者重新取得"
        ) from None
    message = msgspec.json.encode(_Told(told.new, told.old), order="sorted")
    for key, blob in zip((old, new), blobs, strict=True):
        signers.verify(key.type.algorithm, key.public_key, message, blob)
    return old, new


def succeed(policy: Policy, old: VerifierKey, new: VerifierKey) -> Policy:
    """Returns the policy with the new key in the old one's place.

    Raises:
        Invalid: it does not trust the old key, or knows the new one already.
    """
    known = (*policy.logs, *policy.witnesses.values())
    if old not in known:
        raise Invalid(
            "ledger.rotation.unknown_key",
            f"信任策略没有 {old.name} 的旧公钥 {old.key_id.hex()}",
            "轮换须按先后逐次应用；请核对是否缺了前一次",
        )
    if any(k.public_key == new.public_key for k in known):
        raise Invalid("ledger.rotation.again", "信任策略已有这把新公钥", "这次轮换已经应用过")
    logs = tuple(new if k == old else k for k in policy.logs)
    witnesses = {n: new if k == old else k for n, k in policy.witnesses.items()}
    return msgspec.structs.replace(policy, logs=logs, witnesses=witnesses)


def follow(policy: Policy, proofs: Iterable[bytes]) -> Policy:
    """Applies rotations that the log proves, each checked by the policy as the one before left it.

    Args:
        policy: what is trusted now.
        proofs: proof files of rotations, the oldest first.

    Raises:
        IntegrityBroken: a proof does not hold.
        Invalid: a rotation of a key that is not trusted.
    """
    for data in proofs:
        proof = parse_proof(data)
        entry, _ = read_opening(proof.extra) or (b"", None)
        verify_proof(proof, leaf_hash(entry), policy)
        policy = succeed(policy, *read_rotation(entry))
    return policy
