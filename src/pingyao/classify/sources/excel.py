"""Workbooks (.xlsx, .xls, .xlsb, .ods): every sheet a table, its header found below any title."""

import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from pingyao.classify.model import Column, Table, Unread
from pingyao.classify.sources.csv import distinct_names
from pingyao.classify.sources.failures import failure, shown
from pingyao.classify.sources.fingerprints import file_fingerprint
from pingyao.classify.sources.limits import rest
from pingyao.kernel.errors import Invalid

_BATCH_ROWS = 8_192
_HEADER_WITHIN = 15
# Unpacked size and ratio beyond which a workbook is taken for a bomb.
_LARGEST_UNPACKED = 2 * 1024**3
_HIGHEST_RATIO = 400


class ExcelSource:
    """The sheets of one workbook."""

    kind = "excel"

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        refuse_bombs(path)
        try:
            self._book = CalamineWorkbook.from_path(str(path))
        except (CalamineError, OSError, ValueError) as error:
            if "assword" in str(error) or "ncrypt" in str(error):
                raise failure("scan.encrypted", self.name) from None
            raise failure("scan.damaged", self.name) from None

    def tables(self) -> Iterator[Table | Unread]:
        """Yields the sheets that hold anything, in the workbook's order."""
        for name in self._book.sheet_names:
            try:
                _, header, rows = self._rows(name)
            except CalamineError:
                error = failure("scan.damaged", f"{self.name} {name}")
                yield Unread(shown(name), error.code, error.detail, error.remedy)
                continue
            if header:
                columns = tuple(Column(n) for n in header)
                yield Table(self.name, name, kind="file", columns=columns, estimated_rows=rows)

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Yields the rows below the header; whole numbers as such, dates as ISO text."""
        return rest(self._all(table, limit), after)

    def _all(self, table: Table, limit: int | None) -> Iterator[pa.RecordBatch]:
        try:
            start, header, _ = self._rows(table.name)
            places = [header.index(column.name) for column in table.columns]
            sheet = self._sheet(table.name)
            held: list[list[str | None]] = []
            for number, row in enumerate(sheet.iter_rows()):
                if number < start or not any(cell not in ("", None) for cell in row):
                    continue
                if limit is not None:
                    if limit <= 0:
                        break
                    limit -= 1
                held.append([_text(row[i]) if i < len(row) else None for i in places])
                if len(held) == _BATCH_ROWS:
                    yield _batch(held, table)
                    held = []
        except CalamineError:
            raise failure("scan.damaged", self.name) from None
        if held:
            yield _batch(held, table)

    def fingerprint(self, table: Table) -> str | None:
        """Returns the fingerprint of the file, which all its tables share."""
        del table
        return file_fingerprint(self._path)

    def close(self) -> None:
        """Closes the workbook."""
        self._book.close()

    def _sheet(self, name: str) -> CalamineSheet:
        return self._book.get_sheet_by_name(name)

    def _rows(self, name: str) -> tuple[int, list[str], int]:
        """Returns the first data row, the header and the number of rows of a sheet."""
        sheet = self._sheet(name)
        top: list[list[str]] = []
        for row in sheet.iter_rows():
            top.append([_text(cell) or "" for cell in row])
            if len(top) == _HEADER_WITHIN:
                break
        filled = [sum(bool(c.strip()) for c in row) for row in top]
        if not any(filled):
            return 0, [], 0
        # Titles and notes above a table fill a cell or two; the header is the first wide row.
        at = next(i for i, n in enumerate(filled) if n >= 0.6 * max(filled))
        header = [cell.strip().replace("\n", "") for cell in top[at]]
        while header and not header[-1]:
            header.pop()
        return at + 1, distinct_names(header), max(0, sheet.height - at - 1)


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


def _batch(rows: list[list[str | None]], table: Table) -> pa.RecordBatch:
    arrays = [pa.array(cells, pa.string()) for cells in zip(*rows, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=[c.name for c in table.columns])


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
