"""A core-bank schema: thousands of small tables, in databases and as a folder of files."""

import contextlib
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psycopg
import pyarrow as pa
from pyarrow import csv

from benchmarks import servers
from benchmarks.rows import Row
from pingyao.app.example.kinds import KINDS

_QUICK, _FULL = 300, 3_000
_COLUMNS, _ROWS = 40, 100
_SECONDS = 60
_COMMAND = "python -m benchmarks many_tables"
_PREFIXES = (
    *("cust", "acct", "loan", "card", "dep", "grp", "guar", "coll", "bill", "fund", "wlth"),
    *("tran", "risk", "chnl", "emp", "brch", "corp", "ctr", "app", "pay", "khxx", "zh", "dk"),
)
_SAID = (
    *("客户", "账户", "贷款", "卡片", "存款", "集团", "担保", "押品", "票据", "基金", "理财"),
    *(
        "交易",
        "风险",
        "渠道",
        "员工",
        "机构",
        "企业",
        "合同",
        "申请",
        "支付",
        "客户",
        "账户",
        "贷款",
    ),
)
_FIELDS = (
    *(("nm", "名称", "name"), ("cert_no", "证件号码", "idcard"), ("mobile", "手机号码", "mobile")),
    *(("addr", "地址", "address"), ("bal", "余额", "balance"), ("open_dt", "开立日期", "date")),
    *(("email", "电子邮箱", "email"), ("card_no", "卡号", "card"), ("uscc", "信用代码", "uscc")),
    *(("corp_nm", "企业名称", "company"), ("remark", "备注", "remark"), ("no", "编号", "custkey")),
)
_PROGRAM = """
import sys, time
from pathlib import Path
begun = time.perf_counter()
from pingyao.classify.journal import FileJournal
from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.service import scan
from pingyao.classify.sources.open import open_source
from pingyao.app.scanning import write_reports
folder = Path(sys.argv[2])
with FileJournal(folder / "journal", resume=False) as journal:
    result = scan(open_source(sys.argv[1]), load_knowledge(), journal=journal)
assert not result.unread, result.unread[:3]
print(len(result.tables), time.perf_counter() - begun, time.process_time(), flush=True)
begun, used = time.perf_counter(), time.process_time()
write_reports(result, folder)
print(time.perf_counter() - begun, time.process_time() - used)
print(sum(p.stat().st_size for p in folder.glob("re*")) // 2**20)
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
"""


class Made(NamedTuple):
    """A small table: names and comments, and its rows."""

    name: str
    comment: str
    comments: tuple[str, ...]
    rows: pa.RecordBatch


def made(count: int) -> Iterator[Made]:
    """Makes the tables up; most of their columns' names occur in many of them, as in life."""
    rng, chance = np.random.default_rng(5), random.Random(5)  # noqa: S311 - no secret
    pools = {kind: KINDS[kind].make(rng, 20_000, 0) for _, _, kind in _FIELDS}
    for number in range(count):
        columns: dict[str, tuple[str, str]] = {}
        while len(columns) < _COLUMNS:
            at, (name, said, kind) = chance.randrange(len(_PREFIXES)), chance.choice(_FIELDS)
            several = str(chance.randrange(2, 9)) if chance.random() < 0.3 else ""
            columns[f"{_PREFIXES[at]}_{name}{several}"] = (f"{_SAID[at]}{said}{several}", kind)
        arrays = [
            pools[kind].slice(chance.randrange(20_000 - _ROWS), _ROWS)
            for _, kind in columns.values()
        ]
        at = chance.randrange(len(_PREFIXES))
        yield Made(
            f"t_{_PREFIXES[at]}_{number:05d}",
            f"{_SAID[at]}信息表",
            tuple(said for said, _ in columns.values()),
            pa.RecordBatch.from_arrays(arrays, names=list(columns)),
        )


