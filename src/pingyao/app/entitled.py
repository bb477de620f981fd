"""The keys of those who are entitled to read what is sealed: a member, a regulator, or the log's own house."""

from pathlib import Path
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cyclopts import Parameter

from pingyao.kernel.errors import Invalid, NotFound
from pingyao.ledger.keys import open_store
from pingyao.ledger.rules.sealing import PrivateKey, PublicKey
from pingyao.ledger.store.readers import format_reader
from pingyao.platform.crypto.keystore import KeyStore
from pingyao.platform.crypto.sm2 import Sm2PrivateKey, generate

Kind = Literal["x25519", "sm2"]
# A key that signs decrypts nothing: that of a reader has a name of its own.
_NAMES: dict[Kind, str] = {"x25519": "x25519", "sm2": "sm2-reader"}


def reader(
    name: Annotated[str, Parameter(help="解读方名称，如 regulator.example，账本内唯一")],
    /,
    *,
    algorithm: Annotated[Kind, Parameter(help="密钥算法；国密用 sm2")] = "x25519",
    key: Annotated[str, Parameter(help="密钥在密钥库中的名称")] = "reader",
    keystore: Annotated[Path | None, Parameter(help="密钥库文件；默认为本人的密钥库")] = None,
) -> None:
    """为有权解读存证的一方生成密钥，并打印其 readers 行；把这一行加入账本目录的 readers 文件，自下一批起生效。"""
    if not name or len(name) > 64 or name.startswith("#") or any(c.isspace() for c in name):
        raise Invalid(
            "ledger.bad_reader", "名称须为 1 至 64 字，不含空白，不以 # 开头", "请换一个名称"
        )
    private = reader_key(open_store(keystore, create=True), key, make=algorithm)
    print(format_reader(name, public_half(private)), end="")


def reader_key(store: KeyStore, key: str, *, make: Kind | None = None) -> PrivateKey:
    """Returns the key by which sealed events are read.

    Args:
        make: of this kind, and made where there is none.

    Raises:
        NotFound: the keystore has none of this name.
    """
    held = {i.name for i in store.infos()}
    for kind in (make,) if make else _NAMES:
        name = f"{key}.{_NAMES[kind]}"
        if name not in held:
            if make is None:
                continue
            secret = (
                generate() if make == "sm2" else X25519PrivateKey.generate().private_bytes_raw()
            )
            store.create(name, "opaque", purpose="ledger reader", secret=secret)
        secret = store.get(name).secret
        if kind == "sm2":
            return Sm2PrivateKey(secret)
        return X25519PrivateKey.from_private_bytes(secret)
    raise NotFound(
        "ledger.no_reader",
        f"密钥库中没有解读用的密钥 {key[:64]}",
        "请核对 --key 与 --keystore；新的一方请用 pingyao ledger reader 生成",
    )


def public_half(private: PrivateKey) -> PublicKey:
    """Returns what others wrap for."""
    return private.public_key if isinstance(private, Sm2PrivateKey) else private.public_key()
