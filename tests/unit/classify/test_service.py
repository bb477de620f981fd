"""A scan survives what its sources do, foreseen or not."""

from collections.abc import Iterator

import pyarrow as pa

from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.model import Column, Table
from pingyao.classify.service import scan


class Faulty:
    """A source with a table whose reading fails in a way nobody foresaw."""

    name, kind = "faulty", "csv"

    def tables(self) -> Iterator[Table]:
        yield Table("", "bad", columns=(Column("sjhm"),))
        yield Table("", "good", columns=(Column("sjhm"),))

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        if table.name == "bad":
            raise ZeroDivisionError("13800138000 divided by nothing")
        yield pa.RecordBatch.from_pydict({"sjhm": ["13800138000"]})

    def close(self) -> None: ...


def test_what_nobody_foresaw_costs_one_table_and_quotes_no_data() -> None:
    result = scan(Faulty(), load_knowledge())
    assert [t.rows_read for t in result.tables] == [0, 1]
    assert [(u.where, u.code) for u in result.unread] == [("bad", "scan.unforeseen")]
    assert "ZeroDivisionError" in result.unread[0].detail
    assert "13800138000" not in str(result.unread)


class Visitors:
    """A company's table, whose numbers are nevertheless those of persons."""

    name, kind = "visitors", "csv"

    def tables(self) -> Iterator[Table]:
        yield Table("", "ops_company_visit", columns=(Column("v1"), Column("company_name")))

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        numbers = ["11010519491231002X"] * 100
        yield pa.RecordBatch.from_pydict({"v1": numbers, "company_name": ["某某公司"] * 100})

    def close(self) -> None: ...


def test_an_id_number_is_a_persons_in_whatever_table() -> None:
    verdict = scan(Visitors(), load_knowledge()).tables[0].columns[0]
    assert (verdict.type, verdict.subject) == ("id_card_no", "person")
    assert (verdict.labels.level, verdict.labels.personal) == (3, 2)
