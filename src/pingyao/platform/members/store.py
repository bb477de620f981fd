"""The tables of members and their queries; SQLAlchemy Core, the same on SQLite and PostgreSQL."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from pingyao.platform.identity.store import read_institution
from pingyao.platform.members.model import Invitation, Key, Member, OwnKey, Profile, Search

metadata = sa.MetaData()
own = sa.Table(
    "members_own",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("code", sa.String(14), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("region", sa.String(6), nullable=False),
    sa.Column("address", sa.Text, nullable=False),
)
own_keys = sa.Table(
    "members_own_key",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("suite", sa.String(16), nullable=False),
    sa.Column("use", sa.String(8), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("public", sa.LargeBinary, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("not_before", sa.BigInteger, nullable=False),
    sa.Column("not_after", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("listed_at", sa.BigInteger, nullable=False),
)
members = sa.Table(
    "members_member",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("uscc", sa.String(18), nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("code", sa.String(14), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("region", sa.String(6), nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("suite", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("fingerprint", sa.String(40), nullable=False),
    sa.Column("known", sa.Integer, nullable=False),
    sa.Column("joined_at", sa.BigInteger, nullable=False),
    sa.Column("confirmed_at", sa.BigInteger, nullable=False),
    sa.Column("confirmed_by", sa.Text, nullable=False),
    sa.Column("revoked_at", sa.BigInteger, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("via", sa.Integer, nullable=False),
    sa.Column("heard", sa.Integer, nullable=False),
)
keys = sa.Table(
    "members_key",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("member", sa.Integer, sa.ForeignKey("members_member.id"), nullable=False, index=True),
    sa.Column("use", sa.String(8), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("public", sa.LargeBinary, nullable=False),
    sa.Column("not_before", sa.BigInteger, nullable=False),
    sa.Column("not_after", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
)
rosters = sa.Table(
    "members_roster",
    metadata,
    # Whose it is, as a number of the register; 0 for our own, where this node is a centre.
    sa.Column("centre", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("serial", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("key", sa.String(32), nullable=False),
    sa.Column("taken_at", sa.BigInteger, nullable=False),
    sa.Column("checked_at", sa.BigInteger, nullable=False),
)
invitations = sa.Table(
    "members_invitation",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    # Of the secret only its digest is kept.
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("uscc", sa.String(18), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("suite", sa.String(16), nullable=False),
    sa.Column("made_at", sa.BigInteger, nullable=False),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
)
nonces = sa.Table(
    "members_nonce",
    metadata,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("nonce", sa.String(64), primary_key=True),
    sa.Column("until", sa.BigInteger, nullable=False, index=True),
)
ALL = Search()
_PROFILE = tuple(f for f in Profile.__struct_fields__ if f not in ("name", "uscc", "role"))


def read_profile(db: sa.Connection) -> Profile | None:
    """Returns this institution as it introduces itself; None before ``node init``."""
    institution = read_institution(db)
    if institution is None:
        return None
    row = db.execute(sa.select(own)).one_or_none()
    more = {} if row is None else {f: getattr(row, f) for f in _PROFILE}
    return Profile(institution.name, institution.uscc, institution.role, **more)


def write_profile(db: sa.Connection, profile: Profile) -> None:
    """Keeps what is not in the institution's own row."""
    db.execute(sa.delete(own))
    db.execute(sa.insert(own).values(id=1, **{f: getattr(profile, f) for f in _PROFILE}))


def read_own_keys(db: sa.Connection) -> list[OwnKey]:
    """Returns this node's keys, the newest generation first."""
    query = sa.select(own_keys).order_by(
        own_keys.c.generation.desc(), own_keys.c.suite, own_keys.c.use.desc()
    )
    fields = OwnKey.__struct_fields__
    return [OwnKey(*(getattr(r, f) for f in fields)) for r in db.execute(query)]


def get(db: sa.Connection, number: int, *, lock: bool = False) -> Member | None:
    """Returns a member with its keys; for change with ``lock``."""
    return _one(db, members.c.id == number, lock=lock)


def find(db: sa.Connection, uscc: str, *, lock: bool = False) -> Member | None:
    """Returns the member of a USCC with its keys."""
    return _one(db, members.c.uscc == uscc, lock=lock)


def find_by_key(db: sa.Connection, key: str) -> Member | None:
    """Returns the member that has a key."""
    row = db.execute(sa.select(keys.c.member).where(keys.c.id == key)).one_or_none()
    return None if row is None else get(db, row.member)


def read_members(
    db: sa.Connection, wanted: Search = ALL, after: int = 0, limit: int | None = None
) -> list[Member]:
    """Returns members by number, with their keys."""
    numbers = sa.select(members.c.id).where(members.c.id > after, *_matching(wanted))
    numbers = numbers.order_by(members.c.id).limit(limit)
    held: dict[int, list[Key]] = {}
    theirs = sa.select(keys).where(keys.c.member.in_(numbers))
    for row in db.execute(theirs.order_by(keys.c.not_before, keys.c.id)):
        held.setdefault(row.member, []).append(_key(row))
    rows = db.execute(sa.select(members).where(members.c.id.in_(numbers)).order_by(members.c.id))
    return [_member(r, held.get(r.id, ())) for r in rows]


