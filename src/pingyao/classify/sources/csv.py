"""Delimited text: encoding, delimiter and header found out, streamed, nothing silently lost."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.csv as pa_csv

from pingyao.classify.model import Column, Table
from pingyao.classify.sources.bytes import rows_end
from pingyao.classify.sources.encoding import (
    LONGEST_LINE,
    Utf8Reader,
    detect_encoding,
    open_bytes,
)
from pingyao.classify.sources.failures import failure, shown
from pingyao.classify.sources.fingerprints import file_fingerprint
from pingyao.classify.sources.limits import bounded, rest
from pingyao.kernel.errors import Invalid

_DELIMITERS = ",\t;|^\x01"
_PROBE = 256 * 1024
_LONGEST_PROBED = 100_000
_MOST_COLUMNS = 20_000
_SHOWN_ROWS = 5
csv.field_size_limit(LONGEST_LINE)


class CsvSource:
    """One delimited file as a table."""

    kind = "csv"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = path.name

    def tables(self) -> Iterator[Table]:
        """Yields the file as its one table; a file without a header has ``col_1``, ``col_2``, …"""
        layout = self._layout()
        if layout.names:
            stem = self._path.name.removesuffix(".gz").rpartition(".")[0]
            columns = tuple(Column(name) for name in layout.names)
            yield Table("", stem or self.name, "", "file", columns, layout.rows)

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Yields all rows as text; raises at the end when rows could not be told into columns.

        What was read before is skipped by parsing it: only so is it known where a row begins.
        """
        return rest(self._all(table, limit), after)

    def _all(self, table: Table, limit: int | None) -> Iterator[pa.RecordBatch]:
        layout = self._layout()
        chosen = [c.name for c in table.columns]
        rows = _Rows(layout, chosen)
        with open_bytes(self._path) as raw:
            reader = Utf8Reader(raw, layout.encoding)
            try:
                yield from limited(bounded(rows.batches(reader.blocks())), limit)
            except pa.ArrowInvalid:
                raise self._broken("行结构不一致") from None
            except _Endless:
                raise self._broken("引号没有成对或文件只有一半") from None
            except (OSError, EOFError):
                raise failure("scan.damaged", self.name) from None
        unpaired = limit is None and reader.quotes % 2 == 1
        if rows.odd or reader.mended or unpaired:
            raise self._lost(rows.odd, reader.mended, unpaired)

    def fingerprint(self, table: Table) -> str | None:
        """Returns the fingerprint of the file, which all its tables share."""
        del table
        return file_fingerprint(self._path)

    def close(self) -> None:
        """Nothing is held open."""

    def _layout(self) -> "_Layout":
        """Finds out from its beginning how the file is laid out."""
        try:
            encoding = detect_encoding(self._path)
            with open_bytes(self._path) as raw:
                head, reader = b"", Utf8Reader(raw, encoding)
                for block in reader.blocks():
                    head += block
                    if len(head) >= _PROBE and b"\n" in head:
                        break
        except (OSError, EOFError):
            raise failure("scan.damaged", self.name) from None
        text = head.decode("utf-8", "replace").replace("\0", "")
        whole = [line for line in text.splitlines() if line][:200]
        if not whole:
            return _Layout(encoding, [], ",", has_header=False)
        lines = [line[:_LONGEST_PROBED] for line in whole]
        delimiter = find_delimiter(lines)
        begun = io.StringIO(text.lstrip("\r\n"), newline="")
        rows = [*islice(filter(None, csv.reader(begun, delimiter=delimiter)), 50)]
        first = ["".join(cell.splitlines()).strip() for cell in rows[0]]
        if len(first) > _MOST_COLUMNS:
            raise Invalid(
                "scan.too_many_columns",
                f"{shown(self.name)} 的第一行有 {len(first):,} 列，超过 {_MOST_COLUMNS:,}",
                "请检查分隔符，或拆分文件后再扫描",
            )
        has_header = looks_like_header(first, rows[1:])
        names = first if has_header else [f"col_{i}" for i in range(1, len(first) + 1)]
        packed = self._path.suffix.lower() == ".gz"
        share = self._path.stat().st_size / reader.consumed
        rows = None if packed else max(0, round(head.count(b"\n") * share) - has_header)
        return _Layout(encoding, distinct_names(names), delimiter, has_header, rows)

    def _broken(self, cause: str) -> Invalid:
        return Invalid(
            "scan.broken_csv",
            f"{shown(self.name)} 中途无法解析：{cause}；此前的行已读入",
            "请重新导出该文件，并核对引号与换行",
        )

    def _lost(self, odd: list[int], mended: int, unpaired: bool) -> Invalid:
        parts: list[str] = []
        if odd:
            first = "、".join(str(n) for n in odd[:_SHOWN_ROWS] if n)
            where = f"（起于第 {first} 行）" if first else ""
            parts.append(f"{len(odd):,} 行的列数与表头不符，未计入{where}")
        if mended:
            parts.append(f"{mended:,} 行的编码与文件其余部分不同，已按另一编码读入")
        if unpaired:
            parts.append("引号没有成对，末尾若干行可能并入了同一单元格")
        return Invalid(
            "scan.odd_rows",
            f"{shown(self.name)}：{'；'.join(parts)}",
            "请核对这些行的分隔符、引号与编码后重新导出",
        )


