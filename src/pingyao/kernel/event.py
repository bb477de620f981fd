"""The evidence event that every state change emits."""

from datetime import datetime

import msgspec


class EvidenceEvent(msgspec.Struct, frozen=True):
    """One thing that happened, as it will be proved later.

    Attributes:
        kind: dotted name, e.g. ``classify.verdict.confirmed``.
        subject: what it happened to, an identifier within the room.
        actor: who did it.
        occurred_at: aware UTC time.
        body: the facts, of plain JSON types; never a secret, never a data value.
    """

    kind: str
    subject: str
    actor: str
    occurred_at: datetime
    body: dict[str, object]
