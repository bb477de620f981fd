"""A real schema with its rows, scanned end to end: two databases, one verdict; the DDL beside them."""

from pathlib import Path

import pytest

from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.model import ScanResult, Verdict
from pingyao.classify.service import scan
from pingyao.classify.sources.ddl import open_ddl
from pingyao.classify.sources.open import open_source

DUMP = Path(__file__).resolve().parents[3] / "shared" / "data" / "schemas" / "mall.sql"


def scanned(url: str) -> ScanResult:
    source = open_source(url)
    try:
        return scan(source, load_knowledge())
    finally:
        source.close()


def by_column(result: ScanResult) -> dict[tuple[str, str], Verdict]:
    return {(v.id.table.lower(), v.id.column.lower()): v for t in result.tables for v in t.columns}


def test_mariadb_and_postgresql_give_the_same_verdicts(
    mall_mariadb_url: str, mall_postgresql_url: str
) -> None:
    one, other = scanned(mall_mariadb_url), scanned(mall_postgresql_url)
    assert not one.unread
    assert not other.unread
    assert len(one.tables) == len(other.tables) == 76
    first, second = by_column(one), by_column(other)
    assert first.keys() == second.keys()
    different = {
        key: ((v.type, v.labels), (second[key].type, second[key].labels))
        for key, v in first.items()
        if (v.type, v.leaf, v.labels, v.abstained)
        != (second[key].type, second[key].leaf, second[key].labels, second[key].abstained)
    }
    assert different == {}
    assert one.labels == other.labels
    assert first["ums_member", "password"].labels.personal.name == "C3"
    assert sum(t.rows_read for t in one.tables) == sum(t.rows_read for t in other.tables) > 1000


def test_the_dump_alone_gives_every_column_a_verdict(mall_mariadb_url: str) -> None:
    if not DUMP.exists():
        pytest.skip("共享数据不在：../shared/data/schemas/mall.sql")
    alone = scan(open_ddl(DUMP), load_knowledge(), coverage="metadata")
    assert by_column(alone).keys() == by_column(scanned(mall_mariadb_url)).keys()
    assert all(t.coverage == "metadata" and t.rows_read == 0 for t in alone.tables)
