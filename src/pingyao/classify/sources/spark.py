"""Whatever Apache Spark reads, summed up by the same kernels where it lies: no row comes here.

Each partition becomes one profile a column, runs of partitions are put together on the executors,
and the driver adds up what is left, always in the order of partitions. Spark cuts a file into
partitions from its beginning to its end, so a single file has the row numbers it has everywhere;
of several files, or after a shuffle, rows are numbered in the order Spark hands them out.
"""

# pyright: reportMissingImports=false
# PySpark is an extra: the rest must check without it.

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import compute

from pingyao.classify.model import Column, Table, Unread
from pingyao.classify.reading import Part
from pingyao.classify.rules import values
from pingyao.classify.rules.values import Profile
from pingyao.classify.sources import limits
from pingyao.classify.sources.credentials import kept_password
from pingyao.classify.sources.failures import failure, named, shown
from pingyao.classify.sources.spark_session import open_session
from pingyao.kernel.errors import PingyaoError

_FORMATS = {
    **{".csv": "csv", ".tsv": "csv", ".txt": "csv", ".json": "json", ".jsonl": "json"},
    **{".orc": "orc", ".avro": "avro", ".parquet": "parquet"},
}
_TEXT = {"header": "true", "quote": '"', "escape": '"', "mode": "PERMISSIVE"}
_ODD = "_pingyao_odd_row"
_CELLS = 4_000_000
_FEWEST_ROWS = 256
_RUN = 64
"""Partitions put together by one task of the second stage: each brings 2 kB a column."""
_PIECE = "first long, rows long, odd long, profiles binary"
_MISSING = {"TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND", "PATH_NOT_FOUND"}
_DECODE = msgspec.msgpack.Decoder(tuple[Profile, ...]).decode
_ENCODE = msgspec.msgpack.Encoder().encode


class _Piece(msgspec.Struct, frozen=True):
    """Rows that follow one another: the first partition they come from, and what was seen."""

    first: int
    rows: int = 0
    odd: int = 0
    profiles: tuple[Profile, ...] = ()


def open_spark(place: str, options: Mapping[str, str] | None = None) -> "Spark":
    """Opens a path, a table or database of the catalogue, or a table behind JDBC.

    Args:
        place: a path or URI, ``catalog:name`` or ``jdbc:…#schema.table``.
        options: ``spark.…`` for the session, ``format``, and what else is for the reader.

    Raises:
        PingyaoError: Spark or Java is absent, or the cluster does not answer.
    """
    given = dict(options or {})
    if any("password" in key.lower() for key in given):
        raise failure("spark.password_shown")
    conf = {key: given.pop(key) for key in [*given] if key.startswith("spark.")}
    return Spark(place, given, conf)


