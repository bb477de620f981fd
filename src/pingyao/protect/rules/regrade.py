"""What the output is worth: grades after protection, and whatever in it the purpose forbids."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pingyao.protect.model import Choice, Done, Field, Inventory, Place, Purpose, Residual
from pingyao.protect.rules.apply import Tally
from pingyao.protect.rules.policy import Policy, data_controls, speaking

# Of these no cell may come out as it went in; a made-up value may hit the true one by chance.
_MUST_CHANGE = frozenset({"mask", "redact", "pseudonym"})
_FORM_KEPT = frozenset({"surrogate", "fpe", "keep", "shift", "noise", "period"})


def graded(choice: Choice, tally: Tally, policy: Policy, purpose: Purpose) -> Done:
    """Returns what was done to a column, with its grade afterwards and the rule that allowed it."""
    field, technique = choice.field, policy.techniques[choice.technique]
    level, personal, by = field.level, field.personal, ""
    for rule in policy.regrade:
        if technique.yields in rule.yields and purpose in rule.purposes and level <= rule.level:
            level = min(level, rule.level_to)
            personal = min(personal, rule.personal_to)
            by = f"{policy.origin[rule.id]}/{rule.id}"
            break
    return Done(
        place=field.place,
        technique=choice.technique,
        params=choice.params,
        cells=tally.cells,
        unchanged=tally.unchanged,
        hidden=tally.hidden,
        level_before=field.level,
        personal_before=field.personal,
        level=level,
        personal=personal,
        regraded_by=by if (level, personal) != (field.level, field.personal) else "",
    )


def residuals(
    choices: Sequence[Choice],
    tallies: Mapping[Place, Tally],
    seen: Inventory,
    policy: Policy,
    purpose: Purpose,
) -> tuple[Residual, ...]:
    """Compares what was written, scanned anew, with what the purpose allows.

    Args:
        tallies: what happened to each column while it was written.
        seen: the target as classification sees it, under the names of the source.
    """
    found: list[Residual] = []
    after = {f.place: f for a in seen.assets for f in a.fields}
    planned = {c.field.place for c in choices}
    for place in sorted(after.keys() - planned):
        found.append(Residual(place, "residual.unplanned", 0, "目标中有方案以外的列"))
    for choice in choices:
        place = choice.field.place
        now = after.get(place)
        if choice.technique == "withhold":
            if now is not None:
                found.append(Residual(place, "residual.withheld", 0, "不应提供的列出现在目标中"))
            continue
        if now is None:
            found.append(Residual(place, "residual.unproved", 0, "目标中没有扫描到该列，无从证明"))
            continue
        found += _of_column(choice, tallies[place], now, policy, purpose)
    found += [Residual(Place("", u.where, ""), "residual.unread", 0, u.detail) for u in seen.unseen]
    return tuple(found)


def remaining(
    seen: Inventory, techniques: Mapping[Place, str], policy: Policy, purpose: Purpose
) -> tuple[Residual, ...]:
    """Says what of a target that no plan made its purpose forbids.

    Args:
        techniques: what was done to which columns; the others count as kept as they were.
    """
    found = [Residual(Place("", u.where, ""), "residual.unread", 0, u.detail) for u in seen.unseen]
    for now in (f for a in seen.assets for f in a.fields):
        technique = policy.techniques[techniques.get(now.place, "keep")]
        missing = data_controls(policy, speaking(policy, purpose, now)) - technique.satisfies
        if technique.id == "keep" and missing:
            named = "、".join(sorted(policy.controls[c][0] for c in missing))
            found.append(Residual(now.place, "residual.forbidden", 0, f"该用途下须{named}"))
        elif "withhold" in missing:
            found.append(Residual(now.place, "residual.forbidden", 0, "该用途下不得提供该列"))
        elif technique.id not in _FORM_KEPT:
            found += _identifiers(now, technique.id, policy)
    return tuple(found)


def _identifiers(now: Field, technique: str, policy: Policy) -> Iterable[Residual]:
    for each in now.found:
        if technique == "mask" and each.type == "email":
            continue  # u***@bank.cn is an address by its form, and nobody's
        said = f"仍见到{policy.names.get(each.type, each.type)} {each.count:,} 个"
        yield Residual(now.place, "residual.identifier", each.count, said)


def _of_column(
    choice: Choice, tally: Tally, now: Field, policy: Policy, purpose: Purpose
) -> Iterable[Residual]:
    place, technique = choice.field.place, choice.technique
    if technique in _MUST_CHANGE and tally.unchanged:
        yield Residual(
            place, "residual.unchanged", tally.unchanged, f"{tally.unchanged:,} 个单元格未被改变"
        )
    if technique not in _FORM_KEPT:
        yield from _identifiers(now, technique, policy)
    if technique == "keep":
        # What the new scan says counts beside what the plan knew: the stricter of both.
        strict = msgspec.structs.replace(
            now,
            level=max(now.level, choice.field.level),
            personal=max(now.personal, choice.field.personal),
        )
        wanted = data_controls(policy, speaking(policy, purpose, strict))
        if wanted and not _as_before(now, choice.field):
            named = "、".join(sorted(policy.controls[c][0] for c in wanted))
            yield Residual(
                place, "residual.forbidden", 0, f"复扫认为该列须{named}，而方案保留了原值"
            )


def _as_before(now: Field, before: Field) -> bool:
    """Tells whether the scan sees nothing in a column that the plan had not seen and weighed."""
    worse = now.level > before.level or now.personal > before.personal
    more = {f.type for f in now.found} - {f.type for f in before.found}
    return not worse and not more
