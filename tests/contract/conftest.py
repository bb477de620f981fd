"""What the contract tests share."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher

import circle
import servers
from circle import Party
from pingyao.app.migrations import migrate
from pingyao.platform.db import open_engine
from pingyao.platform.identity import passwords


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with every table and nothing in it, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "c.db"
    engine = open_engine(f"sqlite:///{path}", migrate)
    with engine.connect() as db:
        db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def migrated_database(
    postgresql_server: servers.Server, run_postgresql: Callable[..., None]
) -> Iterator[str]:
    """The name of a PostgreSQL database with every table and nothing in it, to be copied."""
    name = f"t_{uuid.uuid4().hex}"
    run_postgresql("postgres", f"CREATE DATABASE {name}")
    open_engine(postgresql_server.url(name), migrate).dispose()
    yield name
    run_postgresql("postgres", f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def copied_database(migrated_database: str, run_postgresql: Callable[..., None]) -> Iterator[str]:
    """The name of a PostgreSQL database of this test alone, with every table and nothing in it."""
    name = f"t_{uuid.uuid4().hex}"
    run_postgresql("postgres", f"CREATE DATABASE {name} TEMPLATE {migrated_database}")
    yield name
    run_postgresql("postgres", f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def catalogue_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    """A database of this test alone, with every table and nothing in it."""
    if request.param == "sqlite":
        shutil.copyfile(request.getfixturevalue("migrated_file"), tmp_path / "c.db")
        url = f"sqlite:///{tmp_path / 'c.db'}"
    else:
        server = request.getfixturevalue("postgresql_server")
        url = server.url(request.getfixturevalue("copied_database"))
    opened = open_engine(url, migrate)
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def found_circle(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], tuple[tuple[Party, ...], dict[bool, list[circle.Rows]]]]]:
    """Founds a centre, on SQLite or PostgreSQL, and two banks; gives how they were before and after joining."""
    known: dict[str, tuple[tuple[Party, ...], dict[bool, list[circle.Rows]]]] = {}
    with ExitStack() as stack:

        def found(kind: str) -> tuple[tuple[Party, ...], dict[bool, list[circle.Rows]]]:
            if kind in known:
                return known[kind]
            folder = tmp_path_factory.mktemp(kind)
            url = f"sqlite:///{folder / 'c.db'}"
            suites = ("international", "national")
            if kind == "postgresql":
                server = request.getfixturevalue("postgresql_server")
                run = request.getfixturevalue("run_postgresql")
                name = f"t_{uuid.uuid4().hex}"
                run("postgres", f"CREATE DATABASE {name}")  # and goes with the server
                url, suites = server.url(name), suites[::-1]
            engine = open_engine(url, migrate)
            stack.callback(engine.dispose)
            hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(passwords, "_hasher", lambda: hasher)
                banks = (circle.BANK, circle.OTHER)
                made = stack.enter_context(circle.circle(engine, folder, banks))
            before = [p.remember() for p in made]
            for bank, suite in zip(made[1:], suites, strict=True):
                circle.join(made[0], bank, suite)
            known[kind] = made, {False: before, True: [p.remember() for p in made]}
            return known[kind]

        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def parties(request: pytest.FixtureRequest, found_circle: Callable, quick_passwords: None):
    """A centre and two banks that do not know each other yet."""
    return _restored(*found_circle(request.param), joined=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def joined(request: pytest.FixtureRequest, found_circle: Callable, quick_passwords: None):
    """A centre and two banks it knows: the first in one suite on SQLite, in the other on PostgreSQL."""
    return _restored(*found_circle(request.param), joined=True)


@pytest.fixture
def introduced(joined: tuple[Party, ...]) -> tuple[Party, ...]:
    """Gives a centre and two banks, of different suites, that have taken its roster."""
    for bank in joined[1:]:
        assert circle.fetch(bank).error == ""
    return joined


def _restored(made: tuple[Party, ...], held: dict[bool, list[circle.Rows]], *, joined: bool):
    for party, rows in zip(made, held[joined], strict=True):
        party.restore(rows)
    return made
