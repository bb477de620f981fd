"""What several commands open: the catalogue, and the packs in force."""

from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
from cyclopts import Parameter

from pingyao.app.migrations import migrate
from pingyao.platform.db import default_url, open_engine
from pingyao.platform.settings import load_settings

Db = Annotated[
    str | None, Parameter(help="目录数据库地址；默认取 PINGYAO_DATABASE_URL 或本人数据目录")
]
Pack = Annotated[tuple[Path, ...], Parameter(help="本机构规则包，可重复给出；默认取 PINGYAO_PACKS")]


def open_catalogue(url: str | None) -> sa.Engine:
    """Opens the catalogue of the address given, of the settings, or of the user."""
    return open_engine(url or load_settings().database_url or default_url(), migrate)


def packs(given: tuple[Path, ...] = ()) -> tuple[Path, ...]:
    """Returns the institution's packs: those given, or those of the settings."""
    return given or tuple(Path(p) for p in load_settings().packs)
