"""Why a source could not be read: one row per cause, with what to do about it."""

import msgspec

from pingyao.classify.model import Table
from pingyao.kernel.errors import (
    Conflict,
    IntegrityBroken,
    Invalid,
    NotFound,
    NotPermitted,
    PingyaoError,
    Unavailable,
    Unsupported,
)

SHOWN_CHARACTERS = 120
"""Length to which a name from outside is cut in a message."""


class Cause(msgspec.Struct, frozen=True):
    """A cause: the class of its error, what happened to ``{what}``, and the remedy."""

    error: type[PingyaoError]
    detail: str
    remedy: str


CAUSES: dict[str, Cause] = {
    "scan.bad_url": Cause(
        Invalid,
        "数据源地址写法有误：{what}。",
        "请按 postgresql://用户@主机:端口/库名 或 mysql://用户@主机:端口/库名 的形式填写。",
    ),
    "scan.password_file_missing": Cause(
        NotFound,
        "找不到口令文件，或当前用户无权读取。",
        "请检查 PINGYAO_SOURCE_PASSWORD_FILE 指向的文件是否存在、是否可读。",
    ),
    "scan.password_file_exposed": Cause(
        NotPermitted,
        "口令文件对所有用户可读或可写，已拒绝使用。",
        "请执行 chmod 600 收紧该文件的权限后重试；如已泄露，请先更换口令。",
    ),
    "scan.password_file_invalid": Cause(
        Invalid,
        "口令文件为空、过大或不是 UTF-8 文本。",
        "口令文件应只有一行口令。",
    ),
    "scan.wrong_password": Cause(
        NotPermitted,
        "{what} 拒绝登录：用户名或口令不正确。",
        "请核对用户名；口令通过环境变量 PINGYAO_SOURCE_PASSWORD 提供，"
        "或写入文件并由 PINGYAO_SOURCE_PASSWORD_FILE 指明。",
    ),
    "scan.not_admitted": Cause(
        NotPermitted,
        "{what} 不接受从本机以该用户登录。",
        "请数据库管理员放行本机地址与该用户（PostgreSQL 见 pg_hba.conf，MySQL 见账户的主机部分）。",
    ),
    "scan.tls_required": Cause(
        NotPermitted,
        "{what} 只接受加密连接，或加密连接未能建立。",
        "请在地址后加 ?sslmode=require（校验证书用 ?sslmode=verify-full&sslrootcert=证书路径），"
        "并确认服务器已启用 TLS。",
    ),
    "scan.no_such_database": Cause(
        NotFound, "{what} 上没有指定的库。", "请核对库名，或请数据库管理员授予访问权。"
    ),
    "scan.unreachable": Cause(
        Unavailable,
        "连接不上 {what}，或连接中断。",
        "请检查主机名、端口、网络与防火墙，确认数据库正在运行，然后重试。",
    ),
    "scan.too_busy": Cause(
        Unavailable,
        "{what} 的连接数或资源已满。",
        "请避开业务高峰，或请数据库管理员增加连接配额后重试。",
    ),
    "scan.not_permitted": Cause(
        NotPermitted,
        "没有读取 {what} 的权限。",
        "请数据库管理员授予只读（SELECT）权限；不需要扫描的对象可以排除。",
    ),
    "scan.table_gone": Cause(
        NotFound, "{what} 在扫描期间已被删除或改名。", "请重新扫描；若属正常下线，无需处理。"
    ),
    "scan.table_changed": Cause(
        Conflict, "{what} 的结构在扫描期间发生了变化。", "请在变更完成后重新扫描。"
    ),
    "scan.file_changed": Cause(
        Unavailable,
        "{what} 在读取期间被其他程序改写，已读的行可能前后不一致。",
        "请在没有写入时重新扫描，或扫描一份备份。",
    ),
    "scan.locked": Cause(
        Unavailable,
        "{what} 被其他会话锁定，等待超时。",
        "请等对方事务结束后重试，或改扫备份、只读副本。",
    ),
    "scan.timed_out": Cause(
        Unavailable, "读取 {what} 超过了时限。", "请改用抽样（--sample），或在空闲时段重试。"
    ),
    "scan.view_broken": Cause(
        Invalid,
        "视图 {what} 本身执行出错。",
        "请视图的维护者检查其定义及所引用的对象；基表不受影响，仍会扫描。",
    ),
    "scan.damaged": Cause(
        IntegrityBroken,
        "{what} 已损坏或不完整，无法完整读取。",
        "文件请重新取得或导出；数据库请先做完整性检查，并从备份恢复后再扫描。",
    ),
    "scan.read_failed": Cause(
        Unavailable, "读取 {what} 时出错。", "请凭错误码请数据库管理员查看服务器日志后重试。"
    ),
    "scan.cell_too_long": Cause(
        Unsupported,
        "{what} 中有超长单元格，超出上限的部分没有读取。",
        "请把超长内容导出为文件后另行扫描。",
    ),
    "scan.no_such_file": Cause(NotFound, "找不到文件 {what}。", "请核对路径。"),
    "scan.not_a_file": Cause(Invalid, "{what} 不是文件。", "请给出数据库文件本身的路径。"),
    "scan.file_not_permitted": Cause(
        NotPermitted, "没有读取文件 {what} 的权限。", "请授予运行用户读取该文件的权限。"
    ),
    "scan.not_a_database": Cause(
        Invalid,
        "{what} 不是该类型的数据库文件，或已整体加密。",
        "请核对文件类型；加密的文件请先由其所有者解密或导出。",
    ),
    "scan.encrypted": Cause(NotPermitted, "{what} 已加密。", "请由文件所有者解密或导出后再扫描。"),
    "scan.other_version": Cause(
        Unsupported,
        "{what} 由其他版本的数据库软件写成，本程序读不了。",
        "请用写它的版本导出为 Parquet 或 CSV 后再扫描。",
    ),
    "scan.needs_recovery": Cause(
        Unavailable,
        "{what} 有尚未合并的日志，只读方式打不开。",
        "请由使用该文件的程序正常打开并关闭一次，或连同日志一起复制一份再扫描。",
    ),
    "spark.not_installed": Cause(
        Unsupported,
        "没有安装 Spark 引擎。",
        "请执行 pip install 'pingyao[spark]'，或改用默认引擎。",
    ),
    "spark.no_java": Cause(
        Unsupported,
        "找不到 Java，Spark 无法启动。",
        "请安装 Java 17 或 21（Debian：apt install openjdk-17-jre-headless），或设置 JAVA_HOME。",
    ),
    "spark.unreachable": Cause(
        Unavailable,
        "{what} 的会话没有建立。",
        "请核对 --spark spark.master=… 或 spark.remote=…，并确认集群正在运行、资源足够。",
    ),
    "spark.not_found": Cause(
        NotFound, "Spark 找不到 {what}。", "请核对路径、库名或表名，以及所用的目录（catalog）。"
    ),
    "spark.no_table": Cause(
        Invalid, "{what} 没有指明表。", "请写成 jdbc:postgresql://主机/库#模式.表 的形式。"
    ),
    "spark.no_package": Cause(
        Unavailable,
        "读取 {what} 时，执行器上缺少本软件或其依赖。",
        "请按 docs/zh/spark.md 打包环境，并以 spark.archives 与 spark.pyspark.python 分发。",
    ),
    "spark.failed": Cause(
        Unavailable,
        "Spark 读取 {what} 时出错。",
        "请凭错误码查看 Spark 的驱动与执行器日志后重试。",
    ),
    "spark.password_shown": Cause(
        NotPermitted,
        "口令不能写在命令行上：本机其他用户看得到。",
        "请用环境变量 PINGYAO_SOURCE_PASSWORD，或 PINGYAO_SOURCE_PASSWORD_FILE 指向的文件。",
    ),
    "spark.rows_stay": Cause(
        Unsupported, "{what} 的行留在集群上，不逐行取回。", "请使用汇总读取（--engine spark）。"
    ),
}
"""What can go wrong with a source, by code."""


def shown(name: str) -> str:
    """Returns a name from outside, safe for a terminal and of readable length."""
    visible = "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in name)
    if len(visible) > SHOWN_CHARACTERS:
        return visible[: SHOWN_CHARACTERS - 1] + "…"
    return visible


def named(table: Table) -> str:
    """Returns the name of a table as messages show it."""
    return shown(f"{table.schema}.{table.name}" if table.schema else table.name)


def failure(code: str, what: str = "", number: str = "") -> PingyaoError:
    """Returns the error of a cause.

    Args:
        code: a key of `CAUSES`.
        what: the table, file or server it happened to.
        number: the other side's own error number. Its text is left out: it may quote data.
    """
    cause = CAUSES[code]
    detail = cause.detail.format(what=shown(what))
    if number:
        detail += f"（错误码 {shown(number)}）"
    return cause.error(code, detail, cause.remedy)
