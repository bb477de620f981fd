"""Workbooks of the newer kind (.xlsx), row by row out of their archive: no sheet is ever held whole."""

import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingyao.classify.sources.bytes import is_utf8
from pingyao.classify.sources.cells import WIDTH, gathered
from pingyao.classify.sources.encoding import LONGEST_LINE
from pingyao.classify.sources.limits import BYTES
from pingyao.classify.sources.xlsx_bytes import (
    CONSTANTS,
    MOST_COLUMNS,
    SLACK,
    cut_rows,
    cut_strings,
)
from pingyao.classify.sources.xlsx_numbers import MAIN, Unusual, kinds_of, said

_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_BLOCK = 2 * 1024 * 1024
_LARGEST_PART = 16 * 1024 * 1024
_MOST_CELLS = 1 << 20
_CHART = "chart"
_SHEET = (re.compile(rb"<sheetData\s*(/?)>"), b"</row>", b"</sheetData>")
_STRINGS = (re.compile(rb"<sst\b[^<>]*?(/?)>"), b"</si>", b"</sst>")
_DIMENSION = re.compile(rb'<dimension ref="([A-Z]{1,3})(\d+)(?::[A-Z]+(\d+))?"')
_UNREADABLE = (
    *(OSError, KeyError, ValueError, RuntimeError, EOFError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error),
)


class Rows(NamedTuple):
    """Rows of a sheet that hold anything: their numbers, counted from 1, and their cells."""

    numbers: NDArray[np.int64]
    cells: pa.RecordBatch


class Top(NamedTuple):
    """The first rows of a sheet, and the first column and last row it says it has."""

    rows: list[list[str]]
    first: int
    last: int


