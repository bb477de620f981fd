"""How sensitive: the labels of a column and of a table, each with the rule that set it."""

from collections.abc import Mapping, Sequence

import msgspec

from pingyao.classify.model import Finding, PackRef, Ruling, Subject
from pingyao.kernel.citation import Citation
from pingyao.kernel.labels import Labels, Level, PersonalClass, Tier, highest


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Conditions of a rule; each one given must hold.

    Attributes:
        type: data type ids or families.
        subject: whose data it is.
        leaf: JR/T 0197 paths, or prefixes ending in ``/``.
        terms: uses or states of which one was heard.
        not_terms: uses or states of which none was heard.
        level: lowest level the item has so far.
        personal: lowest class the item has so far.
    """

    type: frozenset[str] = frozenset()
    subject: frozenset[str] = frozenset()
    leaf: tuple[str, ...] = ()
    terms: frozenset[str] = frozenset()
    not_terms: frozenset[str] = frozenset()
    level: int = 0
    personal: int = 0


class Sets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a rule does to the labels; 0 and False mean: leaves alone.

    Attributes:
        level: raises to at least this level.
        lower_to: lowers the level to at most this one; only for what was proven lowered.
        personal: the JR/T 0171 class; the first rule of a pack that fits decides.
    """

    level: int = 0
    lower_to: int = 0
    personal: int = 0
    tier: int = 0
    high_sensitivity: bool = False
    proposed_important: bool = False
    proposed_core: bool = False


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a pack.

    Attributes:
        stage: ``class`` rules run first and only the first fitting one counts; ``raise``,
            ``lower`` and ``label`` rules follow, in this order, every fitting one.
    """

    id: str
    stage: str
    sets: Sets
    text: str
    citation: Citation
    when: When = When()
    enabled: bool = True


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A combination rule: a table that has a column of every group of types.

    Attributes:
        all_of: groups of data type ids or families; each must be met by one column of a person.
        rows: at least so many rows; 0 for any number.
    """

    id: str
    all_of: tuple[frozenset[str], ...]
    sets: Sets
    text: str
    citation: Citation
    rows: int = 0
    enabled: bool = True


class RuleBook(msgspec.Struct, frozen=True):
    """The rules in force, after the institution's overlays.

    Attributes:
        families: data type id → coarse type.
        leaves: JR/T 0197 path → minimum level.
        origin: rule id → ``pack@version``.
    """

    families: Mapping[str, str]
    leaves: Mapping[str, int]
    leaf_pack: str
    leaf_citation: Citation
    rules: tuple[Rule, ...]
    groups: tuple[Group, ...]
    origin: Mapping[str, str]
    packs: tuple[PackRef, ...]


class Item(msgspec.Struct, frozen=True):
    """One column as understood: its type, whose data it is, its leaf, and what else is known.

    Attributes:
        terms: uses and states heard in name, comment and values, e.g. ``masked``.
        findings: values of other types seen inside its cells.
    """

    type: str
    subject: Subject
    leaf: str
    terms: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()


class TableContext(msgspec.Struct, frozen=True):
    """What is known of the table as a whole."""

    rows: int = 0
    terms: frozenset[str] = frozenset()


_BOOKKEEPING_LEVEL = 2
_BOOKKEEPING = Citation(standard="", confidence=1.0, verified=True)
_STAGES = ("raise", "lower", "label")


def grade(item: Item, book: RuleBook) -> tuple[Labels, tuple[Ruling, ...]]:
    """Grades one column.

    Returns:
        Its labels, and for each label the rule that set it. Level 5, important and core data are
        only ever proposed.

    Cites: JR/T 0197-2020 附录A; JR/T 0171-2020, 4.2.
    """
    labels, rulings = _leaf(item, book)
    for rule in book.rules:
        if rule.stage == "class" and _fits(rule.when, item, labels, book):
            labels, rulings = _apply(rule, labels, rulings, book)
            break
    for finding in item.findings:
        labels, rulings = _found(finding, item, labels, rulings, book)
    for stage in _STAGES:
        for rule in book.rules:
            if rule.stage == stage and _fits(rule.when, item, labels, book):
                labels, rulings = _apply(rule, labels, rulings, book)
    return labels, tuple(rulings)


