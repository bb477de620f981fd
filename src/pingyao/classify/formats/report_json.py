"""A scan result as JSON: what other programs read, and what the catalogue records."""

from pathlib import Path

import msgspec

from pingyao.classify.model import ScanResult
from pingyao.kernel.errors import Invalid

FORMAT = "pingyao.scan/1"
_LARGEST = 2 * 1024**3


class Document(msgspec.Struct, frozen=True):
    """A result with the name of its format."""

    format: str
    result: ScanResult


def encode_json(result: ScanResult) -> bytes:
    """Returns the result as one JSON document."""
    return msgspec.json.encode(Document(FORMAT, result))


def write_json(result: ScanResult, path: Path) -> None:
    """Writes the result as one JSON document."""
    from pingyao.platform.files import write_atomically

    write_atomically(path, encode_json(result))


def read_json(path: Path) -> ScanResult:
    """Reads a result back.

    Raises:
        Invalid: the file is no result of a scan.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise Invalid("result.too_large", f"{path.name} 超过 2 GiB", "请按系统分别扫描")
        document = msgspec.json.decode(path.read_bytes(), type=Document)
    except (OSError, msgspec.DecodeError) as error:
        raise Invalid(
            "result.unreadable",
            f"{path.name} 不是扫描结果：{error}",
            "请使用 pingyao scan --report 写出的 result.json",
        ) from None
    if document.format != FORMAT:
        raise Invalid(
            "result.other_format", f"结果格式 {document.format[:40]} 不受支持", "请用本版本重新扫描"
        )
    return document.result
