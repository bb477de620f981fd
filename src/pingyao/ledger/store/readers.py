"""Who can open what is sealed from now on: a line for each, its name and its X25519 or SM2 key."""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from pingyao.kernel.errors import Invalid
from pingyao.ledger.rules.sealing import PublicKey
from pingyao.platform.crypto.sm2 import Sm2PublicKey
from pingyao.platform.files import write_atomically

_FILE = "readers"
_MOST = 64


def read_readers(folder: Path) -> dict[str, PublicKey]:
    """Returns the readers of a log; none where nobody was named yet.

    Raises:
        Invalid: a line cannot be understood.
    """
    try:
        lines = (folder / _FILE).read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError):
        raise _invalid(0) from None
    found: dict[str, PublicKey] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            name, key = words
            public = _read_key(base64.b64decode(key, validate=True))
        except (ValueError, binascii.Error):
            raise _invalid(number) from None
        if name in found or len(name) > 64 or len(found) == _MOST:
            raise _invalid(number)
        found[name] = public
    return found


def write_readers(folder: Path, readers: Mapping[str, PublicKey]) -> None:
    """Writes the readers of a log."""
    lines = [format_reader(name, key) for name, key in readers.items()]
    write_atomically(folder / _FILE, "".join(lines).encode())


def format_reader(name: str, key: PublicKey) -> str:
    """Writes a reader's line."""
    data = key.point if isinstance(key, Sm2PublicKey) else key.public_bytes_raw()
    return f"{name} {base64.b64encode(data).decode()}\n"


def _read_key(data: bytes) -> PublicKey:
    """Tells the two kinds of key apart by their length: a point of SM2 stands uncompressed."""
    return Sm2PublicKey(data) if len(data) == 65 else X25519PublicKey.from_public_bytes(data)


def _invalid(number: int) -> Invalid:
    return Invalid(
        "ledger.readers",
        f"readers 文件第 {number} 行有误" if number else "readers 文件无法读取",
        "每行写“名称 Base64公钥”，名称至多 64 字且不重复，至多 64 行",
    )
