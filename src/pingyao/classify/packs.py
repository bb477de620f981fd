"""Loads the rule packs and lays an institution's own over them."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import msgspec

from pingyao.classify.model import PackRef
from pingyao.classify.rules.grade import Group, Rule, RuleBook
from pingyao.kernel.citation import Citation
from pingyao.kernel.errors import Invalid

_SHIPPED = ("jrt0171", "adjust", "nfra2024_24", "pboc2025_3")
_LARGEST = 8 * 1024 * 1024


class Leaf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A leaf of the JR/T 0197 tree with its minimum level."""

    path: str
    min_level: int
    doubtful: bool = False


class Pack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pack file: its head and its rules.

    Attributes:
        disable: ids of rules of earlier packs that shall not apply.
        doubtful: whether leaves marked doubtful apply.
    """

    pack: str
    version: str
    source: str
    confidence: float = 0.5
    verified: bool = False
    note: str = ""
    leaves: tuple[Leaf, ...] = ()
    rules: tuple[Rule, ...] = ()
    groups: tuple[Group, ...] = ()
    disable: tuple[str, ...] = ()
    doubtful: bool = False


def load_book(overlays: Sequence[Path] = ()) -> RuleBook:
    """Reads the shipped packs, then each overlay in order; a later rule of an id replaces it.

    Raises:
        Invalid: an overlay cannot be read, is no pack, or names what does not exist.
    """
    data = files("pingyao.classify.data")
    tree = _decode(data.joinpath("jrt0197.json").read_bytes(), "jrt0197.json")
    shipped = [_decode(data.joinpath(f"{n}.json").read_bytes(), n) for n in _SHIPPED]
    own = [_decode(_read(path), path.name) for path in overlays]
    packs = [tree, *shipped, *own]
    rules: dict[str, Rule] = {}
    groups: dict[str, Group] = {}
    origin: dict[str, str] = {}
    for pack in packs:
        name = f"{pack.pack}@{pack.version}"
        for id_ in pack.disable:
            if id_ not in origin:
                raise Invalid(
                    "pack.unknown_rule", f"规则包 {name} 停用了不存在的规则 {id_}", "请核对规则编号"
                )
            rules.pop(id_, None)
            groups.pop(id_, None)
        # A new class rule of an institution goes before ours: of those the first fitting counts.
        first = {r.id: r for r in pack.rules if r.stage == "class" and r.id not in rules}
        if pack in own:
            rules = {**first, **rules}
        rules.update({r.id: r for r in pack.rules})
        groups.update({g.id: g for g in pack.groups})
        origin.update({r.id: name for r in (*pack.rules, *pack.groups)})
    leaves = _leaves(tree, own)
    types = msgspec.json.decode(data.joinpath("types.json").read_bytes())["types"]
    return RuleBook(
        families={t["id"]: t.get("family", t["id"]) for t in types},
        leaves=leaves,
        leaf_pack=f"{tree.pack}@{tree.version}",
        leaf_citation=Citation("JR/T 0197-2020", "附录A", tree.confidence, tree.verified),
        rules=tuple(r for r in rules.values() if r.enabled),
        groups=tuple(g for g in groups.values() if g.enabled),
        origin=origin,
        packs=tuple(PackRef(p.pack, p.version) for p in packs),
    )


def _leaves(tree: Pack, own: Sequence[Pack]) -> dict[str, int]:
    doubtful = any(p.doubtful for p in own)
    leaves = {leaf.path: leaf.min_level for leaf in tree.leaves if doubtful or not leaf.doubtful}
    for pack in own:
        leaves.update({leaf.path: leaf.min_level for leaf in pack.leaves})
    for path, level in leaves.items():
        if not 1 <= level <= 4:
            raise Invalid(
                "pack.bad_level",
                f"“{path}”的级别 {level} 超出 1–4",
                "5 级与重要数据只能由人判定，不能由规则包设定",
            )
    return leaves


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            raise Invalid("pack.too_large", f"规则包 {path.name} 超过 8 MiB", "请拆分规则包")
        return path.read_bytes()
    except OSError as error:
        raise Invalid(
            "pack.unreadable", f"无法读取规则包 {path.name}：{error.strerror}", "请检查路径与权限"
        ) from None


def _decode(raw: bytes, name: str) -> Pack:
    try:
        return msgspec.json.decode(raw, type=Pack)
    except msgspec.DecodeError as error:
        raise Invalid(
            "pack.malformed", f"规则包 {name} 不合格式：{error}", "请按文档的规则包格式修改"
        ) from None
