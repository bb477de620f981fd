"""Opens whatever a person names as a source."""

from pathlib import Path

from pingyao.classify.ports import Source
from pingyao.classify.sources.failures import failure, shown
from pingyao.kernel.errors import NotFound, Unsupported

_CAN = (
    "可扫描：postgresql://、mysql://、mariadb:// 地址，SQLite、DuckDB、CSV、Excel、Parquet、JSONL、文本、"
    ".docx 文件或放有它们的目录，.sql 建表语句"
)
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
    if not spec.strip() or not path.exists():
        raise NotFound(
            "scan.no_such_source", f"没有文件或目录 {shown(path.name)}".rstrip(), "请核对路径"
        )
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
    """Opens a file or folder by its first bytes and its extension.

    Raises:
        NotPermitted: it may not be read.
        Unsupported: it is of a kind that cannot be scanned.
    """
    if path.is_dir():
        from pingyao.classify.sources.folder import open_folder

        return open_folder(path, open_path)
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        raise failure("scan.file_not_permitted", path.name) from None
    return _by_head(path, head) or _by_suffix(path)


def _by_head(path: Path, head: bytes) -> Source | None:
    if head.startswith(b"SQLite format 3\0"):
        from pingyao.classify.sources.sqlite import open_sqlite

        return open_sqlite(path)
    if head[8:12] == b"DUCK":
        from pingyao.classify.sources.duckdb import open_duckdb

        return open_duckdb(path)
    if head.startswith(b"PAR1"):
        from pingyao.classify.sources.parquet import open_parquet

        return open_parquet(path)
    return None


def _by_suffix(path: Path) -> Source:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        suffix = Path(path.stem).suffix.lower()
    if suffix in (".sql", ".ddl"):
        from pingyao.classify.sources.ddl import open_ddl

        return open_ddl(path)
    if suffix in (".xlsx", ".xls", ".xlsb", ".xlsm", ".ods"):
        from pingyao.classify.sources.excel import open_excel

        return open_excel(path)
    if suffix in (".jsonl", ".ndjson"):
        from pingyao.classify.sources.jsonl import open_jsonl

        return open_jsonl(path)
    if suffix in (".txt", ".md", ".log", ".docx"):
        from pingyao.classify.sources.documents import open_document

        return open_document(path)
    if suffix in (".csv", ".tsv", ".del", ".dat"):
        from pingyao.classify.sources.csv import open_csv

        return open_csv(path)
    raise Unsupported("scan.unknown_file", f"无法识别文件 {shown(path.name)} 的类型", _CAN)
