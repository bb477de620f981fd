"""What the ledger needs from outside."""

from collections.abc import Sequence
from typing import Protocol

from pingyao.ledger.model import Checkpoint, SignatureLine


class AppendLog(Protocol):
    """A log that its one sequencer writes to."""

    @property
    def size(self) -> int:
        """Entries that are on the disk."""
        ...

    def append(self, entries: Sequence[bytes]) -> list[int]:
        """Makes entries durable; returns their indices, for repeated ones the old."""
        ...

    def sign(self) -> tuple[Checkpoint, str]:
        """Signs the head of everything durable; returns it and the note."""
        ...

    def consistency(self, old: int, size: int) -> tuple[bytes, ...]:
        """Proves that the tree of one size grew from another; nothing is needed from an empty one."""
        ...

    def entries(self, first: int, count: int) -> list[bytes]:
        """Returns entries."""
        ...

    def subtree(self, start: int, end: int, size: int) -> tuple[bytes, ...]:
        """Proves that the subtree over some entries stands in the tree of a size."""
        ...

    def publish(self, note: str) -> None:
        """Puts a signed head before the public."""
        ...


class Cosigners(Protocol):
    """The witnesses of a log."""

    def cosign(self, log: AppendLog, head: Checkpoint, note: str) -> Sequence[SignatureLine]:
        """Asks for cosignatures; returns what came, checked, when the quorum is met.

        Raises:
            Unavailable: the quorum was not reached in time.
            IntegrityBroken: a witness holds a head that this log cannot have grown from.
        """
        ...

    def heads(self, origin: str) -> Sequence[str]:
        """Returns the signed heads of a log that the witnesses hold, as they hold them."""
        ...
