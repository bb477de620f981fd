"""What an institution sets for itself: environment variables, or a file ``pingyao.toml``."""

import os
import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from pingyao.kernel.errors import Invalid

_PREFIX = "PINGYAO_"
_FILE = "PINGYAO_CONFIG"
_LISTS = ("packs", "policies", "lifecycle")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that hold for every command; an option on the command line goes before them.

    Attributes:
        database_url: where the catalogue is kept; empty for a file of the user's own.
        packs: the institution's own rule packs, files or directories.
        language: ``zh`` or ``en``.
        ledger: folder of the evidence log; empty while there is none, and events wait.
        member: the institution's name in its entries; empty for the log's own.
        policies: the institution's own policy packs for protection, files or directories.
        oidc_issuer: the OpenID provider people may sign in by; empty for none.
        oidc_client: what this node is called there.
        oidc_secret_file: file of what this node shows there.
        oidc_second_factor: ``own`` asks for an account's own second factor as well, ``issuer`` does not.
        lifecycle: its own packs of retention, approvals and controls, files or directories.
    """

    database_url: str = ""
    packs: tuple[str, ...] = ()
    language: str = "zh"
    ledger: str = ""
    member: str = ""
    policies: tuple[str, ...] = ()
    lifecycle: tuple[str, ...] = ()
    oidc_issuer: str = ""
    oidc_client: str = ""
    oidc_secret_file: str = ""
    oidc_second_factor: Literal["own", "issuer"] = "own"


def load_settings() -> Settings:
    """Reads the file named by ``PINGYAO_CONFIG``, then ``PINGYAO_…`` variables over it.

    A list in a variable is parted by ``:``. Passwords are no settings: they stay in their own
    variables or files.

    Raises:
        Invalid: the file cannot be read or says what is not understood.
    """
    values: dict[str, object] = {}
    path = os.environ.get(_FILE)
    if path:
        try:
            values |= tomllib.loads(Path(path).read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            raise Invalid(
                "settings.unreadable",
                f"配置文件 {Path(path).name} 无法读取或不是 TOML",
                f"请检查 {_FILE} 指向的文件",
            ) from None
    for name in Settings.__struct_fields__:
        given = os.environ.get(_PREFIX + name.upper())
        if given:
            values[name] = given.split(os.pathsep) if name in _LISTS else given
    try:
        settings = msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise Invalid(
            "settings.invalid",
            f"配置有误：{error}",
            "可用的键：" + "、".join(Settings.__struct_fields__),
        ) from None
    if settings.language not in ("zh", "en"):
        raise Invalid("settings.invalid", "language 只能是 zh 或 en", "请改正配置")
    return settings
