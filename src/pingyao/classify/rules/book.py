"""The rule book: what a grading rule says, and all the rules in force."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from pingyao.classify.model import PackRef
from pingyao.kernel.citation import Citation

Stage = Literal["place", "class", "lower", "found", "raise", "label", "table"]
Degree = Annotated[int, msgspec.Meta(ge=0, le=5)]
Class = Annotated[int, msgspec.Meta(ge=0, le=3)]


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Conditions of a rule; each one given must hold.

    Attributes:
        type: data type ids or families; for a ``found`` rule, of the values found.
        subject: whose data it is.
        leaf: JR/T 0197 paths, or prefixes ending in ``/``.
        terms: uses or states of which one was heard.
        all_terms: uses or states of which each was heard.
        not_type: data type ids or families it must not be.
        not_terms: uses or states of which none was heard.
        level: lowest level the item has so far.
        level_max: highest level the item has so far.
        personal: lowest class the item has so far.
        personal_max: highest class the item has so far.
        valid_share: for a ``found`` rule, the least share of the values found that must pass
            their check digit, where the type has one.
    """

    type: frozenset[str] = frozenset()
    subject: frozenset[str] = frozenset()
    leaf: tuple[str, ...] = ()
    terms: frozenset[str] = frozenset()
    all_terms: frozenset[str] = frozenset()
    not_type: frozenset[str] = frozenset()
    not_terms: frozenset[str] = frozenset()
    level: Degree = 0
    level_max: Degree = 5
    personal: Class = 0
    personal_max: Class = 3
    valid_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0


class Sets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a rule does to the labels; 0 and False mean: leaves alone.

    Attributes:
        level: raises to at least this level.
        level_to: lowers the level to at most this one; ``lower`` rules only.
        personal: raises to at least this JR/T 0171 class.
        personal_to: lowers the class to at most this one; ``lower`` rules only.
    """

    level: Annotated[int, msgspec.Meta(ge=0, le=4)] = 0
    level_to: Annotated[int, msgspec.Meta(ge=0, le=4)] = 0
    personal: Class = 0
    personal_to: Class = 0
    tier: Annotated[int, msgspec.Meta(ge=0, le=4)] = 0
    business: Annotated[int, msgspec.Meta(ge=0, le=3)] = 0
    national: Annotated[int, msgspec.Meta(ge=0, le=3)] = 0
    high_sensitivity: bool = False
    proposed_important: bool = False
    proposed_core: bool = False


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a pack about single columns.

    Attributes:
        stage: in the order they run: ``place`` words where the level of a leaf comes from,
            ``class`` decides the JR/T 0171 class (only the first that fits counts), ``lower``
            lowers, ``found`` speaks of values inside cells, ``raise`` raises, ``label`` sets
            tiers and proposals; ``table`` words the highest of a table's columns.
        text: why, in Chinese. ``{leaf}``, ``{level}``, ``{found}`` and ``{columns}`` are filled in
            where the stage knows them.
        suggest: the rule is only put before a person; it changes no label.
    """

    id: str
    stage: Stage
    text: str
    citation: Citation
    sets: Sets = Sets()
    when: When = When()
    suggest: bool = False
    enabled: bool = True


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a pack about a table that holds a column of each of several kinds.

    Attributes:
        all_of: groups of data type ids or families; each must be met by one column.
        subject: whose columns count.
        table: themes or uses of which the table must have one.
        rows: least number of rows read; 0 for any. No standard gives a number.
        text: ``{columns}`` becomes the positions, from 1, of the columns that met the groups.
        suggest: the rule is only put before a person; it changes no label.
    """

    id: str
    all_of: tuple[frozenset[str], ...]
    sets: Sets
    text: str
    citation: Citation
    subject: frozenset[str] = frozenset({"person"})
    table: frozenset[str] = frozenset()
    rows: Annotated[int, msgspec.Meta(ge=0)] = 0
    suggest: bool = False
    enabled: bool = True


class RuleBook(msgspec.Struct, frozen=True, eq=False):
    """The rules in force, after the institution's overlays.

    A book is itself alone, never compared by what it holds, so that gradings can be remembered.

    Attributes:
        families: data type id → coarse type.
        names: data type id → Chinese name.
        terms: the uses and states that rules may ask for, with their meaning in Chinese.
        leaves: JR/T 0197 path → minimum level.
        leaf_origin: JR/T 0197 path → ``pack@version`` that set the level.
        leaf_citation: ``pack@version`` → source of its leaf levels.
        rules: the enabled rules, in the order they apply within each stage.
        origin: rule id → ``pack@version``.
    """

    families: Mapping[str, str]
    names: Mapping[str, str]
    terms: Mapping[str, str]
    leaves: Mapping[str, int]
    leaf_origin: Mapping[str, str]
    leaf_citation: Mapping[str, Citation]
    rules: Mapping[Stage, tuple[Rule, ...]]
    groups: tuple[Group, ...]
    origin: Mapping[str, str]
    packs: tuple[PackRef, ...]
