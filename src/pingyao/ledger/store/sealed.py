"""Whether a log's policy and its readers are what they were when the log was last opened with its keys."""

import hashlib
from pathlib import Path

from pingyao.ledger.formats.note import format_note, parse_note, sign, verify_note
from pingyao.ledger.model import ED25519, Note, Policy
from pingyao.platform.crypto.signers import Signer
from pingyao.platform.files import write_atomically

SEALED = "policy.sealed"
_FILES = ("policy", "readers")


def seal(folder: Path, origin: str, signer: Signer) -> bool:
    """Signs the files as they are; tells whether they had been sealed otherwise before."""
    text = _text(folder, origin)
    path = folder / SEALED
    note = format_note(Note(text, (sign(text, origin, ED25519, signer),))).encode()
    before = path.read_bytes() if path.exists() else None
    if before != note:
        write_atomically(path, note)
    return before is not None and not before.startswith(text.encode() + b"\n")


def check(folder: Path, policy: Policy) -> bool:
    """Tells whether the files are as sealed; a folder without keys of its own has no seal.

    Raises:
        IntegrityBroken: the seal is damaged.
    """
    path = folder / SEALED
    if not path.exists():
        return True
    note = parse_note(path.read_bytes())
    verify_note(note, policy.logs)
    return note.text == _text(folder, policy.logs[0].name) and len(note.signatures) == 1


def _text(folder: Path, origin: str) -> str:
    lines = [f"pingyao/policy-seal@v1 {origin}\n"]
    for name in _FILES:
        path = folder / name
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "-"
        lines.append(f"{name} {digest}\n")
    return "".join(lines)
