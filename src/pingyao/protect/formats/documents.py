"""Identifiers masked inside documents: plain text, JSON and JSON lines, .docx; the form stays.

What is hidden is ASCII and keeps its length, so a paragraph of a .docx keeps its runs and their looks.
"""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from pingyao.kernel.errors import Invalid, NotFound, Unsupported
from pingyao.platform.files import write_atomically
from pingyao.protect.rules.masks import spans
from pingyao.protect.sinks.files import refuse_existing

_LARGEST = 256 * 1024**2
_UNPACKED = 1024**3
_DEEPEST = 200


def mask_document(source: Path, target: Path) -> int:
    """Writes a copy of a document with its identifiers masked; returns how many there were.

    Raises:
        Unsupported: it is of a kind that cannot be masked.
        Invalid: it is damaged, too large, or not UTF-8.
    """
    kind = source.suffix.lower()
    if kind not in _KINDS:
        raise Unsupported(
            "protect.unknown_document", f"不能处理 {kind[:12]} 文件", "可处理：" + "、".join(_KINDS)
        )
    refuse_existing(target)
    try:
        if source.stat().st_size > _LARGEST:
            raise Invalid("protect.too_large", f"{source.name} 超过 256 MiB", "请拆分后处理")
        raw = source.read_bytes()
    except OSError as error:
        raise NotFound(
            "protect.no_document", f"无法读取 {source.name}：{error.strerror}", "请核对路径与权限"
        ) from None
    masker = _Masker()
    try:
        made = _KINDS[kind](raw, masker)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        raise Invalid(
            "protect.damaged_document",
            f"{source.name} 不是 UTF-8，或不合格式",
            "请转为 UTF-8 或重新导出",
        ) from None
    write_atomically(target, made)
    return masker.found


class _Masker:
    """Masks strings and counts what it hid."""

    def __init__(self) -> None:
        self.found = 0

    def __call__(self, text: str) -> str:
        made, found = spans(pa.array([text], pa.string()))
        self.found += found
        return made[0].as_py()


def _text(raw: bytes, mask: _Masker) -> bytes:
    return mask(raw.decode("utf-8")).encode()


def _json(raw: bytes, mask: _Masker) -> bytes:
    return msgspec.json.encode(_walked(msgspec.json.decode(raw), mask, 0))


def _lines(raw: bytes, mask: _Masker) -> bytes:
    made = [_json(line, mask) if line.strip() else b"" for line in raw.split(b"\n")]
    return b"\n".join(made)


def _walked(value: Any, mask: _Masker, depth: int) -> Any:
    if depth > _DEEPEST:
        raise Invalid("protect.too_deep", f"JSON 嵌套超过 {_DEEPEST} 层", "请拆分后处理")
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {mask(k): _walked(v, mask, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [_walked(v, mask, depth + 1) for v in value]
    if isinstance(value, int) and not isinstance(value, bool):
        # A mobile number written as a number becomes text once digits of it are hidden.
        shown = mask(str(value))
        return value if shown == str(value) else shown
    return value


def _docx(raw: bytes, mask: _Masker) -> bytes:
    import docx

    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as packed:
            if sum(i.file_size for i in packed.infolist()) > _UNPACKED:
                raise Invalid("protect.too_large", "文件展开后超过 1 GiB", "请拆分后处理")
        document: Any = docx.Document(io.BytesIO(raw))
    except (zipfile.BadZipFile, KeyError, ValueError):
        raise Invalid("protect.damaged_document", "不是 .docx 文件或已损坏", "请重新导出") from None
    # Every part with text: body, headers, footers, notes and comments.
    for part in document.part.package.iter_parts():
        if part.content_type.endswith("+xml") and hasattr(part, "element"):
            _mask_paragraphs(part.element, mask)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _mask_paragraphs(root: Any, mask: _Masker) -> None:
    space = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
    for paragraph in root.iter(f"{space}p"):
        runs = [t for t in paragraph.iter(f"{space}t") if t.text]
        whole = "".join(t.text for t in runs)
        masked = mask(whole)
        if masked == whole:
            continue
        at = 0
        for run in runs:
            size = len(run.text)
            run.text = masked[at : at + size]
            at += size


_KINDS: dict[str, Callable[[bytes, _Masker], bytes]] = {
    ".txt": _text,
    ".md": _text,
    ".log": _text,
    ".json": _json,
    ".jsonl": _lines,
    ".ndjson": _lines,
    ".docx": _docx,
}
