"""Part of a source: the tables and columns somebody asked for, the others left where they are."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

import msgspec
import pyarrow as pa

from pingyao.classify.model import Table, Unread
from pingyao.classify.ports import FingerprintedSource, Source
from pingyao.classify.reading import SummingSource
from pingyao.kernel.errors import Unsupported


class Choice(msgspec.Struct, frozen=True):
    """What to read, as patterns with ``*`` and ``?``; upper and lower case are the same.

    Attributes:
        tables: of ``table`` or ``schema.table``; none for all.
        columns: of a column's name; none for all.
        without: columns to leave out.
    """

    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tables or self.columns or self.without)

    def of(self, table: Table) -> Table | None:
        """Returns what of a table is to be read; None where nothing is."""
        names = (table.name, f"{table.schema}.{table.name}")
        if self.tables and not any(_fits(name, self.tables) for name in names):
            return None
        columns = tuple(
            column
            for column in table.columns
            if (not self.columns or _fits(column.name, self.columns))
            and not _fits(column.name, self.without)
        )
        return msgspec.structs.replace(table, columns=columns) if columns else None


def choose(source: Source, choice: Choice) -> Source:
    """Returns a source of what was chosen; the other columns are never asked for.

    Raises:
        Unsupported: the source sums tables up where they lie, and always whole.
    """
    if not choice:
        return source
    if isinstance(source, SummingSource):
        raise Unsupported(
            "scan.no_choice",
            "Spark 引擎不能只扫描部分表或列",
            "请在 Spark 一侧建视图，或去掉 --table、--column、--skip-column",
        )
    return _Chosen(source, choice)


class _Chosen:
    """Hands on what was chosen of a source."""

    def __init__(self, source: Source, choice: Choice) -> None:
        self.name = source.name
        self.kind = source.kind
        self._source = source
        self._choice = choice

    def tables(self) -> Iterator[Table | Unread]:
        for table in self._source.tables():
            if isinstance(table, Unread):
                yield table
            elif chosen := self._choice.of(table):
                yield chosen

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        return self._source.batches(table, limit, after)

    def fingerprint(self, table: Table) -> str | None:
        source = self._source
        return source.fingerprint(table) if isinstance(source, FingerprintedSource) else None

    def close(self) -> None:
        self._source.close()


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name.casefold(), pattern.casefold()) for pattern in patterns)
