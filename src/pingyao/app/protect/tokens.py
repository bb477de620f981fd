"""The commands of the token vault: values in, tokens out, and back."""

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pingyao.app.opening import Approve, Db, Store, open_catalogue, open_holder, persons

if TYPE_CHECKING:
    from pingyao.protect.vault import Vault


def tokenise(
    vault: str,
    /,
    *,
    key: Annotated[str, Parameter(help="新建令牌库所用的密钥名称；已有的令牌库不必给出")] = "",
    suite: str = "intl",
    approve: Approve = (),
    store: Store = None,
    db: Db = None,
) -> None:
    """把标准输入的各行换成令牌库中的令牌，写到标准输出。"""
    import pyarrow as pa

    held = _vault(vault, key, suite, approve, store, db)
    given = held.tokenise(pa.array(sys.stdin.read().splitlines(), pa.string()), getpass.getuser())
    sys.stdout.writelines(f"{token}\n" for token in given.to_pylist())


def detokenise(
    vault: str,
    /,
    *,
    reason: str,
    approve: Approve = (),
    store: Store = None,
    db: Db = None,
) -> None:
    """把标准输入各行的令牌还原为原值，写到标准输出；何人因何还原，一并存证。"""
    import pyarrow as pa

    held = _vault(vault, "", "intl", approve, store, db)
    lines = pa.array(sys.stdin.read().splitlines(), pa.string())
    given = held.detokenise(lines, getpass.getuser(), reason)
    sys.stdout.writelines(f"{value}\n" for value in given.to_pylist())


def _vault(
    vault: str, key: str, suite: str, approve: tuple[str, ...], store: Path | None, db: str | None
) -> "Vault":
    from pingyao.app.keeping import open_vault

    held = open_holder(store)
    return open_vault(open_catalogue(db), vault, held, key, suite, persons(approve))
