"""A table's choices carried out on its batches, with a count of what came out unchanged."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
import pyarrow as pa

from pingyao.kernel.errors import Conflict, Invalid
from pingyao.protect.model import Choice, Field, Plain
from pingyao.protect.rules import dates, masks, numbers
from pingyao.protect.rules.arrays import as_text, pc, unchanged
from pingyao.protect.rules.keyed import Prf, tokens
from pingyao.protect.rules.policy import Mask, Policy
from pingyao.protect.rules.surrogates import MAKERS, surrogate

Keyed = Callable[[str], Prf]
Result = tuple[pa.Array, int]


class Cell(msgspec.Struct, frozen=True):
    """A column of a batch and what a technique may need beside it.

    Attributes:
        other: gives another column of the same batch by name.
        keyed: gives the keyed function of a use.
    """

    array: pa.Array
    field: Field
    params: Mapping[str, Plain]
    policy: Policy
    other: Callable[[str], pa.Array]
    keyed: Keyed


class Tally(msgspec.Struct):
    """What happened to a column so far: cells with something in them, unchanged ones, hidden ones."""

    cells: int = 0
    unchanged: int = 0
    hidden: int = 0


def _mask(cell: Cell) -> Result:
    masks_ = cell.policy.masks
    type_ = cell.field.type
    mask = masks_.get(type_) or masks_.get(cell.policy.families.get(type_, ""), masks_[""])
    if not cell.field.sure:
        mask = Mask()
    mask = msgspec.structs.replace(
        mask,
        head=int(cell.params.get("head", mask.head)),
        tail=int(cell.params.get("tail", mask.tail)),
    )
    if mask.find:
        return masks.pattern(cell.array, mask.find, mask.into)
    return masks.ends(cell.array, mask.head, mask.tail), 0


def _redact(cell: Cell) -> Result:
    if pa.types.is_string(cell.array.type):
        shown = pc.if_else(pc.equal(cell.array, ""), "", masks.HIDDEN)
        return shown, 0
    return pa.nulls(len(cell.array), cell.array.type), 0


def _region(cell: Cell) -> Result:
    level = str(cell.params.get("level", "city"))
    if cell.policy.families.get(cell.field.type, cell.field.type) == "address":
        if cell.field.type == "postcode":
            return masks.ends(cell.array, 2 if level == "city" else 1, 0), 0
        cut = {"province": 1, "city": 2}[level]
        province = r"(?:[^省市区县0-9]{2,8}(?:省|自治区|特别行政区))?"
        city = r"(?:[^省市区县0-9]{1,10}(?:自治州|地区|盟|州|市))?"
        kept = province + (city if cut == 2 else "")
        made, hidden = masks.pattern(cell.array, f"^({kept})(?s:.*)$", r"\1")
        empty = pc.and_(pc.equal(made, ""), pc.not_equal(as_text(cell.array), ""))
        return pc.if_else(empty, masks.HIDDEN, made), hidden + (pc.sum(empty).as_py() or 0)
    digits = 2 if level == "province" else 4
    return masks.pattern(
        cell.array, rf"^(\d{{{digits}}})\d{{{6 - digits}}}$", r"\1" + "0" * (6 - digits)
    )


def _shift(cell: Cell) -> Result:
    most = int(cell.params["days"])
    by = str(cell.params.get("by", ""))
    draw = cell.keyed("shift")
    # Without a subject the whole column moves by one secret distance.
    whose = cell.other(by) if by else pa.array([""], pa.string())
    drawn = (draw(whose)[:, 0] % np.uint64(2 * most)).astype(np.int64) - most
    days = np.where(drawn >= 0, drawn + 1, drawn)  # never zero
    return dates.shift(cell.array, days if by else np.repeat(days, len(cell.array)))


def _noise(cell: Cell) -> Result:
    bits = cell.keyed(f"noise/{cell.field.place.table}/{cell.field.place.column}")(cell.array)
    return numbers.noise(cell.array, float(cell.params["percent"]), bits[:, 0])


def _pseudonym(cell: Cell) -> Result:
    return tokens(cell.array, cell.keyed("pseudonym")(cell.array)), 0


def _surrogate(cell: Cell) -> Result:
    type_ = cell.field.type
    kind = type_ if type_ in MAKERS else cell.policy.families.get(type_, type_)
    return surrogate(cell.array, kind, cell.keyed("surrogate")(cell.array)), 0


def _spans(cell: Cell) -> Result:
    return masks.spans(cell.array)


TECHNIQUES: dict[str, Callable[[Cell], Result]] = {
    "keep": lambda cell: (cell.array, 0),
    "spans": _spans,
    "mask": _mask,
    "redact": _redact,
    "region": _region,
    "shift": _shift,
    "period": lambda cell: dates.period(cell.array, str(cell.params["unit"])),
    "bin": lambda cell: numbers.bins(cell.array, float(cell.params["width"])),
    "noise": _noise,
    "pseudonym": _pseudonym,
    "surrogate": _surrogate,
}
HAVE = frozenset(TECHNIQUES) | {"withhold"}
"""Ids of the techniques that can be carried out."""

_BOUNDS: dict[tuple[str, str], tuple[float, float]] = {
    ("shift", "days"): (1, 36_500),
    ("noise", "percent"): (0.1, 90),
    ("bin", "width"): (1e-6, 1e15),
    ("mask", "head"): (0, 16),
    ("mask", "tail"): (0, 16),
}
_WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("period", "unit"): tuple(dates.UNITS),
    ("region", "level"): ("province", "city"),
}


def check_params(technique: str, params: Mapping[str, Plain], columns: Sequence[str]) -> str:
    """Returns what is wrong with a technique's parameters, in Chinese; empty when nothing is."""
    for name, value in params.items():
        key = (technique, name)
        if key == ("shift", "by"):
            if value not in columns:
                return f"参数 by 指的列“{str(value)[:40]}”不在表中"
        elif key in _BOUNDS:
            low, high = _BOUNDS[key]
            if isinstance(value, str) or not low <= float(value) <= high:
                return f"参数 {name} 应在 {low:g} 至 {high:g} 之间"
        elif key in _WORDS:
            if value not in _WORDS[key]:
                return f"参数 {name} 可用：{'、'.join(_WORDS[key])}"
        else:
            return f"没有参数 {name[:40]}"
    needed = {n for t, n in (*_BOUNDS, *_WORDS) if t == technique and t != "mask"}
    missing = sorted(needed - params.keys())
    return f"缺少参数 {missing[0]}" if missing else ""


