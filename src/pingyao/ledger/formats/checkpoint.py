"""Checkpoints: the text a log signs.

Cites: C2SP tlog-checkpoint v1.0.0.
"""

from pingyao.ledger.formats.text import decimal, malformed, to_base64, unbase64
from pingyao.ledger.model import HASH, Checkpoint
from pingyao.ledger.rules.tree import EMPTY_ROOT


def parse_checkpoint(text: str) -> Checkpoint:
    """Reads the text of a note as a checkpoint.

    Raises:
        IntegrityBroken: it is none.
    """
    lines = text.split("\n")
    try:
        if len(lines) < 4 or lines.pop() or not all(lines):
            raise ValueError("lines")
        origin, size, root, *extensions = lines
        head = Checkpoint(origin, decimal(size), unbase64(root, HASH), tuple(extensions))
        if not head.size and head.root != EMPTY_ROOT:
            raise ValueError("root of nothing")
    except ValueError:
        raise malformed("checkpoint", "检查点（checkpoint）格式不对") from None
    return head


def format_checkpoint(head: Checkpoint) -> str:
    """Writes a checkpoint."""
    lines = (head.origin, str(head.size), to_base64(head.root), *head.extensions)
    return "".join(line + "\n" for line in lines)
