"""Small logs in memory with keys of their own, for the tests of everything around the log."""

from collections.abc import Sequence

from pingyao.ledger.formats.checkpoint import format_checkpoint
from pingyao.ledger.formats.note import format_note, sign, verifier_key
from pingyao.ledger.formats.tlog_witness import format_add_checkpoint
from pingyao.ledger.model import (
    ED25519,
    ED25519_COSIGNATURE,
    Checkpoint,
    Note,
    SignatureType,
    VerifierKey,
)
from pingyao.ledger.rules.tree import (
    consistency_ranges,
    leaf_hash,
    perfect_root,
    range_hash,
    subtree_ranges,
)
from pingyao.ledger.witness import Cosigner
from pingyao.platform.crypto.signers import Algorithm, Signer, open_signer

ORIGIN = "log.example/bank"


def signer(number: int) -> Signer:
    """A key that is the same in every process."""
    return open_signer(Algorithm.ED25519, number.to_bytes(32))


LOG = signer(1)
OTHER = signer(2)
LOG_KEY = verifier_key(ORIGIN, ED25519, LOG.public_key)
LOGS = {ORIGIN: [LOG_KEY]}


def cosigner(number: int, kind: SignatureType = ED25519_COSIGNATURE) -> Cosigner:
    """The key of a witness."""
    own = open_signer(kind.algorithm, (100 + number).to_bytes(32))
    return Cosigner(f"w{number}.example", kind, own)


def key_of(cosigner: Cosigner) -> VerifierKey:
    """Its public half."""
    return verifier_key(cosigner.name, cosigner.type, cosigner.signer.public_key)


def signed(text: str, by: Signer = LOG, origin: str = ORIGIN) -> str:
    """A note."""
    return format_note(Note(text, (sign(text, origin, ED25519, by),)))


class Tree:
    """Entries, and what a log makes of them."""

    def __init__(self, entries: Sequence[bytes]) -> None:
        self.entries = list(entries)
        self.leaves = [leaf_hash(e) for e in entries]

    def read(self, level: int, index: int) -> bytes:
        return perfect_root(self.leaves[index << level : (index + 1) << level])

    def root(self, size: int) -> bytes:
        return range_hash(0, size, self.read)

    def consistency(self, old: int, size: int) -> list[bytes]:
        ranges = consistency_ranges(old, size) if 0 < old < size else []
        return [range_hash(a, b, self.read) for a, b in ranges]

    def subtree(self, start: int, end: int, size: int) -> list[bytes]:
        return [range_hash(a, b, self.read) for a, b in subtree_ranges(start, end, size)]

    def note(self, size: int, by: Signer = LOG, origin: str = ORIGIN) -> str:
        return signed(format_checkpoint(Checkpoint(origin, size, self.root(size))), by, origin)

    def request(self, old: int, size: int) -> bytes:
        return format_add_checkpoint(old, self.consistency(old, size), self.note(size))


def tree(size: int = 64, *, fork_at: int | None = None) -> Tree:
    """A log of so many entries; of a fork, those from some point on are others."""
    point = size if fork_at is None else fork_at
    return Tree([f"{i}{'' if i < point else ' other'}".encode() for i in range(size)])
