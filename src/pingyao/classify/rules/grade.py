"""How sensitive: the labels of a column and of a table, each with the rule that set it."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from pingyao.classify.model import Finding, Ruling, Subject
from pingyao.classify.rules.book import Group, Rule, RuleBook, Stage, When
from pingyao.kernel.labels import (
    BusinessTier,
    Labels,
    Level,
    NationalTier,
    PersonalClass,
    Tier,
    highest,
)

__all__ = ["Item", "RuleBook", "TableContext", "combine", "contributors", "grade", "settle"]

# What a table's text names at most; the rest is in the columns themselves.
_NAMED_COLUMNS = 12
# Of a hundred thousand columns most are understood alike, and share one grading.
_REMEMBERED = 20_000


class Item(msgspec.Struct, frozen=True):
    """One column as understood: its type, whose data it is, its leaf, and what else is known.

    Attributes:
        type: data type id or family.
        leaf: JR/T 0197 path, empty for mere bookkeeping.
        terms: uses and states heard in name, comment and values, e.g. ``masked``; the pack
            ``adjust`` lists those the rules know, others are ignored.
        findings: values seen inside its cells.
    """

    type: str
    subject: Subject
    leaf: str
    terms: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()


class TableContext(msgspec.Struct, frozen=True):
    """What is known of the table as a whole: rows read, and what it speaks of."""

    rows: int = 0
    terms: frozenset[str] = frozenset()


@lru_cache(_REMEMBERED)
def grade(item: Item, book: RuleBook) -> tuple[Labels, tuple[Ruling, ...]]:
    """Grades one column.

    The leaf gives the least level, the first fitting class rule the JR/T 0171 class; what is
    said to be masked may lower them, unless clear values of the kind were seen; then whatever
    was found in the cells and the floor of the class raise. More findings or a stricter level
    of the leaf never lower a label.

    Returns:
        The labels, and for each change the rule that made it. Level 5, important and core data
        are only ever proposed.

    Cites: JR/T 0197-2020 附录A; JR/T 0171-2020, 4.
    """
    labels, rulings = _place(item, book)
    for rule in book.rules["class"]:
        if _fits(rule.when, item, labels, book):
            labels, said = _apply(rule, labels, book)
            rulings += said
            break
    if not _seen_clear(item, book):
        labels, said = _stage("lower", item, labels, book)
        rulings += said
    for rule in book.rules["found"]:
        labels, said = _found(rule, item, labels, book)
        rulings += said
    labels, said = _stage("raise", item, labels, book)
    rulings += said
    labels, tiers = settle(item, labels, book)
    return labels, (*rulings, *tiers)


def settle(item: Item, labels: Labels, book: RuleBook) -> tuple[Labels, tuple[Ruling, ...]]:
    """Completes tiers and proposals from a level and class, also after a person's decision.

    Args:
        item: the column.
        labels: as graded, or with the level or class a person decided, level 5 included.
        book: the rules in force.
    """
    changed, rulings = _stage("label", item, labels, book)
    return changed, tuple(rulings)


def combine(
    columns: Sequence[tuple[Item, Labels]], book: RuleBook, context: TableContext
) -> tuple[Labels, tuple[Ruling, ...]]:
    """Grades a table: the highest of its columns, raised by the combinations it holds.

    Returns:
        The labels, and rulings that name the columns behind them by position, from 1.

    Cites: JR/T 0197-2020 (就高从严；汇聚融合).
    """
    labels = highest(each for _, each in columns)
    top = [i for i, (_, each) in enumerate(columns) if each.level == labels.level]
    rulings = [
        _ruling(rule, f"level={labels.level:d}", book, level=labels.level, columns=_places(top))
        for rule in book.rules["table"]
        if columns
    ]
    raised = False
    for group in book.groups:
        met = contributors(columns, group, book, context)
        if met:
            changed, said = _apply(group, labels, book, columns=_places(met))
            rulings += said
            raised = raised or changed != labels
            labels = changed
    if raised:
        whole = Item(type="", subject="none", leaf="")
        labels, tiers = settle(whole, labels, book)
        rulings += tiers
    return labels, tuple(rulings)


def contributors(
    columns: Sequence[tuple[Item, Labels]], group: Group, book: RuleBook, context: TableContext
) -> tuple[int, ...]:
    """Returns the zero-based columns by which a table meets a combination, () if it does not."""
    if context.rows < group.rows or (group.table and not group.table & context.terms):
        return ()
    met: set[int] = set()
    for names in group.all_of:
        hits = {
            i
            for i, (item, _) in enumerate(columns)
            if item.subject in group.subject and _is_one(item.type, names, book)
        }
        if not hits:
            return ()
        met |= hits
    return tuple(sorted(met))


def _place(item: Item, book: RuleBook) -> tuple[Labels, list[Ruling]]:
    """The level of the leaf; what has none takes that of the first fitting ``place`` rule."""
    level = book.leaves.get(item.leaf, 0)
    if level:
        origin = book.leaf_origin[item.leaf]
        for rule in book.rules["place"]:
            if not rule.sets.level:
                text = _worded(rule.text, leaf=item.leaf, level=level)
                said = Ruling(origin, item.leaf, f"level={level}", text, book.leaf_citation[origin])
                return Labels(level=Level(level)), [said]
        return Labels(level=Level(level)), []
    for rule in book.rules["place"]:
        if rule.sets.level and _fits(rule.when, item, Labels(), book):
            said = _ruling(rule, f"level={rule.sets.level}", book, leaf=item.leaf)
            return Labels(level=Level(rule.sets.level)), [said]
    return Labels(), []


def _stage(stage: Stage, item: Item, labels: Labels, book: RuleBook) -> tuple[Labels, list[Ruling]]:
    rulings: list[Ruling] = []
    for rule in book.rules[stage]:
        if _fits(rule.when, item, labels, book):
            labels, said = _apply(rule, labels, book)
            rulings += said
    return labels, rulings


def _seen_clear(item: Item, book: RuleBook) -> bool:
    """Whether values of the column's own kind were read in clear, whatever its name claims."""
    family = book.families.get(item.type, item.type)
    return any(book.families.get(f.type, f.type) == family and f.count for f in item.findings)


