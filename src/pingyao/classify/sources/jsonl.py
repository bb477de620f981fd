"""JSON lines: objects flattened with dots, broken lines counted, the rest read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pyarrow as pa

from pingyao.classify.model import Column, Table
from pingyao.classify.sources.encoding import open_text
from pingyao.classify.sources.failures import shown
from pingyao.classify.sources.fingerprints import file_fingerprint
from pingyao.classify.sources.limits import rest
from pingyao.kernel.errors import Invalid

_PROBED_LINES = 2_000
_BATCH_ROWS = 8_192
_DEEPEST = 4
_MOST_COLUMNS = 2_000


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
        names = [c.name for c in table.columns]
        known = set(self._names())
        broken: list[int] = []
        late = 0
        cells: list[list[str | None]] = [[] for _ in names]
        read = 0
        for number, row in self._rows():
            if limit is not None and read >= limit:
                break
            if row is None:
                broken.append(number)
                continue
            late += not row.keys() <= known
            for i, name in enumerate(names):
                cells[i].append(row.get(name))
            read += 1
            if read % _BATCH_ROWS == 0:
                yield _batch(cells, names)
                cells = [[] for _ in names]
        if cells and cells[0]:
            yield _batch(cells, names)
        if broken or late:
            raise self._lost(broken, late)

    def _lost(self, broken: list[int], late: int) -> Invalid:
        parts: list[str] = []
        if broken:
            first = "、".join(str(n) for n in broken[:5])
            parts.append(f"{len(broken):,} 行不是 JSON 对象，未计入（起于第 {first} 行）")
        if late:
            parts.append(
                f"{late:,} 行含有表中没有的键，这些键未读"
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
        for number, (_, row) in enumerate(self._rows()):
            if row is not None and len(names) < _MOST_COLUMNS:
                names.update(dict.fromkeys(row))
            if number >= _PROBED_LINES:
                break
        return [*names][:_MOST_COLUMNS]

    def _rows(self) -> Iterator[tuple[int, dict[str, str | None] | None]]:
        decode = msgspec.json.Decoder().decode
        with open_text(self._path) as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    value = decode(line)
                except (msgspec.DecodeError, RecursionError):
                    value = None
                yield number, _flat(value) if isinstance(value, dict) else None


def _batch(cells: list[list[str | None]], names: list[str]) -> pa.RecordBatch:
    arrays = [pa.array(c, pa.string()) for c in cells]
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _flat(value: dict[str, Any], prefix: str = "", depth: int = 1) -> dict[str, str | None]:
    result: dict[str, str | None] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict) and depth < _DEEPEST:
            result.update(_flat(cast("dict[str, Any]", item), f"{name}.", depth + 1))
        elif item is None or isinstance(item, str):
            result[name] = item
        else:
            result[name] = msgspec.json.encode(item).decode()
    return result


def open_jsonl(path: Path) -> JsonlSource:
    """Opens a file of JSON lines."""
    return JsonlSource(path)