def combine(
    columns: Sequence[tuple[Item, Labels]], book: RuleBook, context: TableContext
) -> tuple[Labels, tuple[Ruling, ...]]:
    """Grades a table: the highest of its columns, raised by the combinations it holds.

    Cites: JR/T 0197-2020 (就高从严；汇聚融合).
    """
    labels = highest(each for _, each in columns)
    rulings: list[Ruling] = []
    held = {
        name
        for item, _ in columns
        if item.subject == "person"
        for name in (item.type, book.families.get(item.type, item.type))
    }
    for group in book.groups:
        if context.rows >= group.rows and all(names & held for names in group.all_of):
            labels, rulings = _apply(group, labels, rulings, book)
    return labels, tuple(rulings)


def _leaf(item: Item, book: RuleBook) -> tuple[Labels, list[Ruling]]:
    level = book.leaves.get(item.leaf, 0)
    if not level:
        text = "仅为记账或技术性字段，未归入分类目录，按内部使用处理（产品默认）"
        pack, citation, level, rule = book.leaf_pack, _BOOKKEEPING, _BOOKKEEPING_LEVEL, "none"
    else:
        text = f"“{item.leaf}”参考级别为 {level} 级"
        pack, citation, rule = book.leaf_pack, book.leaf_citation, item.leaf
    return Labels(level=Level(level)), [Ruling(pack, rule, f"level={level}", text, citation)]


def _found(
    finding: Finding, item: Item, labels: Labels, rulings: list[Ruling], book: RuleBook
) -> tuple[Labels, list[Ruling]]:
    """Lets what was found inside the cells raise the column to its own labels."""
    if finding.type == item.type or item.subject in ("staff", "system"):
        return labels, rulings
    inner = Item(type=finding.type, subject="person", leaf="")
    for rule in book.rules:
        if rule.stage == "class" and _fits(rule.when, inner, Labels(), book):
            raised, said = _apply(rule, labels, [], book)
            if raised != labels:
                text = f"取值中发现 {finding.rows} 行含此类信息：{said[0].text}"
                rulings = [*rulings, msgspec.structs.replace(said[0], text=text)]
            return raised, rulings
    return labels, rulings


def _fits(when: When, item: Item, labels: Labels, book: RuleBook) -> bool:
    family = book.families.get(item.type, item.type)
    return (
        (not when.type or item.type in when.type or family in when.type)
        and (not when.subject or item.subject in when.subject)
        and (
            not when.leaf
            or any(item.leaf == p or (p.endswith("/") and item.leaf.startswith(p)) for p in when.leaf)
        )
        and (not when.terms or bool(when.terms & item.terms))
        and not when.not_terms & item.terms
        and labels.level >= when.level
        and labels.personal >= when.personal
    )


def _apply(
    rule: Rule | Group, labels: Labels, rulings: list[Ruling], book: RuleBook
) -> tuple[Labels, list[Ruling]]:
    sets = rule.sets
    level = max(labels.level, Level(sets.level)) if sets.level else labels.level
    if sets.lower_to:
        level = min(level, Level(sets.lower_to))
    changed = Labels(
        level=level,
        personal=max(labels.personal, PersonalClass(sets.personal)),
        tier=max(labels.tier, Tier(sets.tier)) if sets.tier else labels.tier,
        business=labels.business,
        high_sensitivity=labels.high_sensitivity or sets.high_sensitivity,
        national=labels.national,
        proposed_important=labels.proposed_important or sets.proposed_important,
        proposed_core=labels.proposed_core or sets.proposed_core,
    )
    if changed == labels:
        return labels, rulings
    ruling = Ruling(
        pack=book.origin[rule.id],
        rule=rule.id,
        sets=_difference(labels, changed),
        text=rule.text,
        citation=rule.citation,
    )
    return changed, [*rulings, ruling]


def _difference(before: Labels, after: Labels) -> str:
    parts: list[str] = []
    for name in Labels.__struct_fields__:
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            shown = new.name if isinstance(new, PersonalClass | Tier) else f"{new:d}"
            parts.append(f"{name}={shown}")
    return "; ".join(parts)
