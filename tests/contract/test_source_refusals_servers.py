"""Servers that refuse, hang, lock and surprise."""

import socket
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest

from pingyao.classify.model import Table
from pingyao.classify.sources import limits
from pingyao.classify.sources.credentials import parse_address
from pingyao.classify.sources.mysql import MySQL, _tls, open_mysql
from pingyao.classify.sources.postgresql import PostgreSQL, open_postgresql
from pingyao.kernel.errors import PingyaoError

SECRET = "s3cret"
HASTY = limits.Patience(connect=2, lock=1, catalogue=20, table=1)
OPENERS = {"postgresql": open_postgresql, "mariadb": open_mysql}


@pytest.fixture(params=sorted(OPENERS))
def family(request: pytest.FixtureRequest) -> str:
    """Each kind of server."""
    return request.param


@pytest.fixture
def server(family: str, request: pytest.FixtureRequest) -> Any:
    """The server of the kind."""
    return request.getfixturevalue(f"{family}_server")


@pytest.fixture
def database(family: str, request: pytest.FixtureRequest) -> str:
    """An empty database on it."""
    return request.getfixturevalue(f"{family}_database")


@pytest.fixture
def run(family: str, database: str, request: pytest.FixtureRequest) -> Callable[..., None]:
    """Runs SQL in that database."""
    runner = request.getfixturevalue(f"run_{family}")
    return lambda *statements: runner(database, *statements)


def _table(source: PostgreSQL | MySQL, name: str) -> Table:
    return next(t for t in source.tables() if isinstance(t, Table) and t.name == name)


def _row(source: PostgreSQL | MySQL, name: str) -> list[object]:
    (batch,) = source.batches(_table(source, name))
    return [column.to_pylist()[0] for column in batch.columns]


def _refusal(family: str, url: str) -> PingyaoError:
    with pytest.raises(PingyaoError) as caught:
        OPENERS[family](url, HASTY)
    assert caught.value.remedy
    assert "s3cret" not in f"{caught.value.detail}{caught.value.remedy}"
    assert caught.value.__suppress_context__
    return caught.value


def test_a_wrong_password(family: str, server: Any, database: str):
    assert _refusal(family, server.url(database, password=SECRET)).code == "scan.wrong_password"


def test_an_unknown_user(family: str, server: Any, database: str):
    url = server.url(database, user="nobody_here", password=SECRET)
    assert _refusal(family, url).code == "scan.wrong_password"


def test_an_unknown_database(family: str, server: Any):
    assert _refusal(family, server.url("no_such_db")).code == "scan.no_such_database"


def test_a_closed_port(family: str):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    error = _refusal(family, f"x://u:s3cret@127.0.0.1:{port}/d")
    assert (error.code, error.retriable) == ("scan.unreachable", True)


def test_a_server_that_never_answers(family: str):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"x://u:s3cret@127.0.0.1:{silent.getsockname()[1]}/d"
        assert _refusal(family, url).code == "scan.unreachable"


def test_a_host_without_address(family: str):
    assert _refusal(family, "x://u:s3cret@host.invalid/d").code == "scan.unreachable"


def test_encryption_that_the_server_lacks(family: str, server: Any, database: str):
    url = server.url(database) + "?sslmode=verify-full"
    assert _refusal(family, url).code == "scan.tls_required"


@pytest.mark.parametrize(
    ("mode", "checks", "mode_of_certificates"),
    [
        ("require", False, ssl.CERT_NONE),
        ("verify-ca", False, ssl.CERT_REQUIRED),
        ("verify-full", True, ssl.CERT_REQUIRED),
    ],
)
def test_mysql_checks_of_the_certificate_what_was_asked(
    mode: str, checks: bool, mode_of_certificates: ssl.VerifyMode
):
    context = _tls(parse_address(f"mysql://h/d?sslmode={mode}", "mysql", 3306, {}))["ssl"]
    assert context.check_hostname is checks
    assert context.verify_mode is mode_of_certificates


def test_mysql_with_a_missing_certificate_file_does_not_connect(mariadb_server: Any):
    url = mariadb_server.url("mysql") + "?sslmode=verify-full&sslrootcert=/nonexistent.pem"
    assert _refusal("mariadb", url).code == "scan.tls_required"


