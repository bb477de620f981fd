"""Addresses of database servers, and passwords that stay out of sight."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from pingyao.classify.sources.failures import failure

PASSWORD = "PINGYAO_SOURCE_PASSWORD"
PASSWORD_FILE = "PINGYAO_SOURCE_PASSWORD_FILE"
PASSWORD_FILE_BYTES = 4096
TLS_MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")
_OPTIONS = {"schema", "sslmode", "sslrootcert"}


class Address(msgspec.Struct, frozen=True):
    """Where a database server is and who asks.

    Attributes:
        password: None when the native client's own means apply.
        schemas: schemas to scan; empty for all of the users'.
        tls: one of `TLS_MODES`, as libpq understands them.
        tls_root: file of trusted certificates, empty for none.
    """

    scheme: str
    host: str
    port: int
    user: str
    password: str | None
    database: str
    schemas: tuple[str, ...] = ()
    tls: str = "prefer"
    tls_root: str = ""

    @property
    def name(self) -> str:
        """The name the source goes by: no account, so that it stays when the account changes."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}/{self.database}".rstrip("/")

    def __repr__(self) -> str:
        return f"Address({self.name!r})"


def parse_address(
    url: str, scheme: str, port: int, environment: Mapping[str, str] = os.environ
) -> Address:
    """Reads the address of a server, and its password from where it is kept.

    The password comes from the variable ``PINGYAO_SOURCE_PASSWORD``, else from the file that
    ``PINGYAO_SOURCE_PASSWORD_FILE`` names, else from the URL.

    Args:
        url: e.g. ``postgresql://user@host:5432/db?schema=a,b&sslmode=require``.
        scheme: the one that results, whatever synonym the URL uses.
        port: used when the URL has none.
        environment: where the variables are looked up.

    Raises:
        PingyaoError: ``scan.bad_url`` or one of the ``scan.password_file_…``.
    """
    try:
        parts = urlsplit(url)
        options = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        port = parts.port or port
    except ValueError:
        raise failure("scan.bad_url", "不是合法的 URL") from None
    if not parts.hostname:
        raise failure("scan.bad_url", "缺少主机名")
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise failure("scan.bad_url", f"不认识的参数 {unknown[0]}")
    tls = options.get("sslmode", ["prefer"])[-1]
    if tls not in TLS_MODES:
        raise failure("scan.bad_url", f"sslmode 只能是 {'、'.join(TLS_MODES)}")
    database = unquote(parts.path.lstrip("/"))
    if "\0" in database or "\0" in unquote(parts.username or ""):
        raise failure("scan.bad_url", "含有空字符")
    password = kept_password(environment)
    if password is None and parts.password is not None:
        password = unquote(parts.password)
    return Address(
        scheme=scheme,
        host=parts.hostname,
        port=port,
        user=unquote(parts.username or ""),
        password=password,
        database=database,
        schemas=tuple(filter(None, options.get("schema", [""])[-1].split(","))),
        tls=tls,
        tls_root=options.get("sslrootcert", [""])[-1],
    )


def kept_password(environment: Mapping[str, str] = os.environ) -> str | None:
    """Returns the password from the environment or the file it names, None when there is none."""
    if PASSWORD in environment:
        return environment[PASSWORD]
    if not environment.get(PASSWORD_FILE):
        return None
    try:
        with Path(environment[PASSWORD_FILE]).open("rb") as file:
            exposed = os.fstat(file.fileno()).st_mode & (stat.S_IROTH | stat.S_IWOTH)
            content = file.read(PASSWORD_FILE_BYTES + 1)
    except OSError:
        raise failure("scan.password_file_missing") from None
    if exposed:
        raise failure("scan.password_file_exposed")
    try:
        password = content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        password = ""
    if not password or len(content) > PASSWORD_FILE_BYTES or "\n" in password:
        raise failure("scan.password_file_invalid")
    return password