class _Layout(NamedTuple):
    """How a file is laid out.

    Attributes:
        names: of the columns; none where there is not a line.
        rows: about how many, by the length of the first lines; None when it is packed.
    """

    encoding: str
    names: list[str]
    delimiter: str
    has_header: bool
    rows: int | None = None


class _Endless(Exception):
    """A row has no end within the longest that is held."""


class _Rows:
    """Cuts text into whole rows and parses them, all cells as text.

    Attributes:
        odd: numbers of the rows that have more or fewer cells than the table; they are left out.
    """

    def __init__(self, layout: "_Layout", chosen: list[str]) -> None:
        self.odd: list[int] = []
        self._names, self._delimiter = layout.names, layout.delimiter
        self._skip = int(layout.has_header)
        self._before = 0
        self._parse = pa_csv.ParseOptions(
            delimiter=layout.delimiter, newlines_in_values=True, invalid_row_handler=self._on_odd
        )
        self._convert = pa_csv.ConvertOptions(
            include_columns=chosen,
            column_types=dict.fromkeys(chosen, pa.string()),
            strings_can_be_null=False,
            check_utf8=False,  # a reader of blocks has done that
        )

    def batches(self, blocks: Iterator[bytes]) -> Iterator[pa.RecordBatch]:
        """Yields the rows of every block, and at last what follows the last line break."""
        rest = b""
        for block in blocks:
            text = rest + block if rest else block
            end = rows_end(text, self._delimiter)
            if end:
                yield from self._parsed(text[:end])
            rest = text[end:]
            if len(rest) > LONGEST_LINE:
                raise _Endless
        if rest:
            yield from self._parsed(rest)

    def _parsed(self, text: bytes) -> Iterator[pa.RecordBatch]:
        skip, self._skip = self._skip, 0
        read = pa_csv.ReadOptions(
            column_names=self._names,
            skip_rows_after_names=skip,  # which, unlike skip_rows, knows line breaks within quotes
            block_size=len(text) + 1,
            use_threads=False,
        )
        odd = len(self.odd)
        try:
            table = pa_csv.read_csv(pa.BufferReader(text), read, self._parse, self._convert)
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                return
            raise
        self._before += table.num_rows + len(self.odd) - odd + skip
        yield from table.to_batches()

    def _on_odd(self, row: pa_csv.InvalidRow) -> str:
        self.odd.append(self._before + (row.number or 0))
        return "skip"


def find_delimiter(lines: list[str]) -> str:
    """Returns the delimiter that cuts most lines into the same number of cells, more than one."""
    best, score = ",", 0.0
    for delimiter in filter("".join(lines).__contains__, _DELIMITERS):
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter))
        width, hits = widths.most_common(1)[0]
        share = hits / sum(widths.values()) * (1 + min(width, 50) / 1000)
        if width > 1 and share > score:
            best, score = delimiter, share
    return best


def looks_like_header(first: list[str], rest: list[list[str]]) -> bool:
    """Tells a header from data: all named, all different, no numbers, unlike the rows below."""
    if len({cell for cell in first if cell}) < len(first) * 0.6:
        return False
    if any(_numeric(cell) for cell in first):
        return False
    below = [row for row in rest if len(row) == len(first)]
    repeated = sum(row[i] == cell for row in below for i, cell in enumerate(first))
    return repeated <= len(below) * len(first) * 0.2 and max(map(len, first)) <= 200


def _numeric(cell: str) -> bool:
    return cell.replace(".", "").replace("-", "").replace(":", "").isdigit()


def distinct_names(names: list[str]) -> list[str]:
    """Returns the names with later namesakes numbered, and empty ones by position."""
    taken: set[str] = set()
    result: list[str] = []
    for position, name in enumerate(names, 1):
        own = name or f"col_{position}"
        number = 2
        while own in taken:
            own, number = f"{name or f'col_{position}'}_{number}", number + 1
        taken.add(own)
        result.append(own)
    return result


def limited(batches: Iterator[pa.RecordBatch], limit: int | None) -> Iterator[pa.RecordBatch]:
    """Yields so many rows, all without a limit."""
    for batch in batches:
        if limit is None:
            yield batch
            continue
        if limit <= 0:
            return
        yield batch.slice(0, limit)
        limit -= batch.num_rows


def open_csv(path: Path) -> CsvSource:
    """Opens a delimited file, ``.gz`` as well."""
    return CsvSource(path)
