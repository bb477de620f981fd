"""What is proposed for a column: the technique that loses least among those that satisfy every rule."""

from collections.abc import Iterable
from datetime import date

from pingyao.protect.model import Asset, Choice, Field, Plain, Purpose, Shape
from pingyao.protect.rules.policy import (
    Policy,
    Role,
    Rule,
    Technique,
    data_controls,
    may_be,
    speaking,
)

_NUMBERS = ("int", "num", "dec", "double", "float", "real", "money")
_DATES = ("date", "time")
_AMOUNTS = {"amount_balance", "transaction_amount", "income_assets", "financial_statement"}
# Whose values stay numbers, so that the last digit can carry a mark.
_MARKED = ("keep", "noise")
# Whose dates move together: the first of these a table has is its subject.
_SUBJECTS = ("customer_no", "id_card_no", "account_no", "bank_card_no", "contract_or_loan_no")


def shape(policy: Policy, field: Field) -> Shape:
    """Returns what kind of values a column holds, from its declared type, else from what it is."""
    declared = field.declared_type.lower()
    if any(word in declared for word in _DATES):
        return "date"
    numeric = any(word in declared for word in _NUMBERS)
    if all(t in ("birth_date", "date_time") for t in may_be(field)):
        # A date kept as a number would not survive as one; as text it does.
        return "other" if numeric else "date"
    if numeric:
        return "number"
    if "blob" in declared or "binary" in declared or "bytea" in declared:
        return "other"
    family = {policy.families.get(t, t) for t in may_be(field)}
    return "number" if not declared and family <= _AMOUNTS | {"interest_rate"} else "text"


def _is_amount(policy: Policy, field: Field) -> bool:
    families = {policy.families.get(t, t) for t in may_be(field)}
    return families <= _AMOUNTS and "int" not in field.declared_type.lower()


def allowed(
    policy: Policy, purpose: Purpose, field: Field, rules: Iterable[Rule], have: frozenset[str]
) -> tuple[Technique, ...]:
    """Returns the techniques that satisfy all of the rules, the least destructive first.

    Args:
        have: ids of the techniques this installation can carry out.
    """
    wanted = data_controls(policy, rules)
    types = may_be(field)
    families = [policy.families.get(t, t) for t in types]
    roles: list[Role] = [policy.role(t) for t in types]
    form = shape(policy, field)
    fit = [
        t
        for t in policy.techniques.values()
        if t.id in have
        and wanted <= t.satisfies
        and (t.suits(types, roles, form) or t.suits(families, roles, form))
        and (not t.purposes or purpose in t.purposes)
    ]
    return tuple(sorted(fit, key=lambda t: t.loss))


def propose(
    policy: Policy, purpose: Purpose, asset: Asset, have: frozenset[str], *, marked: bool = False
) -> list[tuple[Choice, tuple[Rule, ...]]]:
    """Proposes a technique for every column of a table, with the rules that speak of it.

    A column that was not asserted is hidden at least: nobody knows yet what it gives away.

    Args:
        marked: whether amounts are to carry a watermark.
    """
    result: list[tuple[Choice, tuple[Rule, ...]]] = []
    subject = subject_of(asset)
    for field in asset.fields:
        rules = speaking(policy, purpose, field)
        fit = allowed(policy, purpose, field, rules, have)
        chosen = fit[0]
        params = defaults(chosen, field, subject)
        if marked and chosen.id in _MARKED and _is_amount(policy, field):
            params["mark"] = 0.01
        choice = Choice(
            field=field,
            demands=(),
            technique=chosen.id,
            params=params,
            allowed=tuple(t.id for t in fit),
        )
        result.append((choice, rules))
    return result


def defaults(technique: Technique, field: Field, subject: str) -> dict[str, Plain]:
    """Returns the parameters a technique starts with on a column."""
    params = dict(technique.params)
    if technique.id == "shift" and subject and subject != field.place.column:
        params["by"] = subject
    if technique.id == "age":
        params["on"] = f"{date.today()}"  # noqa: DTZ011 - the institution's own day
    return params


def subject_of(asset: Asset) -> str:
    """Returns the name of the column that says whose a row is; empty when none does."""
    by_type = {f.type: f.place.column for f in reversed(asset.fields) if f.sure}
    return next((by_type[t] for t in _SUBJECTS if t in by_type), "")
