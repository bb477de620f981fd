"""Loads the policy packs and lays an institution's own over them."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from pingyao.kernel.errors import Invalid
from pingyao.platform.packs import decode_pack, expand, read_pack
from pingyao.protect.model import Purpose
from pingyao.protect.rules.policy import (
    Aim,
    ControlKind,
    Mask,
    Policy,
    Regrade,
    Role,
    Rule,
    Technique,
)

_SHIPPED = ("product", "techniques", "jrt0171", "jrt0223")
_GUIDE = "策略包的写法见 docs/zh/protect.md"

R = TypeVar("R", Rule, Regrade)


class Pack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pack file: its head and its rows; a row with the id of an earlier one replaces it.

    Attributes:
        enable: ids of rules of earlier packs that shall apply.
        disable: ids of rules of earlier packs that shall not apply.
    """

    pack: str
    version: str
    source: str
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    verified: bool = False
    note: str = ""
    controls: dict[str, tuple[str, ControlKind]] = {}
    roles: dict[str, Role] = {}
    purposes: dict[Purpose, Aim] = {}
    rules: tuple[Rule, ...] = ()
    regrade: tuple[Regrade, ...] = ()
    techniques: tuple[Technique, ...] = ()
    masks: dict[str, Mask] = {}
    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How plans name the pack, e.g. ``protect-jrt0171@2026.1``."""
        return f"{self.pack}@{self.version}"


class DataType(msgspec.Struct, frozen=True):
    """A data type of classification, as far as protection speaks of it."""

    id: str
    zh: str
    family: str


def load_policy(types: Sequence[DataType], overlays: Sequence[Path] = ()) -> Policy:
    """Reads the shipped packs, then each of the institution's in order.

    Args:
        types: classification's vocabulary of data types.

    Raises:
        Invalid: a pack cannot be read, is no pack, or names what does not exist.
    """
    own = [decode_pack(read_pack(path), path.name, Pack, _GUIDE) for path in expand(overlays)]
    controls: dict[str, tuple[str, ControlKind]] = {}
    roles: dict[str, Role] = {}
    purposes: dict[Purpose, Aim] = {}
    masks: dict[str, Mask] = {}
    rules: dict[str, Rule] = {}
    regrade: dict[str, Regrade] = {}
    techniques: dict[str, Technique] = {}
    origin: dict[str, str] = {}
    known = {t.id for t in types} | {t.family for t in types}
    seen: set[str] = set()
    for pack in (*_shipped(), *own):
        if pack.pack in seen:
            raise _bad(pack, "pack.duplicate_name", f"与另一策略包同名：{pack.pack}", "请另取名称")
        seen.add(pack.pack)
        controls |= pack.controls
        roles |= pack.roles
        purposes |= pack.purposes
        masks |= pack.masks
        _check(pack, controls, known)
        rules = _laid(pack, rules, pack.rules)
        regrade = _laid(pack, regrade, pack.regrade)
        techniques |= {t.id: t for t in pack.techniques}
        origin |= {row.id: pack.label for row in (*pack.rules, *pack.regrade)}
        _check_switches(pack, {*rules, *regrade})
    return Policy(
        controls=controls,
        roles=roles,
        families={t.id: t.family for t in types},
        names={t.id: t.zh for t in types},
        purposes=purposes,
        rules=tuple(r for r in rules.values() if r.enabled),
        regrade=tuple(r for r in regrade.values() if r.enabled),
        techniques=techniques,
        masks=masks,
        origin=origin,
        packs=tuple(p.label for p in (*_shipped(), *own)),
    )


@cache
def _shipped() -> tuple[Pack, ...]:
    data = files("pingyao.protect.data")
    return tuple(
        decode_pack(data.joinpath(f"{n}.json").read_bytes(), f"{n}.json", Pack, _GUIDE)
        for n in _SHIPPED
    )


def _laid(pack: Pack, earlier: dict[str, R], rows: Sequence[R]) -> dict[str, R]:
    result = earlier | {row.id: row for row in rows}
    for ids, state in ((pack.enable, True), (pack.disable, False)):
        for id_ in ids:
            if id_ in result:
                result[id_] = msgspec.structs.replace(result[id_], enabled=state)
    return result


def _check(pack: Pack, controls: dict[str, tuple[str, ControlKind]], known: set[str]) -> None:
    for rule in pack.rules:
        unknown = sorted(set(rule.controls) - controls.keys())
        if unknown:
            raise _unknown(pack, rule.id, "控制措施", unknown)
        if rule.act == "forbid" and "withhold" not in rule.controls:
            raise _bad(
                pack,
                "pack.weak_prohibition",
                f"禁止性规则 {rule.id} 没有要求不提供该列",
                'act 为 forbid 的规则，controls 须含 "withhold"',
            )
        types = sorted(rule.when.type - known)
        if types:
            raise _unknown(pack, rule.id, "数据类型", types)
    for technique in pack.techniques:
        unknown = sorted(technique.satisfies - controls.keys())
        if unknown:
            raise _unknown(pack, technique.id, "控制措施", unknown)


def _check_switches(pack: Pack, known: set[str]) -> None:
    for id_ in (*pack.enable, *pack.disable):
        if id_ not in known:
            raise _bad(
                pack, "pack.unknown_rule", f"启用或停用了不存在的规则 {id_[:60]}", "请核对规则编号"
            )


def _unknown(pack: Pack, row: str, kind: str, names: Sequence[str]) -> Invalid:
    listed = "、".join(name[:60] for name in names[:5])
    return _bad(
        pack, "pack.unknown_name", f"{row} 用了未知的{kind}：{listed}", "请核对拼写；" + _GUIDE
    )


def _bad(pack: Pack, code: str, detail: str, remedy: str) -> Invalid:
    return Invalid(code, f"策略包 {pack.label}：{detail}", remedy)
