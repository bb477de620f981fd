"""Loads the packs of the life cycle and lays an institution's own over them."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from pingyao.kernel.errors import Invalid
from pingyao.platform.packs import decode_pack, expand, read_pack
from pingyao.protect.assessment_model import Control, Mark
from pingyao.protect.lifecycle_model import ApprovalRule, MethodRule, Schedule
from pingyao.protect.rules.assessment import PROBES

_SHIPPED = ("retention", "lifecycle", "assessment")
_GUIDE = "规则包的写法见 docs/zh/lifecycle.md"
R = TypeVar("R", Schedule, ApprovalRule, MethodRule, Control)
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Pack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pack file: its head and its rows; a row with the id of an earlier one replaces it.

    Attributes:
        separate: pairs of acts that one person may not both do, beyond what always holds.
        marks, strengths: what an answer is worth, and how much a control weighs.
        statement_days: how long what a person states counts.
        disable: ids of rows of earlier packs that shall not apply.
    """

    pack: str
    version: str
    source: str
    confidence: Share = 0.5
    verified: bool = False
    note: str = ""
    retention: tuple[Schedule, ...] = ()
    approvals: tuple[ApprovalRule, ...] = ()
    methods: tuple[MethodRule, ...] = ()
    controls: tuple[Control, ...] = ()
    separate: tuple[tuple[str, str], ...] = ()
    marks: dict[Mark, Share] = {}
    strengths: dict[str, Share] = {}
    statement_days: Annotated[int, msgspec.Meta(ge=1, le=3_660)] | None = None
    disable: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How records name the pack."""
        return f"{self.pack}@{self.version}"


class Rules(msgspec.Struct, frozen=True):
    """The rules in force, after the institution's own packs."""

    retention: tuple[Schedule, ...]
    approvals: tuple[ApprovalRule, ...]
    methods: tuple[MethodRule, ...]
    controls: tuple[Control, ...]
    separate: tuple[tuple[str, str], ...]
    marks: dict[Mark, float]
    strengths: dict[str, float]
    statement_days: int
    packs: tuple[str, ...]


def load_rules(overlays: Sequence[Path] = ()) -> Rules:
    """Reads the shipped packs, then each of the institution's in order.

    Raises:
        Invalid: a pack cannot be read, is no pack, or names what does not exist.
    """
    own = [decode_pack(read_pack(path), path.name, Pack, _GUIDE) for path in expand(overlays)]
    packs = (*_shipped(), *own)
    names = [p.pack for p in packs]
    for pack in own:
        if names.count(pack.pack) > 1:
            raise _bad(pack, "pack.duplicate_name", "与另一规则包同名", "请另取名称")
        _check(pack)
    known = {r.id for p in packs for r in (*p.retention, *p.approvals, *p.methods, *p.controls)}
    off: set[str] = set()
    for pack in packs:
        if strange := sorted(set(pack.disable) - known):
            raise _bad(
                pack, "pack.unknown_rule", f"停用了不存在的规则 {strange[0][:60]}", "请核对规则编号"
            )
        off |= set(pack.disable)

    def laid(rows: list[R]) -> tuple[R, ...]:
        by_id = {row.id: row for row in rows}
        return tuple(row for row in by_id.values() if row.enabled and row.id not in off)

    return Rules(
        retention=laid([r for p in packs for r in p.retention]),
        approvals=laid([r for p in packs for r in p.approvals]),
        methods=laid([r for p in packs for r in p.methods]),
        controls=laid([r for p in packs for r in p.controls]),
        separate=tuple(dict.fromkeys(pair for p in packs for pair in p.separate)),
        marks={mark: worth for p in packs for mark, worth in p.marks.items()},
        strengths={name: weight for p in packs for name, weight in p.strengths.items()},
        statement_days=[p.statement_days for p in packs if p.statement_days][-1],
        packs=tuple(p.label for p in packs),
    )


@cache
def _shipped() -> tuple[Pack, ...]:
    data = files("pingyao.protect.data")
    return tuple(
        decode_pack(data.joinpath(f"{n}.json").read_bytes(), f"{n}.json", Pack, _GUIDE)
        for n in _SHIPPED
    )


def _check(pack: Pack) -> None:
    for row in pack.controls:
        if row.probe and row.probe not in PROBES:
            raise _bad(
                pack,
                "pack.unknown_name",
                f"{row.id} 用了未知的证据 {row.probe[:60]}",
                f"可用：{'、'.join(PROBES)}",
            )
    for rule in pack.approvals:
        if not rule.roles:
            raise _bad(pack, "pack.no_roles", f"{rule.id} 没有写审批角色", _GUIDE)
    for schedule in pack.retention:
        if schedule.bound == "least" and not (schedule.years or schedule.months or schedule.days):
            raise _bad(pack, "pack.no_period", f"{schedule.id} 没有写期限", _GUIDE)


def _bad(pack: Pack, code: str, detail: str, remedy: str) -> Invalid:
    return Invalid(code, f"规则包 {pack.label}：{detail}", remedy)
