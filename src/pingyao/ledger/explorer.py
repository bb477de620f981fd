"""Looking through the evidence: what was sealed is searched for, and each event shown with its proof.

What is searched for stands in clear beside the log, on the node that sealed it; what is shown of one event
comes from the sealed event itself, and every proof and signature is checked before it is returned.
"""

from datetime import date
from pathlib import Path

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import Invalid
from pingyao.ledger import evidence, tables
from pingyao.ledger.formats.opening import format_opening
from pingyao.ledger.formats.tlog_proof import format_proof
from pingyao.ledger.model import Checkpoint
from pingyao.ledger.payloads import About
from pingyao.ledger.rules.sealing import PrivateKey
from pingyao.ledger.store.reader import read_checkpoint, read_policy

MOST = 200


class Search(msgspec.Struct, frozen=True):
    """What to look for; what is empty does not count.

    Attributes:
        kind: the beginning of a kind; a room is its name and a dot, ``classify.``.
        subject: part of the subject.
        since, until: days in UTC, both included.
    """

    kind: str = ""
    actor: str = ""
    subject: str = ""
    since: date | None = None
    until: date | None = None


class Line(msgspec.Struct, frozen=True):
    """One event in a list; an erased one says nothing but that it is there.

    Attributes:
        key: the event's name, by which it is shown.
        position: its index in the log; None until it is there.
        erased: its content was destroyed.
    """

    key: str
    about: About
    position: int | None
    erased: bool


class Page(msgspec.Struct, frozen=True):
    """Part of what a search finds, the latest sealed first.

    Attributes:
        before: what to ask for the next part with; None where this is the last.
    """

    lines: tuple[Line, ...]
    before: int | None = None


class Shown(msgspec.Struct, frozen=True):
    """One event with all that proves it, everything checked.

    Attributes:
        proof: the ``.tlog-proof`` file that lays the event open, for whoever is to verify it offline.
    """

    proven: evidence.Proven
    proof: bytes


def search(
    db: sa.Connection, wanted: Search, *, before: int | None = None, limit: int = 50
) -> Page:
    """Searches what was sealed here.

    Args:
        db: an open connection.
        wanted: what to look for.
        before: where the last part ended.
        limit: at most so many lines, at most `MOST`.

    Raises:
        Invalid: the limit is none.
    """
    if not 0 < limit <= MOST:
        raise Invalid("ledger.bad_limit", f"每页须为 1 至 {MOST} 条", "请改小每页条数")
    table = tables.payloads.c
    query = (
        sa.select(
            table.id,
            table.key,
            table.kind,
            table.at,
            table.actor,
            table.subject,
            table.position,
            table.wrapped.is_(None).label("erased"),
        )
        .where(*_conditions(wanted))
        .order_by(table.id.desc())
        .limit(limit + 1)
    )
    if before is not None:
        query = query.where(table.id < before)
    rows = db.execute(query).all()
    lines = tuple(
        Line(r.key, About(r.kind, r.at, r.actor, r.subject), r.position, bool(r.erased))
        for r in rows[:limit]
    )
    return Page(lines, rows[limit - 1].id if len(rows) > limit else None)


def _conditions(wanted: Search) -> list[sa.ColumnElement[bool]]:
    table = tables.payloads.c
    found: list[sa.ColumnElement[bool]] = []
    if wanted.kind:
        found.append(table.kind.startswith(wanted.kind, autoescape=True))
    if wanted.actor:
        found.append(table.actor == wanted.actor)
    if wanted.subject:
        found.append(table.subject.contains(wanted.subject, autoescape=True))
    if wanted.since:
        found.append(table.at >= wanted.since.isoformat())
    if wanted.until:
        found.append(table.at < f"{wanted.until}T24")
    return found


def show(db: sa.Connection, folder: Path, key: str, reader: str, private: PrivateKey) -> Shown:
    """Shows one event: opened, proved under the published head, and every signature checked.

    Raises:
        NotYet: it waits in the outbox, or for its witnesses.
        NotFound: there is no such event, or it was erased.
        NotPermitted: it was not sealed for this reader.
        IntegrityBroken: anything does not hold.
    """
    proven = evidence.prove(db, folder, key, reader, private)
    extra = format_opening(proven.entry, proven.opening)
    return Shown(proven, format_proof(msgspec.structs.replace(proven.proof, extra=extra)))


def verify(data: bytes, folder: Path) -> evidence.Proven:
    """Checks a ``.tlog-proof`` file that lays its event open, by the policy of a log.

    Raises:
        Invalid: it shows no event.
        IntegrityBroken: anything does not hold.
    """
    return evidence.read_proof(data, read_policy(folder))


def published(folder: Path) -> Checkpoint | None:
    """Returns the head that is published; None before the first.

    Raises:
        NotFound: the folder holds no log.
        IntegrityBroken: it is not what the log signed.
    """
    found = read_checkpoint(folder, read_policy(folder))
    return None if found is None else found[0]
