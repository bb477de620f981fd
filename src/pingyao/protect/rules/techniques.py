"""The techniques: what each does to a column of a batch, and what parameters it takes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Literal

import msgspec
import numpy as np
import pyarrow as pa

from pingyao.platform.crypto import choose
from pingyao.protect.model import Field, Plain
from pingyao.protect.ports import Vault
from pingyao.protect.rules import dates, forms, masks, numbers, regions
from pingyao.protect.rules.arrays import as_text, pc
from pingyao.protect.rules.keyed import CIPHERS, Keyed, canonical
from pingyao.protect.rules.policy import Mask, Policy
from pingyao.protect.rules.surrogates import MAKERS, surrogate
from pingyao.protect.rules.tokens import token_column
from pingyao.protect.rules.watermark import UNITS

Result = tuple[pa.Array, int]
_KEPT: Mapping[str, Literal["", "region", "birth"]] = {
    "none": "",
    "region": "region",
    "birth": "birth",
}


class Cell(msgspec.Struct, frozen=True):
    """A column of a batch and what a technique may need beside it.

    Attributes:
        other: gives another column of the same batch by name.
        vault: opens a token vault by name.
    """

    array: pa.Array
    field: Field
    params: Mapping[str, Plain]
    policy: Policy
    other: Callable[[str], pa.Array]
    keyed: Keyed
    vault: Callable[[str], Vault]


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
    if cell.field.type == "postcode":
        return regions.postcodes(cell.array, level)
    if cell.policy.families.get(cell.field.type, cell.field.type) == "address":
        return regions.addresses(cell.array, level)
    return regions.codes(cell.array, level)


def _bin(cell: Cell) -> Result:
    if edges := str(cell.params.get("edges", "")):
        return numbers.bands(cell.array, numbers.read_edges(edges))
    return numbers.bins(cell.array, float(cell.params["width"]))


def _age(cell: Cell) -> Result:
    params = cell.params
    on = date.fromisoformat(str(params["on"]))
    return dates.ages(cell.array, on, int(params.get("width", 10)), int(params.get("top", 90)))


def _shift(cell: Cell) -> Result:
    most = int(cell.params["days"])
    by = str(cell.params.get("by", ""))
    draw = cell.keyed.prf("shift")
    # Without a subject the whole column moves by one secret distance.
    whose = cell.other(by) if by else pa.array([""], pa.string())
    drawn = (draw(whose)[:, 0] % np.uint64(2 * most)).astype(np.int64) - most
    days = np.where(drawn >= 0, drawn + 1, drawn)  # never zero
    return dates.shift(cell.array, days if by else np.repeat(days, len(cell.array)))


def _noise(cell: Cell) -> Result:
    place = cell.field.place
    bits = cell.keyed.prf(f"noise/{place.table}/{place.column}")(cell.array)
    return numbers.noise(cell.array, float(cell.params["percent"]), bits[:, 0])


def _pseudonym(cell: Cell) -> Result:
    return token_column(cell.array, cell.keyed.prf("pseudonym")), 0


def _surrogate(cell: Cell) -> Result:
    type_ = cell.field.type
    kind = type_ if type_ in MAKERS else cell.policy.families.get(type_, type_)
    return surrogate(cell.array, kind, cell.keyed.prf("surrogate")(cell.array)), 0


def _spans(cell: Cell) -> Result:
    return masks.spans(cell.array)


def _fpe(cell: Cell) -> Result:
    given = canonical(cell.array)
    made = forms.encrypt(given, _forms(cell))
    # What has no form of its own becomes a token: equal values still meet.
    misfits = pc.and_(made.is_null(), given.is_valid())
    if not pc.any(misfits).as_py():
        return made, 0
    tokens = token_column(given, cell.keyed.prf("pseudonym"))
    hidden = pc.sum(pc.and_(misfits, pc.not_equal(given, ""))).as_py() or 0
    return pc.if_else(misfits, tokens, made), hidden


def _forms(cell: Cell) -> forms.Forms:
    name, size = CIPHERS[cell.keyed.suite]
    return forms.Forms(
        keep=_KEPT[str(cell.params.get("keep", "none"))],
        bin_digits=int(cell.params.get("bin", 6)),
        key=cell.keyed.secret("fpe", size),
        cipher=choose.block_cipher(name),
    )


def _vault(cell: Cell) -> Result:
    return cell.vault(str(cell.params["vault"])).tokenise(as_text(cell.array)), 0


def _unfpe(cell: Cell) -> Result:
    given = as_text(cell.array)
    made = forms.decrypt(given, _forms(cell))
    lost = pc.and_(made.is_null(), given.is_valid())
    return pc.if_else(lost, given, made), pc.sum(
        pc.and_(lost, pc.not_equal(given, ""))
    ).as_py() or 0


def _unvault(cell: Cell) -> Result:
    return cell.vault(str(cell.params["vault"])).detokenise(as_text(cell.array)), 0


TECHNIQUES: dict[str, Callable[[Cell], Result]] = {
    "keep": lambda cell: (cell.array, 0),
    "spans": _spans,
    "mask": _mask,
    "redact": _redact,
    "region": _region,
    "shift": _shift,
    "period": lambda cell: dates.period(cell.array, str(cell.params["unit"])),
    "bin": _bin,
    "age": _age,
    "noise": _noise,
    "pseudonym": _pseudonym,
    "surrogate": _surrogate,
    "fpe": _fpe,
    "vault": _vault,
}
REVERSIBLE: dict[str, Callable[[Cell], Result]] = {"fpe": _unfpe, "vault": _unvault}
"""What leads back; the number is of cells that could not be given back, and stay as they are."""
HAVE = frozenset(TECHNIQUES) | {"withhold"}
"""Ids of the techniques that can be carried out."""

_BOUNDS: dict[tuple[str, str], tuple[float, float]] = {
    ("shift", "days"): (1, 36_500),
    ("noise", "percent"): (0.1, 90),
    ("bin", "width"): (1e-6, 1e15),
    ("age", "width"): (1, 50),
    ("age", "top"): (50, 120),
    ("mask", "head"): (0, 16),
    ("mask", "tail"): (0, 16),
    ("fpe", "bin"): (6, 8),
    ("keep", "mark"): UNITS,
    ("noise", "mark"): UNITS,
}
_WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("period", "unit"): tuple(dates.UNITS),
    ("region", "level"): tuple(regions.LEVELS),
    ("fpe", "keep"): tuple(_KEPT),
}
_ALSO = {"vault": {"vault"}, "age": {"on"}}
_OPTIONAL = {"head", "tail", "bin", "keep", "mark", "top"}


def check_params(technique: str, params: Mapping[str, Plain], columns: Sequence[str]) -> str:
    """Returns what is wrong with a technique's parameters, in Chinese; empty when nothing is."""
    for name, value in params.items():
        key = (technique, name)
        if key == ("shift", "by"):
            if value not in columns:
                return f"参数 by 指的列“{str(value)[:40]}”不在表中"
        elif key in (("bin", "edges"), ("age", "on")):
            wrong = numbers.wrong_edges(value) if name == "edges" else dates.wrong_day(value)
            if wrong:
                return wrong
        elif key == ("vault", "vault"):
            if not isinstance(value, str) or not 1 <= len(value) <= 64:
                return "参数 vault 应为令牌库名称，1 至 64 个字符"
        elif key in _BOUNDS:
            low, high = _BOUNDS[key]
            if isinstance(value, str) or not low <= float(value) <= high:
                return f"参数 {name} 应在 {low:g} 至 {high:g} 之间"
        elif key in _WORDS:
            if value not in _WORDS[key]:
                return f"参数 {name} 可用：{'、'.join(_WORDS[key])}"
        else:
            return f"没有参数 {name[:40]}"
    needed = {n for t, n in (*_BOUNDS, *_WORDS) if t == technique and n not in _OPTIONAL}
    needed |= _ALSO.get(technique, set())
    if "edges" in params:
        needed.discard("width")
    missing = sorted(needed - params.keys())
    return f"缺少参数 {missing[0]}" if missing else ""
