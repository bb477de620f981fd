"""Workbooks (.xlsx, .xls, .xlsb, .ods): every sheet a table, its header found below any title."""

import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from python_calamine import CalamineError, CalamineWorkbook

from pingyao.classify.model import Column, Table, Unread
from pingyao.classify.sources.csv import distinct_names, limited
from pingyao.classify.sources.failures import failure, shown
from pingyao.classify.sources.fingerprints import file_fingerprint
from pingyao.classify.sources.limits import bounded, rest
from pingyao.classify.sources.xlsx import Unusual, Xlsx
from pingyao.kernel.errors import Invalid, PingyaoError

_BATCH_ROWS = 8_192
_HEADER_WITHIN = 15
# Unpacked size and ratio beyond which a workbook is taken for a bomb.
_LARGEST_UNPACKED = 2 * 1024**3
_HIGHEST_RATIO = 400


class _Layout(NamedTuple):
    """How a sheet is laid out.

    Attributes:
        header: the names of its columns; none where it holds nothing.
        row: the number of the header's row, from 1.
        first: the column the header begins in, from 0.
        rows: how many follow, by what the sheet says.
        streamed: whether it can be read row by row.
    """

    header: list[str]
    row: int
    first: int
    rows: int
    streamed: bool


class ExcelSource:
    """The sheets of one workbook: of an .xlsx row by row, of the other kinds held whole.

    An .xlsx that is written in an unusual way is read as the others are, from where that shows.
    """

    kind = "excel"

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        refuse_bombs(path)
        try:
            self._xlsx = Xlsx(path)
            self._names = self._xlsx.names
        except Unusual:
            self._xlsx = None
            self._names = self._book.sheet_names

    @cached_property
    def _book(self) -> CalamineWorkbook:
        try:
            return CalamineWorkbook.from_path(str(self._path))
        except (CalamineError, OSError, ValueError) as error:
            if "assword" in str(error) or "ncrypt" in str(error):
                raise failure("scan.encrypted", self.name) from None
            raise failure("scan.damaged", self.name) from None

    def tables(self) -> Iterator[Table | Unread]:
        """Yields the sheets that hold anything, in the workbook's order."""
        for name in self._names:
            try:
                with _told(f"{self.name} {name}"):
                    layout = self._layout(name)
            except PingyaoError as error:
                yield Unread(shown(name), error.code, error.detail, error.remedy)
                continue
            if layout.header:
                columns = tuple(map(Column, layout.header))
                rows = layout.rows
                yield Table(self.name, name, kind="file", columns=columns, estimated_rows=rows)

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Yields the rows below the header; whole numbers as such, dates as ISO text."""
        return rest(limited(bounded(self._all(table)), limit), after)

    def _all(self, table: Table) -> Iterator[pa.RecordBatch]:
        with _told(self.name):
            layout = self._layout(table.name)
            names = [column.name for column in table.columns]
            places = [layout.first + layout.header.index(name) for name in names]
            row = layout.row
            if self._xlsx and layout.streamed:
                try:
                    for numbers, cells in self._xlsx.rows(table.name, places, row):
                        yield cells.rename_columns(names)
                        row = int(numbers[-1])
                    return
                except Unusual:
                    pass
            yield from self._whole(table.name, names, places, row)

    def _whole(
        self, name: str, names: list[str], places: list[int], after: int
    ) -> Iterator[pa.RecordBatch]:
        """Yields the rows below one, of a sheet that is held whole."""
        sheet = self._book.get_sheet_by_name(name)
        first = sheet.start[1] if sheet.start else 0
        held: list[list[str | None]] = []
        for number, row in enumerate(sheet.iter_rows(), 1):
            if number <= after or not any(cell not in ("", None) for cell in row):
                continue
            own = [place - first for place in places]
            held.append([_text(row[i]) if 0 <= i < len(row) else None for i in own])
            if len(held) == _BATCH_ROWS:
                yield _batch(held, names)
                held = []
        if held:
            yield _batch(held, names)

    def fingerprint(self, table: Table) -> str | None:
        """Returns the fingerprint of the file, which all its tables share."""
        del table
        return file_fingerprint(self._path)

    def close(self) -> None:
        """Closes the workbook."""
        if self._xlsx:
            self._xlsx.close()
        if "_book" in self.__dict__:
            self._book.close()

    def _layout(self, name: str) -> _Layout:
        if self._xlsx:
            try:
                top = self._xlsx.top(name, _HEADER_WITHIN)
                return _laid_out(top.rows, top.first, top.last, streamed=True)
            except Unusual:
                pass
        sheet = self._book.get_sheet_by_name(name)
        rows: list[list[str]] = []
        for row in sheet.iter_rows():
            rows.append([_text(cell) or "" for cell in row])
            if len(rows) == _HEADER_WITHIN:
                break
        layout = _laid_out(rows, 0, sheet.total_height, streamed=False)
        return layout._replace(first=sheet.start[1] if sheet.start else 0)


@contextmanager
def _told(what: str) -> Generator[None]:
    try:
        yield
    except CalamineError:
        raise failure("scan.damaged", what) from None
    except BaseException as error:
        # What the library panics at, such as a date beyond all years, comes as no Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise failure("scan.damaged", what) from None


def _laid_out(top: list[list[str]], first: int, last: int, *, streamed: bool) -> _Layout:
    """Finds the header of a sheet by its first rows."""
    filled = [sum(bool(cell.strip()) for cell in row) for row in top]
    if not any(filled):
        return _Layout([], 0, 0, 0, streamed)
    # Titles and notes above a table fill a cell or two; the header is the first wide row.
    at = next(i for i, n in enumerate(filled) if n >= 0.6 * max(filled))
    header = [cell.strip().replace("\n", "") for cell in top[at]][first:]
    while header and not header[-1]:
        header.pop()
    return _Layout(distinct_names(header), at + 1, first, max(0, last - at - 1), streamed)


def _text(cell: object) -> str | None:
    if cell is None or cell == "":
        return None
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.isoformat(" ") if cell.time() != time() else cell.date().isoformat()
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return str(cell)
    return str(cell)


def _batch(rows: list[list[str | None]], names: list[str]) -> pa.RecordBatch:
    arrays = [pa.array(cells, pa.string()) for cells in zip(*rows, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=names)


def refuse_bombs(path: Path) -> None:
    """Refuses an archive that would unpack to more than an office file can sensibly hold."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(item.file_size for item in archive.infolist())
    if unpacked > _LARGEST_UNPACKED or unpacked > _HIGHEST_RATIO * max(1, path.stat().st_size):
        raise Invalid(
            "scan.zip_bomb",
            f"{shown(path.name)} 解压后过大（{unpacked / 1024**2:,.0f} MiB），已拒绝打开",
            "请核对文件来源；确需扫描时请拆分或另存为 CSV",
        )


def open_excel(path: Path) -> ExcelSource:
    """Opens a workbook.

    Raises:
        NotPermitted: it is protected by a password.
        IntegrityBroken: it is damaged.
        Invalid: it would unpack to more than a workbook can sensibly hold.
    """
    return ExcelSource(path)
