"""Only what was chosen is asked of a source."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.command import pingyao

from pingyao.classify.model import Column, Table, Unread
from pingyao.classify.reading import Part
from pingyao.classify.sources.choosing import Choice, choose
from pingyao.classify.sources.open import open_path
from pingyao.kernel.errors import Unsupported

CUSTOMERS = Table("core", "T_CUST", columns=(Column("cert_no"), Column("Photo")))
BRANCHES = Table("hr", "branch", columns=(Column("city"),))
LOST = Unread("core.x", "scan.locked", "", "")


class Listed:
    name, kind = "bank", "csv"

    def tables(self) -> Iterator[Table | Unread]:
        yield from (CUSTOMERS, BRANCHES, LOST)

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        raise AssertionError("nobody asks for this here")

    def close(self) -> None: ...


class Summing(Listed):
    def sum_up(self, table: Table, limit: int | None) -> Part:
        raise AssertionError("nobody asks for this here")


def listed(**choice: tuple[str, ...]) -> list[str]:
    tables = choose(Listed(), Choice(**choice)).tables()
    found = [*tables]
    assert LOST in found
    return [f"{t.name}.{c.name}" for t in found if isinstance(t, Table) for c in t.columns]


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ({}, ["T_CUST.cert_no", "T_CUST.Photo", "branch.city"]),
        ({"tables": ("t_*",)}, ["T_CUST.cert_no", "T_CUST.Photo"]),
        ({"tables": ("HR.*", "none")}, ["branch.city"]),
        ({"tables": ("cust",)}, []),
        ({"tables": ("core.branch",)}, []),
        ({"columns": ("*NO", "city")}, ["T_CUST.cert_no", "branch.city"]),
        ({"without": ("photo",)}, ["T_CUST.cert_no", "branch.city"]),
        ({"columns": ("photo",), "without": ("p*",)}, []),
        ({"tables": ("[a-z]*",), "columns": ("c?ty",)}, ["branch.city"]),
    ],
)
def test_patterns(choice: dict[str, tuple[str, ...]], found: list[str]) -> None:
    assert listed(**choice) == found


def test_nothing_chosen_is_the_source_itself() -> None:
    source = Listed()
    assert choose(source, Choice()) is source


def test_what_sums_up_by_itself_cannot_choose() -> None:
    with pytest.raises(Unsupported, match="Spark"):
        choose(Summing(), Choice(tables=("x",)))


def test_a_source_without_fingerprints_has_none() -> None:
    assert choose(Listed(), Choice(tables=("x",))).fingerprint(CUSTOMERS) is None


def test_namesakes_in_a_parquet_file_are_all_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), path)
    source = open_path(path)
    (table,) = source.tables()
    (batch,) = source.batches(table)
    assert [c.to_pylist() for c in batch.columns] == [[1], [2]]
    source.close()


def test_the_command_reads_a_part_and_records_none(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("cert_no,photo\n110101199003071233,x\n")
    done = pingyao("scan", path, "--skip-column", "PHOTO", "--json")
    assert '"cert_no"' in done.out
    assert '"photo"' not in done.out
    refused = pingyao("scan", path, "--column", "c*", "--record")
    assert refused.code == 2
    assert "部分表或列" in refused.err
