"""A real MySQL schema, the same in both servers."""

import pytest

from pingyao.classify.model import Table
from pingyao.classify.sources.mysql import open_mysql
from pingyao.classify.sources.postgresql import open_postgresql


def _read(source) -> dict[str, tuple[str, tuple[tuple[str, str], ...], list[list[object]]]]:
    found = {}
    for table in list(source.tables()):
        assert isinstance(table, Table)
        rows = [list(r.values()) for b in source.batches(table) for r in b.to_pylist()]
        columns = tuple((c.name, c.comment) for c in table.columns)
        found[table.name] = (table.comment, columns, sorted(rows, key=repr))
    source.close()
    return found


def test_both_servers_tell_the_same_about_mall(mall_mariadb_url: str, mall_postgresql_url: str):
    mine, theirs = _read(open_mysql(mall_mariadb_url)), _read(open_postgresql(mall_postgresql_url))
    assert len(mine) == 76
    assert mine.keys() == theirs.keys()
    for name in mine:
        assert mine[name] == theirs[name], name
    assert sum(len(rows) for _, _, rows in mine.values()) > 1_600


@pytest.mark.parametrize("limit", [1, 7])
def test_a_sample_of_mall_is_no_larger_than_asked(mall_postgresql_url: str, limit: int):
    source = open_postgresql(mall_postgresql_url)
    for table in list(source.tables()):
        assert sum(b.num_rows for b in source.batches(table, limit)) <= limit
    source.close()
