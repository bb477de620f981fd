"""The use case of planning: what must happen to each column of a graded source, and what a person may choose."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import msgspec

from pingyao.kernel.errors import Invalid
from pingyao.protect.model import (
    Asset,
    Choice,
    Condition,
    Demand,
    Field,
    Inventory,
    Place,
    Plain,
    Plan,
    Purpose,
)
from pingyao.protect.rules.policy import Policy, Rule, speaking
from pingyao.protect.rules.propose import allowed, defaults, propose, subject_of
from pingyao.protect.rules.techniques import HAVE, check_params


def make_plan(inventory: Inventory, purpose: Purpose, policy: Policy, recipient: str = "") -> Plan:
    """Says for every column what must happen before the data serves a purpose, and why.

    Args:
        recipient: who gets the data; columns of amounts are marked for them.

    Raises:
        Invalid: there is nothing to plan for.
    """
    if not any(asset.fields for asset in inventory.assets):
        raise Invalid("protect.nothing", f"{inventory.source} 中没有可处理的列", "请核对数据源")
    proposals = [
        each
        for asset in inventory.assets
        for each in propose(policy, purpose, asset, HAVE, marked=bool(recipient))
    ]
    rules = list(dict.fromkeys(rule.id for _, found in proposals for rule in found))
    at = {id_: number for number, id_ in enumerate(rules)}
    by_id = {rule.id: rule for rule in policy.rules}
    demands = tuple(policy.demand(by_id[id_]) for id_ in rules)
    seen_to = {"watermark"} if any("mark" in c.params for c, _ in proposals) else set[str]()
    return Plan(
        source=inventory.source,
        kind=inventory.kind,
        purpose=purpose,
        made_at=datetime.now(UTC),
        version=version("pingyao"),
        packs=(*policy.packs, *inventory.packs),
        choices=tuple(
            msgspec.structs.replace(choice, demands=tuple(at[r.id] for r in found))
            for choice, found in proposals
        ),
        demands=demands,
        conditions=_conditions(demands, policy, seen_to),
        unseen=inventory.unseen,
        recipient=recipient,
    )


def _conditions(
    demands: Sequence[Demand], policy: Policy, seen_to: set[str]
) -> tuple[Condition, ...]:
    result: dict[str, Condition] = {}
    for number, demand in enumerate(demands):
        if demand.act == "advise":
            continue
        for control in demand.controls:
            if policy.controls[control][1] == "process" and control not in seen_to:
                result.setdefault(control, Condition(control, number))
    return tuple(result.values())


def choose(
    plan: Plan, wanted: Mapping[Place, tuple[str, dict[str, Plain] | None]], policy: Policy
) -> Plan:
    """Returns the plan with techniques chosen by a person; all of them are checked.

    Args:
        wanted: technique and parameters of columns; without parameters, the technique's own.

    Raises:
        Invalid: a technique that the rules forbid, or that does not exist or fit; all are named.
    """
    tables = {at: tuple(c.field for c in found) for at, found in by_table(plan).items()}
    wrong: list[str] = []
    choices: list[Choice] = []
    for choice in plan.choices:
        place = choice.field.place
        technique, params = wanted.get(place, (choice.technique, dict(choice.params)))
        known = policy.techniques.get(technique)
        fields = tables[place.schema, place.table]
        if known is None or technique not in HAVE:
            wrong.append(f"{place.table}.{place.column}：没有技术“{technique[:20]}”")
            continue
        if params is None:
            params = dict(defaults(known, choice.field, subject_of(Asset("", "", fields))))
        new = msgspec.structs.replace(choice, technique=technique, params=params)
        new = choice if new == choice else msgspec.structs.replace(new, by="person")
        why = _objection(plan, new, policy, fields)
        if why:
            wrong.append(f"{place.table}.{place.column}：{why}")
        choices.append(new)
    unknown = wanted.keys() - {c.field.place for c in plan.choices}
    wrong += [f"{p.table}.{p.column}：方案中没有这一列" for p in sorted(unknown)]
    if wrong:
        more = f"；另有 {len(wrong) - 20} 处" if len(wrong) > 20 else ""
        raise Invalid(
            "protect.bad_choice",
            "；".join(wrong[:20]) + more,
            "请改选该列“可用技术”中的一项；确需放宽的，由本机构的策略包作出并留下依据",
        )
    return msgspec.structs.replace(plan, choices=tuple(choices))


def _objection(plan: Plan, choice: Choice, policy: Policy, fields: Sequence[Field]) -> str:
    """Returns why a choice may not stand; judged anew, whatever the plan says is allowed."""
    field = choice.field
    rules = speaking(policy, plan.purpose, field)
    fit = allowed(policy, plan.purpose, field, rules, HAVE)
    if choice.technique not in {t.id for t in fit}:
        deciding = [r for r in rules if r.act != "advise"]
        why = f"（{_quoted(deciding[0], policy)}）" if deciding else "（不适合该列的类型）"
        return f"不能采用“{policy.techniques[choice.technique].zh}”{why}"
    columns = [f.place.column for f in fields] if choice.params else []
    return check_params(choice.technique, choice.params, columns)


def _quoted(rule: Rule, policy: Policy) -> str:
    return f"{rule.text}，{rule.citation.standard or policy.origin[rule.id]}"


def by_table(plan: Plan) -> dict[tuple[str, str], list[Choice]]:
    """Returns the choices of a plan by schema and table, in its order."""
    result: dict[tuple[str, str], list[Choice]] = {}
    for choice in plan.choices:
        place = choice.field.place
        result.setdefault((place.schema, place.table), []).append(choice)
    return result


def digest(plan: Plan) -> str:
    """Returns the SHA-256 of a plan, by which its record names it."""
    return hashlib.sha256(msgspec.json.encode(plan, order="deterministic")).hexdigest()
