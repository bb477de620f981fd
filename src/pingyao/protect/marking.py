"""The use cases of the watermark: a table marked for a recipient, and the recipient of a copy found."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingyao.kernel.errors import Invalid, Unsupported
from pingyao.protect.model import Made
from pingyao.protect.picking import pick
from pingyao.protect.ports import Reading, Sink
from pingyao.protect.rules.keyed import Prf
from pingyao.protect.rules.watermark import (
    Match,
    Spot,
    code,
    embed,
    markable,
    recognise,
    votes,
)

_MOST_NAMES = 100_000


class Marking(msgspec.Struct, frozen=True):
    """Where the mark of a table is.

    Attributes:
        columns: names of the columns of numbers that carry it.
        key: name of the column that says which row it is; empty where each number finds its place
            by its own leading digits, so that a column can be traced alone.
    """

    columns: tuple[str, ...]
    key: str
    spot: Spot

    @property
    def names(self) -> list[str]:
        """The columns it needs."""
        return [n for n in (*self.columns, self.key) if n]


def mark(
    reading: Reading,
    table: str,
    marking: Marking,
    prf: Mapping[str, Prf],
    recipient: str,
    sink: Sink,
) -> tuple[Made, ...]:
    """Copies a table, marked for a recipient.

    Args:
        prf: for each column its keyed function, and under ``""`` that of the recipients' codes.

    Raises:
        Unsupported: a column holds no numbers.
    """
    try:
        asset = pick(reading, table, marking.names)
        batches = reading.batches(asset)
        first = next(batches, None)
        if first is None:
            raise Invalid("protect.nothing", f"表 {asset.name[:80]} 没有数据", "请核对数据源")
        bits = code(prf[""], recipient)

        def marked() -> Iterator[pa.RecordBatch]:
            batch: pa.RecordBatch | None = first
            while batch is not None:
                yield _marked(batch, marking, prf, bits)
                batch = next(batches, None)

        sink.write(asset, first.schema, marked())
        made = sink.commit()
    except BaseException:
        sink.discard()
        raise
    return made


def _marked(
    batch: pa.RecordBatch, marking: Marking, prf: Mapping[str, Prf], bits: NDArray[np.uint64]
) -> pa.RecordBatch:
    arrays = {n: batch.column(n) for n in batch.schema.names}
    rows = arrays[marking.key] if marking.key else None
    for name in marking.columns:
        if not markable(arrays[name].type):
            raise Unsupported(
                "protect.not_numbers",
                f"列 {name[:60]} 不是数值列（{arrays[name].type}），不能加水印",
                "请选用金额、余额等数值列；文本文件请先转为 Parquet 或数据库",
            )
        arrays[name] = embed(arrays[name], rows, prf[name], bits, marking.spot)
    return pa.RecordBatch.from_arrays([*arrays.values()], names=[*arrays])


def trace(
    reading: Reading,
    table: str,
    marking: Marking,
    prf: Mapping[str, Prf],
    recipients: Sequence[str],
) -> list[Match]:
    """Says which of the recipients a copy was made for, the likeliest first.

    Raises:
        Invalid: no or too many recipients are named, or a cell is no number.
    """
    if not 1 <= len(recipients) <= _MOST_NAMES:
        raise Invalid(
            "protect.bad_option", f"接收方应为 1 至 {_MOST_NAMES:,} 个", "请核对接收方名单"
        )
    asset = pick(reading, table, marking.names)
    counted = None
    for batch in reading.batches(asset):
        rows = batch.column(marking.key) if marking.key else None
        for name in marking.columns:
            said = votes(_numbers(batch.column(name)), rows, prf[name], marking.spot)
            counted = said if counted is None else counted + said
    if counted is None:
        raise Invalid("protect.nothing", f"表 {asset.name[:80]} 没有数据", "请核对文件")
    return recognise(counted, {name: code(prf[""], name) for name in recipients})


def _numbers(column: pa.Array) -> pa.Array:
    """Returns numbers; a copy that went through text still has them."""
    if markable(column.type):
        return column
    try:
        return column.cast(pa.float64())
    except pa.ArrowInvalid:
        raise Invalid(
            "protect.not_numbers", "列中有不是数值的单元格", "请先清理这些单元格再追溯"
        ) from None