class Spark:
    """A place Spark reads from, as a source."""

    kind = "spark"

    def __init__(self, place: str, options: dict[str, str], conf: dict[str, str]) -> None:
        self._place = place
        self._format = options.pop("format", "")
        self._options = options
        self.name = _name(place)
        self._session, self._close = open_session(conf)
        for key, value in (
            ("spark.sql.session.timeZone", "UTC"),
            ("spark.sql.caseSensitive", "true"),
            ("spark.sql.execution.arrow.maxBytesPerBatch", str(limits.BYTES)),
        ):
            self._session.conf.set(key, value)
        self._frames: dict[tuple[str, str], Any] = {}

    def tables(self) -> Iterator[Table | Unread]:
        """Yields the one table of a path or address, or those of a database."""
        if not self._place.startswith("catalog:"):
            with _explained(self.name):
                yield self._table("", _stem(self.name), self._frame(), "file")
            return
        with _explained(self.name):
            found = [*self._listed(self._place.removeprefix("catalog:"))]
        for schema, name in found:
            try:
                with _explained(f"{schema}.{name}"):
                    frame = self._session.table(_quoted(*schema.split("."), name))
                    yield self._table(schema, name, frame, "table")
            except PingyaoError as error:
                yield Unread(f"{schema}.{name}", error.code, error.detail, error.remedy)

    def batches(
        self, table: Table, limit: int | None = None, after: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Raises: rows stay where they are."""
        del limit, after
        raise failure("spark.rows_stay", named(table))

    def sum_up(self, table: Table, limit: int | None) -> Part:
        """Sums a table up on the executors; memory is bounded on them and here.

        Rows of a text file that cannot be told into columns are left out, counted and reported.

        Raises:
            PingyaoError: what went wrong.
        """
        frame = self._frames[table.schema, table.name]
        if limit is not None:
            frame = frame.limit(limit)
        rows = max(_FEWEST_ROWS, min(limits.ROWS, _CELLS // max(1, len(table.columns))))
        with _explained(named(table)):
            self._session.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(rows))
            # By position: Spark resolves names, and takes a dot in one for a path.
            numbered = frame.toDF(*map(str, range(len(frame.columns))))
            pieces = numbered.mapInArrow(partial(_summed, text=_ODD in frame.columns), _PIECE)
            runs = pieces.selectExpr("*", f"first div {_RUN} as run").groupBy("run")
            collected = runs.applyInArrow(_put_together, _PIECE).collect()
        whole = _added(
            _Piece(row["first"], row["rows"], row["odd"], _DECODE(bytes(row["profiles"])))
            for row in collected
        )
        lost = None
        if whole.odd:
            detail = f"{shown(self.name)}：{whole.odd:,} 行的列数与表头不符，未计入"
            remedy = "请核对分隔符与引号后重新导出，或用 --spark 给出读取选项"
            lost = Unread(named(table), "scan.odd_rows", detail, remedy, whole.rows)
        profiles = whole.profiles or (values.EMPTY,) * len(table.columns)
        return Part(rows=whole.rows, profiles=profiles, failure=lost)

    def close(self) -> None:
        """Ends the session, unless it was there before."""
        self._close()

    def _frame(self) -> Any:
        reader, place = self._session.read, self._place
        if place.startswith("jdbc:"):
            url, _, table = place.partition("#")
            if not table:
                raise failure("spark.no_table", self.name)
            password = kept_password()
            secret = {} if password is None else {"password": password}
            options = {"fetchsize": "10000", **self._options, **secret}
            return reader.format("jdbc").options(url=url, dbtable=table, **options).load()
        suffix = re.search(r"\.[a-z]+$", place.lower().removesuffix(".gz").rstrip("/"))
        kind = self._format or _FORMATS.get(suffix[0] if suffix else "", "parquet")
        if kind != "csv":
            return reader.format(kind).options(**self._options).load(place)
        tabbed = {"sep": "\t"} if suffix and suffix[0] == ".tsv" else {}
        text = reader.format("csv").options(**{**_TEXT, **tabbed, **self._options})
        schema = text.load(place).schema.add(_ODD, "string")
        return text.option("columnNameOfCorruptRecord", _ODD).schema(schema).load(place)

    def _listed(self, name: str) -> Iterator[tuple[str, str]]:
        catalog = self._session.catalog
        if catalog.tableExists(name):
            schema, _, table = name.rpartition(".")
            yield schema or catalog.currentDatabase(), table
        elif catalog.databaseExists(name):
            for each in sorted(catalog.listTables(name), key=lambda t: t.name):
                if not each.isTemporary:
                    yield name, each.name
        else:
            raise failure("spark.not_found", self.name)

    def _table(self, schema: str, name: str, frame: Any, kind: Any) -> Table:
        """Describes a table; what Arrow has no type for is read as text."""
        from pyspark.errors import PySparkException
        from pyspark.sql.functions import col
        from pyspark.sql.pandas.types import to_arrow_type

        columns: list[Column] = []
        for field in frame.schema.fields:
            if field.name == _ODD:
                continue
            try:
                declared = str(to_arrow_type(field.dataType, timezone="UTC"))
            except PySparkException:
                declared = field.dataType.simpleString()
                frame = frame.withColumn(field.name, col(_quoted(field.name)).cast("string"))
            columns.append(Column(field.name, declared, field.metadata.get("comment", "")))
        self._frames[schema, name] = frame
        comment = ""
        if kind == "table":
            told = self._session.catalog.getTable(_quoted(*schema.split("."), name))
            comment = told.description or ""
        return Table(schema, name, comment, kind, tuple(columns))


def _summed(batches: Iterable[pa.RecordBatch], *, text: bool) -> Iterator[pa.RecordBatch]:
    """Sums up one partition, on an executor; rows are counted from its beginning.

    Args:
        text: the rows come from delimited text: an empty cell is no NULL, and the last column is
            filled where a row could not be told into columns.
    """
    from pyspark import TaskContext

    rows = odd = 0
    profiles: tuple[Profile, ...] = ()
    for batch in batches:
        columns = batch.columns
        if text:
            whole = compute.call_function("is_null", [columns.pop()])
            odd += len(whole) - whole.true_count
            columns = [c.filter(whole).fill_null("") for c in columns]
        fresh = tuple(values.profile(c, rows) for c in columns)
        profiles = tuple(map(values.merge, profiles, fresh)) if profiles else fresh
        rows += len(columns[0]) if columns else 0
    context: Any = TaskContext.get()
    if rows or odd:
        yield _sent([_Piece(context.partitionId(), rows, odd, profiles)]).to_batches()[0]


def _put_together(pieces: pa.Table) -> pa.Table:
    """Adds up what was seen of a run of partitions, on an executor."""
    return _sent([_added(_received(pieces))])


def _sent(pieces: list[_Piece]) -> pa.Table:
    columns = {
        "first": pa.array([p.first for p in pieces], pa.int64()),
        "rows": pa.array([p.rows for p in pieces], pa.int64()),
        "odd": pa.array([p.odd for p in pieces], pa.int64()),
        "profiles": pa.array([_ENCODE(p.profiles) for p in pieces], pa.binary()),
    }
    return pa.table(columns)


def _received(pieces: pa.Table) -> Iterator[_Piece]:
    for row in pieces.select(["first", "rows", "odd", "profiles"]).to_pylist():
        yield _Piece(row["first"], row["rows"], row["odd"], _DECODE(row["profiles"]))


def _added(pieces: Iterable[_Piece]) -> _Piece:
    """Adds pieces up in the order of their rows."""
    ordered = sorted(pieces, key=lambda p: p.first)
    whole = ordered[0] if ordered else _Piece(0)
    for piece in ordered[1:]:
        placed = [values.shifted(p, whole.rows) for p in piece.profiles]
        profiles = tuple(map(values.merge, whole.profiles, placed))
        whole = _Piece(whole.first, whole.rows + piece.rows, whole.odd + piece.odd, profiles)
    return whole


def _name(place: str) -> str:
    """Returns the name a place goes by: no options, no account."""
    if place.startswith("jdbc:"):
        address, _, table = place.partition("#")
        kind = re.match(r"(?:\w+:)+(?://)?", address)
        bare = re.split(r"[?;]", address)[0]
        if "@" in address:
            # A password may hold any mark; where it may end behind the options, nothing is shown.
            host = bare.rpartition("@")[2] if "@" in bare else ""
            bare = (kind[0] if kind else "") + host.removeprefix("//")
        return f"{bare}#{table}" if table else bare
    return place if place.startswith("catalog:") else place.rstrip("/").rpartition("/")[2]


def _stem(name: str) -> str:
    return name.partition("#")[2] or name.removesuffix(".gz").rpartition(".")[0] or name


def _quoted(*parts: str) -> str:
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


@contextmanager
def _explained(what: str) -> Generator[None]:
    """Translates Spark's errors; their text stays behind, because it may quote data."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        condition: Callable[[], str | None] | None = getattr(error, "getCondition", None)
        code = (condition() if condition is not None else None) or type(error).__name__
        if code.partition(".")[0] in _MISSING:
            raise failure("spark.not_found", what) from None
        if "ModuleNotFoundError" in str(error) or "No module named" in str(error):
            raise failure("spark.no_package", what) from None
        raise failure("spark.failed", what, code) from None
