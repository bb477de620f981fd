"""``python -m benchmarks [name ...] [--full] [--write FILE]``: measures, and prints a table."""

import argparse
import importlib
import os
import platform
import sys
import traceback
from pathlib import Path

from benchmarks.rows import Row

_ALL = (
    *("kernel", "whole", "text", "peers", "readers", "many_tables"),
    *("masking", "ff1", "sealing", "anonymity", "ledger", "witnesses"),
    *("pages", "users"),
)
_MARK = "<!-- measured -->"


def main() -> None:
    """Runs the measurements named, or all, and prints or writes what they say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", help="default: all of " + ", ".join(_ALL))
    parser.add_argument("--full", action="store_true", help="at full size, which takes long")
    parser.add_argument("--write", type=Path, help="put the table into this page")
    given = parser.parse_args()
    rows: list[Row] = []
    failed: list[str] = []
    for name in given.names or _ALL:
        try:
            for row in importlib.import_module(f"benchmarks.{name}").run(quick=not given.full):
                rows.append(Row(*row))
                print("\t".join(row), flush=True)
        except Exception:  # an hour's measurements must not be lost with one of them
            traceback.print_exc()
            failed.append(name)
    if given.write and rows:
        page = given.write.read_text("utf-8")
        before, _, rest = page.partition(_MARK)
        after = rest.partition(_MARK)[2]
        given.write.write_text(f"{before}{_MARK}\n{_table(rows)}{_MARK}{after}", "utf-8")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _table(rows: list[Row]) -> str:
    size = "全量" if any("30,000,000" in row.what for row in rows) else "缩小的规模"
    lines = [
        f"{platform.machine()}，{os.cpu_count()} 核，Python {platform.python_version()}，{size}。",
        "",
        "| 内容 | 命令 | 目标 | 测得 |",
        "|---|---|---|---|",
        *(f"| {row.what} | `{row.command}` | {row.target} | {row.measured} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