def count_members(db: sa.Connection, wanted: Search = ALL) -> int:
    """Returns how many members a search finds."""
    query = sa.select(sa.func.count()).select_from(members).where(*_matching(wanted))
    return db.execute(query).scalar_one()


def write(db: sa.Connection, member: Member) -> None:
    """Writes a member as a whole, its keys too, in place of the one of this USCC."""
    fields = (f for f in Member.__struct_fields__ if f not in ("id", "profile", "keys"))
    put(db, member.profile, {f: getattr(member, f) for f in fields}, member.keys)
    for key in member.keys:
        change_key(db, key.id, not_before=key.not_before, not_after=key.not_after)
        change_key(db, key.id, revoked_at=key.revoked_at, why=key.why)


def put(db: sa.Connection, profile: Profile, values: dict[str, Any], held: Iterable[Key]) -> int:
    """Writes a member that joins, in place of one that was there; returns its number."""
    row = {f: getattr(profile, f) for f in Profile.__struct_fields__} | values
    before = find(db, profile.uscc, lock=True)
    if before is None:
        made = db.execute(sa.insert(members).values(**row)).inserted_primary_key
        if made is None:
            raise RuntimeError("an inserted member has a number")
        number = int(made[0])
    else:
        number = before.id
        db.execute(sa.update(members).where(members.c.id == number).values(**row))
    add_keys(db, number, held)
    return number


def add_keys(db: sa.Connection, number: int, held: Iterable[Key]) -> None:
    """Adds keys of a member; a key that is there already stays as it is."""
    for key in held:
        there = db.execute(sa.select(keys.c.member).where(keys.c.id == key.id)).one_or_none()
        if there is None:
            values = {f: getattr(key, f) for f in Key.__struct_fields__}
            db.execute(sa.insert(keys).values(member=number, **values))


def update(db: sa.Connection, number: int, **values: object) -> None:
    """Changes a member."""
    db.execute(sa.update(members).where(members.c.id == number).values(**values))


def change_key(db: sa.Connection, key: str, **values: object) -> None:
    """Changes a key of a member."""
    db.execute(sa.update(keys).where(keys.c.id == key).values(**values))


def revoke_key(db: sa.Connection, key: str, since: int, why: str) -> None:
    """Revokes a key of a member; a roster that was taken under it has to be asked for anew."""
    change_key(db, key, revoked_at=since, why=why)
    db.execute(sa.update(rosters).where(rosters.c.key == key).values(checked_at=0))


def change_own_key(db: sa.Connection, key: str, **values: object) -> None:
    """Changes what is written down of one of this node's own keys."""
    db.execute(sa.update(own_keys).where(own_keys.c.id == key).values(**values))


def read_invitations(db: sa.Connection, now: int, limit: int) -> list[Invitation]:
    """Returns invitations, the newest first."""
    query = sa.select(invitations).order_by(invitations.c.id.desc()).limit(limit)
    return [invitation(row, now) for row in db.execute(query)]


def invitation(row: Any, now: int) -> Invitation:
    """Returns a row as what may be shown of it."""
    state = "expired" if row.state == "open" and row.expires_at <= now else row.state
    fields = (row.id, row.uscc, row.name, row.suite, row.made_at, row.made_by, row.expires_at)
    return Invitation(*fields, state)


def _matching(wanted: Search) -> list[sa.ColumnElement[bool]]:
    t, found = members.c, []
    if wanted.words:
        words = wanted.words.lower()
        columns = (t.name, t.uscc, t.code)
        found.append(sa.or_(*(sa.func.lower(c).contains(words, autoescape=True) for c in columns)))
    if wanted.region:
        found.append(t.region.startswith(wanted.region, autoescape=True))
    if wanted.state:
        found.append(t.state == wanted.state)
    return found


def _one(db: sa.Connection, condition: Any, *, lock: bool) -> Member | None:
    query = sa.select(members).where(condition)
    row = db.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        return None
    held = db.execute(sa.select(keys).where(keys.c.member == row.id).order_by(keys.c.not_before))
    return _member(row, [_key(k) for k in held])


def _member(row: Any, held: Iterable[Key]) -> Member:
    profile = Profile(*(getattr(row, f) for f in Profile.__struct_fields__))
    fields = (f for f in Member.__struct_fields__ if f not in ("profile", "keys"))
    return Member(**{f: getattr(row, f) for f in fields}, profile=profile, keys=tuple(held))


def _key(row: Any) -> Key:
    return Key(*(getattr(row, f) for f in Key.__struct_fields__))
