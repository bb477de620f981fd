"""A witness: cosigns a log's checkpoints as long as the log only ever grows.

Cites: C2SP tlog-witness v1.0.0, add-checkpoint; C2SP tlog-cosignature v1.1.0-rc.1.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from pingyao.kernel.errors import IntegrityBroken
from pingyao.ledger.formats.checkpoint import parse_checkpoint
from pingyao.ledger.formats.note import format_line, format_note, parse_note, sign, verify_note
from pingyao.ledger.formats.tlog_witness import SIZE_MEDIA, AddCheckpoint, parse_add_checkpoint
from pingyao.ledger.model import (
    Checkpoint,
    Note,
    SignatureLine,
    SignatureType,
    VerifierKey,
)
from pingyao.ledger.rules.proofs import verify_growth
from pingyao.platform.crypto.signers import Signer

_PLAIN = "text/plain; charset=utf-8"


class Cosigner(msgspec.Struct, frozen=True):
    """One of a witness's keys."""

    name: str
    type: SignatureType
    signer: Signer


class Seen(msgspec.Struct, frozen=True):
    """The latest checkpoint of a log that was cosigned.

    Attributes:
        at: Unix seconds of the cosignature.
        note: the checkpoint with the log's signatures and the witness's own.
    """

    size: int
    root: bytes
    at: int
    note: str


class Memory(Protocol):
    """What a witness must not forget."""

    def latest(self, origin: str) -> Seen | None:
        """Returns the latest checkpoint cosigned."""
        ...

    def replace(self, origin: str, before: Seen | None, after: Seen) -> bool:
        """Puts a checkpoint in place of the one before, durably on return.

        Returns:
            False, with nothing changed, when another came between.
        """
        ...

    def suspect(self, origin: str, seen: str, offered: str) -> None:
        """Keeps two signed checkpoints that do not go together."""
        ...


class Answer(msgspec.Struct, frozen=True):
    """What the witness answers over HTTP."""

    status: int
    body: bytes
    media: str = _PLAIN


def add_checkpoint(
    body: bytes,
    logs: Mapping[str, Sequence[VerifierKey]],
    cosigners: Sequence[Cosigner],
    memory: Memory,
    now: Callable[[], float],
) -> Answer:
    """Answers a request to cosign; what is answered has been remembered durably.

    Args:
        body: the request.
        logs: trusted keys by origin.
        cosigners: the witness's keys; each signs. None for a mirror, which signs later.
        memory: what was cosigned before.
        now: the clock, Unix seconds.
    """
    try:
        request = parse_add_checkpoint(body)
        note = parse_note(request.note)
    except IntegrityBroken as error:
        return _refuse(400, error.detail)
    origin, *rest = note.text.split("\n")
    if origin not in logs:
        return _refuse(404, "没有登记这一日志")
    try:
        trusted = {s.key for s in verify_note(note, logs[origin])}
    except IntegrityBroken as error:
        return _refuse(403, error.detail)
    seen = memory.latest(origin)
    try:
        head = parse_checkpoint(note.text)
    except IntegrityBroken as error:
        if rest[:1] != ["0"]:
            return _refuse(400, error.detail)
        # A tree of nothing with the root of something is no mistake of form.
        return _conflict(seen) if seen and seen.size else _refuse(422, "空树的根不对")
    if request.old > head.size:
        return _refuse(400, "old 大于检查点的树大小")
    if request.old != (seen.size if seen else 0):
        return _conflict(seen)
    try:
        _check_growth(request, seen, head)
    except IntegrityBroken as error:
        if seen is not None:
            memory.suspect(origin, seen.note, request.note)
        return _refuse(422, error.detail)
    at = max(int(now()), seen.at if seen else 0)  # a clock set back does not go back in the log
    lines = [sign(note.text, c.name, c.type, c.signer, at) for c in cosigners]
    kept = Note(note.text, (*_lines_of(note, trusted), *lines))
    after = Seen(head.size, head.root, at, format_note(kept))
    if not memory.replace(origin, seen, after):
        return _conflict(memory.latest(origin))
    return Answer(200, "".join(map(format_line, lines)).encode())


def _check_growth(request: AddCheckpoint, seen: Seen | None, head: Checkpoint) -> None:
    if request.old:
        old_root = seen.root if seen else b""
        if request.old == head.size and (request.path or old_root != head.root):
            raise IntegrityBroken("ledger.witness.fork", "同样大小的树有两个根", "")
        if request.old < head.size:
            verify_growth(request.old, head.size, old_root, head.root, request.path)
    else:
        verify_growth(0, head.size, b"", head.root, request.path)


def _lines_of(note: Note, trusted: set[VerifierKey]) -> list[SignatureLine]:
    known = {(k.name, k.key_id) for k in trusted}
    return [s for s in note.signatures if (s.name, s.key_id) in known]


def _conflict(seen: Seen | None) -> Answer:
    return Answer(409, f"{seen.size if seen else 0}\n".encode(), SIZE_MEDIA)


def _refuse(status: int, words: str) -> Answer:
    return Answer(status, f"{words}\n".encode())
