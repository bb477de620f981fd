"""SQLite's rows, cell by cell, against what Python's own module says: the slow and obvious way."""

import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pingyao.classify.model import Table
from pingyao.classify.sources import limits, sqlite_library, sqlite_plain, sqlite_rows
from pingyao.classify.sources.relational import decoded
from pingyao.classify.sources.sqlite import open_sqlite

Row = tuple[object, ...]
EXACT = 2**53
DECLARED = ("INTEGER", "TEXT", "NUMERIC(9,2)", "REAL", "BLOB", "DATE", "VARCHAR(9)", "")

whole = st.sampled_from([0, -1, EXACT, 1 - EXACT, -(2**63), 2**63 - 1]) | st.integers(-99, 99)
# What is not a number, SQLite keeps as NULL.
real = st.sampled_from([0.0, -0.0, 1e-300, 0.1, 9e15, -9.1e15, float("inf")]) | st.floats()
text = st.sampled_from(["", "1", "1e3", "张三", "a\0b", "\0", "长" * 30_000]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=9
)
raw = st.sampled_from([b"", b"\0", "张三".encode("gb18030"), b"\xff\xfe\xfd", b"z" * 5000])
blob = raw | st.binary(max_size=9)
# Bytes that SQLite is told are text.
unsound = st.tuples(blob)
kinds = (st.none(), whole, real, text, blob, unsound)
columns = st.lists(st.sampled_from(kinds), min_size=1, max_size=3).map(st.one_of)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[Row]]:
    """Declarations and rows; most columns are of one kind or two, as in life."""
    declared = draw(st.lists(st.sampled_from(DECLARED), min_size=1, max_size=4))
    row = st.tuples(*(draw(columns) for _ in declared))
    return declared, draw(st.lists(row, max_size=12))


def write(path: Path, declared: list[str], rows: list[Row], encoding: str = "UTF-8") -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA encoding = '{encoding}'")
        names = [f"c{n} {kind}" for n, kind in enumerate(declared)]
        db.execute(f"CREATE TABLE t ({', '.join(names)})")
        for row in rows:
            marks = ["CAST(? AS TEXT)" if isinstance(cell, tuple) else "?" for cell in row]
            cells = [cell[0] if isinstance(cell, tuple) else cell for cell in row]
            db.execute(f"INSERT INTO t VALUES ({', '.join(marks)})", cells)
        db.commit()


def expected(path: Path, declared: list[str]) -> list[pa.Array]:
    """Says what every column comes as, and its cells."""
    arrays: list[pa.Array] = []
    with closing(sqlite3.connect(path)) as db:
        db.text_factory = bytes
        for n, kind in enumerate(declared):
            held = db.execute(f"SELECT c{n}, CAST(c{n} AS TEXT) FROM t").fetchall()
            cells = [cell for cell, _ in held]
            types = {
                type(c) if not isinstance(c, bytes) else t
                for c, (t,) in zip(cells, db.execute(f"SELECT typeof(c{n}) FROM t"), strict=True)
                if c is not None
            }
            small = all(-EXACT < c < EXACT for c in cells if isinstance(c, int | float))
            if kind not in ("TEXT", "VARCHAR(9)") and types == {int}:
                arrays.append(pa.array(cells, pa.int64()))
            elif kind not in ("TEXT", "VARCHAR(9)") and types == {b"blob"}:
                arrays.append(pa.array([c and c[:4096] for c in cells], pa.binary()))
            elif kind not in ("TEXT", "VARCHAR(9)") and types in ({float}, {int, float}) and small:
                arrays.append(pa.array(cells, pa.float64()))
            else:
                texts = [None if t is None else decoded(t) for _, t in held]
                arrays.append(pa.array(texts, pa.string()))
    return arrays


def read(path: Path, after: int = 0) -> tuple[Table, list[pa.RecordBatch]]:
    with closing(open_sqlite(path)) as source:
        (table,) = source.tables()
        assert isinstance(table, Table)
        batches = list(source.batches(table, None, after))
    for batch in batches:
        batch.validate(full=True)
    return table, batches


def bits(column: pa.ChunkedArray | pa.Array) -> list[object]:
    return [struct.pack("d", c) if isinstance(c, float) else c for c in column.to_pylist()]


law = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("law")


def test_the_library_is_reached() -> None:
    # Where it is not, the laws below would compare the slow way with itself.
    assert sqlite_library.copy_in_use() is not None


@law
@given(
    table=tables(),
    first=st.sampled_from([1, 2, 5, 4096]),
    most=st.sampled_from([1, 3, 65_536]),
    after=st.integers(0, 3),
    plain=st.booleans(),
)
def test_cells_are_what_sqlite_says(
    folder: Path, table: tuple[list[str], list[Row]], first: int, most: int, after: int, plain: bool
) -> None:
    declared, rows = table
    path = folder / "x.db"
    path.unlink(missing_ok=True)
    write(path, declared, rows)
    wanted = expected(path, declared)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_rows, "_FIRST_ROWS", first)
        patch.setattr(sqlite_plain, "_FIRST_ROWS", first)
        patch.setattr(limits, "ROWS", most)
        if plain:
            patch.setattr(sqlite_library, "copy_in_use", lambda: None)
        _, batches = read(path, after)
    assert sum(batch.num_rows for batch in batches) == max(len(rows) - after, 0)
    assert all(batch.num_rows <= most for batch in batches)
    for n, array in enumerate(wanted):
        # One type throughout, whichever cell comes first.
        assert {batch.column(n).type for batch in batches} <= {array.type}
        assert [c for b in batches for c in bits(b.column(n))] == bits(array)[after:]


@settings(law, max_examples=100)
@given(tables(), st.sampled_from(["UTF-16le", "UTF-16be"]))
def test_both_ways_agree_whatever_the_encoding(
    folder: Path, table: tuple[list[str], list[Row]], encoding: str
) -> None:
    path = folder / "y.db"
    path.unlink(missing_ok=True)
    write(path, *table, encoding)
    _, quick = read(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_library, "copy_in_use", lambda: None)
        _, slow = read(path)
    assert [b.schema for b in quick] == [b.schema for b in slow]
    assert [list(map(bits, b.columns)) for b in quick] == [list(map(bits, b.columns)) for b in slow]
