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
)
_version = sa.Table(
    "pingyao_schema", sa.MetaData(), sa.Column("version", sa.Integer, nullable=False)
)


def migrate(connection: sa.Connection) -> None:
    """Runs the steps a database has not seen yet.

    Raises:
        Conflict: a newer program has been here.
    """
    _version.create(connection, checkfirst=True)
    done = connection.execute(sa.select(_version.c.version)).scalar() or 0
    if done > len(_STEPS):
        raise Conflict(
            "db.newer",
            f"目录数据库的版本 {done} 比本程序所知的 {len(_STEPS)} 新",
            "请升级 pingyao 后再使用该数据库",
        )
    with Operations.context(MigrationContext.configure(connection)):
        for step in _STEPS[done:]:
            step()
    if done < len(_STEPS):
        connection.execute(sa.delete(_version))
        connection.execute(sa.insert(_version).values(version=len(_STEPS)))
