"""The node's own key: kept beside the database, never in it; seals what the database may hold but not show."""

import os
import secrets
from pathlib import Path

from pingyao.kernel.errors import IntegrityBroken, NotFound
from pingyao.platform.files import write_atomically

_NONCE = 12


def default_key() -> Path:
    """Returns where the node's own key is kept: beside the user's data, never in the database."""
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return home / "pingyao" / "node.key"


def make_key(path: Path) -> bytes:
    """Makes the key that the node seals with; mode 0600."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = secrets.token_bytes(32)
    write_atomically(path, key.hex().encode() + b"\n")
    return key


def read_key(path: Path) -> bytes:
    """Reads the node's key.

    Raises:
        NotFound: there is none, or it is damaged.
    """
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError):
        key = b""
    if len(key) != 32:
        raise NotFound(
            "node.no_key",
            f"节点密钥文件 {path.name} 不存在或已损坏",
            "请先运行 pingyao node init，或用 --key 指明该文件",
        )
    return key


def seal(key: bytes, plain: bytes, about: bytes) -> bytes:
    """Encrypts what the database may hold but not show; it opens for the same purpose alone."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plain, about)


def unseal(key: bytes, sealed: bytes, about: bytes) -> bytes:
    """Decrypts what was sealed for this purpose.

    Raises:
        IntegrityBroken: another key, another purpose, or changed bytes.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], about)
    except InvalidTag:
        raise IntegrityBroken(
            "node.broken_secret",
            "以节点密钥封存的内容无法解开",
            "请核对节点密钥文件是否与数据库相配；不配时，须重置账号的动态口令，重新登记数据源",
        ) from None
