"""Opens whatever a person names as a source."""

from pathlib import Path

from pingyao.classify.ports import Source
from pingyao.kernel.errors import NotFound, Unsupported

_CAN = "可扫描：postgresql://、mysql://、mariadb:// 地址，SQLite、DuckDB 文件，.sql 建表语句"
_SQL = (".sql", ".ddl")


def open_source(spec: str) -> Source:
    """Opens a source read-only by its address or path.

    Raises:
        NotFound: there is no such file.
        Unsupported: it is of a kind that cannot be scanned.
    """
    scheme, separator, rest = spec.partition("://")
    if separator:
        return _open_url(scheme.lower(), spec, rest)
    path = Path(spec)
    if not path.is_file():
        raise NotFound("scan.no_such_source", f"没有文件或目录 {path.name}", "请核对路径")
    return open_path(path)


def _open_url(scheme: str, spec: str, rest: str) -> Source:
    if scheme in ("postgresql", "postgres"):
        from pingyao.classify.sources.postgresql import open_postgresql

        return open_postgresql(spec)
    if scheme in ("mysql", "mariadb"):
        from pingyao.classify.sources.mysql import open_mysql

        return open_mysql(spec)
    if scheme in ("sqlite", "duckdb", "file"):
        return open_source(rest if not rest.startswith("/") or Path(rest).exists() else rest[1:])
    raise Unsupported("scan.unknown_scheme", f"不认识的数据源类型 {scheme[:20]}://", _CAN)


def open_path(path: Path) -> Source:
    """Opens a file or folder by its first bytes and its extension."""
    with path.open("rb") as file:
        head = file.read(16)
    suffix = path.suffix.lower()
    if head.startswith(b"SQLite format 3\0"):
        from pingyao.classify.sources.sqlite import open_sqlite

        return open_sqlite(path)
    if head[8:12] == b"DUCK":
        from pingyao.classify.sources.duckdb import open_duckdb

        return open_duckdb(path)
    if suffix in _SQL:
        from pingyao.classify.sources.ddl import open_ddl

        return open_ddl(path)
    raise Unsupported("scan.unknown_file", f"无法识别文件 {path.name} 的类型", _CAN)
