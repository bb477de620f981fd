"""The keystore's file: one envelope, read with bounds, written whole, changed by one process at a time."""

import contextlib
import fcntl
import os
from collections.abc import Generator
from pathlib import Path

import msgspec

from pingyao.kernel.errors import Invalid, NotFound, Unavailable
from pingyao.platform.crypto import choose
from pingyao.platform.crypto.derive import Stretch
from pingyao.platform.crypto.ports import NONCE_BYTES

FORMAT = "pingyao-keystore-1"
CIPHERS = ("aes-256-gcm", "sm4-gcm")
_MOST_BYTES = 64 << 20


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: everything but the stretching of the passphrase is encrypted."""

    format: str
    cipher: str
    stretch: Stretch
    nonce: bytes
    sealed: bytes


def aad(envelope: Envelope) -> bytes:
    """Returns what is not encrypted, to be bound to what is."""
    return msgspec.msgpack.encode((envelope.format, envelope.cipher, envelope.stretch))


def close(body: object, key: bytes, stretch: Stretch, cipher: str) -> bytes:
    """Returns the file of a content."""
    nonce = os.urandom(NONCE_BYTES)
    empty = Envelope(FORMAT, cipher, stretch, nonce, b"")
    sealed = choose.seal(cipher, key, nonce, msgspec.msgpack.encode(body), aad(empty))
    return msgspec.json.encode(msgspec.structs.replace(empty, sealed=sealed)) + b"\n"


def read(path: Path) -> Envelope:
    """Reads a file that only its owner can read, without opening it.

    Raises:
        NotFound: there is none.
        Invalid: others can read it, or it is no keystore.
        Unavailable: it cannot be read.
    """
    try:
        status = path.stat()
        if status.st_mode & 0o077:
            raise Invalid(
                "keys.too_open",
                f"密钥库 {path.name} 可被他人读写",
                f"请先执行 chmod 600 {path.name}，并查明是否已被他人复制",
            )
        if status.st_size > _MOST_BYTES:
            raise Invalid("keys.not_keystore", f"{path.name} 不是密钥库", "请核对所指的文件")
        envelope = msgspec.json.decode(path.read_bytes(), type=Envelope)
    except FileNotFoundError:
        raise NotFound(
            "keys.no_keystore", f"没有密钥库 {path.name}", "请先执行 pingyao keys init"
        ) from None
    except OSError:
        raise Unavailable(
            "keys.unreadable", f"密钥库 {path.name} 无法读取", "请检查权限与存储"
        ) from None
    except msgspec.MsgspecError:
        raise Invalid(
            "keys.not_keystore",
            f"{path.name} 不是密钥库，或已损坏",
            "请核对所指的文件，或从备份恢复",
        ) from None
    if envelope.format != FORMAT or envelope.cipher not in CIPHERS:
        raise Invalid("keys.newer", f"{path.name} 的格式本程序不认识", "请升级 pingyao 后再打开")
    return envelope


@contextlib.contextmanager
def changing(path: Path, *, new: bool = False) -> Generator[None]:
    """Keeps other processes from changing the file meanwhile.

    Args:
        new: whether its folder is made where there is none.

    Raises:
        Invalid: it cannot be written.
    """
    try:
        if new:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
    except OSError:
        raise Invalid(
            "keys.not_writable",
            f"密钥库 {path.name} 写不进去，内容未变",
            "请检查磁盘空间与目录的写权限",
        ) from None
