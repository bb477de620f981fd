"""What several commands open: the catalogue, the packs in force, the keystore or device."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import sqlalchemy as sa
from cyclopts import Parameter

from pingyao.app.migrations import migrate
from pingyao.kernel.errors import Invalid
from pingyao.platform.db import default_url, open_engine
from pingyao.platform.settings import load_settings

if TYPE_CHECKING:  # commands import what they need when they run
    from pingyao.platform.crypto.keys import KeyHolder
    from pingyao.platform.crypto.keystore import KeyStore
    from pingyao.platform.identity.oidc import Provider

Db = Annotated[
    str | None, Parameter(help="目录数据库地址；默认取 PINGYAO_DATABASE_URL 或本人数据目录")
]
Pack = Annotated[tuple[Path, ...], Parameter(help="本机构规则包，可重复给出；默认取 PINGYAO_PACKS")]

Store = Annotated[Path | None, Parameter(help="密钥库文件；默认取 PINGYAO_KEYSTORE 或本人数据目录")]
Approve = Annotated[
    tuple[str, ...],
    Parameter(help="批准使用双人密钥的保管人，须给两名：“姓名=口令文件”，或“姓名”后在终端输入口令"),
]


def open_catalogue(url: str | None) -> sa.Engine:
    """Opens the catalogue of the address given, of the settings, or of the user."""
    return open_engine(url or load_settings().database_url or default_url(), migrate)


def packs(given: tuple[Path, ...] = ()) -> tuple[Path, ...]:
    """Returns the institution's packs: those given, or those of the settings."""
    return given or tuple(Path(p) for p in load_settings().packs)


def store_path(store: Path | None) -> Path:
    """Returns where the keystore is: the file given, of the environment, or the user's."""
    from pingyao.platform.crypto.keystore import default_path

    return store or Path(os.environ.get("PINGYAO_KEYSTORE") or default_path())


def open_store(store: Path | None) -> "KeyStore":
    """Opens the keystore with the passphrase of the environment, a file, or the terminal."""
    from pingyao.platform.crypto.keystore import open_keystore
    from pingyao.platform.crypto.passphrases import passphrase

    return open_keystore(store_path(store), passphrase())


def open_holder(store: Path | None, opened: "KeyStore | None" = None) -> "KeyHolder":
    """Opens the device that ``PINGYAO_PKCS11_LIBRARY`` names, else the keystore.

    Args:
        opened: the keystore, where it is open already and nobody is to be asked again.
    """
    from pingyao.platform.crypto.hsm import open_configured

    device = open_configured() if store is None else None
    return device or opened or open_store(store)


def persons(given: tuple[str, ...]) -> dict[str, str] | None:
    """Reads persons and their passphrases: ``name=file``, or a name to be asked for."""
    from pingyao.platform.crypto import passphrases

    found: dict[str, str] = {}
    for each in given:
        name, _, file = each.partition("=")
        if name in found:
            raise Invalid("keys.custodians", f"{name} 给出了两次", "须为不同的人")
        found[name] = (
            passphrases.from_file(Path(file))
            if file
            else passphrases.passphrase("", f"{name} 的口令", environment={})
        )
    return found or None


def open_provider() -> "Provider | None":
    """Returns the OpenID provider of the settings; None without one."""
    set_ = load_settings()
    if not set_.oidc_issuer:
        return None
    from pingyao.platform.crypto.passphrases import from_file
    from pingyao.platform.identity.oidc import Provider

    secret = from_file(Path(set_.oidc_secret_file))
    asks = set_.oidc_second_factor == "own"
    return Provider(set_.oidc_issuer, set_.oidc_client, secret, asks_second=asks)
