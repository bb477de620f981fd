"""A plan as JSON: what other programs read, and may edit."""

from pathlib import Path

import msgspec

from pingyao.kernel.errors import Invalid
from pingyao.platform.files import write_atomically
from pingyao.protect.model import Plan

FORMAT = "pingyao.protect.plan/1"
_LARGEST = 512 * 1024**2


class Document(msgspec.Struct, frozen=True):
    """A plan with the name of its format."""

    format: str
    plan: Plan


def encode_plan(plan: Plan) -> bytes:
    """Returns the plan as one JSON document."""
    return msgspec.json.encode(Document(FORMAT, plan))


def write_plan(plan: Plan, path: Path) -> None:
    """Writes the plan, indented for people who read JSON."""
    write_atomically(path, msgspec.json.format(encode_plan(plan), indent=1))


def read_plan(path: Path) -> Plan:
    """Reads a plan back; techniques in it may have been changed.

    Raises:
        Invalid: the file is no plan.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise Invalid("plan.too_large", f"{path.name} 超过 512 MiB", "请按系统分别制定方案")
        return decode_plan(path.read_bytes(), path.name)
    except OSError as error:
        raise Invalid(
            "plan.unreadable", f"无法读取 {path.name}：{error.strerror}", "请检查路径与权限"
        ) from None


def decode_plan(raw: bytes, name: str) -> Plan:
    """Decodes a plan.

    Raises:
        Invalid: it is no plan, or of another format.
    """
    try:
        document = msgspec.json.decode(raw, type=Document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(
            "plan.unreadable",
            f"{name} 不是保护方案：{str(error)[:200]}",
            "请使用 pingyao protect plan --out 写出的文件",
        ) from None
    if document.format != FORMAT:
        raise Invalid(
            "plan.other_format", f"方案格式 {document.format[:40]} 不受支持", "请用本版本重新制定"
        )
    return document.plan
