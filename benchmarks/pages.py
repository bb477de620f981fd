"""Every page of the console over a catalogue of 100,000 columns: time of the server, bytes of the first visit.

The time is the server process's own CPU, one visitor at a time, warm; what travels is compressed as a
browser asks for it.
"""

import re
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks.node import cpu_of, make, served, sign_in

Row = tuple[str, str, str, str]
_COMMAND = "python -m benchmarks pages"
_TIMES = 20
_OFFICER = (
    ("总览", "/"),
    ("目录", "/catalogue"),
    ("目录，第二页", "/catalogue?after=50"),
    ("复核队列", "/catalogue?state=review"),
    ("一个系统", "/catalogue?source=系统07"),
    ("4 级以上且 C2 以上", "/catalogue?level=4&personal=2"),
    ("按名称查找，多", "/catalogue?words=cert"),
    ("按名称查找，一张表", "/catalogue?words=t_07_00042"),
    ("按名称查找，无", "/catalogue?words=nosuchname"),
    ("一列", "/catalogue/50000"),
    ("我的账号", "/account"),
    ("接口", "/api"),
)
_AUDIT = (("审计", "/audit"), ("审计，按经办人", "/audit?actor=user7"))
_SYSTEM = (("人员", "/people"),)


def run(quick: bool) -> list[Row]:
    """Measures; quick makes a catalogue a tenth of the size."""
    columns = 10_000 if quick else 100_000
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), columns, 8)
        return measure(Path(folder), columns)


def measure(folder: Path, columns: int) -> list[Row]:
    """Measures the node in a folder."""
    rows: list[Row] = []
    with served(folder) as (address, process):
        for name, pages in (("user7", _OFFICER), ("audit1", _AUDIT), ("system1", _SYSTEM)):
            with httpx.Client(base_url=address, headers={"accept-encoding": "gzip"}) as client:
                sign_in(client, name)
                for title, path in pages:
                    rows.append(_page(client, process, columns, title, path))
    return rows


def _page(client: httpx.Client, process: int, columns: int, title: str, path: str) -> Row:
    first = client.get(path)
    first.raise_for_status()
    size = _transferred(first)
    for asset in set(re.findall(r'(?:src|href)="(/static/[^"]+)"', first.text)):
        size += _transferred(client.get(asset))
    each: list[float] = []
    spent = cpu_of(process)
    for _ in range(_TIMES):
        began = time.perf_counter()
        client.get(path)
        each.append(time.perf_counter() - began)
    cpu = (cpu_of(process) - spent) / _TIMES
    middle = sorted(each)[_TIMES // 2]
    return (
        f"{columns:,} 列：{title}",
        _COMMAND,
        "服务端 ≤ 150 ms，首次传输 ≤ 1 MB",
        f"CPU {cpu * 1e3:.0f} ms，p50 {middle * 1e3:.0f} ms，首次 {size / 1e3:.0f} KB",
    )


def _transferred(answer: httpx.Response) -> int:
    return answer.num_bytes_downloaded
