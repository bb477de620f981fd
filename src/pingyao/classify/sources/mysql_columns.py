"""How MySQL's columns travel: the SQL that asks for them, by their declared types."""

import re

import pyarrow as pa

from pingyao.classify.model import Column, Table
from pingyao.classify.sources import limits
from pingyao.classify.sources.relational import Field

_WHOLE = {"tinyint", "smallint", "mediumint", "int", "bigint"}
_BINARY = {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"}
_SHAPES = {
    *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring"),
    *("multipolygon", "geometrycollection", "geomcollection"),
}
_LONG = {"mediumtext", "longtext", "json"}
_DECIMAL_DIGITS = 38


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def is_long(column: Column) -> bool:
    """Tells whether a column may hold more than the server packs into a row's text."""
    return _base(column) in _LONG


def _base(column: Column) -> str:
    return re.split(r"[^a-z0-9]", column.declared_type.lower(), maxsplit=1)[0]


def field(column: Column) -> Field:
    """Decides how a column travels, by its declared type."""
    name, base = _quoted(column.name), _base(column)
    if base in _WHOLE:
        whole = pa.uint64() if "unsigned" in column.declared_type else pa.int64()
        return Field(column.name, f"IFNULL({name}, '')", whole)
    if base in ("float", "double"):
        return Field(column.name, f"IFNULL({name}, '')", pa.float64())
    decimal = re.match(r"decimal\(([0-9]+),([0-9]+)\)", column.declared_type)
    if decimal and int(decimal[1]) <= _DECIMAL_DIGITS:
        return Field(
            column.name, f"IFNULL({name}, '')", pa.decimal128(int(decimal[1]), int(decimal[2]))
        )
    if base in ("date", "datetime", "timestamp"):
        real = f"IFNULL(IF(MONTH({name}) > 0 AND DAYOFMONTH({name}) > 0, {name}, NULL), '')"
        return Field(column.name, real, pa.date32() if base == "date" else pa.timestamp("us"))
    if base in _BINARY:
        head = f"HEX(LEFT({name}, {limits.BINARY_BYTES}))"
        return Field(column.name, f"IFNULL(CONCAT('\"', {head}, '\"'), '')", pa.binary())
    text = f"CONVERT({name} USING utf8mb4)"
    if base in _SHAPES:
        text = f"ST_AsText({name})"
    elif base == "bit":
        text = f"CAST({name} + 0 AS CHAR)"
    quoted = f"""IFNULL(CONCAT('"', REPLACE({text}, '"', '""'), '"'), '')"""
    return Field(column.name, quoted, pa.string())


def select(table: Table, fields: list[Field], long: list[Column]) -> str:
    """Returns the query: one CSV text for all short columns, then the long ones by themselves.

    The server makes no string longer than its ``max_allowed_packet``, but sends any.
    """
    size = limits.CELL_CHARACTERS
    parts = ["CONCAT_WS(',', " + ", ".join(each.select for each in fields) + ")"] if fields else []
    for column in long:
        name = _quoted(column.name)
        parts.append(f"IF(LENGTH({name}) > {size}, LEFT({name}, {size}), {name})")
    return f"SELECT {', '.join(parts)} FROM {_quoted(table.schema)}.{_quoted(table.name)}"  # noqa: S608 - identifiers are quoted
