"""How fast rows come in: each reader drained, scanned with, and beside the driver's own ways."""

import contextlib
import itertools
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import duckdb
import msgspec
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pymysql
import xlsxwriter
from pyarrow import csv
from python_calamine import CalamineWorkbook

from benchmarks import servers, table
from benchmarks.rows import Row
from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.model import Table
from pingyao.classify.service import scan
from pingyao.classify.sources.open import open_source

_COMMAND = "python -m benchmarks readers"
_SAID = {"reader": "本软件只读取", "scan": "全量扫描"}
_QUICK, _FULL = 200_000, 1_000_000
_CHUNK = 100_000
_DRIVERS = ("psycopg COPY", "pymysql SSCursor", "sqlite3")
"""Python's drivers, merely reading; of PostgreSQL not even telling cells apart."""
_ROUNDS = 3
_PEAK = """
import sys
from pathlib import Path
from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.service import scan
from pingyao.classify.sources.open import open_source
scan(open_source(sys.argv[1]), load_knowledge())
# Not what getrusage tells: that counts the process it was forked from as well.
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
"""


class Cost(NamedTuple):
    """Seconds of a run: of the clock, and of this process's CPUs."""

    wall: float
    cpu: float


def _best(ways: dict[str, Callable[[], int]], rows: int) -> dict[str, Cost]:
    """Runs the ways in turn, several times; the best of each counts, as others use the machine."""
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(_ROUNDS):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            read = way()
            costs[name].append(Cost(time.perf_counter() - wall, time.process_time() - cpu))
            if read != rows:
                raise RuntimeError(f"{name}: {read} rows instead of {rows}")
    return {
        name: Cost(min(c.wall for c in of), min(c.cpu for c in of)) for name, of in costs.items()
    }


def _drained(spec: str) -> int:
    with contextlib.closing(open_source(spec)) as source:
        tables = [t for t in source.tables() if isinstance(t, Table)]
        return sum(batch.num_rows for t in tables for batch in source.batches(t))


def _scanned(spec: str) -> int:
    with contextlib.closing(open_source(spec)) as source:
        return sum(t.rows_read for t in scan(source, load_knowledge()).tables)


def _ours(spec: str) -> dict[str, Callable[[], int]]:
    return {"reader": lambda: _drained(spec), "scan": lambda: _scanned(spec)}


def _psycopg(url: str) -> int:
    order = b"COPY customers TO STDOUT (FORMAT csv)"
    with psycopg.connect(url) as db, db.cursor().copy(order) as copy:
        return sum(1 for _ in copy)


def _pymysql(url: str) -> int:
    parts = urlsplit(url)
    with contextlib.closing(
        pymysql.connect(
            host=parts.hostname,
            port=parts.port,
            user=parts.username,
            password=unquote(parts.password or "").encode(),
            database=parts.path[1:],
            charset="utf8mb4",
            cursorclass=pymysql.cursors.SSCursor,
        )
    ) as db:
        cursor = db.cursor()
        cursor.execute("SELECT * FROM customers")
        return sum(len(rows) for rows in iter(lambda: cursor.fetchmany(4096), ()))


def _duckdb(kind: str, where: str, name: str) -> int:
    from duckdb_extensions import import_extension

    extension = f"{kind}_scanner"
    import_extension(extension)
    with duckdb.connect() as db:
        db.execute(f"LOAD {extension}; SET threads = 1")
        quoted = where.replace("'", "''")
        db.execute(f"ATTACH '{quoted}' AS other (TYPE {kind}, READ_ONLY)")
        reader = db.execute(f"SELECT * FROM other.{name}").to_arrow_reader(65_536)  # noqa: S608 - our own table
        return sum(batch.num_rows for batch in reader)


def _mysql_words(url: str) -> str:
    parts = urlsplit(url)
    return (
        f"host={parts.hostname} port={parts.port} user={parts.username} "
        f"password={unquote(parts.password or '')} database={parts.path[1:]}"
    )


def _sqlite3(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as db:
        cursor = db.execute("SELECT * FROM customers")
        return sum(len(rows) for rows in iter(lambda: cursor.fetchmany(4096), []))


def _arrow_csv(path: Path) -> int:
    read = csv.ReadOptions(use_threads=False)
    parse = csv.ParseOptions(newlines_in_values=True)
    text = csv.ConvertOptions(column_types=dict.fromkeys(table.COLUMNS, pa.string()))
    return sum(batch.num_rows for batch in csv.open_csv(path, read, parse, text))


def _arrow_parquet(path: Path) -> int:
    return sum(batch.num_rows for batch in pq.ParquetFile(path).iter_batches(65_536))


def _msgspec(path: Path) -> int:
    decode = msgspec.json.Decoder().decode
    with path.open("rb") as lines:
        return sum(isinstance(decode(line), dict) for line in lines)


def _calamine(path: Path) -> int:
    sheet = CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0)
    return sum(1 for _ in sheet.iter_rows()) - 1


def _write_workbook(path: Path, batches: list[pa.RecordBatch]) -> None:
    with xlsxwriter.Workbook(path, {"constant_memory": True}) as book:
        sheet = book.add_worksheet("customers")
        sheet.write_row(0, 0, list(table.COLUMNS))
        cells = (zip(*(c.to_pylist() for c in b.columns), strict=True) for b in batches)
        for number, row in enumerate(itertools.chain.from_iterable(cells), 1):
            sheet.write_row(number, 0, row)


