"""Documents as they are recorded: the whole file's hashes, and marks of its parts that tell what changed."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pingyao.kernel.errors import Conflict, Invalid, NotFound

RECORDED = "ledger.document.recorded"
_BLOCK = 1 << 20
_MARK = 8  # bytes: enough to tell a changed row from its neighbours, too few to stand as proof
_MARKS = 50_000
_PARSED = 256 << 20  # larger files are told apart by blocks, not by rows
_UNPACKED = 1 << 30


class Part(msgspec.Struct, frozen=True, array_like=True):
    """A sheet, a section or the lines of a document.

    Attributes:
        name: as its reader knows it; empty where the document has but one.
        unit: ``row``, ``item``, ``line`` or ``block`` of a megabyte.
        each: how many units one mark covers.
        units: how many there are.
        marks: concatenated marks, 8 bytes each.
    """

    name: str
    unit: str
    each: int
    units: int
    marks: bytes


class Document(msgspec.Struct, frozen=True):
    """A document as it was read.

    Attributes:
        name: the file's name without its folder.
        sha256, sm3: of every byte, hexadecimal.
        size: in bytes.
        modified_at: what the file system said, UTC.
        parts: kept beside the log; their hash goes into it.
    """

    name: str
    sha256: str
    sm3: str
    size: int
    modified_at: str
    parts: tuple[Part, ...]


class Facts(msgspec.Struct, frozen=True):
    """What the event of a recorded document says: what it was, and where it came from when taken in.

    Attributes:
        parts: SHA-256 of the marks, where they are kept beside the log.
        system: the machine and program that took it in.
        time_source: what set the clock, as far as the machine knows.
        about: what the document reports on.

    Cites: 《人民法院在线诉讼规则》(2021), Art. 16-18 (what was there before the record is examined apart).
    """

    name: str
    size: int
    sha256: str
    sm3: str
    modified_at: str
    system: str
    time_source: str
    parts: str = ""
    about: dict[str, str] = {}


class Difference(msgspec.Struct, frozen=True):
    """Where a document differs from the one recorded.

    Attributes:
        part: name of the part.
        what: ``added``, ``removed`` or ``changed``.
        unit: what the numbers count.
        first, last: the units that differ, from 1; 0 where a whole part came or went.
    """

    part: str
    what: str
    unit: str = ""
    first: int = 0
    last: int = 0


def read_document(path: Path, *, marked: bool = True) -> Document:
    """Hashes a file and marks its parts.

    Args:
        path: of the file.
        marked: False where nobody will keep the marks.

    Raises:
        NotFound: there is no such file.
        Invalid: it cannot be read.
        Conflict: it changed while it was read.
    """
    sha256, sm3, size = hashlib.sha256(), hashlib.new("sm3"), 0
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            while block := file.read(_BLOCK):
                sha256.update(block)
                sm3.update(block)
                size += len(block)
        parts = tuple(_parts(path, size)) if marked else ()
        after = path.stat()
    except FileNotFoundError:
        raise NotFound("ledger.no_file", f"没有文件 {path.name}", "请核对路径") from None
    except OSError:
        raise Invalid("ledger.unreadable", f"{path.name} 无法读取", "请检查文件与权限") from None
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise Conflict("ledger.file_changing", f"{path.name} 正被改写", "请待其写完后再登记")
    name = path.name.encode("utf-8", "replace").decode()
    modified_at = datetime.fromtimestamp(after.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Document(name, sha256.hexdigest(), sm3.hexdigest(), size, modified_at, parts)


def differences(old: Iterable[Part], new: Iterable[Part]) -> list[Difference]:
    """Returns where two documents differ, part by part."""
    before, after = {p.name: p for p in old}, {p.name: p for p in new}
    found = [Difference(name, "removed") for name in before if name not in after]
    for name, part in after.items():
        known = before.get(name)
        if known is None:
            found.append(Difference(name, "added"))
        elif (known.unit, known.each) != (part.unit, part.each):
            found.append(Difference(name, "changed"))
        elif known.marks != part.marks or known.units != part.units:
            found += _ranges(known, part)
    return found


def _ranges(old: Part, new: Part) -> Iterator[Difference]:
    """Yields the runs that differ; where rows came or went, what lies between equal head and tail."""
    a, b = _split(old.marks), _split(new.marks)
    if len(a) == len(b):
        wrong = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
        start = 0
        for i in range(1, len(wrong) + 1):
            if i == len(wrong) or wrong[i] != wrong[i - 1] + 1:
                yield _range(new, wrong[start], wrong[i - 1])
                start = i
        return
    shorter = min(len(a), len(b))
    head = next((i for i in range(shorter) if a[i] != b[i]), shorter)
    tail = next((i for i in range(shorter - head) if a[-1 - i] != b[-1 - i]), shorter - head)
    yield _range(new, head, max(head, max(len(a), len(b)) - tail - 1))


def _range(part: Part, first: int, last: int) -> Difference:
    return Difference(
        part.name, "changed", part.unit, first * part.each + 1, (last + 1) * part.each
    )


def _split(marks: bytes) -> list[bytes]:
    return [marks[i : i + _MARK] for i in range(0, len(marks), _MARK)]


def _parts(path: Path, size: int) -> Iterator[Part]:
    suffix = path.suffix.lower()
    if size <= _PARSED and suffix == ".xlsx" and (sheets := _sheets(path)) is not None:
        for name, rows in sheets:
            yield _part(name, "row", rows)
    elif size <= _PARSED and suffix == ".json" and (sections := _sections(path)) is not None:
        for name, rows in sections:
            yield _part(name, "item", rows)
    elif size <= _PARSED and suffix in (".csv", ".html", ".jsonl", ".sql", ".txt"):
        yield _part("", "line", path.read_bytes().split(b"\n"))
    else:
        yield _part("", "block", list(_blocks(path)))


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield hashlib.sha256(block).digest()


def _sheets(path: Path) -> list[tuple[str, list[bytes]]] | None:
    """Returns the cells of a workbook: saving it again unchanged leaves them equal."""
    import zipfile

    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _UNPACKED:
                return None
        workbook = CalamineWorkbook.from_path(path)
        return [
            (
                name,
                [repr(r).encode() for r in workbook.get_sheet_by_name(name).iter_rows()],
            )
            for name in workbook.sheet_names
        ]
    except (CalamineError, zipfile.BadZipFile):
        return None


def _sections(path: Path) -> list[tuple[str, list[bytes]]] | None:
    """Returns the members of a JSON object; a list's elements are its rows."""
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    sections: dict[str, object] = told
    return [
        (name, [_canonical(row) for row in (value if isinstance(value, list) else [value])])
        for name, value in sections.items()
    ]


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _part(name: str, unit: str, rows: list[bytes]) -> Part:
    each = max(1, -(-len(rows) // _MARKS))
    marks = bytearray()
    for i in range(0, len(rows), each):
        digest = hashlib.sha256()
        for row in rows[i : i + each]:
            digest.update(len(row).to_bytes(8, "big") + row)
        marks += digest.digest()[:_MARK]
    return Part(name, unit, each, len(rows), bytes(marks))
