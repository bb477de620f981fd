"""Brings the tables of a database up to date, one numbered step after another."""

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from pingyao.app.migrations import (
    v0001_catalogue,
    v0002_readings,
    v0003_vault,
    v0004_evidence,
    v0005_lifecycle,
    v0006_protection,
    v0007_node,
    v0008_members,
    v0009_people,
    v0010_explorer,
    v0011_runs,
    v0012_ops,
    v0013_rosters,
)
from pingyao.kernel.errors import Conflict

_STEPS = (
    v0001_catalogue.upgrade,
    v0002_readings.upgrade,
    v0003_vault.upgrade,
    v0004_evidence.upgrade,
    v0005_lifecycle.upgrade,
    v0006_protection.upgrade,
    v0007_node.upgrade,
    v0008_members.upgrade,
    v0009_people.upgrade,
    v0010_explorer.upgrade,
    v0011_runs.upgrade,
    v0012_ops.upgrade,
    v0013_rosters.upgrade,
)
_LOCK = 0x70696E67  # any number nobody else takes
_version = sa.Table(
    "pingyao_schema", sa.MetaData(), sa.Column("version", sa.Integer, nullable=False)
)


NEWEST = len(_STEPS)
"""The version of the schema this program works with."""


def migrate(connection: sa.Connection, upto: int = NEWEST) -> None:
    """Runs the steps a database has not seen yet; all of them, or none when one fails.

    Args:
        upto: the version to stop at, for a database to be filled from an older backup.

    Raises:
        Conflict: a newer program has been here.
    """
    if version_of(connection) == upto:
        return  # as nearly always: nothing is locked for that
    if connection.dialect.name == "sqlite":
        # The driver would commit before each change of the schema: killed halfway, the same step
        # would find its own tables there for ever after.
        if not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]  # of SQLite, and connected
            connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        # One program upgrades, others wait, and then find it done.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    _version.create(connection, checkfirst=True)
    done = version_of(connection)
    if done > NEWEST:
        raise Conflict(
            "db.newer",
            f"目录数据库的版本 {done} 比本程序所知的 {NEWEST} 新",
            "请升级 pingyao 后再使用该数据库",
        )
    with Operations.context(MigrationContext.configure(connection)):
        for step in _STEPS[done:upto]:
            step()
    if done < upto:
        connection.execute(sa.delete(_version))
        connection.execute(sa.insert(_version).values(version=upto))


def version_of(connection: sa.Connection) -> int:
    """Returns the version of the schema a database has; 0 when it is none of ours."""
    if not sa.inspect(connection).has_table(_version.name):
        return 0
    return connection.execute(sa.select(_version.c.version)).scalar() or 0


def shape_of(version: int) -> sa.MetaData:
    """Returns the tables a version of the schema has, but for the one that says so."""
    engine = sa.create_engine("sqlite://")
    shape = sa.MetaData()
    with engine.begin() as connection:
        migrate(connection, version)
        shape.reflect(connection)
    engine.dispose()
    for column in (c for t in shape.tables.values() for c in t.columns):
        column.type = column.type.as_generic()
    shape.remove(shape.tables[_version.name])
    return shape
