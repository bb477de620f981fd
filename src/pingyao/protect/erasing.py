"""Files, tables, rows and keys destroyed, and looked for afterwards."""

import hashlib
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from pingyao.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from pingyao.platform.crypto.keystore import KeyStore
from pingyao.protect.formats.sealed import read_head
from pingyao.protect.lifecycle_model import Destruction, Kind, Method, Thing

PASSWORD = "PINGYAO_TARGET_PASSWORD"
_BLOCK = 1 << 20
_DATED = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"
FIT: dict[Kind, frozenset[Method]] = {
    "file": frozenset({"delete", "overwrite"}),
    "sealed": frozenset({"crypto_erase"}),
    "table": frozenset({"delete"}),
    "rows": frozenset({"delete"}),
    "media": frozenset({"physical"}),
}
Facts = dict[str, object]


def inspect(body: Destruction, keys: KeyStore | None) -> Facts:
    """Looks at what is to be destroyed, before anything happens; kept as evidence.

    Raises:
        Invalid: the method does not fit, or the thing cannot be destroyed in this way.
        NotFound: it is not there, or a key that opens it is not in this keystore.
    """
    thing = body.thing
    if body.method not in FIT[thing.kind]:
        raise Invalid(
            "erase.bad_method",
            "这种对象不能用这种方法销毁",
            f"可用：{'、'.join(sorted(FIT[thing.kind]))}",
        )
    if thing.kind == "media":
        return {"inspected": "statement"}
    if thing.kind in ("file", "sealed"):
        facts = file_facts(Path(thing.where))
        if thing.kind == "sealed":
            facts["keys"] = [f"{name} {version}" for name, version in _openers(thing, keys)]
        return facts
    with _database(thing) as db:
        return _rows_facts(db, thing)


def carry_out(body: Destruction, keys: KeyStore | None, case: str) -> Facts:
    """Destroys. What is gone already, from a run that was interrupted, is no error.

    Raises:
        As `inspect`; Unavailable: it could not be finished and may be tried again.
    """
    thing = body.thing
    try:
        if body.method == "overwrite":
            _overwrite(Path(thing.where))
        if thing.kind == "file":
            Path(thing.where).unlink(missing_ok=True)
            _sync(Path(thing.where).parent)
            return {"method": body.method}
        if thing.kind == "sealed" and keys is not None:
            openers = _openers(thing, keys)
            for name, version in openers:
                if _state(keys, name, version) != "destroyed":
                    keys.destroy(name, version, reason=case)
            return {"method": body.method, "keys": len(openers)}
    except OSError as error:
        raise Unavailable(
            "erase.failed",
            f"未能销毁：{error.strerror}",
            "请检查权限与存储后重试，记录停在“执行中”",
        ) from None
    return {"method": body.method, "rows": _drop(thing)}


def look(body: Destruction, keys: KeyStore | None) -> tuple[bool, Facts]:
    """Looks whether it is really gone: by the machine, never by what anybody says.

    Raises:
        Invalid: nothing can be looked at: a medium is verified by persons.
    """
    thing = body.thing
    if thing.kind == "file":
        path = Path(thing.where)
        if not path.parent.is_dir():
            raise Invalid(
                "erase.no_folder", "文件原来所在的目录不可读，无法核实", "请在原机器上核实"
            )
        gone = not os.path.lexists(path)
        return gone, {"checked": "path", "exists": not gone}
    if thing.kind == "sealed":
        assert keys is not None  # noqa: S101 - told apart by the command
        left = [f"{n} {v}" for n, v in _openers(thing, keys) if _state(keys, n, v) != "destroyed"]
        return not left, {"checked": "keys", "usable": left}
    if thing.kind == "media":
        raise Invalid("erase.by_person", "介质须由人核实", "请以 --statement 写明如何核实")
    with _database(thing) as db:
        if not _exists(db, thing):
            return True, {"checked": "catalog", "exists": False}
        if thing.kind == "table":
            return False, {"checked": "catalog", "exists": True}
        left = int(_rows_facts(db, thing)["rows"])  # type: ignore[call-overload]  # a count, as it was put there
        return left == 0, {"checked": "count", "rows": left}


def file_facts(path: Path) -> Facts:
    """Returns name, size and SHA-256 of a file: no link, one name, read to its end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotFound("erase.no_file", f"没有文件 {path.name}", "请核对路径") from None
    except OSError:
        raise Invalid(
            "erase.bad_file", f"{path.name} 无法读取或是符号链接", "请给出文件本身的路径"
        ) from None
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise Invalid("erase.bad_file", f"{path.name} 不是普通文件", "请逐个文件申请")
    with os.fdopen(handle, "rb") as file:
        if status.st_nlink > 1:
            raise Invalid(
                "erase.linked",
                f"{path.name} 另有 {status.st_nlink - 1} 个硬链接，删去其一内容仍在",
                "请先去掉其他链接",
            )
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "size": status.st_size, "sha256": digest}


def _overwrite(path: Path) -> None:
    """Writes random bytes over a file. Flash, snapshots and journals may keep what was there."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    with os.fdopen(handle, "wb", buffering=0) as file:
        left = os.fstat(file.fileno()).st_size
        while left > 0:
            left -= file.write(os.urandom(min(left, _BLOCK)))
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _openers(thing: Thing, keys: KeyStore | None) -> list[tuple[str, int]]:
    """Returns the keys that open a sealed file; all of them must be in the keystore."""
    path = Path(thing.where)
    if keys is None:
        raise Invalid("erase.no_keystore", "销毁密钥须指明密钥库", "请给出 --keystore")
    try:
        with path.open("rb") as file:
            head = read_head(file, path.name)
    except OSError:
        raise NotFound("erase.no_file", f"没有文件 {path.name}", "请核对路径") from None
    openers = sorted({(w.key, w.version) for w in head.keys})
    for name, version in openers:
        if _state(keys, name, version) is None:
            raise NotFound(
                "erase.foreign_key",
                f"密钥 {name} 版本 {version} 不在此密钥库，持有它的一方仍能打开",
                "请改用物理销毁，或由持有方一并销毁密钥",
            )
    return openers


