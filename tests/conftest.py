"""Database servers and real schemas, shared by all tests."""

import re
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Tests are imported without touching the search path; this one neighbour is needed by name.
sys.path.insert(0, str(Path(__file__).parent))

import servers

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
MALL = SHARED / "schemas" / "mall.sql"


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing a test starts writes into the home of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))
        yield


@pytest.fixture
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with the least of memory and time: what it costs is not what is tested."""
    from argon2 import PasswordHasher

    from pingyao.platform.identity import passwords

    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", lambda: hasher)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[servers.Server]:
    """A PostgreSQL server of this test process alone."""
    try:
        with servers.postgresql() as server:
            yield server
    except servers.Absent as absent:
        pytest.skip(f"PostgreSQL is not installed ({absent})")


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[servers.Server]:
    """A MariaDB server of this test process alone."""
    try:
        with servers.mariadb() as server:
            yield server
    except servers.Absent as absent:
        pytest.skip(f"MariaDB is not installed ({absent})")


@pytest.fixture(scope="session")
def run_postgresql(postgresql_server: servers.Server) -> Callable[..., None]:
    """Runs SQL as superuser in a database of the PostgreSQL server."""
    import psycopg

    def run(database: str, *statements: str) -> None:
        url = postgresql_server.url(database)
        with psycopg.connect(url, autocommit=True, client_encoding="UTF8") as connection:
            for statement in statements:
                connection.execute(statement.encode())

    return run


@pytest.fixture(scope="session")
def run_mariadb(mariadb_server: servers.Server) -> Callable[..., None]:
    """Runs SQL as superuser in a database of the MariaDB server."""
    import pymysql
    from pymysql.constants import CLIENT

    def run(database: str, *statements: str) -> None:
        with (
            pymysql.connect(
                host="127.0.0.1",
                port=mariadb_server.port,
                user=mariadb_server.user,
                password=mariadb_server.password.encode(),
                database=database,
                charset="utf8mb4",
                autocommit=True,
                client_flag=CLIENT.MULTI_STATEMENTS,
            ) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
                while cursor.nextset():
                    pass

    return run


@pytest.fixture
def postgresql_database(run_postgresql: Callable[..., None]) -> Iterator[str]:
    """The name of an empty PostgreSQL database."""
    name = f"t_{uuid.uuid4().hex}"
    run_postgresql("postgres", f"CREATE DATABASE {name}")
    yield name
    run_postgresql("postgres", f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def mariadb_database(run_mariadb: Callable[..., None]) -> Iterator[str]:
    """The name of an empty MariaDB database."""
    name = f"t_{uuid.uuid4().hex}"
    run_mariadb("mysql", f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield name
    run_mariadb("mysql", f"DROP DATABASE {name}")


@pytest.fixture(scope="session")
def mall_mariadb_url(
    mariadb_server: servers.Server, run_mariadb: Callable[..., None]
) -> Iterator[str]:
    """The address of the mall schema with its rows in MariaDB."""
    dump = _mall()
    run_mariadb("mysql", "CREATE DATABASE mall CHARACTER SET utf8mb4")
    run_mariadb("mall", dump)
    yield mariadb_server.url("mall")
    run_mariadb("mysql", "DROP DATABASE mall")


@pytest.fixture(scope="session")
def mall_postgresql_url(
    postgresql_server: servers.Server, run_postgresql: Callable[..., None]
) -> Iterator[str]:
    """The address of the mall schema with its rows and comments in PostgreSQL."""
    statements = list(_as_postgresql(_mall()))
    run_postgresql("postgres", "CREATE DATABASE mall")
    run_postgresql("mall", *statements)
    yield postgresql_server.url("mall")
    run_postgresql("postgres", "DROP DATABASE mall WITH (FORCE)")


def _mall() -> str:
    if not MALL.exists():
        pytest.skip("shared data (schemas/mall.sql) is absent")
    return MALL.read_text(encoding="utf-8")


_TYPES = {
    "bigint": "bigint",
    "int": "integer",
    "datetime": "timestamp",
    "varbinary": "bytea",
    "text": "text",
    "date": "date",
    "time": "time",
}
_STRING = r"'(?:[^'\\]|\\.|'')*'"


def _as_postgresql(dump: str) -> Iterator[str]:
    """Yields the statements of a Navicat dump of MySQL as PostgreSQL understands them."""
    table = ""
    columns: list[str] = []
    comments: list[str] = []
    for line in dump.splitlines():
        if created := re.match(r"CREATE TABLE `(\w+)`", line):
            table, columns, comments = created[1], [], []
        elif table and (column := re.match(r"  `(\w+)` (\w+)(\([\d, ]+\))?(.*)", line)):
            name, kind, size, rest = column.groups()
            columns.append(f'"{name}" {_TYPES.get(kind) or kind + (size or "")}')
            if said := re.search(rf"COMMENT ({_STRING})", rest):
                comments.append(f'COMMENT ON COLUMN "{table}"."{name}" IS E{said[1]}')
        elif table and line.startswith(")"):
            yield f'CREATE TABLE "{table}" ({", ".join(columns)})'
            yield from comments
            if said := re.search(rf"COMMENT = ({_STRING})", line):
                yield f'COMMENT ON TABLE "{table}" IS E{said[1]}'
            table = ""
        elif inserted := re.match(r"INSERT INTO `(\w+)` VALUES (.*);$", line):
            values = re.sub(_STRING, lambda found: "E" + found[0], inserted[2])
            yield f'INSERT INTO "{inserted[1]}" VALUES {values}'