class Worker:
    """Carries out the choices of one table, batch after batch.

    Args:
        choices: one for every column of the table.
        keyed: gives the keyed function of a use.
    """

    def __init__(self, choices: Sequence[Choice], policy: Policy, keyed: Keyed) -> None:
        self._choices = {c.field.place.column: c for c in choices}
        self._policy, self._keyed = policy, keyed
        self._given: pa.Schema | None = None
        self.tallies = {name: Tally() for name in self._choices}

    def check(self, columns: Sequence[str]) -> None:
        """Refuses a table that has other columns than the plan.

        Raises:
            Conflict: columns came or went since the plan was made.
        """
        new = [name for name in columns if name not in self._choices]
        gone = [name for name in self._choices if name not in columns]
        if new or gone:
            place = next(iter(self._choices.values())).field.place
            said = "；".join(
                f"{word} {'、'.join(n[:40] for n in names[:5])}"
                for word, names in (("新增", new), ("缺少", gone))
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
            cell = Cell(
                array=before,
                field=choice.field,
                params=choice.params,
                policy=self._policy,
                other=batch.column,
                keyed=self._keyed,
            )
            after, hidden = self._done(cell, choice)
            tally = self.tallies[name]
            tally.cells += len(before) - before.null_count
            tally.hidden += hidden
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
        changed = [n for n in given.names if n not in schema.names or schema.field(n).type != given.field(n).type]  # fmt: skip
        return Conflict(
            "protect.type_drift",
            f"表 {place.table[:80]} 的列 {'、'.join(c[:40] for c in changed[:5])} 中途改变了类型",
            "目标未作任何改动；请统一该列类型（或先导出为文本）后重试",
        )
