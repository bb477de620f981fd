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
