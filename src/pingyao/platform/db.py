"""The database of an institution: SQLite in a file, or PostgreSQL by address; one schema for both."""

import os
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from pingyao.kernel.errors import Invalid, PingyaoError, Unavailable

_BUSY_SECONDS = 10


def default_url() -> str:
    """Returns the address of a file of the user's own."""
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return f"sqlite:///{home / 'pingyao' / 'pingyao.db'}"


def open_engine(url: str, migrate: Callable[[sa.Connection], None]) -> sa.Engine:
    """Opens a database and brings its tables up to date.

    Args:
        url: ``sqlite:///file`` or ``postgresql://user@host/db``; a password may stand in
            ``PINGYAO_DATABASE_PASSWORD`` instead of the address.
        migrate: brings the tables up to date, or raises when they are newer than this program.

    Raises:
        Invalid: the address cannot be understood.
        Unavailable: the database does not answer or is locked.
    """
    try:
        parsed = sa.make_url(url)
    except SQLAlchemyError:
        raise Invalid(
            "db.bad_url", "数据库地址写法有误", "请写成 sqlite:///文件 或 postgresql://用户@主机/库"
        ) from None
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        password = os.environ.get("PINGYAO_DATABASE_PASSWORD")
        if password and not parsed.password:
            parsed = parsed.set(password=password)
        engine = sa.create_engine(parsed, pool_pre_ping=True, hide_parameters=True)
    elif parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        engine = sa.create_engine(
            parsed, connect_args={"timeout": _BUSY_SECONDS}, hide_parameters=True
        )
        event.listen(engine, "connect", _tune_sqlite)
    else:
        raise Invalid(
            "db.bad_url",
            "只支持 SQLite 文件与 PostgreSQL",
            "请写成 sqlite:///文件 或 postgresql://用户@主机/库",
        )
    try:
        with engine.begin() as connection:
            migrate(connection)
    except PingyaoError:
        engine.dispose()
        raise
    except DBAPIError as error:
        engine.dispose()
        raise explain(error) from None
    except UnicodeDecodeError:  # the driver quotes a damaged schema in its error
        engine.dispose()
        raise _damaged() from None
    return engine


def _tune_sqlite(connection: object, _: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # the driver's own connection
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    # What a person was told is recorded survives a power cut; what was erased leaves no trace.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def explain(error: DBAPIError) -> PingyaoError:
    """Says what a driver's error means, without its text, which may quote data."""
    text = str(error.orig).lower()
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return Invalid("db.read_only", "目录数据库不可写", "请检查文件与所在目录的写权限")
    if "locked" in text or "busy" in text:
        return Unavailable("db.locked", "目录数据库正被其他程序占用", "请稍后重试")
    if "password" in text or "authentication" in text:
        return Invalid(
            "db.wrong_password", "目录数据库拒绝登录", "请核对用户名与 PINGYAO_DATABASE_PASSWORD"
        )
    if "not a database" in text or "malformed" in text:
        return _damaged()
    if isinstance(error, OperationalError):
        return Unavailable("db.unreachable", "目录数据库没有应答", "请检查地址、网络与服务是否启动")
    return Invalid(
        "db.failed", "目录数据库执行失败", "请查看数据库日志；如仍不明，请带上错误代码联系维护者"
    )


def _damaged() -> Invalid:
    return Invalid(
        "db.damaged", "目录数据库文件已损坏或不是数据库", "请从备份恢复，或另指定一个文件"
    )
