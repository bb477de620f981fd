"""A table's choices carried out on its batches, with a count of what came out unchanged."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import pyarrow as pa
from pyarrow import compute

from pingyao.kernel.errors import Conflict, Invalid
from pingyao.protect.model import Choice
from pingyao.protect.ports import BINARY_READ, Vault
from pingyao.protect.rules.arrays import unchanged
from pingyao.protect.rules.keyed import Keyed
from pingyao.protect.rules.policy import Policy
from pingyao.protect.rules.techniques import TECHNIQUES, Cell, Result
from pingyao.protect.rules.watermark import Marker


class Tally(msgspec.Struct):
    """What happened to a column so far: cells with something in them, unchanged ones, hidden ones."""

    cells: int = 0
    unchanged: int = 0
    hidden: int = 0


class Worker:
    """Carries out the choices of one table, batch after batch.

    Args:
        choices: one for every column of the table.
        vault: opens a token vault by name.
        marker: marks columns for a recipient, where there is one.
    """

    def __init__(
        self,
        choices: Sequence[Choice],
        policy: Policy,
        keyed: Keyed,
        vault: Callable[[str], Vault],
        marker: Marker | None = None,
    ) -> None:
        self._choices = {c.field.place.column: c for c in choices}
        self._policy, self._keyed, self._vault, self._marker = policy, keyed, vault, marker
        self._given: pa.Schema | None = None
        self.tallies = {name: Tally() for name in self._choices}
        self.gives = any(c.technique != "withhold" for c in choices)

    def check(self, columns: Sequence[str], types: Mapping[str, str]) -> None:
        """Refuses a table that has other columns than the plan, or columns of other types.

        Args:
            types: declared types by name, as they are now.

        Raises:
            Conflict: columns came, went or changed since the plan was made.
        """
        new = [name for name in columns if name not in self._choices]
        gone = [name for name in self._choices if name not in columns]
        planned = {n: c.field.declared_type for n, c in self._choices.items()}
        other = [
            name
            for name, was in planned.items()
            if was and types.get(name) and types[name].lower() != was.lower()
        ]
        if new or gone or other:
            place = next(iter(self._choices.values())).field.place
            said = "；".join(
                f"{word} {'、'.join(n[:40] for n in names[:5])}"
                for word, names in (("新增", new), ("缺少", gone), ("改变类型", other))
                if names
            )
            raise Conflict(
                "protect.columns_changed",
                f"表 {place.table[:80]} 的列与方案不符：{said}",
                "表结构在制定方案之后变过：请重新执行 protect plan 并复核",
            )

    def schema(self, given: pa.Schema) -> pa.Schema:
        """Returns the columns as they come out."""
        return self(pa.RecordBatch.from_pylist([], schema=given)).schema

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Protects the rows of a batch.

        Raises:
            Conflict: a column changed its type on the way.
            Invalid: a binary value came in only in part, and would go out like that.
        """
        if self._given is None:
            self._given = batch.schema
        elif not batch.schema.equals(self._given):
            raise self._drifted(batch.schema)
        arrays: list[pa.Array] = []
        names: list[str] = []
        for name in batch.schema.names:
            choice = self._choices[name]
            if choice.technique == "withhold":
                continue
            before = batch.column(name)
            if choice.technique != "redact":
                refuse_cut(before, choice)
            cell = Cell(
                array=before,
                field=choice.field,
                params=choice.params,
                policy=self._policy,
                other=batch.column,
                keyed=self._keyed,
                vault=self._vault,
            )
            after, hidden = self._done(cell, choice)
            tally = self.tallies[name]
            tally.cells += len(before) - before.null_count
            tally.hidden += hidden
            if self._marker is not None and "mark" in choice.params:
                after = self._marker(after, name, float(choice.params["mark"]))
            if choice.technique != "keep":
                tally.unchanged += unchanged(before, after)
            arrays.append(after)
            names.append(name)
        return pa.RecordBatch.from_arrays(arrays, names=names)

    def _done(self, cell: Cell, choice: Choice) -> Result:
        try:
            return TECHNIQUES[choice.technique](cell)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            place = choice.field.place
            raise Invalid(
                "protect.unfit",
                f"{place.table[:60]}.{place.column[:60]} 的取值类型 {cell.array.type} 不能用“{choice.technique}”处理",
                "请在方案中改选其他技术",
            ) from None

    def _drifted(self, schema: pa.Schema) -> Conflict:
        place = next(iter(self._choices.values())).field.place
        given = self._given or schema
        changed = [
            n
            for n in given.names
            if n not in schema.names or schema.field(n).type != given.field(n).type
        ]
        return Conflict(
            "protect.type_drift",
            f"表 {place.table[:80]} 的列 {'、'.join(c[:40] for c in changed[:5])} 中途改变了类型",
            "目标未作任何改动；请统一该列类型（或先导出为文本）后重试",
        )


def refuse_cut(array: pa.Array, choice: Choice) -> None:
    """Refuses to pass on binary values that a source reads only the beginning of."""
    if not (pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type)):
        return
    lengths = compute.call_function("binary_length", [array])
    if (compute.call_function("max", [lengths]).as_py() or 0) >= BINARY_READ:
        place = choice.field.place
        raise Invalid(
            "protect.binary_cut",
            f"{place.table[:60]}.{place.column[:60]} 有长于 {BINARY_READ:,} 字节的二进制内容，读取时只取开头，不能原样交出",
            "请在方案中改为“清空取值”或“不提供”，影像等文件另行以 protect seal 加密传递",
        )
