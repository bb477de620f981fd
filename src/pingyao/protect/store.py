"""Tables of the end of data: persons, clocks, cases, statements, assessments; and their queries."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from pingyao.kernel.errors import Conflict, NotFound
from pingyao.platform.crypto.release import person as plain
from pingyao.platform.db import explain
from pingyao.protect.assessment_model import Assessment, Statement
from pingyao.protect.lifecycle_model import Case, Clock, Person

metadata = sa.MetaData()
persons = sa.Table(
    "protect_person",
    metadata,
    # The name as names are compared.
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("public_key", sa.Text, nullable=False, unique=True),
    sa.Column("body", sa.Text, nullable=False),
)
clocks = sa.Table(
    "protect_clock",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("schema_name", sa.Text, nullable=False),
    sa.Column("table_name", sa.Text, nullable=False),
    sa.Column("trigger_name", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.UniqueConstraint("source", "schema_name", "table_name", "trigger_name"),
)
cases = sa.Table(
    "protect_case",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("source", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
statements = sa.Table(
    "protect_statement",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("system", sa.Text, nullable=False, index=True),
    sa.Column("body", sa.Text, nullable=False),
)
assessments = sa.Table(
    "protect_assessment",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("system", sa.Text, nullable=False, index=True),
    sa.Column("body", sa.Text, nullable=False),
)


@contextmanager
def explained() -> Generator[None]:
    """Says what a driver's error means, without its text."""
    try:
        yield
    except DBAPIError as error:
        raise explain(error) from None


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def save_person(db: sa.Connection, person: Person) -> None:
    """Adds somebody, or changes roles and standing of who is there under the same key.

    Raises:
        Conflict: the name has another key, or the key another name.
    """
    held = find_person(db, person.name)
    if held is not None and held.public_key != person.public_key and held.active:
        raise Conflict(
            "lifecycle.other_key",
            f"{person.name} 已登记另一把密钥",
            "更换密钥前，请先由登记人停用原密钥（person retire）",
        )
    row = {"id": plain(person.name), "public_key": person.public_key, "body": _json(person)}
    try:
        with db.begin_nested():
            db.execute(sa.delete(persons).where(persons.c.id == row["id"]))
            db.execute(sa.insert(persons).values(**row))
    except IntegrityError:
        raise Conflict(
            "lifecycle.key_taken", "这把密钥已登记在另一人名下", "每人须用自己的密钥"
        ) from None


def find_person(db: sa.Connection, name: str) -> Person | None:
    """Returns who is registered under a name."""
    body = db.execute(sa.select(persons.c.body).where(persons.c.id == plain(name))).scalar()
    return None if body is None else msgspec.json.decode(body, type=Person)


def read_persons(db: sa.Connection) -> list[Person]:
    """Returns everybody registered."""
    query = sa.select(persons.c.body).order_by(persons.c.id)
    return [msgspec.json.decode(b, type=Person) for b in db.execute(query).scalars()]


def save_clock(db: sa.Connection, clock: Clock) -> None:
    """Puts a clock in place of the one before for the same table and trigger."""
    named = {
        "source": clock.source,
        "schema_name": clock.schema,
        "table_name": clock.table,
        "trigger_name": clock.trigger,
    }
    db.execute(sa.delete(clocks).where(*[clocks.c[n] == v for n, v in named.items()]))
    db.execute(sa.insert(clocks).values(**named, body=_json(clock)))


def read_clocks(db: sa.Connection) -> list[Clock]:
    """Returns every clock."""
    query = sa.select(clocks.c.body).order_by(clocks.c.id)
    return [msgspec.json.decode(b, type=Clock) for b in db.execute(query).scalars()]


def add_case(db: sa.Connection, case: Case) -> None:
    """Adds a case."""
    kind = "export" if case.id.startswith("EX") else "destruction"
    db.execute(
        sa.insert(cases).values(
            id=case.id, kind=kind, source=case.body.source, version=0, body=_json(case)
        )
    )


def find_case(db: sa.Connection, id_: str) -> tuple[Case, int]:
    """Returns a case and its version.

    Raises:
        NotFound: no such case.
    """
    query = sa.select(cases.c.body, cases.c.version).where(cases.c.id == id_.strip().upper())
    row = db.execute(query).one_or_none()
    if row is None:
        raise NotFound(
            "lifecycle.no_case",
            f"没有编号为 {id_[:40]} 的申请",
            "pingyao lifecycle cases 可查看全部",
        )
    return msgspec.json.decode(row.body, type=Case), row.version


def save_case(db: sa.Connection, case: Case, seen: int) -> None:
    """Puts a case in place of the version somebody saw.

    Raises:
        Conflict: somebody else acted meanwhile.
    """
    statement = sa.update(cases).where(cases.c.id == case.id, cases.c.version == seen)
    if db.execute(statement.values(body=_json(case), version=seen + 1)).rowcount != 1:
        raise Conflict(
            "lifecycle.moved_on", f"{case.id} 刚由他人办理过", "请以 show 查看现状后再试"
        )


def read_cases(db: sa.Connection, kind: str = "", source: str = "") -> list[Case]:
    """Returns cases, oldest first."""
    query = sa.select(cases.c.body).order_by(cases.c.id)
    if kind:
        query = query.where(cases.c.kind == kind)
    if source:
        query = query.where(cases.c.source == source)
    return [msgspec.json.decode(b, type=Case) for b in db.execute(query).scalars()]


def add_statements(db: sa.Connection, system: str, given: Sequence[Statement]) -> None:
    """Adds what persons state; what they stated before stays."""
    if given:
        db.execute(sa.insert(statements), [{"system": system, "body": _json(s)} for s in given])


def read_statements(db: sa.Connection, system: str) -> dict[str, Statement]:
    """Returns the latest statement of each control."""
    query = sa.select(statements.c.body).where(statements.c.system == system)
    found = db.execute(query.order_by(statements.c.id)).scalars()
    listed = [msgspec.json.decode(b, type=Statement) for b in found]
    return {s.control: s for s in listed}


def add_assessment(db: sa.Connection, assessment: Assessment) -> None:
    """Adds an assessment; those before stay."""
    db.execute(sa.insert(assessments).values(system=assessment.system, body=_json(assessment)))


def last_assessment(db: sa.Connection, system: str) -> Assessment | None:
    """Returns the latest assessment of a system."""
    query = sa.select(assessments.c.body).where(assessments.c.system == system)
    body = db.execute(query.order_by(assessments.c.id.desc()).limit(1)).scalar()
    return None if body is None else msgspec.json.decode(body, type=Assessment)