class Xlsx:
    """A workbook whose sheets can be read row by row; they come as text, as `said` tells.

    Raises:
        Unusual: it is written in a way that is not read here.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
            self._parts, self._strings, styles = self._found()
            self._kinds = kinds_of(self._xml(styles)) if styles else np.zeros(0, np.uint8)
        except _UNREADABLE as error:
            raise Unusual from error
        self._shared: tuple[NDArray[np.uint8], NDArray[np.int64]] | None = None

    @property
    def names(self) -> list[str]:
        """The names of the sheets, in the workbook's order."""
        return [*self._parts]

    def close(self) -> None:
        """Closes the archive."""
        self._archive.close()

    def top(self, sheet: str, most: int) -> Top:
        """Returns so many rows of a sheet from the first, with those that are not there empty."""
        rows: list[list[str]] = []
        if self._parts[sheet] == _CHART:
            return Top(rows, 0, 0)
        every = np.arange(MOST_COLUMNS, dtype=np.int32)
        for cut in self._cut(sheet, every, 1, most):
            width = int(np.flatnonzero((cut.sizes >= 0).any(0))[-1]) + 1
            cells = [
                column.to_pylist()
                for column in _batch(cut.narrowed(width), [*map(str, range(width))])
            ]
            for number, row in zip(cut.numbers.tolist(), zip(*cells, strict=True), strict=True):
                if number <= most:
                    rows += [[]] * (number - 1 - len(rows))
                    rows.append([cell or "" for cell in row])
            if cut.numbers[-1] >= most or len(rows) >= most:
                break
        said = _DIMENSION.search(self._head(self._parts[sheet]))
        # It may say less than it has.
        used = [next((i for i, cell in enumerate(row) if cell), MOST_COLUMNS) for row in rows]
        first, last = (_column(said[1].decode()), int(said[3] or said[2])) if said else (0, 0)
        return Top(rows, min([first, *used]), last)

    def rows(self, sheet: str, columns: list[int], after: int) -> Iterator[Rows]:
        """Yields the rows of a sheet below one, of the columns asked for.

        Raises:
            Unusual: from here on; what was yielded is good.
        """
        places = np.full(MOST_COLUMNS, -1, np.int32)
        places[columns] = np.arange(len(columns))
        names = [str(column) for column in columns]
        for cut in self._cut(sheet, places, after + 1, _MOST_CELLS // max(16, len(columns))):
            # One long shared string may stand in every cell.
            sizes = np.maximum(cut.sizes, 0).sum(1).cumsum() // BYTES
            for piece in np.split(np.arange(len(cut.numbers)), np.flatnonzero(np.diff(sizes)) + 1):
                yield Rows(cut.numbers[piece], _batch(cut.only(piece), names))

    def _cut(
        self, sheet: str, columns: NDArray[np.int32], first: int, most: int
    ) -> Iterator["_Cut"]:
        width = int(columns.max()) + 1
        shared, ends = self._texts()
        state = np.zeros(5, np.int64)
        for block in self._blocks(self._parts[sheet], *_SHEET):
            text = _padded(block)
            out = np.empty(len(text) + WIDTH + len(CONSTANTS), np.uint8)
            out[: len(CONSTANTS)] = [*CONSTANTS]
            state[0] = 0
            usual = True
            while usual and text[state[0]]:
                places = np.empty(most * width, np.int64)
                sizes = np.empty(most * width, np.int32)
                numbers = np.empty(most, np.int64)
                odd = np.empty((most * width, 4), np.int64)
                usual = cut_rows(
                    *(text, int(state[0]), int(state[2]), first, columns, width, self._kinds, ends),
                    *(places, sizes, out, numbers, odd, state),
                )
                if rows := int(state[1]):
                    yield _Cut(
                        numbers[:rows],
                        [text, out, shared],
                        places[: rows * width].reshape(rows, width),
                        sizes[: rows * width].reshape(rows, width),
                        odd[: state[3]],
                    )
            if not usual:
                raise Unusual

    def _texts(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Returns the shared strings, one after another, and where each begins and the last ends."""
        if self._shared is None:
            held, ends, state = bytearray(), [np.zeros(1, np.int64)], np.zeros(2, np.int64)
            for block in self._blocks(self._strings, *_STRINGS) if self._strings else ():
                text = _padded(block)
                out = np.empty(len(text) + WIDTH, np.uint8)
                # None is shorter than its empty tag.
                found = np.empty(len(text) // 5 + 1, np.int64)
                if not cut_strings(text, out, found, state):
                    raise Unusual
                ends.append(found[: state[0]] + len(held))
                held += out[: state[1]].tobytes()
            self._shared = np.frombuffer(held, np.uint8), np.concatenate(ends)
        return self._shared

    def _blocks(
        self, part: str, opening: re.Pattern[bytes], unit: bytes, closing: bytes
    ) -> Iterator[bytes]:
        """Yields what is between two tags, cut behind whole units."""
        try:
            with self._archive.open(part) as stream:
                rest = _begun(stream.read(_BLOCK), opening)
                while rest is not None:
                    end = rest.find(closing)
                    cut = end if end >= 0 else rest.rfind(unit) + len(unit)
                    if end >= 0 or cut >= len(unit):
                        # A zero, which no XML holds, would pass for the end.
                        if not is_utf8(rest[:cut]) or 0 in rest[:cut]:
                            raise Unusual
                        yield rest[:cut]
                        rest = rest[cut:]
                    if end >= 0:
                        # What follows is read for the archive's checksum.
                        while stream.read(_BLOCK):
                            pass
                        return
                    more = stream.read(_BLOCK)
                    if not more or len(rest) > LONGEST_LINE:
                        raise Unusual
                    rest += more
        except _UNREADABLE as error:
            raise Unusual from error

    def _head(self, part: str) -> bytes:
        with self._archive.open(part) as stream:
            return stream.read(4096)

    def _xml(self, part: str) -> ElementTree.Element:
        with self._archive.open(part) as stream:
            text = stream.read(_LARGEST_PART + 1)
        if len(text) > _LARGEST_PART or b"<!DOCTYPE" in text:
            raise ValueError(part)
        return ElementTree.fromstring(text)  # noqa: S314 - without a DOCTYPE there are no entities

    def _found(self) -> tuple[dict[str, str], str, str]:
        """Returns the part of every sheet by its name, and those of shared strings and styles."""
        parts: dict[str, tuple[str, str]] = {}
        for each in self._xml("xl/_rels/workbook.xml.rels"):
            kind = each.attrib["Type"].removeprefix(_OFFICE)
            parts[each.attrib["Id"]] = kind, posixpath.join("/xl", each.attrib["Target"])[1:]
        book = self._xml("xl/workbook.xml")
        facts = book.find(f"{MAIN}workbookPr")
        if facts is not None and facts.get("date1904", "0") not in ("0", "false"):
            raise ValueError("date1904")
        sheets: dict[str, str] = {}
        for each in book.iterfind(f"{MAIN}sheets/{MAIN}sheet"):
            kind, part = parts[each.attrib[f"{{{_OFFICE}}}id"]]
            sheets[each.attrib["name"]] = {"/worksheet": part, "/chartsheet": _CHART}.get(kind, "")
        of_kind = dict(parts.values())
        return sheets, of_kind.get("/sharedStrings", ""), of_kind.get("/styles", "")


class _Cut(NamedTuple):
    """Rows as `cut_rows` leaves them: places and sizes row by row, odd cells by their number."""

    numbers: NDArray[np.int64]
    texts: list[NDArray[np.uint8]]
    places: NDArray[np.int64]
    sizes: NDArray[np.int32]
    odd: NDArray[np.int64]

    def only(self, rows: NDArray[np.int64]) -> "_Cut":
        """Returns some of the rows, one after another."""
        width = self.places.shape[1]
        first, end = rows[0] * width, (rows[-1] + 1) * width
        odd = self.odd[(self.odd[:, 0] >= first) & (self.odd[:, 0] < end)]
        odd = odd - [first, 0, 0, 0]
        return self._replace(
            numbers=self.numbers[rows], places=self.places[rows], sizes=self.sizes[rows], odd=odd
        )

    def narrowed(self, width: int) -> "_Cut":
        """Returns so many of the columns."""
        odd = self.odd.copy()
        odd[:, 0] = odd[:, 0] // self.places.shape[1] * width + odd[:, 0] % self.places.shape[1]
        return self._replace(places=self.places[:, :width], sizes=self.sizes[:, :width], odd=odd)


def _batch(cut: _Cut, names: list[str]) -> pa.RecordBatch:
    places, sizes = cut.places.reshape(-1), cut.sizes.reshape(-1)
    texts = cut.texts
    if len(cut.odd):
        one = np.arange(len(cut.odd))
        odd = gathered(texts, cut.odd[:, 1].copy(), cut.odd[:, 2].astype(np.int32), one, [""])
        told = said(odd.column(0), cut.odd[:, 3])
        _, offsets, data = told.buffers()
        ends = np.frombuffer(offsets, np.int32)[: len(told) + 1]
        cells = cut.odd[:, 0]
        places, sizes = places.copy(), sizes.copy()
        places[cells] = sum(map(len, texts)) + ends[:-1]
        sizes[cells] = np.diff(ends)
        texts = [*texts, np.frombuffer(data, np.uint8)]
    return gathered(texts, places, sizes, np.arange(len(cut.numbers)), names)


def _column(letters: str) -> int:
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - ord("A") + 1
    return column - 1


def _begun(head: bytes, opening: re.Pattern[bytes]) -> bytes | None:
    """Returns what follows the opening tag; None where it closes at once."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    declared = re.search(rb"""encoding=["']([^"']*)""", start[:200])
    if not start.startswith(b"<") or (declared and declared[1].lower() != b"utf-8"):
        raise Unusual
    found = opening.search(head)
    if not found:
        raise Unusual
    return None if found[1] else head[found.end() :]


def _padded(block: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(block + bytes(SLACK), np.uint8)
