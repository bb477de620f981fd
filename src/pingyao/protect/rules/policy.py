"""The policy: what each rule says of a column in a stage, and all the rules in force."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import msgspec

from pingyao.kernel.citation import Citation
from pingyao.protect.model import Act, Demand, Field, Plain, Purpose, Shape, Stage, Strength

Role = Literal["direct", "quasi", "attribute", "auth", "assist", "text"]
ControlKind = Literal["data", "process"]
_PHONES = {"phone", "landline"}
APPROVALS = {"approval", "senior_approval"}
Level = Annotated[int, msgspec.Meta(ge=0, le=5)]
Class = Annotated[int, msgspec.Meta(ge=0, le=3)]


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Conditions of a rule; each one given must hold.

    Attributes:
        level: lowest level.
        personal: lowest JR/T 0171 class.
        role: what the column is to an attacker: a direct identifier, a quasi-identifier, an
            attribute, authentication, an aid to it, or free text.
        type: data type ids or families.
        found: whether identifiers of another kind than its own were seen in its cells.
    """

    level: Level = 0
    personal: Class = 0
    role: frozenset[Role] = frozenset()
    type: frozenset[str] = frozenset()
    found: bool = False


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a policy pack: in these stages, of such data, these controls.

    Attributes:
        act: ``forbid`` and ``require`` decide, ``advise`` is only shown.
        controls: ids of the controls asked for.
        text: why, in Chinese.
    """

    id: str
    stages: frozenset[Stage]
    act: Act
    controls: tuple[str, ...]
    strength: Strength
    text: str
    citation: Citation
    when: When = When()
    enabled: bool = True


class Regrade(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a policy pack: how far the grade falls after protection.

    Attributes:
        yields: states of the data, as techniques leave it.
        level: highest level it applies to; above, the grade stands.
        level_to, personal_to: the grade afterwards, where it was higher.
    """

    id: str
    yields: frozenset[str]
    purposes: frozenset[Purpose]
    text: str
    citation: Citation
    level: Level = 5
    level_to: Level = 1
    personal_to: Class = 0
    enabled: bool = True


class Aim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A purpose: its names, its stages, and whether the data leaves the institution."""

    zh: str
    en: str
    stages: frozenset[Stage]
    leaves: bool


class Technique(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of the catalogue of techniques.

    Attributes:
        loss: rank of what is lost to the user; the least one that satisfies is proposed.
        satisfies: ids of the data controls it satisfies.
        yields: state of the data afterwards, for regrading.
        shapes, roles, types, purposes: what it can be used on and for; empty for all.
        params: default parameters.
        threat: what an attacker can still do, in Chinese.
    """

    id: str
    zh: str
    en: str
    loss: int
    satisfies: frozenset[str]
    yields: str
    threat: str
    shapes: frozenset[Shape] = frozenset()
    roles: frozenset[Role] = frozenset()
    types: frozenset[str] = frozenset()
    purposes: frozenset[Purpose] = frozenset()
    params: dict[str, Plain] = {}

    def suits(self, types: Iterable[str], roles: Iterable[Role], shape: Shape) -> bool:
        """Tells whether it can be used on a column that may be any of these."""
        return (
            (not self.shapes or shape in self.shapes)
            and (not self.roles or all(role in self.roles for role in roles))
            and (not self.types or all(type_ in self.types for type_ in types))
        )


class Mask(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"into": "as"}):
    r"""How a type is masked: characters kept at both ends, or what a pattern keeps.

    Attributes:
        find: RE2 pattern of the whole value; a value that does not fit is hidden altogether.
        into: what it becomes, with ``\1`` for groups.
    """

    head: int = 0
    tail: int = 0
    find: str = ""
    into: str = ""


class Policy(msgspec.Struct, frozen=True):
    """The rules in force, after the institution's own packs.

    Attributes:
        controls: control id → Chinese name, and whether data or a process satisfies it.
        roles: data type id → role.
        families: data type id → coarse type.
        origin: rule id → ``pack@version``.
    """

    controls: Mapping[str, tuple[str, ControlKind]]
    roles: Mapping[str, Role]
    families: Mapping[str, str]
    names: Mapping[str, str]
    purposes: Mapping[Purpose, Aim]
    rules: tuple[Rule, ...]
    regrade: tuple[Regrade, ...]
    techniques: Mapping[str, Technique]
    masks: Mapping[str, Mask]
    origin: Mapping[str, str]
    packs: tuple[str, ...]

    def role(self, type_: str) -> Role:
        """Returns what a type is to an attacker; of an unknown one, the role of its family."""
        return self.roles.get(type_) or self.roles.get(self.families.get(type_, ""), "attribute")

    def demand(self, rule: Rule) -> Demand:
        """Returns a rule as plans and records quote it."""
        name = f"{self.origin[rule.id]}/{rule.id}"
        return Demand(name, rule.act, rule.strength, rule.controls, rule.text, rule.citation)


def speaking(policy: Policy, purpose: Purpose, field: Field) -> tuple[Rule, ...]:
    """Returns the rules that speak of a column used for a purpose.

    A column that was not asserted counts as each of the types it may be, its own among them.
    """
    stages = policy.purposes[purpose].stages
    kinds = may_be(field)
    return tuple(
        rule
        for rule in policy.rules
        if rule.stages & stages and any(_fits(policy, rule.when, field, type_) for type_ in kinds)
    )


def asking(policy: Policy, purpose: Purpose, fields: Iterable[Field]) -> tuple[Rule, ...]:
    """Returns the rules that ask for an approval before columns are given for a purpose."""
    found = (rule for field in fields for rule in speaking(policy, purpose, field))
    return tuple(
        {r.id: r for r in found if r.act == "require" and APPROVALS & {*r.controls}}.values()
    )


def applying(policy: Policy, stage: Stage, level: int, personal: int) -> tuple[Rule, ...]:
    """Returns the rules of a stage for data of a level and class, whatever its type."""
    return tuple(
        rule
        for rule in policy.rules
        if stage in rule.stages and level >= rule.when.level and personal >= rule.when.personal
    )


def may_be(field: Field) -> tuple[str, ...]:
    """Returns the types a column has to be treated as."""
    return (field.type,) if field.sure else tuple(dict.fromkeys((field.type, *field.guesses)))


def _fits(policy: Policy, when: When, field: Field, type_: str) -> bool:
    return (
        field.level >= when.level
        and field.personal >= when.personal
        and (not when.role or policy.role(type_) in when.role)
        and (not when.type or bool(when.type & {type_, policy.families.get(type_, type_)}))
        and (not when.found or bool(_strangers(policy, field, type_)))
    )


def _strangers(policy: Policy, field: Field, type_: str) -> set[str]:
    """Returns the kinds of identifiers in a column that are none of the type it is taken for."""
    own = {policy.families.get(type_, type_)}
    if own & _PHONES:
        own |= _PHONES
    return {policy.families.get(f.type, f.type) for f in field.found} - own


def data_controls(policy: Policy, rules: Iterable[Rule]) -> frozenset[str]:
    """Returns what the data itself must satisfy: controls of rules that decide."""
    return frozenset(
        control
        for rule in rules
        if rule.act != "advise"
        for control in rule.controls
        if policy.controls[control][1] == "data"
    )
