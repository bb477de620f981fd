"""Writes tables the way different systems hand them over."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import xlsxwriter

if TYPE_CHECKING:
    from pingyao.app.example.generate import TablePlan

Rows = Iterable[tuple["TablePlan", Iterator[pa.RecordBatch]]]
Write = Callable[[Path, str, Rows], Iterator[tuple["TablePlan", str]]]

_CREATED_AT = datetime(2026, 1, 1)  # noqa: DTZ001 - a workbook knows no time zone
_SQL_TYPES = {"double": "NUMERIC(20,2)", "int64": "INTEGER"}


def write_sqlite(folder: Path, system: str, tables: Rows) -> Iterator[tuple["TablePlan", str]]:
    """One SQLite file; the comments stand as remarks in its DDL, as nothing else can hold them."""
    path = folder / f"{system}.db"
    db = sqlite3.connect(path)
    for table, batches in tables:
        for number, batch in enumerate(batches):
            if number == 0:
                db.execute(_ddl(table, batch.schema))
            cells = [column.to_pylist() for column in batch.columns]
            marks = ", ".join("?" * len(cells))
            db.executemany(
                f'INSERT INTO "{table.name}" VALUES ({marks})',  # noqa: S608 - names from our plan
                zip(*cells, strict=True),
            )
        yield table, path.name
    db.commit()
    db.close()


def _ddl(table: "TablePlan", schema: pa.Schema) -> str:
    last = len(table.columns) - 1
    lines = [
        f'  "{c.name}" {_SQL_TYPES.get(str(f.type), "TEXT")}{"" if i == last else ","}'
        + (f" -- {c.comment}" if c.comment else "")
        for i, (c, f) in enumerate(zip(table.columns, schema, strict=True))
    ]
    return f'CREATE TABLE "{table.name}" (\n' + "\n".join(lines) + "\n)"


def write_gbk(folder: Path, system: str, tables: Rows) -> Iterator[tuple["TablePlan", str]]:
    """A folder of CSV files in GB18030."""
    return _write_csv(folder, system, tables, "gb18030")


def write_bom(folder: Path, system: str, tables: Rows) -> Iterator[tuple["TablePlan", str]]:
    """A folder of CSV files in UTF-8 with a byte order mark."""
    return _write_csv(folder, system, tables, "utf-8-sig")


def _write_csv(
    folder: Path, system: str, tables: Rows, encoding: str
) -> Iterator[tuple["TablePlan", str]]:
    (folder / system).mkdir(exist_ok=True)
    for table, batches in tables:
        path = folder / system / f"{table.name}.csv"
        with path.open("wb") as file:
            for number, batch in enumerate(batches):
                sink = pa.BufferOutputStream()
                options = pa_csv.WriteOptions(include_header=number == 0)
                pa_csv.write_csv(pa.Table.from_batches([batch]), sink, options)
                text = sink.getvalue().to_pybytes().decode("utf-8")
                file.write(text.encode(encoding if number == 0 else encoding.removesuffix("-sig")))
        yield table, f"{system}/{path.name}"


def write_parquet(folder: Path, system: str, tables: Rows) -> Iterator[tuple["TablePlan", str]]:
    """A folder of Parquet files; the fields carry their comments."""
    (folder / system).mkdir(exist_ok=True)
    for table, batches in tables:
        path = folder / system / f"{table.name}.parquet"
        writer: pq.ParquetWriter | None = None
        for batch in batches:
            fields = [
                f.with_metadata({"comment": c.comment}) if c.comment else f
                for f, c in zip(batch.schema, table.columns, strict=True)
            ]
            schema = pa.schema(fields, {"comment": table.comment})
            writer = writer or pq.ParquetWriter(path, schema)
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
        if writer is not None:
            writer.close()
        yield table, f"{system}/{path.name}"


def write_jsonl(folder: Path, system: str, tables: Rows) -> Iterator[tuple["TablePlan", str]]:
    """A folder of JSON lines."""
    (folder / system).mkdir(exist_ok=True)
    for table, batches in tables:
        path = folder / system / f"{table.name}.jsonl"
        with path.open("wb") as file:
            for batch in batches:
                file.write(b"\n".join(map(msgspec.json.encode, batch.to_pylist())) + b"\n")
        yield table, f"{system}/{path.name}"


def write_excel(folder: Path, system: str, tables: Rows) -> Iterator[tuple["TablePlan", str]]:
    """One workbook, a sheet a table."""
    path = folder / f"{system}.xlsx"
    with xlsxwriter.Workbook(path, {"constant_memory": True}) as book:
        # The same seed shall give the same bytes.
        book.set_properties({"created": _CREATED_AT})
        for table, batches in tables:
            sheet = book.add_worksheet(table.name)
            sheet.write_row(0, 0, [c.name for c in table.columns])
            row = 1
            for batch in batches:
                for cells in zip(*(c.to_pylist() for c in batch.columns), strict=True):
                    for column, cell in enumerate(cells):
                        if isinstance(cell, str):
                            sheet.write_string(row, column, cell)
                        elif cell is not None:
                            sheet.write_number(row, column, cell)
                    row += 1
            yield table, path.name


WRITERS: dict[str, Write] = {
    "sqlite": write_sqlite,
    "gbk": write_gbk,
    "bom": write_bom,
    "parquet": write_parquet,
    "jsonl": write_jsonl,
    "excel": write_excel,
}