def _state(keys: KeyStore, name: str, version: int) -> str | None:
    found = (i.state for i in keys.infos() if (i.name, i.version) == (name, version))
    return next(found, None)


@contextmanager
def _database(thing: Thing) -> Generator[sa.Connection]:
    engine = _engine(thing.where)
    try:
        with engine.connect() as db:
            yield db
    except DBAPIError as error:
        text = str(error.orig).lower()
        kind = Conflict if "lock" in text or "busy" in text else Invalid
        raise kind(
            "erase.database",
            f"数据库未能执行（{type(error.orig).__name__}），未作改动或已回滚",
            "请核对权限、外键与占用情况后重试",
        ) from None
    finally:
        engine.dispose()


def _engine(where: str) -> sa.Engine:
    if "://" not in where:
        path = Path(where)
        if not path.is_file():
            raise NotFound("erase.no_database", f"没有数据库文件 {path.name}", "请核对路径")
        return sa.create_engine(f"sqlite:///{path}", hide_parameters=True)
    try:
        url = sa.make_url(where)
    except SQLAlchemyError:
        url = None
    if url is None or url.get_backend_name() != "postgresql":
        raise Invalid(
            "erase.bad_address",
            "只支持 SQLite 文件与 PostgreSQL",
            "请写成 postgresql://用户@主机/库",
        )
    password = os.environ.get(PASSWORD)
    url = url.set(drivername="postgresql+psycopg")
    if password:
        url = url.set(password=password)
    return sa.create_engine(url, hide_parameters=True, connect_args={"connect_timeout": 10})


def _exists(db: sa.Connection, thing: Thing) -> bool:
    return sa.inspect(db).has_table(thing.table, schema=thing.schema or None)


def _where(db: sa.Connection, thing: Thing) -> sa.ColumnElement[bool]:
    if thing.kind == "table":
        return sa.true()
    column = sa.column(thing.column)
    if db.dialect.name != "sqlite":
        return column < date.fromisoformat(thing.before)
    # SQLite compares what it finds: a number is less than any text. Only ISO dates may be compared.
    strange = sa.select(sa.func.count()).select_from(_table(thing))
    strange = strange.where(
        column.is_not(None), sa.not_(sa.cast(column, sa.Text).op("GLOB")(_DATED))
    )
    if count := db.execute(strange).scalar_one():
        raise Invalid(
            "erase.not_dates",
            f"{thing.table}.{thing.column} 有 {count:,} 行不是 2026-01-31 式的日期",
            "请换一列，或先统一日期格式",
        )
    return column < thing.before


def _table(thing: Thing) -> sa.TableClause:
    return sa.table(thing.table, sa.column(thing.column or "x"), schema=thing.schema or None)


def _rows_facts(db: sa.Connection, thing: Thing) -> Facts:
    if not _exists(db, thing):
        raise NotFound("erase.no_table", f"数据库中没有表 {thing.table[:80]}", "请核对表名与模式名")
    names = {
        c["name"] for c in sa.inspect(db).get_columns(thing.table, schema=thing.schema or None)
    }
    if thing.kind == "rows" and thing.column not in names:
        raise NotFound("erase.no_column", f"表中没有列 {thing.column[:80]}", "请核对列名")
    counted = sa.select(sa.func.count()).select_from(_table(thing))
    rows = db.execute(counted.where(_where(db, thing))).scalar_one()
    return {"rows": rows, "of_rows": db.execute(counted).scalar_one()}


def _drop(thing: Thing) -> int:
    """Deletes and returns how many rows; SQLite writes zeroes over them and shrinks the file."""
    with _database(thing) as db:
        lite = db.dialect.name == "sqlite"
        if lite:
            db.execute(sa.text("PRAGMA secure_delete=ON"))
            db.execute(sa.text("PRAGMA foreign_keys=ON"))
            db.commit()
        rows = 0
        if _exists(db, thing):
            rows = int(_rows_facts(db, thing)["rows"])  # type: ignore[call-overload]  # a count, as it was put there
            if thing.kind == "table":
                schema = thing.schema or None
                db.execute(sa.schema.DropTable(sa.Table(thing.table, sa.MetaData(), schema=schema)))
            else:
                db.execute(sa.delete(_table(thing)).where(_where(db, thing)))
            db.commit()
        db.commit()
        free = db.execution_options(isolation_level="AUTOCOMMIT")
        if lite:
            free.execute(sa.text("VACUUM"))
            free.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
        elif thing.kind == "rows":
            name = db.dialect.identifier_preparer.format_table(
                sa.Table(thing.table, sa.MetaData(), schema=thing.schema or None)
            )
            free.execute(sa.text(f"VACUUM {name}"))
        return rows