def write_sqlite(path: Path, count: int) -> None:
    """Puts the tables into a SQLite file, comments in the DDL."""
    marks = ", ".join("?" * _COLUMNS)
    with contextlib.closing(sqlite3.connect(path)) as db:
        for table in made(count):
            fields = zip(table.rows.schema.names, table.comments, strict=True)
            lines = [f"{name} varchar(200)" for name, _ in fields]
            body = "".join(
                f"  {line}{',' if i < _COLUMNS - 1 else ''} -- {said}\n"
                for i, (line, said) in enumerate(zip(lines, table.comments, strict=True))
            )
            db.execute(f"CREATE TABLE {table.name} ( -- {table.comment}\n{body})")
            cells = (column.to_pylist() for column in table.rows.columns)
            db.executemany(
                f"INSERT INTO {table.name} VALUES ({marks})",  # noqa: S608 - our own names
                zip(*cells, strict=True),
            )
        db.commit()


def write_folder(folder: Path, count: int) -> None:
    """Writes each table as a CSV file."""
    folder.mkdir()
    for table in made(count):
        csv.write_csv(table.rows, folder / f"{table.name}.csv")


def load_postgresql(server: servers.Server, count: int) -> str:
    """Puts the tables into a database; returns its address."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as db:
        db.execute(b"CREATE DATABASE many")
    with psycopg.connect(server.url("many")) as db:
        for table in made(count):
            names = table.rows.schema.names
            columns = ", ".join(f"{name} varchar(200)" for name in names)
            db.execute(f"CREATE TABLE {table.name} ({columns})".encode())
            db.execute(f"COMMENT ON TABLE {table.name} IS '{table.comment}'".encode())
            for name, said in zip(names, table.comments, strict=True):
                db.execute(f"COMMENT ON COLUMN {table.name}.{name} IS '{said}'".encode())
            sink = pa.BufferOutputStream()
            csv.write_csv(table.rows, sink, csv.WriteOptions(include_header=False))
            with db.cursor().copy(f"COPY {table.name} FROM STDIN (FORMAT csv)".encode()) as copy:
                copy.write(sink.getvalue().to_pybytes())
            db.commit()
    return server.url("many")


def _measured(what: str, spec: str, folder: Path, count: int) -> Iterator[Row]:
    folder.mkdir()
    wall = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _PROGRAM, spec, str(folder)], stdout=subprocess.PIPE, check=True
    )
    wall = time.perf_counter() - wall
    tables, taken, cpu, report_wall, report_cpu, size, peak = done.stdout.decode().split()
    if int(tables) != count:
        raise RuntimeError(f"{what}: {tables} tables instead of {count}")
    target = f"≤ {_SECONDS * count / _FULL:g} s"
    name = f"{count:,} 张表 × {_COLUMNS} 列 × {_ROWS} 行，{what}"
    measured = f"{float(taken):.1f} s（{float(cpu):.1f} CPU 秒）"
    yield Row(f"{name}，扫描", _COMMAND, target, measured)
    measured = f"{float(report_wall):.1f} s（{float(report_cpu):.1f} CPU 秒），{size} MiB"
    yield Row(f"{name}，再写三种报告", _COMMAND, "", f"{measured}；内存峰值 {peak} MB")


def run(quick: bool) -> list[Row]:
    """Scans the tables from PostgreSQL, SQLite and a folder of files."""
    count = _QUICK if quick else _FULL
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as held:
        home = Path(name)
        write_sqlite(home / "many.sqlite", count)
        found += _measured("SQLite", str(home / "many.sqlite"), home / "s", count)
        write_folder(home / "many", count)
        found += _measured("CSV 目录", str(home / "many"), home / "f", count)
        try:
            server = held.enter_context(servers.postgresql())
        except servers.Absent:
            print("PostgreSQL is not installed", file=sys.stderr)
            return found
        url = load_postgresql(server, count)
        found += _measured("PostgreSQL", url, home / "p", count)
    return found
