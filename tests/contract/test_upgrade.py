"""A database of every earlier schema comes up to date with nothing lost; killed halfway, as if never begun."""

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from pingyao.app.migrations import NEWEST, migrate, shape_of, version_of
from pingyao.kernel.errors import Conflict
from pingyao.platform.db import open_engine


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: object) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/old.db"
    server = request.getfixturevalue("postgresql_server")
    return server.url(request.getfixturevalue("postgresql_database"))


def _value(column: sa.Column[Any], number: int) -> object:
    kind = column.type.python_type
    if kind is datetime:
        return datetime(2026, 1, number, tzinfo=UTC)
    if kind is str:  # what some step may read as JSON
        return str(number)
    return {bool: number % 2 == 0, bytes: bytes([number])}.get(kind, kind(number))


def _fill(db: sa.Connection, version: int) -> dict[str, list[dict[str, object]]]:
    """Puts three rows into every table there is."""
    filled = {}
    for table in shape_of(version).sorted_tables:
        rows = [{c.name: _value(c, n) for c in table.columns} for n in (1, 2, 3)]
        if table.name == "node_institution":
            rows = rows[:1]
        db.execute(sa.insert(table), rows)
        filled[table.name] = rows
    return filled


def _told(row: dict[str, object]) -> str:
    plain = {k: v.replace(tzinfo=None) if isinstance(v, datetime) else v for k, v in row.items()}
    return repr(plain)


@pytest.mark.parametrize("version", range(1, NEWEST))
def test_nothing_is_lost_from_an_earlier_schema(url: str, version: int) -> None:
    engine = open_engine(url, lambda db: migrate(db, version))
    with engine.begin() as db:
        filled = _fill(db, version)
    engine.dispose()
    engine = open_engine(url, migrate)
    shape = shape_of(NEWEST)
    with engine.connect() as db:
        assert version_of(db) == NEWEST
        for name, rows in filled.items():
            kept = db.execute(sa.select(shape.tables[name])).mappings().all()
            names = rows[0].keys() & shape.tables[name].columns.keys()
            assert names >= rows[0].keys() - {"key"}, name
            found = sorted(_told({k: r[k] for k in rows[0] if k in names}) for r in kept)
            assert found == sorted(_told({k: r[k] for k in r if k in names}) for r in rows), name
    engine.dispose()


_KILLED = """
import os, sys
import pingyao.app.migrations as m
from alembic import op
from pingyao.platform.db import open_engine

def dies():
    steps[-1]()
    os._exit(9)

steps = m._STEPS
m._STEPS = (*steps[:-1], dies)
open_engine(sys.argv[1], m.migrate)
"""


def test_killed_halfway_it_begins_again(url: str) -> None:
    engine = open_engine(url, lambda db: migrate(db, NEWEST - 1))
    with engine.begin() as db:
        _fill(db, NEWEST - 1)
    engine.dispose()
    done = subprocess.run([sys.executable, "-c", _KILLED, url], check=False)
    assert done.returncode == 9
    engine = open_engine(url, lambda _: None)
    with engine.connect() as db:
        assert version_of(db) == NEWEST - 1
        tables = set(sa.inspect(db).get_table_names()) - {"pingyao_schema"}
        assert tables == set(shape_of(NEWEST - 1).tables)
    engine.dispose()
    engine = open_engine(url, migrate)
    with engine.connect() as db:
        assert version_of(db) == NEWEST
    engine.dispose()


def test_a_newer_database_is_left_alone(url: str) -> None:
    engine = open_engine(url, migrate)
    with engine.begin() as db:
        db.execute(sa.text("update pingyao_schema set version = 999"))
    engine.dispose()
    with pytest.raises(Conflict) as refused:
        open_engine(url, migrate)
    assert refused.value.code == "db.newer"