def test_a_server_that_wants_encryption(
    postgresql_server: Any, postgresql_database: str, run_postgresql: Callable[..., None]
):
    run_postgresql(
        "postgres",
        "DO $$ BEGIN CREATE ROLE tls_only LOGIN PASSWORD 's3cret'; "
        "EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    )
    url = postgresql_server.url(postgresql_database, user="tls_only", password=SECRET)
    assert _refusal("postgresql", url).code in ("scan.tls_required", "scan.not_admitted")


def test_nothing_can_be_written(family: str, server: Any, database: str, run: Callable[..., None]):
    run("CREATE TABLE t (a INTEGER)")
    source = OPENERS[family](server.url(database))
    with source._connections.use() as connection:
        cursor = connection.cursor()
        with pytest.raises((psycopg.Error, pymysql.Error)) as caught:
            cursor.execute(
                "INSERT INTO t VALUES (1)" if family == "mariadb" else "DROP TABLE public.t"
            )
        assert "25006" in str(getattr(caught.value, "sqlstate", "")) or caught.value.args[0] == 1792
        if family == "postgresql":
            connection.rollback()
    source.close()


def test_a_table_without_permission_does_not_stop_the_others(
    family: str, server: Any, database: str, run: Callable[..., None]
):
    run("CREATE TABLE mine (a INTEGER)", "CREATE TABLE theirs (a INTEGER)")
    user = f"r_{database[2:14]}"
    if family == "postgresql":
        run(f"CREATE ROLE {user} LOGIN PASSWORD '{SECRET}'", f"GRANT SELECT ON mine TO {user}")
    else:
        run(f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY '{SECRET}'")
        run(f"GRANT SELECT ON {database}.mine TO {user}@'127.0.0.1'")
    source = OPENERS[family](server.url(database, user=user, password=SECRET))
    mine = _table(source, "mine")
    theirs = Table(mine.schema, "theirs", columns=mine.columns)
    with pytest.raises(PingyaoError) as caught:
        list(source.batches(theirs))
    assert caught.value.code == "scan.not_permitted"
    assert list(source.batches(mine)) == []
    source.close()
    if family == "postgresql":
        run(f"DROP OWNED BY {user}", f"DROP ROLE {user}")
    else:
        run(f"DROP USER {user}@'127.0.0.1'")


def test_a_locked_table_is_given_up_after_a_while(
    family: str, server: Any, database: str, run: Callable[..., None]
):
    run("CREATE TABLE held (a INTEGER)", "CREATE TABLE free (a INTEGER)")
    patience = limits.Patience(lock=1)
    source = OPENERS[family](server.url(database), patience)
    held, free = _table(source, "held"), _table(source, "free")
    parts = urlsplit(server.url(database))
    if family == "postgresql":
        writer: Any = psycopg.connect(server.url(database))
        writer.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
    else:
        writer = pymysql.connect(
            host="127.0.0.1",
            port=parts.port or 0,
            user=server.user,
            password=server.password.encode(),
            database=database,
        )
        writer.cursor().execute("LOCK TABLES held WRITE")
    with pytest.raises(PingyaoError) as caught:
        list(source.batches(held))
    assert (caught.value.code, caught.value.retriable) == ("scan.locked", True)
    assert list(source.batches(free)) == []
    writer.close()
    source.close()


def test_a_view_without_end_is_stopped(
    family: str, server: Any, database: str, run: Callable[..., None]
):
    pause = "pg_sleep(60)::text" if family == "postgresql" else "sleep(60)"
    run(f"CREATE VIEW slow AS SELECT {pause} AS a", "CREATE TABLE t (a INTEGER)")
    source = OPENERS[family](server.url(database), HASTY)
    with pytest.raises(PingyaoError) as caught:
        list(source.batches(_table(source, "slow")))
    assert caught.value.code == "scan.timed_out"
    assert list(source.batches(_table(source, "t"))) == []
    source.close()


def test_postgresql_delivers_what_it_alone_has(
    postgresql_server: Any, postgresql_database: str, run_postgresql: Callable[..., None]
):
    run_postgresql(
        postgresql_database,
        "CREATE DOMAIN 证件 AS varchar(18)",
        "CREATE TYPE 状态 AS ENUM ('正常', '冻结')",
        "CREATE TABLE odd (a jsonb, b uuid, c text[], d interval, e 证件, f 状态, g numeric, "
        "h numeric(5,1), i date, j timestamptz, k boolean, l real, m time, n inet, o bit(3), p xml, "
        "q character(4), r timestamp, s timestamp(3))",
        """INSERT INTO odd VALUES ('{"a": "b,c"}', '00000000-0000-0000-0000-000000000001',
        ARRAY['x', NULL], '1 day', '11010119900307123X', '冻结', 12345678901234567890.123456789,
        'NaN', 'infinity', '2024-01-01 08:00:00+08', true, 'Infinity', '01:02:03', '10.0.0.1',
        B'101', '<a/>', 'ab', '2024-05-06 07:08:09.123456', '2024-05-06 07:08:09.5')""",
    )
    source = open_postgresql(postgresql_server.url(postgresql_database))
    row = list(map(str, _row(source, "odd")))
    assert row == [
        *('{"a": "b,c"}', "00000000-0000-0000-0000-000000000001", "{x,NULL}", "1 day"),
        *("11010119900307123X", "冻结", "12345678901234567890.123456789", "None", "9999-12-31"),
        *("2024-01-01 00:00:00", "True", "inf", "01:02:03", "10.0.0.1", "101", "<a/>", "ab"),
        *("2024-05-06 07:08:09.123456", "2024-05-06 07:08:09.500000"),
    ]
    types = {c.name: c.declared_type for c in _table(source, "odd").columns}
    assert (types["h"], types["q"]) == ("numeric(5,1)", "character(4)")
    source.close()


def test_postgresql_lists_every_kind_of_relation_once(
    postgresql_server: Any, postgresql_database: str, run_postgresql: Callable[..., None]
):
    run_postgresql(
        postgresql_database,
        "CREATE SCHEMA s2",
        "CREATE TABLE s2.part (a integer) PARTITION BY RANGE (a)",
        "CREATE TABLE s2.part_1 PARTITION OF s2.part FOR VALUES FROM (0) TO (10)",
        "INSERT INTO s2.part VALUES (1), (2)",
        "CREATE MATERIALIZED VIEW mat AS SELECT * FROM s2.part",
        "CREATE TABLE nothing ()",
        "INSERT INTO nothing DEFAULT VALUES",
        "CREATE TABLE trimmed (a integer, b integer)",
        "ALTER TABLE trimmed DROP COLUMN a",
    )
    source = open_postgresql(postgresql_server.url(postgresql_database))
    tables = {t.name: t for t in source.tables() if isinstance(t, Table)}
    assert list(tables) == ["mat", "nothing", "trimmed", "part"]
    counts = {n: sum(b.num_rows for b in source.batches(t)) for n, t in tables.items()}
    assert counts == {"mat": 2, "nothing": 0, "trimmed": 0, "part": 2}
    assert [c.name for c in tables["trimmed"].columns] == ["b"]
    source.close()
    only = open_postgresql(postgresql_server.url(postgresql_database) + "?schema=s2,none")
    assert [t.name for t in only.tables() if isinstance(t, Table)] == ["part"]
    only.close()


def test_postgresql_text_that_never_declared_its_encoding(
    postgresql_server: Any, run_postgresql: Callable[..., None]
):
    name = "undeclared_encoding"
    run_postgresql(
        "postgres",
        f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0",
    )
    url = postgresql_server.url(name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(b"CREATE TABLE t (a text)")
        connection.execute(b"INSERT INTO t VALUES (E'\\xd5\\xc5\\xc8\\xfd')")
    source = open_postgresql(url)
    assert _row(source, "t") == ["张三"]
    source.close()
    run_postgresql("postgres", f"DROP DATABASE {name} WITH (FORCE)")


def test_mariadb_delivers_what_it_alone_has(
    mariadb_server: Any, mariadb_database: str, run_mariadb: Callable[..., None]
):
    run_mariadb(
        mariadb_database,
        "SET sql_mode = ''; CREATE TABLE odd (a json, b enum('正常','冻结'), c set('x','y'), "
        "d bit(3), e date, f datetime, g bigint unsigned, h time, i year, j point, "
        "k varchar(10) character set gbk, l decimal(50,1), m float, n tinyint(1), o uuid, "
        "p datetime(6), q double, r decimal(9,0)); "
        """INSERT INTO odd VALUES ('{"a": 1}', '冻结', 'x,y', 5, '0000-00-00', '2024-00-10',
        18446744073709551615, '-99:00:01', 2024, ST_GeomFromText('POINT(1 2)'), '张"三',
        12345678901234567890123456789012345678901234.5, 1.5, 1,
        '00000000-0000-0000-0000-000000000001', '2024-05-06 07:08:09.123456', 1e300, 7)""",
    )
    source = open_mysql(mariadb_server.url(mariadb_database))
    assert list(map(str, _row(source, "odd"))) == [
        *('{"a": 1}', "冻结", "x,y", "5", "None", "None", "18446744073709551615"),
        *("-99:00:01", "2024", "POINT(1 2)", '张"三'),
        *("12345678901234567890123456789012345678901234.5", "1.5", "1"),
        *("00000000-0000-0000-0000-000000000001", "2024-05-06 07:08:09.123456", "1e+300", "7"),
    ]
    source.close()


def test_mariadb_without_a_database_lists_all_but_the_servers_own(
    mariadb_server: Any, mariadb_database: str, run_mariadb: Callable[..., None]
):
    run_mariadb(mariadb_database, "CREATE TABLE t (a INTEGER)")
    source = open_mysql(mariadb_server.url(""))
    schemas = {t.schema for t in source.tables() if isinstance(t, Table)}
    assert mariadb_database in schemas
    assert not schemas & {"mysql", "sys", "information_schema", "performance_schema"}
    source.close()
