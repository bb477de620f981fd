"""Opens whatever a person names as a target."""

from pathlib import Path

from pingyao.kernel.errors import Unsupported
from pingyao.protect.ports import Sink

_CAN = (
    "目标可以是 .parquet、.csv、.db/.sqlite 文件，目录，postgresql://用户@主机/库?schema=名称，"
    "或 mysql://用户@主机/库"
)


def open_sink(spec: str, form: str) -> Sink:
    """Opens a target that must not exist yet.

    Args:
        spec: a file, a folder, or an address.
        form: ``parquet`` or ``csv``, of the files of a folder.

    Raises:
        Unsupported: it is of a kind that cannot be written.
    """
    scheme, separator, _ = spec.partition("://")
    if separator:
        if scheme.lower() in ("postgresql", "postgres"):
            from pingyao.protect.sinks.postgresql import PostgresqlSink

            return PostgresqlSink(spec)
        if scheme.lower() in ("mysql", "mariadb"):
            from pingyao.protect.sinks.mysql import MysqlSink

            return MysqlSink(spec)
        raise Unsupported("protect.unknown_target", f"不能写入 {scheme[:20]}://", _CAN)
    from pingyao.protect.sinks.files import FilesSink

    path = Path(spec)
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".csv"):
        return FilesSink(path, suffix[1:], single=True)
    if suffix in (".db", ".sqlite", ".sqlite3"):
        from pingyao.protect.sinks.sqlite import SqliteSink

        return SqliteSink(path)
    if suffix and suffix[1:].isalpha():
        raise Unsupported("protect.unknown_target", f"不能写成 {suffix[:12]} 文件", _CAN)
    if form not in ("parquet", "csv"):
        raise Unsupported(
            "protect.unknown_target", f"不认识的格式 {form[:20]}", "--format 可用 parquet 或 csv"
        )
    return FilesSink(path, form, single=False)
