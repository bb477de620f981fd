"""What the commands read and write: files of bounded size, JSON."""

import sys
from pathlib import Path

import msgspec

from pingyao.kernel.errors import Invalid, NotFound
from pingyao.ledger.formats.tlog_policy import parse_policy
from pingyao.ledger.model import Policy

MOST_PROOF = 6_000_000


def read_file(path: Path, most: int) -> bytes:
    """Reads a file of at most so many bytes.

    Raises:
        NotFound: there is none.
        Invalid: it is not readable, or longer.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise NotFound("ledger.no_file", f"没有文件 {path.name}", "请核对路径") from None
    except OSError:
        raise Invalid("ledger.unreadable", f"{path.name} 无法读取", "请检查文件与权限") from None
    if len(data) > most:
        raise Invalid("ledger.too_large", f"{path.name} 过大", "请核对是否给错了文件")
    return data


def read_policy_file(path: Path) -> Policy:
    """Reads a policy file.

    Raises:
        NotFound: there is none.
    """
    try:
        return parse_policy(path.read_bytes())
    except OSError:
        raise NotFound("ledger.no_policy", f"没有信任策略文件 {path.name}", "请核对路径") from None


def write_json(value: object) -> None:
    """Writes one line of JSON to standard output."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
