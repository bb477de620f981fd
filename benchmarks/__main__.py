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
    parser.add_argument(
        "--write", type=Path, help="put the table into this page; of those named, their rows"
    )
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
        before, held, after = given.write.read_text("utf-8").split(_MARK)
        if given.names:
            rows = _among(_read(held), rows)
        given.write.write_text(f"{before}{_MARK}\n{_table(rows)}{_MARK}{after}", "utf-8")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _read(table: str) -> list[Row]:
    """Returns the rows of a table as `_table` writes it."""
    cells = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return [Row(what, command.strip("`"), *rest) for what, command, *rest in cells[1:]]


def _among(held: list[Row], rows: list[Row]) -> list[Row]:
    """Puts rows in the place of those that the same commands measured before."""
    found: list[Row] = []
    for row in held:
        same = [r for r in rows if r.command == row.command]
        found += [r for r in same if r not in found] if same else [row]
    return found + [r for r in rows if r not in found]


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
