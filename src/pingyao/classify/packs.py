"""Loads the rule packs and lays an institution's own over them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, get_args

import msgspec

from pingyao.classify.model import PackRef
from pingyao.classify.rules.book import Group, Rule, RuleBook, Stage
from pingyao.kernel.citation import Citation
from pingyao.kernel.errors import Invalid
from pingyao.platform.packs import decode_pack, expand, read_pack

_TREE = "jrt0197"
_SHIPPED = (_TREE, "texts", "adjust", "jrt0171", "nfra2024_24", "pboc2025_3", "gbt43697")
_MOST_ROWS = 20_000
_STAGES: tuple[Stage, ...] = get_args(Stage)
_NAME = re.compile(r"[A-Za-z0-9][\w.\-]{0,63}")
_GUIDE = "规则包的写法见 docs/zh/packs.md"


class Leaf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A leaf of the JR/T 0197 tree with its minimum level; ``new`` adds one to the tree."""

    path: str
    min_level: Annotated[int, msgspec.Meta(ge=1, le=4)]
    doubtful: bool = False
    new: bool = False


class Pack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pack file: its head and its rules.

    Attributes:
        terms: uses and states its rules ask for beside those known, with their meaning.
        enable: ids of rules of earlier packs that shall apply.
        disable: ids of rules of earlier packs that shall not apply.
        doubtful: whether leaves marked doubtful apply; None leaves that as it is.
    """

    pack: str
    version: str
    source: str
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    verified: bool = False
    note: str = ""
    terms: dict[str, str] = {}
    leaves: tuple[Leaf, ...] = ()
    rules: tuple[Rule, ...] = ()
    groups: tuple[Group, ...] = ()
    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    doubtful: bool | None = None

    @property
    def label(self) -> str:
        """How results name the pack, e.g. ``jrt0171@2026.1``."""
        return f"{self.pack}@{self.version}"


class _TypeRow(msgspec.Struct, frozen=True):
    id: str
    zh: str
    family: str = ""


class _Types(msgspec.Struct, frozen=True):
    types: tuple[_TypeRow, ...]


def load_book(overlays: Sequence[Path] = ()) -> RuleBook:
    """Reads the shipped packs, then each overlay in order.

    An overlay is a pack file or a directory of them, read by name. Its row with the id of an
    earlier one replaces it in place; its new ``class`` rules go before the earlier packs', since
    of those the first that fits counts; its other new rules go last.

    Raises:
        Invalid: an overlay cannot be read, is no pack, or names what does not exist; the detail
            names the file, the rule and, where known, the line.
    """
    own = [decode_pack(read_pack(path), path.name, Pack, _GUIDE) for path in expand(overlays)]
    shipped = _shipped()
    types = _types()
    families = {t.id: t.family or t.id for t in types.types}
    known = frozenset(families) | frozenset(families.values())
    terms: dict[str, str] = {}
    leaves: dict[str, Leaf] = {}
    leaf_origin: dict[str, str] = {}
    rows: dict[str, Rule | Group] = {}
    origin: dict[str, str] = {}
    doubtful = False
    seen: set[str] = set()
    for position, pack in enumerate((*shipped, *own)):
        if pack.pack in seen:
            raise _bad(pack, "pack.duplicate_name", f"与另一规则包同名：{pack.pack}", "请另取名称")
        seen.add(pack.pack)
        terms |= pack.terms
        _lay_leaves(pack, leaves, leaf_origin)
        _check(pack, rows, known, terms, leaves)
        rows = _lay_rules(pack, rows, front=position >= len(shipped))
        origin |= {row.id: pack.label for row in (*pack.rules, *pack.groups)}
        doubtful = doubtful if pack.doubtful is None else pack.doubtful
    active = [row for row in rows.values() if row.enabled]
    return RuleBook(
        families=families,
        names={t.id: t.zh for t in types.types},
        terms=terms,
        leaves={p: x.min_level for p, x in leaves.items() if doubtful or not x.doubtful},
        leaf_origin=leaf_origin,
        leaf_citation={p.label: _leaf_citation(p) for p in (*shipped, *own) if p.leaves},
        rules={
            s: tuple(r for r in active if isinstance(r, Rule) and r.stage == s) for s in _STAGES
        },
        groups=tuple(r for r in active if isinstance(r, Group)),
        origin=origin,
        packs=tuple(PackRef(p.pack, p.version) for p in (*shipped, *own)),
    )


@cache
def _shipped() -> tuple[Pack, ...]:
    data = files("pingyao.classify.data")
    return tuple(
        decode_pack(data.joinpath(f"{n}.json").read_bytes(), f"{n}.json", Pack, _GUIDE)
        for n in _SHIPPED
    )


@cache
def _types() -> _Types:
    data = files("pingyao.classify.data")
    return msgspec.json.decode(data.joinpath("types.json").read_bytes(), type=_Types)


def _leaf_citation(pack: Pack) -> Citation:
    if pack.pack == _TREE:
        return Citation("JR/T 0197-2020", "附录A", pack.confidence, pack.verified)
    return Citation(pack.source, "", pack.confidence, pack.verified)


def _lay_leaves(pack: Pack, leaves: dict[str, Leaf], origin: dict[str, str]) -> None:
    paths = [leaf.path for leaf in pack.leaves]
    _refuse_twice(pack, paths, "分类")
    for leaf in pack.leaves:
        if pack.pack != _TREE and leaf.path not in leaves and not leaf.new:
            raise _bad(
                pack,
                "pack.unknown_leaf",
                f"分类目录中没有“{leaf.path}”",
                '请核对路径；确需新增分类时为该行加 "new": true',
            )
        leaves[leaf.path] = leaf
        origin[leaf.path] = pack.label


def _lay_rules(pack: Pack, rows: dict[str, Rule | Group], front: bool) -> dict[str, Rule | Group]:
    mine: dict[str, Rule | Group] = {row.id: row for row in (*pack.rules, *pack.groups)}
    first = {
        id_: row
        for id_, row in mine.items()
        if front and id_ not in rows and isinstance(row, Rule) and row.stage == "class"
    }
    result = {**first, **rows, **mine}
    for ids, state in ((pack.enable, True), (pack.disable, False)):
        for id_ in ids:
            result[id_] = msgspec.structs.replace(result[id_], enabled=state)
    return result


def _check(
    pack: Pack,
    rows: dict[str, Rule | Group],
    types: frozenset[str],
    terms: dict[str, str],
    leaves: dict[str, Leaf],
) -> None:
    _refuse_twice(pack, [row.id for row in (*pack.rules, *pack.groups)], "规则编号")
    for id_ in (*pack.enable, *pack.disable):
        if id_ not in rows:
            raise _bad(
                pack, "pack.unknown_rule", f"启用或停用了不存在的规则 {id_}", "请核对规则编号"
            )
    both = sorted(set(pack.enable) & set(pack.disable))
    if both:
        raise _bad(
            pack,
            "pack.conflict",
            f"同时启用又停用规则 {both[0]}",
            "请只保留 enable 或 disable 之一",
        )
    for row in (*pack.rules, *pack.groups):
        if not _NAME.fullmatch(row.id):
            raise _bad(pack, "pack.bad_id", f"规则编号“{row.id[:40]}”不合规", _ID_REMEDY)
        if row.id in rows and type(rows[row.id]) is not type(row):
            raise _bad(
                pack,
                "pack.conflict",
                f"规则 {row.id} 与既有的另一类规则同号",
                "rules 与 groups 不能互相覆盖，请另取编号",
            )
        if isinstance(row, Rule):
            _check_rule(pack, row, types, terms, leaves)
        else:
            _check_group(pack, row, types)


_ID_REMEDY = "编号用字母、数字、点、连字符与下划线，以字母或数字开头，至多 64 位"


def _check_rule(
    pack: Pack,
    rule: Rule,
    types: frozenset[str],
    terms: dict[str, str],
    leaves: dict[str, Leaf],
) -> None:
    when, sets = rule.when, rule.sets
    _refuse_unknown(pack, rule.id, "数据类型", (when.type | when.not_type) - types)
    _refuse_unknown(
        pack, rule.id, "用语", (when.terms | when.all_terms | when.not_terms) - terms.keys()
    )
    _refuse_unknown(
        pack,
        rule.id,
        "分类",
        {
            path
            for path in when.leaf
            if path not in leaves
            and not (path.endswith("/") and any(leaf.startswith(path) for leaf in leaves))
        },
    )
    if (sets.level_to or sets.personal_to) and rule.stage != "lower":
        raise _bad(
            pack,
            "pack.bad_lowering",
            f"规则 {rule.id} 在 {rule.stage} 阶段下调级别或类别",
            "只有 stage 为 lower 的规则可以用 level_to、personal_to",
        )
    if rule.stage == "lower" and (sets.level or sets.personal or not (when.terms | when.all_terms)):
        raise _bad(
            pack,
            "pack.bad_lowering",
            f"下调规则 {rule.id} 没有写明依据，或同时上调",
            "下调须以 terms 或 all_terms 写明已脱敏、已公开等依据，且只用 level_to、personal_to",
        )
    capped = when.level_max < 5 or when.personal_max < 3
    ranked = capped or when.level > 0 or when.personal > 0
    if (capped and rule.stage != "lower") or (ranked and rule.stage in ("place", "class", "found")):
        raise _bad(
            pack,
            "pack.not_monotone",
            f"规则 {rule.id} 的级别或类别条件会使更严的数据反而定得更低",
            "place、class、found 阶段不用级别与类别条件；level_max、personal_max 只用于 lower",
        )
    decided = when.level == 5 and rule.stage == "label"
    _refuse_decisions(pack, rule, decided)


def _check_group(pack: Pack, group: Group, types: frozenset[str]) -> None:
    if not group.all_of or not all(group.all_of):
        raise _bad(
            pack, "pack.empty_group", f"组合规则 {group.id} 有空的组", "all_of 的每一组至少一个类型"
        )
    _refuse_unknown(pack, group.id, "数据类型", frozenset().union(*group.all_of) - types)
    if group.sets.level_to or group.sets.personal_to:
        raise _bad(
            pack, "pack.bad_lowering", f"组合规则 {group.id} 下调级别", "组合只能升级，请改用 level"
        )
    _refuse_decisions(pack, group, decided=False)


def _refuse_decisions(pack: Pack, row: Rule | Group, decided: bool) -> None:
    sets = row.sets
    if (sets.tier > 2 or sets.business > 1 or sets.national > 1) and not decided:
        raise _bad(
            pack,
            "pack.needs_person",
            f"规则 {row.id} 自行认定重要数据或核心数据",
            "重要与核心数据只能提请人判定：请用 proposed_important 或 proposed_core，"
            '或以 "level": 5 为条件承接人的判定',
        )


def _refuse_unknown(pack: Pack, rule: str, kind: str, unknown: Iterable[str]) -> None:
    names = sorted(unknown)
    if names:
        raise _bad(
            pack,
            "pack.unknown_name",
            f"规则 {rule} 用了未知的{kind}：{'、'.join(n[:60] for n in names[:5])}",
            "请核对拼写；可用的名称见 docs/zh/packs.md。新用语须先在本包 terms 中写明含义",
        )


def _refuse_twice(pack: Pack, names: Sequence[str], kind: str) -> None:
    if len(names) > _MOST_ROWS:
        raise _bad(pack, "pack.too_large", f"{kind}超过 {_MOST_ROWS} 条", "请拆分规则包")
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise _bad(pack, "pack.conflict", f"{kind}“{twice[0][:60]}”出现多次", "请只保留一条")


def _bad(pack: Pack, code: str, detail: str, remedy: str) -> Invalid:
    return Invalid(code, f"规则包 {pack.label}：{detail}", remedy)