def write_files(folder: Path, rows: int) -> None:
    """Writes the table in every form of file."""
    table.write_parquet(folder / "t.parquet", rows)
    db = sqlite3.connect(folder / "t.sqlite")
    marks = ",".join("?" * len(table.COLUMNS))
    with open(folder / "t.csv", "wb") as plain, open(folder / "t-gb18030.csv", "wb") as national:
        for number, batch in enumerate(table.batches(rows, chunk=_CHUNK)):
            sink = pa.BufferOutputStream()
            csv.write_csv(batch, sink, csv.WriteOptions(include_header=number == 0))
            text = sink.getvalue().to_pybytes()
            plain.write(text)
            national.write(text.decode("utf-8").encode("gb18030"))
            if number == 0:
                db.execute(f"CREATE TABLE customers ({' TEXT, '.join(table.COLUMNS)} TEXT)")
            cells = (column.to_pylist() for column in batch.columns)
            db.executemany(f"INSERT INTO customers VALUES ({marks})", zip(*cells, strict=True))  # noqa: S608 - our own table
    db.commit()
    db.close()
    batches = table.batches(rows, chunk=_CHUNK)
    with open(folder / "t.jsonl", "wb") as lines:
        encode = msgspec.json.Encoder().encode_lines
        lines.writelines(encode(batch.to_pylist()) for batch in batches)
    _write_workbook(folder / "t.xlsx", batches)
    with duckdb.connect(str(folder / "t.duckdb")) as made:
        made.execute(f"CREATE TABLE customers AS FROM '{folder / 't.parquet'}'")


def _cases(
    folder: Path, rows: int, held: contextlib.ExitStack
) -> Iterator[tuple[str, str, dict[str, Callable[[], int]]]]:
    """Yields what is read, by which address, and the driver's own ways beside it."""
    for name, start, load in (
        ("PostgreSQL", servers.postgresql, servers.load_postgresql),
        ("MariaDB", servers.mariadb, servers.load_mariadb),
    ):
        try:
            server = held.enter_context(start())
        except servers.Absent:
            print(f"{name} is not installed", file=sys.stderr)
            continue
        url = load(server, "bench", table.batches(rows, chunk=_CHUNK))
        if name == "PostgreSQL":
            yield (
                name,
                url,
                {
                    "psycopg COPY": lambda url=url: _psycopg(url),
                    "DuckDB scanner": lambda url=url: _duckdb("postgres", url, "public.customers"),
                },
            )
        else:
            yield (
                name,
                url,
                {
                    "pymysql SSCursor": lambda url=url: _pymysql(url),
                    "DuckDB scanner": lambda url=url: _duckdb(
                        "mysql", _mysql_words(url), "customers"
                    ),
                },
            )
    write_files(folder, rows)
    others: dict[str, dict[str, Callable[[], int]]] = {
        "t.sqlite": {"sqlite3": lambda: _sqlite3(folder / "t.sqlite")},
        "t.duckdb": {},
        "t.csv": {"pyarrow.csv": lambda: _arrow_csv(folder / "t.csv")},
        "t-gb18030.csv": {},
        "t.jsonl": {"msgspec": lambda: _msgspec(folder / "t.jsonl")},
        "t.xlsx": {"python-calamine": lambda: _calamine(folder / "t.xlsx")},
        "t.parquet": {"pyarrow.parquet": lambda: _arrow_parquet(folder / "t.parquet")},
    }
    for name, beside in others.items():
        yield name, str(folder / name), beside


def run(quick: bool) -> list[Row]:
    """Measures every reader."""
    rows = _QUICK if quick else _FULL
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as held:
        folder = Path(name)
        csv_path = folder / "warm.csv"
        csv_path.write_text("a,b\n1,2\n")
        _scanned(str(csv_path))
        csv_path.unlink()
        for what, spec, beside in _cases(folder, rows, held):
            costs = _best(_ours(spec) | beside, rows)
            for way, cost in costs.items():
                measured = f"{rows / cost.cpu:,.0f} / {rows / cost.wall:,.0f}"
                said = _SAID.get(way, f"{way} 只读取")
                found.append(Row(f"{what}，{said}：行每 CPU 秒 / 每秒", _COMMAND, "", measured))
            for way in (w for w in beside if w in _DRIVERS):
                share = costs[way].cpu / costs["reader"].cpu
                name = f"{what}，{_SAID['reader']}与 {way} 之比（CPU 时间）"
                found.append(Row(name, _COMMAND, "", f"{share:.1f} ×"))
            for way in ("reader", *(w for w in beside if w in _DRIVERS)):
                share = costs[way].wall / costs["scan"].wall
                target = "≥ 70 %" if what in ("PostgreSQL", "MariaDB") else ""
                said = _SAID.get(way, f"{way} 只读取")
                name = f"{what}，全量扫描与{said}之比（钟表时间）"
                found.append(Row(name, _COMMAND, target, f"{share:.0%}"))
            done = subprocess.run(  # noqa: S603 - our own program
                [sys.executable, "-c", _PEAK, spec], capture_output=True, check=True
            )
            name = f"{what}，扫描的内存峰值，MB"
            found.append(Row(name, _COMMAND, "≤ 600", done.stdout.decode().strip()))
    return found
