"""Throwaway database servers for the tests: own data directory, loopback only, gone afterwards."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

START_SECONDS = 90
"""Patience for a server on a busy machine; a healthy one is up in two."""


class Absent(Exception):
    """The server's programs are not installed."""


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        port: TCP port on 127.0.0.1.
        directory: its temporary home, where a test may put files the server reads.
        user: superuser.
        password: of the superuser.
        scheme: of its addresses.
    """

    port: int
    directory: Path
    user: str
    password: str
    scheme: str

    def url(self, database: str, user: str = "", password: str | None = None) -> str:
        """Returns the address of a database, with the password in it."""
        secret = quote(self.password if password is None else password, safe="")
        return (
            f"{self.scheme}://{user or self.user}:{secret}@127.0.0.1:{self.port}/{quote(database)}"
        )


def _program(name: str, *folders: str) -> str:
    """Returns the path of a server program, which Debian keeps off the search path."""
    candidates = [Path(folder) / name for folder in folders]
    found = next((str(each) for each in candidates if each.exists()), shutil.which(name))
    if found is None:
        raise Absent(name)
    return found


def _unprivileged(*, death: str) -> list[str]:
    """Returns the prefix under which a server runs: never as root, never outliving the tests."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        if os.geteuid() == 0:
            raise Absent("setpriv")
        return []
    prefix = [setpriv, "--pdeathsig", death]
    if os.geteuid() == 0:
        prefix += ["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
    return [*prefix, "--"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _home(prefix: str) -> Iterator[Path]:
    """Yields a directory the server's user owns; short, because socket paths are at most 107 bytes."""
    home = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        if os.geteuid() == 0:
            shutil.chown(home, "nobody", "nogroup")
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _prepare(home: Path, *command: str) -> None:
    """Runs the program that lays out a data directory.

    Raises:
        RuntimeError: with what the program said.
    """
    done = subprocess.run(command, capture_output=True, cwd=home, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace")
        raise RuntimeError(f"{command} failed with {done.returncode}:\n{said}")


@contextmanager
def _running(command: list[str], log: Path, answers: Callable[[], bool]) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=log.parent)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"{command[0]} did not start:\n{log.read_text(errors='replace')}"
                )
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _postgresql_programs() -> Path:
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    return Path(_program("initdb", *(str(path.parent) for path in reversed(versions)))).parent


@contextmanager
def postgresql() -> Iterator[Server]:
    """Starts PostgreSQL with password authentication.

    The role ``tls_only``, if a test creates it, is only let in over TLS, which the server lacks.

    Raises:
        Absent: when PostgreSQL is not installed.
    """
    import psycopg

    programs = _postgresql_programs()
    prefix = _unprivileged(death="INT")
    with _home("pingyao-pg-") as home:
        data, secret = home / "data", home / "password"
        user, password = "postgres", "Pg-test-口令'1"
        secret.write_text(password, encoding="utf-8")
        secret.chmod(0o644)
        _prepare(
            home,
            *(*prefix, str(programs / "initdb"), "--pgdata", str(data), "--username", user),
            *("--pwfile", str(secret), "--auth", "scram-sha-256", "--encoding", "UTF8"),
            *("--locale", "C", "--no-sync"),
        )
        rules = data / "pg_hba.conf"
        rules.write_text(
            "hostssl all tls_only 127.0.0.1/32 scram-sha-256\n"
            "host all tls_only 127.0.0.1/32 reject\n" + rules.read_text(encoding="utf-8"),
            encoding="utf-8",
        )
        port = _free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(home),
            "fsync": "off",
            "full_page_writes": "off",
            "autovacuum": "off",
            "max_connections": "40",
        }
        command = [*prefix, str(programs / "postgres"), "-D", str(data), "-p", str(port)]
        command += [part for item in settings.items() for part in ("-c", "=".join(item))]

        def answers() -> bool:
            try:
                psycopg.connect(
                    host="127.0.0.1", port=port, user=user, password=password, dbname="postgres"
                ).close()
            except psycopg.OperationalError:
                return False
            return True

        with _running(command, home / "log", answers):
            yield Server(port, home, user, password, "postgresql")


@contextmanager
def mariadb(*options: str) -> Iterator[Server]:
    """Starts MariaDB with password authentication.

    Args:
        options: of the server, besides its own.

    Raises:
        Absent: when MariaDB is not installed.
    """
    import pymysql

    folders = ("/usr/sbin", "/usr/bin", "/usr/libexec")
    daemon, install = _program("mariadbd", *folders), _program("mariadb-install-db", *folders)
    prefix = _unprivileged(death="TERM")
    with _home("pingyao-my-") as home:
        data = home / "data"
        common = ["--no-defaults", f"--datadir={data}", "--innodb-buffer-pool-size=64M"]
        common += ["--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=0", *options]
        _prepare(
            home,
            *(*prefix, install, *common),
            *("--auth-root-authentication-method=normal", "--skip-test-db"),
        )
        user, password = "root", "My-test-口令'1"
        first = home / "first.sql"
        quoted = password.replace("'", "''")
        first.write_text(
            f"CREATE OR REPLACE USER 'root'@'127.0.0.1' IDENTIFIED BY '{quoted}';\n"
            "GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n",
            encoding="utf-8",
        )
        first.chmod(0o644)
        port = _free_port()
        command = [*prefix, daemon, *common, f"--port={port}", "--bind-address=127.0.0.1"]
        command += [f"--socket={home / 'socket'}", f"--init-file={first}", "--skip-name-resolve"]
        command += ["--character-set-server=utf8mb4", "--max-allowed-packet=256M"]

        def answers() -> bool:
            try:
                pymysql.connect(
                    host="127.0.0.1", port=port, user=user, password=password.encode()
                ).close()
            except pymysql.err.OperationalError:
                return False
            return True

        with _running(command, home / "log", answers):
            yield Server(port, home, user, password, "mysql")
