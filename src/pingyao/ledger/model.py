"""What the ledger speaks of: tree heads, signed notes, keys, proofs and trust. Frozen values."""

from typing import NamedTuple

import msgspec

from pingyao.platform.crypto.signers import Algorithm

HASH = 32
ENTRY_BYTES = 65_535
# A tile is 256 hashes wide: eight levels of the tree.
WIDTH = 256
HEIGHT = 8


class SignatureType(NamedTuple):
    """A kind of signature line.

    Attributes:
        prefix: the identifier byte, and after ``ff`` the long identifier.
        timestamped: the signature says when: a cosignature.
        covers: ``text`` signs the text of the note, ``tree`` the head alone.

    Cites: C2SP signed-note v1.0.0, Signature types; C2SP tlog-cosignature v1.1.0-rc.1.
    """

    prefix: bytes
    algorithm: Algorithm
    timestamped: bool = False
    covers: str = "text"


ED25519 = SignatureType(b"\x01", Algorithm.ED25519)
ED25519_COSIGNATURE = SignatureType(b"\x04", Algorithm.ED25519, timestamped=True)
ML_DSA_44_COSIGNATURE = SignatureType(b"\x06", Algorithm.ML_DSA_44, timestamped=True, covers="tree")
# No byte is assigned to SM2: ``ff`` and a long identifier of ours, which others ignore.
SM2 = SignatureType(b"\xffpingyao/sm2-sm3@v1\n", Algorithm.SM2)
SM2_COSIGNATURE = SignatureType(
    b"\xffpingyao/sm2-sm3-cosignature@v1\n", Algorithm.SM2, timestamped=True
)
SIGNATURE_TYPES = (ED25519, ED25519_COSIGNATURE, ML_DSA_44_COSIGNATURE, SM2, SM2_COSIGNATURE)


class VerifierKey(msgspec.Struct, frozen=True):
    """A public key with the name and the kind of signature it is trusted for."""

    name: str
    type: SignatureType
    public_key: bytes
    key_id: bytes


class SignatureLine(msgspec.Struct, frozen=True):
    """One signature under a note; ``blob`` is what follows the key ID."""

    name: str
    key_id: bytes
    blob: bytes


class Note(msgspec.Struct, frozen=True):
    """A text and its signatures, none of them checked yet."""

    text: str
    signatures: tuple[SignatureLine, ...]


class Signed(msgspec.Struct, frozen=True):
    """A signature that was checked: whose, and when it says it was made (Unix seconds)."""

    key: VerifierKey
    at: int | None = None


class Checkpoint(msgspec.Struct, frozen=True):
    """The head of a log's tree.

    Cites: C2SP tlog-checkpoint v1.0.0, Note text.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()


class TlogProof(msgspec.Struct, frozen=True):
    """That an entry stands in a log.

    Attributes:
        index: of the entry, from zero.
        path: hashes from the leaf's sibling to the root's child.
        checkpoint: the signed head, verbatim.
        extra: context that nobody vouches for; None when there is none.

    Cites: C2SP tlog-proof, Format.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None


class Group(msgspec.Struct, frozen=True):
    """So many of these witnesses and groups; the name of a group counts as one member."""

    threshold: int
    members: tuple[str, ...]


class Policy(msgspec.Struct, frozen=True):
    """Whom to trust.

    Attributes:
        logs: keys of accepted logs, whose name is the origin.
        witnesses: by name in the policy.
        groups: by name.
        quorum: a witness, a group, or ``none``.
        urls: of logs (by key name) and witnesses (by name in the policy), where given.

    Cites: C2SP tlog-policy.
    """

    logs: tuple[VerifierKey, ...]
    witnesses: dict[str, VerifierKey]
    groups: dict[str, Group]
    quorum: str
    urls: dict[str, str] = {}
