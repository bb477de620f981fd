"""What the contract tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pingyao.app.migrations import migrate
from pingyao.platform.db import open_engine


@pytest.fixture(params=["sqlite", "postgresql"])
def catalogue_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'c.db'}"
    else:
        server = request.getfixturevalue("postgresql_server")
        url = server.url(request.getfixturevalue("postgresql_database"))
    opened = open_engine(url, migrate)
    yield opened
    opened.dispose()


@pytest.fixture
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with the least of memory and time: what it costs is not what is tested."""
    from argon2 import PasswordHasher

    from pingyao.platform.identity import passwords

    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", lambda: hasher)
