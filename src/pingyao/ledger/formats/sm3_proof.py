"""Heads of the SM3 tree as they are logged, and proof files under them.

A proof file is a header, the proof of the head's own entry under a cosigned checkpoint (``bound``), and then
what a ``.tlog-proof`` holds after its header, with SM3 for the hash and the SM3 head for the checkpoint.
"""

from typing import NamedTuple

import msgspec

from pingyao.kernel.errors import IntegrityBroken
from pingyao.ledger.formats.checkpoint import parse_checkpoint
from pingyao.ledger.formats.note import parse_note, verify_note
from pingyao.ledger.formats.text import decimal, malformed, to_base64, unbase64
from pingyao.ledger.formats.tlog_proof import format_proof, parse_proof, verify_proof
from pingyao.ledger.model import SM2, Checkpoint, Policy, Signed, TlogProof
from pingyao.ledger.rules.proofs import verify_inclusion
from pingyao.ledger.rules.tree import leaf_hash, sm3

SCHEMA = "pingyao.sm3-head/1"
HEADER = b"pingyao/sm3-proof@v1\n"
_BOUND = b"bound "
_INNER = b"c2sp.org/tlog-proof@v1\n"
_MOST = 6_000_000


class Sm3Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry that holds a head of the SM3 tree.

    Attributes:
        note: origin, size and SM3 root of the entries before this one, signed with SM2.
    """

    schema: str
    note: str


class Last(NamedTuple):
    """Which entry holds the last head, and how many entries that head covers."""

    entry: int
    size: int


class Sm3Proof(msgspec.Struct, frozen=True):
    """That an entry stands in the SM3 tree, and the head of that tree in the log.

    Attributes:
        proof: of the entry; its checkpoint is the SM3 head.
        bound: of the entry that holds this head.
    """

    proof: TlogProof
    bound: TlogProof


def format_head(note: str) -> bytes:
    """Writes the entry that holds a head."""
    return msgspec.json.encode(Sm3Head(SCHEMA, note), order="sorted")


def read_head(entry: bytes) -> str | None:
    """Returns the note of a logged SM3 head; None for any other entry."""
    try:
        told = msgspec.json.decode(entry, type=Sm3Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return told.note if told.schema == SCHEMA else None


def format_last(last: Last) -> bytes:
    """Writes down where the last head is logged; what it says stands in that entry."""
    return b"%d %d\n" % last


def read_last(text: bytes) -> Last:
    """Reads where the last head is logged.

    Raises:
        ValueError: it does not say.
    """
    index, size = text.decode().removesuffix("\n").split(" ")
    last = Last(decimal(index), decimal(size))
    if format_last(last) != text:
        raise ValueError("another form")
    return last


def format_sm3_proof(proof: Sm3Proof) -> bytes:
    """Writes a proof file."""
    bound = to_base64(format_proof(proof.bound)).encode()
    return HEADER + _BOUND + bound + b"\n" + format_proof(proof.proof).removeprefix(_INNER)


def parse_sm3_proof(data: bytes) -> Sm3Proof:
    """Reads a proof file; nothing in it is checked yet.

    Raises:
        IntegrityBroken: it is none, or beyond the limits.
    """
    bound, found, rest = data.removeprefix(HEADER).partition(b"\n")
    if not found or not data.startswith(HEADER + _BOUND) or len(data) > _MOST:
        raise _malformed()
    try:
        inner = unbase64(bound.removeprefix(_BOUND).decode())
    except ValueError:
        raise _malformed() from None
    return Sm3Proof(parse_proof(_INNER + rest), parse_proof(inner))


def verify_sm3_proof(
    proof: Sm3Proof, entry: bytes, policy: Policy
) -> tuple[Checkpoint, Checkpoint, tuple[Signed, ...]]:
    """Checks that an entry stands in the SM3 tree, and that the log which the policy trusts fixes that tree.

    Returns:
        The SM3 head, the checkpoint of the log, and every signature that the policy knows.

    Raises:
        IntegrityBroken: anything does not hold.
    """
    note = parse_note(proof.proof.checkpoint)
    head = parse_checkpoint(note.text)
    keys = [k for k in policy.logs if k.type == SM2 and k.name == head.origin]
    national = verify_note(note, keys)
    verify_inclusion(
        proof.proof.index, head.size, leaf_hash(entry, sm3), proof.proof.path, head.root, sm3
    )
    leaf = leaf_hash(format_head(proof.proof.checkpoint))
    checkpoint, signed = verify_proof(proof.bound, leaf, policy)
    if checkpoint.origin != head.origin or proof.bound.index < head.size:
        raise IntegrityBroken(
            "ledger.sm3_unbound", "国密树头与账本的检查点不属同一账本", "请向日志重新取证"
        )
    return head, checkpoint, (*national, *signed)


def _malformed() -> IntegrityBroken:
    return malformed("proof", "国密证明文件（sm3-proof）格式不对")
