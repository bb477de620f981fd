"""Where a rule comes from, and how far that has been checked."""

import msgspec


class Citation(msgspec.Struct, frozen=True):
    """The source of a rule.

    Attributes:
        standard: number of the document, e.g. ``JR/T 0197-2020``; empty for a product default.
        clause: the clause, empty when it is not known for certain.
        confidence: 0–1, that the document says so.
        verified: whether the rule was read in the official text; otherwise it is 待核对.
    """

    standard: str
    clause: str = ""
    confidence: float = 0.5
    verified: bool = False
