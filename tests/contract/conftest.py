"""What the contract tests share."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import servers
from pingyao.app.migrations import migrate
from pingyao.platform.db import open_engine


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
