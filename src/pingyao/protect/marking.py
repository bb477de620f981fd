"""The use cases of the watermark: a table marked for a recipient, and the recipient of a copy found."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
from numpy.typing import NDArray

from pingyao.kernel.errors import Invalid, Unsupported
from pingyao.protect.model import Place, Release
from pingyao.protect.picking import pick
from pingyao.protect.ports import Reading, Scanner, Sink
from pingyao.protect.releasing import Terms, release, whole_or_nothing
from pingyao.protect.rules.watermark import (
    Marks,
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
    marks: Marks,
    recipient: str,
    sink: Sink,
    terms: Terms,
    scanner: Scanner,
    protected: Mapping[Place, str],
) -> Release:
    """Copies a table, marked for a recipient, and releases it if the purpose allows its columns.

    Args:
        protected: techniques by which columns were protected before.

    Raises:
        Unsupported: a column holds no numbers.
        Withheld: something in it the purpose forbids.
    """
    with whole_or_nothing(sink, terms, "watermark"):
        asset = pick(reading, table, marking.names)
        batches = reading.batches(asset)
        first = next(batches, None)
        if first is None:
            raise Invalid("protect.nothing", f"表 {asset.name[:80]} 没有数据", "请核对数据源")
        bits = code(marks.recipients, recipient)

        def marked() -> Iterator[pa.RecordBatch]:
            batch: pa.RecordBatch | None = first
            while batch is not None:
                yield _marked(batch, marking, marks, bits)
                batch = next(batches, None)

        sink.write(asset, first.schema, marked())
        facts: dict[str, object] = {"recipient": recipient, "columns": list(marking.columns)}
        return release(terms, scanner, "watermark", sink, protected, facts)


def _marked(
    batch: pa.RecordBatch, marking: Marking, marks: Marks, bits: NDArray[Any]
) -> pa.RecordBatch:
    arrays = {n: batch.column(n) for n in batch.schema.names}
    rows = arrays[marking.key] if marking.key else None
    for name in marking.columns:
        if not markable(arrays[name].type):
            raise Unsupported(
                "protect.not_numbers",
                f"列 {name[:60]} 不是数值列（{arrays[name].type}），不能加水印",
                "请选用金额、余额等数值列，或写成数字的文本列",
            )
        arrays[name] = embed(arrays[name], rows, marks.column(name), bits, marking.spot)
    return pa.RecordBatch.from_arrays([*arrays.values()], names=[*arrays])


def trace(
    reading: Reading, table: str, marking: Marking, marks: Marks, recipients: Sequence[str]
) -> list[Match]:
    """Says which of the recipients a copy was made for, the likeliest first.

    Raises:
        Invalid: no or too many recipients are named, or the table is empty.
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
            said = votes(batch.column(name), rows, marks.column(name), marking.spot)
            counted = said if counted is None else counted + said
    if counted is None:
        raise Invalid("protect.nothing", f"表 {asset.name[:80]} 没有数据", "请核对文件")
    return recognise(counted, {name: code(marks.recipients, name) for name in recipients})
