"""What each kind of signature signs, and how time stands before it.

Cites: C2SP signed-note v1.0.0, Ed25519 signatures; C2SP tlog-cosignature v1.1.0-rc.1.
"""

from pingyao.ledger.formats.checkpoint import parse_checkpoint
from pingyao.ledger.formats.text import malformed
from pingyao.ledger.model import SignatureLine, SignatureType, VerifierKey
from pingyao.ledger.rules.proofs import MOST
from pingyao.platform.crypto import signers

_TIME_BYTES = 8


def message(text: str, name: str, kind: SignatureType, at: int | None) -> bytes:
    """Returns the bytes that are signed.

    Args:
        name: of the signing key; ML-DSA-44 commits to it.
        at: Unix seconds, for the kinds that say when.

    Raises:
        IntegrityBroken: a kind that signs a tree head is asked to sign another text.
    """
    if kind.covers == "tree":
        head = parse_checkpoint(text)
        return subtree_message(name, head.origin, 0, head.size, head.root, _time(at))
    if kind.timestamped:
        return f"cosignature/v1\ntime {_time(at)}\n{text}".encode()
    return text.encode()


def subtree_message(name: str, origin: str, start: int, end: int, root: bytes, at: int) -> bytes:
    """Returns what an ML-DSA-44 cosigner signs of a subtree; the whole tree starts at 0."""
    parts = [b"subtree/v1\n\0"]
    for each, following in ((name, at), (origin, start)):
        encoded = each.encode()
        if not 0 < len(encoded) < 256:
            raise malformed("cosignature", "联署人名称或日志来源超过 255 字节")
        parts += [bytes([len(encoded)]), encoded, following.to_bytes(8)]
    return b"".join((*parts, end.to_bytes(8), root))


def blob(signature: bytes, kind: SignatureType, at: int | None) -> bytes:
    """Returns what stands after the key ID."""
    return _time(at).to_bytes(_TIME_BYTES) + signature if kind.timestamped else signature


def verify(text: str, line: SignatureLine, key: VerifierKey) -> int | None:
    """Checks a signature line against its key.

    Returns:
        When it says it was made, for the kinds that say so.

    Raises:
        IntegrityBroken: it does not verify.
    """
    at, signature = None, line.blob
    if key.type.timestamped:
        at, signature = int.from_bytes(line.blob[:_TIME_BYTES]), line.blob[_TIME_BYTES:]
        if at > MOST:
            raise malformed("cosignature", "联署时间超出范围")
    signed = message(text, key.name, key.type, at)
    signers.verify(key.type.algorithm, key.public_key, signed, signature)
    return at


def _time(at: int | None) -> int:
    if at is None or not 0 <= at <= MOST:
        raise ValueError("a cosignature needs its time")
    return at
