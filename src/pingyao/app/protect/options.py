"""Options and small readings that several of the commands share."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pingyao.app.protection import SourceReading, policy
from pingyao.kernel.errors import Invalid
from pingyao.platform.settings import load_settings
from pingyao.protect.model import Purpose, Use
from pingyao.protect.picking import pick
from pingyao.protect.rules.policy import Policy
from pingyao.protect.sinks.files import sha256_of

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

Approval = Annotated[
    str, Parameter(help="导出审批的编号（lifecycle export）；策略要求审批时必须给出，一次有效")
]
Leaving = Annotated[
    Purpose | None,
    Parameter("--for", help="交给他人时的用途，同 protect plan；留存自用的不给"),
]
Recipient = Annotated[str, Parameter(help="接收方名称，与导出审批核对")]


def use_of(
    number: str,
    purpose: Purpose | None,
    source: str,
    *,
    recipient: str = "",
    opened: tuple[str, SourceReading, str] | None = None,
) -> Use | None:
    """Returns an approval as a command that has no plan uses it; None where none is given.

    Args:
        source: what is read; a file is named by its digest as well.
        opened: its name, itself, and the table of it, where tables are read.

    Raises:
        Invalid: an approval is given, and no purpose.
    """
    if not number:
        return None
    if purpose is None:
        raise Invalid("protect.bad_option", "--approval 须与 --for 同用", "请写明结果用于什么")
    bound: list[str] = []
    if opened is not None:
        at = pick(opened[1], opened[2], ())
        bound.append(f"table:{at.schema}/{at.name}")
    if Path(source).is_file():
        bound.append(f"file:{sha256_of(Path(source))}")
    name = opened[0] if opened else Path(source).name
    return Use(number, tuple(bound), purpose, name, recipient.strip())


def rules(own: tuple[Path, ...]) -> Policy:
    """Loads the policy in force: the packs given, or those of the settings."""
    return policy(own or tuple(Path(p) for p in load_settings().policies))


def names(text: str) -> tuple[str, ...]:
    """Parts names at commas."""
    return tuple(n.strip() for n in text.split(",") if n.strip())
