"""Writes the example bank: eight systems, each in the form such a system would hand over."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from pingyao.app.example import values
from pingyao.app.example.kinds import KINDS
from pingyao.app.example.writers import WRITERS

_CHUNK = 100_000


class ColumnPlan(msgspec.Struct, frozen=True):
    """A column as the plan of the bank names it."""

    name: str
    comment: str
    kind: str
    dirty: float


class TablePlan(msgspec.Struct, frozen=True):
    """A table of the plan; ``share`` is its rows per customer."""

    system: str
    form: str
    name: str
    comment: str
    share: float
    subject: str
    columns: list[ColumnPlan]


class Truth(msgspec.Struct, frozen=True):
    """What a column of the bank truly is."""

    source: str
    table: str
    column: str
    type: str
    subject: str
    by_value: bool


def read_plan() -> list[TablePlan]:
    """Reads the plan of the bank."""
    plan: list[TablePlan] = []
    system = form = ""
    text = files("pingyao.app.example").joinpath("bank.txt").read_text("utf-8")
    for line in text.splitlines()[4:]:
        words = line.split()
        if line.startswith("@"):
            system, form = words[0][1:], words[1]
        elif line.startswith("#"):
            name, comment, share, subject = words[1:]
            plan.append(TablePlan(system, form, name, _said(comment), float(share), subject, []))
        elif words:
            dirty = float(words[3]) if len(words) > 3 else 0.0
            plan[-1].columns.append(ColumnPlan(words[0], _said(words[1]), words[2], dirty))
    return plan


def _said(text: str) -> str:
    return "" if text == "-" else text


def generate(folder: Path, customers: int, seed: int) -> list[Truth]:
    """Writes the bank into a folder; the same seed gives the same bank.

    Args:
        customers: number of personal customers; the other tables follow in proportion.

    Returns:
        The truth about every column, to be kept outside the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan = read_plan()
    truths: list[Truth] = []
    for system in dict.fromkeys(t.system for t in plan):
        tables = [t for t in plan if t.system == system]
        write = WRITERS[tables[0].form]
        batches = ((t, _batches(t, customers, seed, plan.index(t))) for t in tables)
        for table, where in write(folder, system, batches):
            truths += [
                Truth(
                    where,
                    table.name,
                    c.name,
                    KINDS[c.kind].type,
                    table.subject,
                    KINDS[c.kind].by_value,
                )
                for c in table.columns
            ]
    return truths


def _batches(table: TablePlan, customers: int, seed: int, number: int) -> Iterator[pa.RecordBatch]:
    rows = max(20, round(customers * table.share))
    for start in range(0, rows, _CHUNK):
        count = min(_CHUNK, rows - start)
        arrays: list[pa.Array] = []
        for position, column in enumerate(table.columns):
            rng = np.random.default_rng([seed, number, position, start])
            cells = KINDS[column.kind].make(rng, count, start)
            arrays.append(values.dirty(rng, cells, column.dirty) if column.dirty else cells)
        yield pa.RecordBatch.from_arrays(arrays, names=[c.name for c in table.columns])
