"""Rosters in the database: our own as a centre, and those of centres as a member."""

import sqlalchemy as sa

from pingyao.platform.members.model import Roster
from pingyao.platform.members.store import members, rosters

_FIRST = sa.text(
    "INSERT INTO members_roster (centre, serial, digest, document, signature, key, taken_at, checked_at) "
    "VALUES (:centre, 0, '', :nothing, :nothing, '', 0, 0) ON CONFLICT (centre) DO NOTHING"
)
_HEAD = [rosters.c[f] for f in Roster.__struct_fields__]


def claim(db: sa.Connection, centre: int) -> Roster:
    """Returns the roster of a centre for change, an empty one where there is none yet."""
    db.execute(_FIRST, {"centre": centre, "nothing": b""})
    query = sa.select(*_HEAD).where(rosters.c.centre == centre).with_for_update()
    return Roster(*db.execute(query).one())


def read(db: sa.Connection, centre: int) -> Roster | None:
    """Returns the roster of a centre, 0 for our own."""
    row = db.execute(sa.select(*_HEAD).where(rosters.c.centre == centre)).one_or_none()
    return None if row is None else Roster(*row)


def read_all(db: sa.Connection) -> list[Roster]:
    """Returns all rosters, our own first."""
    return [Roster(*row) for row in db.execute(sa.select(*_HEAD).order_by(rosters.c.centre))]


def read_document(db: sa.Connection, centre: int) -> bytes:
    """Returns what is in a roster, as it was signed."""
    return db.execute(sa.select(rosters.c.document).where(rosters.c.centre == centre)).scalar_one()


def write(db: sa.Connection, roster: Roster, document: bytes) -> None:
    """Keeps a roster in place of the one before, whose row was claimed."""
    values = {f: getattr(roster, f) for f in Roster.__struct_fields__} | {"document": document}
    db.execute(sa.update(rosters).where(rosters.c.centre == roster.centre).values(**values))


def confirm(db: sa.Connection, centre: int, checked_at: int) -> None:
    """Notes that the centre has said of its roster that it is the newest."""
    db.execute(sa.update(rosters).where(rosters.c.centre == centre).values(checked_at=checked_at))


def count_via(db: sa.Connection, centre: int) -> int:
    """Returns how many members are known through the roster of a centre; for 0, who was confirmed here."""
    query = sa.select(sa.func.count()).select_from(members)
    query = query.where(members.c.via == centre, members.c.confirmed_at > 0)
    return db.execute(query).scalar_one()
