"""Whether two signed heads of a log can both be true; and if not, the proof for everybody else."""

from collections.abc import Iterable

import msgspec

from pingyao.kernel.errors import IntegrityBroken
from pingyao.ledger.formats.checkpoint import parse_checkpoint
from pingyao.ledger.formats.note import parse_note, verify_note
from pingyao.ledger.model import Checkpoint, VerifierKey
from pingyao.ledger.rules.proofs import verify_consistency


class View(msgspec.Struct, frozen=True):
    """A head of a log as somebody shows it.

    Attributes:
        source: who shows it.
        note: the signed checkpoint, verbatim.
        at: the latest cosignature by the source itself, Unix seconds; None if it does not cosign.
    """

    source: str
    note: str
    head: Checkpoint
    at: int | None = None


class Split(msgspec.Struct, frozen=True):
    """Two heads of one log, signed by it, that no append-only log can have.

    Attributes:
        first, second: signed checkpoints, the smaller first.
        prefix_root: the root the second tree had at the first's size; it is not what the first says.
        path: consistency proof from that root to the second's.
    """

    first: str
    second: str
    prefix_root: bytes
    path: tuple[bytes, ...] = ()


def read_view(
    source: str, note: str, keys: Iterable[VerifierKey], own: Iterable[VerifierKey] = ()
) -> View:
    """Reads a head and checks that the log signed it.

    Args:
        source: who shows it.
        note: the signed checkpoint.
        keys: the log's.
        own: the source's, if it cosigns.

    Raises:
        IntegrityBroken: it did not, or a signature under it is wrong.
    """
    parsed = parse_note(note)
    head = parse_checkpoint(parsed.text)
    mine = {k for k in keys if k.name == head.origin}
    theirs = set(own)
    signed = verify_note(parsed, (*mine, *theirs))
    if not any(s.key in mine for s in signed):
        raise IntegrityBroken(
            "ledger.checkpoint.unsigned", "检查点没有日志自己的签名", "请向日志重新取证"
        )
    times = [s.at for s in signed if s.key in theirs and s.at is not None]
    return View(source, note, head, max(times, default=None))


def split_at_once(first: View, second: View) -> Split | None:
    """Returns the proof that two heads of one size contradict each other, if they do."""
    if first.head.size != second.head.size or first.head.root == second.head.root:
        return None
    return Split(first.note, second.note, second.head.root)


def check_split(split: Split, keys: Iterable[VerifierKey]) -> tuple[View, View]:
    """Checks a proof that a log showed two faces; needs nothing but the log's keys.

    Raises:
        IntegrityBroken: it proves nothing.
    """
    known = tuple(keys)
    first, second = (read_view("", note, known) for note in (split.first, split.second))
    a, b = first.head, second.head
    if a.origin != b.origin or a.size > b.size or split.prefix_root == a.root:
        raise _nothing()
    if a.size == b.size:
        if split.prefix_root != b.root:
            raise _nothing()
    else:
        verify_consistency(a.size, b.size, split.prefix_root, b.root, split.path)
    return first, second


def _nothing() -> IntegrityBroken:
    return IntegrityBroken(
        "ledger.split.unproven", "两份检查点并不矛盾，这份材料不能证明日志分叉", "请核对材料来源"
    )