def _found(rule: Rule, item: Item, labels: Labels, book: RuleBook) -> tuple[Labels, list[Ruling]]:
    """Lets what was found inside the cells raise the column, and says how much it was."""
    family = book.families.get(item.type, item.type)
    hits = [
        f
        for f in item.findings
        if f.rows
        and book.families.get(f.type, f.type) != family
        and (f.valid is None or f.valid >= rule.when.valid_share * f.count)
        and _fits(rule.when, msgspec.structs.replace(item, type=f.type), labels, book)
    ]
    if not hits:
        return labels, []
    shown = "、".join(f"{book.names.get(f.type, f.type)}×{f.rows}" for f in hits)
    return _apply(rule, labels, book, found=shown)


def _fits(when: When, item: Item, labels: Labels, book: RuleBook) -> bool:
    return (
        (not when.type or _is_one(item.type, when.type, book))
        and (not when.subject or item.subject in when.subject)
        and not (when.not_type and _is_one(item.type, when.not_type, book))
        and (not when.leaf or any(_under(item.leaf, path) for path in when.leaf))
        and (not when.terms or not when.terms.isdisjoint(item.terms))
        and when.all_terms <= item.terms
        and when.not_terms.isdisjoint(item.terms)
        and when.level <= labels.level <= when.level_max
        and when.personal <= labels.personal <= when.personal_max
    )


def _is_one(type_: str, names: frozenset[str], book: RuleBook) -> bool:
    return type_ in names or book.families.get(type_, type_) in names


def _under(leaf: str, path: str) -> bool:
    return leaf.startswith(path) if path.endswith("/") else leaf == path


def _apply(
    rule: Rule | Group, labels: Labels, book: RuleBook, **facts: object
) -> tuple[Labels, list[Ruling]]:
    sets = rule.sets
    level = max(labels.level, Level(sets.level or 1))
    personal = max(labels.personal, PersonalClass(sets.personal))
    changed = Labels(
        level=min(level, Level(sets.level_to)) if sets.level_to else level,
        personal=min(personal, PersonalClass(sets.personal_to)) if sets.personal_to else personal,
        tier=max(labels.tier, Tier(sets.tier or 1)),
        business=max(labels.business, BusinessTier(sets.business or 1)),
        high_sensitivity=labels.high_sensitivity or sets.high_sensitivity,
        national=max(labels.national, NationalTier(sets.national or 1)),
        proposed_important=labels.proposed_important or sets.proposed_important,
        proposed_core=labels.proposed_core or sets.proposed_core,
    )
    if changed == labels:
        return labels, []
    if rule.suggest:
        return labels, [_ruling(rule, f"suggested {_difference(labels, changed)}", book, **facts)]
    return changed, [_ruling(rule, _difference(labels, changed), book, **facts)]


def _ruling(rule: Rule | Group, sets: str, book: RuleBook, **facts: object) -> Ruling:
    return Ruling(book.origin[rule.id], rule.id, sets, _worded(rule.text, **facts), rule.citation)


def _worded(text: str, **facts: object) -> str:
    # Not str.format: an institution's text may hold braces of its own.
    for name, value in facts.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def _difference(before: Labels, after: Labels) -> str:
    parts: list[str] = []
    for name in Labels.__struct_fields__:
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            plain = f"{new:d}" if isinstance(new, bool | Level) else new.name
            parts.append(f"{name}={plain}")
    return "; ".join(parts)


def _places(indices: Iterable[int]) -> str:
    numbers = [str(i + 1) for i in indices]
    more = "…" if len(numbers) > _NAMED_COLUMNS else ""
    return "、".join(numbers[:_NAMED_COLUMNS]) + more
