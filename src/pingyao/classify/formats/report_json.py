"""A scan result as JSON: what other programs read, and what the catalogue records."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from pingyao.classify.model import ScanResult
from pingyao.kernel.errors import Invalid
from pingyao.platform.files import replacing

FORMAT = "pingyao.scan/1"
_LARGEST = 2 * 1024**3
_TABLES = b'"tables":['


class Document(msgspec.Struct, frozen=True):
    """A result with the name of its format."""

    format: str
    result: ScanResult


def encode_json(result: ScanResult) -> Iterator[bytes]:
    """Yields the result as one JSON document, a table at a time: a schema may have thousands."""
    empty = msgspec.json.encode(Document(FORMAT, msgspec.structs.replace(result, tables=())))
    # Within a string its quotes would be escaped: this stands there once.
    head, _, rest = empty.partition(_TABLES + b"]")
    yield head + _TABLES
    for number, table in enumerate(result.tables):
        yield (b"," if number else b"") + msgspec.json.encode(table)
    yield b"]" + rest


def write_json(result: ScanResult, path: Path) -> None:
    """Writes the result as one JSON document."""
    with replacing(path) as file:
        file.writelines(encode_json(result))


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
