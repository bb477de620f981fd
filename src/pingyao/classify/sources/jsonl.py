"""JSON lines: objects flattened with dots, broken lines counted, the rest read."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pyarrow as pa

from pingyao.classify.model import Column, Table
from pingyao.classify.sources.cells import gathered
from pingyao.classify.sources.failures import failure, shown
from pingyao.classify.sources.fingerprints import file_fingerprint
from pingyao.classify.sources.json_lines import DEEPEST, Cells, cut
from pingyao.classify.sources.json_names import look_for
from pingyao.classify.sources.limits import ROWS, bounded, rest
from pingyao.classify.sources.lines import line_blocks
from pingyao.kernel.errors import Invalid

_PROBED_LINES = 2_000
_MOST_COLUMNS = 2_000
_SHOWN_LINES = 5
# Numbers stay as they are written: 1.50 is not 1.5.
_DECODER = msgspec.json.Decoder(float_hook=lambda number: msgspec.Raw(number.encode()))
# What stands for a line too long to be held: never an object.
_TOO_LONG = b"\0"


class JsonlSource:
    """One file of JSON objects, one a line, as a table; its columns are those of the first lines."""

    kind = "jsonl"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = path.name

    def tables(self) -> Iterator[Table]:
        """Yields the file as its one table, with the keys of its first lines as columns."""
        if names := self._names():
            columns = tuple(map(Column, names))
            yield Table("", self._path.stem, kind="file", columns=columns)

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Yields the rows as text; raises at the end when lines were no objects."""
        return rest(self._all(table, limit), after)

    def _all(self, table: Table, limit: int | None) -> Iterator[pa.RecordBatch]:
        lines = _Lines([column.name for column in table.columns], self._names())
        yield from bounded(lines.batches(self._blocks(), limit))
        if lines.broken or lines.late:
            raise self._lost(lines)

    def _lost(self, lines: "_Lines") -> Invalid:
        parts: list[str] = []
        if lines.broken:
            first = "、".join(map(str, lines.first_broken))
            parts.append(f"{lines.broken:,} 行不是 JSON 对象，未计入（起于第 {first} 行）")
        if lines.late:
            parts.append(
                f"{lines.late:,} 行含有表中没有的键，这些键未读"
                f"（列取自前 {_PROBED_LINES:,} 行，至多 {_MOST_COLUMNS:,} 个）"
            )
        return Invalid(
            "scan.odd_rows",
            f"{shown(self.name)}：{'；'.join(parts)}",
            "请核对这些行，统一各行的键后重新导出",
        )

    def fingerprint(self, table: Table) -> str | None:
        """Returns the fingerprint of the file, which all its tables share."""
        del table
        return file_fingerprint(self._path)

    def close(self) -> None:
        """Nothing is held open."""

    def _names(self) -> list[str]:
        names: dict[str, None] = {}
        lines = (line for block in self._blocks() for line in block.splitlines())
        filled = (line for line in lines if not _is_blank(line))
        for line in islice(filled, _PROBED_LINES):
            if (row := parsed(line)) is not None and len(names) < _MOST_COLUMNS:
                names.update(dict.fromkeys(row))
        return [*names][:_MOST_COLUMNS]

    def _blocks(self) -> Iterator[bytes]:
        try:
            yield from line_blocks(self._path, _TOO_LONG)
        except (OSError, EOFError):
            raise failure("scan.damaged", self.name) from None


class _Lines:
    """Reads lines into batches.

    Attributes:
        read: rows so far.
        broken: lines that are no objects; they are left out.
        first_broken: the numbers of the first of them.
        late: lines with keys that are not known.
    """

    def __init__(self, names: list[str], known: list[str]) -> None:
        self.read = self.broken = self.late = 0
        self.first_broken: list[int] = []
        self._before = 0
        self._names = names
        self._known = {*known}
        self._looked_for = look_for(names, known)
        self._columns = {name: at for at, name in enumerate(names)}

    def batches(self, blocks: Iterator[bytes], limit: int | None) -> Iterator[pa.RecordBatch]:
        """Yields the rows of blocks of whole lines, as many as the limit allows."""
        for block in blocks:
            text, at = np.frombuffer(block, np.uint8), 0
            while at < len(block):
                most = ROWS if limit is None else min(ROWS, limit - self.read)
                if most <= 0:
                    return
                cells = cut(text, at, self._looked_for, most)
                at = cells.end
                kept = np.arange(cells.rows)
                if len(cells.left):
                    cells, dropped = self._parsed(block, cells)
                    kept = np.delete(kept, dropped)
                self.late += cells.late
                self._before += cells.lines
                self.read += len(kept)
                if len(kept):
                    yield gathered(
                        [text, cells.spare], cells.places, cells.sizes, kept, self._names
                    )

    def _parsed(self, block: bytes, cells: Cells) -> tuple[Cells, list[int]]:
        """Parses the lines that were left; returns their cells as well, and the rows that are none."""
        dropped: list[int] = []
        texts: list[bytes] = []
        place = len(block) + len(cells.spare)
        late = cells.late
        for row, start, end, number in cells.left.tolist():
            line = block[start:end]
            found = parsed(line)
            if found is None:
                dropped.append(row)
                if not _is_blank(line):
                    self.broken += 1
                    if self.broken <= _SHOWN_LINES:
                        self.first_broken.append(self._before + number)
                continue
            late += not found.keys() <= self._known
            for name in found.keys() & self._columns.keys():
                if (value := found[name]) is not None:
                    cell = row * len(self._names) + self._columns[name]
                    texts.append(value.encode())
                    cells.places[cell], cells.sizes[cell] = place, len(texts[-1])
                    place += len(texts[-1])
        spare = np.frombuffer(cells.spare.tobytes() + b"".join(texts), np.uint8)
        return cells._replace(spare=spare, late=late), dropped


def _is_blank(line: bytes) -> bool:
    return not line.decode().strip()


def parsed(line: bytes) -> dict[str, str | None] | None:
    """Returns what a line says, one key after another; None where it is no object."""
    try:
        value = _DECODER.decode(line)
        return _flat(value) if isinstance(value, dict) else None
    except (msgspec.DecodeError, RecursionError):
        return None


def _flat(value: dict[str, Any], prefix: str = "", depth: int = 1) -> dict[str, str | None]:
    result: dict[str, str | None] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict) and depth < DEEPEST:
            result.update(_flat(cast("dict[str, Any]", item), f"{name}.", depth + 1))
        elif item is None or isinstance(item, str):
            result[name] = item
        else:
            result[name] = msgspec.json.encode(item).decode()
    return result


def open_jsonl(path: Path) -> JsonlSource:
    """Opens a file of JSON lines."""
    return JsonlSource(path)
