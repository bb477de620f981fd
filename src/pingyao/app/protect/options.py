"""Options and small readings that several of the commands share."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pingyao.app.protection import policy
from pingyao.platform.settings import load_settings
from pingyao.protect.model import Purpose
from pingyao.protect.rules.policy import Policy

Own = Annotated[
    tuple[Path, ...], Parameter(help="本机构策略包，可重复给出；默认取 PINGYAO_POLICIES")
]
For = Annotated[
    Purpose,
    Parameter(
        "--for",
        help="用途：testing 开发测试、display 展示、sharing 共享、entrusting 委托处理、"
        "modelling 加工建模、disclosure 公开披露",
    ),
]
Key = Annotated[str, Parameter(help="密钥库中的密钥：名称，或 名称@版本")]
Table = Annotated[str, Parameter(help="数据源有多张表时，指明一张")]
Json = Annotated[bool, Parameter(help="以 JSON 写到标准输出", negative="")]


def rules(own: tuple[Path, ...]) -> Policy:
    """Loads the policy in force: the packs given, or those of the settings."""
    return policy(own or tuple(Path(p) for p in load_settings().policies))


def names(text: str) -> tuple[str, ...]:
    """Parts names at commas."""
    return tuple(n.strip() for n in text.split(",") if n.strip())
