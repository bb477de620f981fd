"""Laws: nothing is destroyed without two persons' approval; nothing is due before its time."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cases import DESTRUCTION, EXPORT, opened, person, step
from pingyao.kernel.citation import Citation
from pingyao.kernel.errors import IntegrityBroken, PingyaoError
from pingyao.platform.crypto.release import person as plain
from pingyao.protect.lifecycle_model import Case, Clock, Held, Holding, Schedule, State
from pingyao.protect.rules import cases
from pingyao.protect.rules.cases import admit, check_signatures, state
from pingyao.protect.rules.retention import after, due

NAMES = ("甲", "乙", "丙", "丁", "ＡＢＣ", "abc")
HANDS = {n: person(n) for n in NAMES}
ACTS = ("approve", "refuse", "withdraw", "start", "carry_out", "verify", "fail", "use", "revoke")
MOVES = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(ACTS)), max_size=30)


def walked(moves: Sequence[tuple[str, str]], body: object = DESTRUCTION) -> list[Case]:
    """Tries every move; keeps the cases that came of those allowed."""
    case = opened(HANDS["甲"], body)
    seen = [case]
    for name, act in moves:
        facts = {"role": EXPORT.roles[len(case.steps) % 2]} if body is EXPORT else {}
        try:
            case = admit(case, step(case, HANDS[name], act, **facts))
        except PingyaoError:
            continue
        seen.append(case)
    return seen


@settings(max_examples=300, deadline=None)
@given(MOVES)
def test_no_way_to_destruction_without_two_other_persons(moves: list[tuple[str, str]]) -> None:
    for case in walked(moves):
        acts = [s.act for s in case.steps]
        if not {"start", "carry_out", "verify"} & set(acts):
            continue
        first = acts.index("start")
        approvers = [s.actor for s in case.steps[:first] if s.act == "approve"]
        assert len({plain(a) for a in approvers}) == len(approvers) == 2
        assert len({s.public_key for s in case.steps if s.act == "approve"}) == 2
        assert plain(case.requester) not in {plain(a) for a in approvers}
        doers = {plain(s.actor) for s in case.steps if s.act in ("start", "carry_out")}
        assert not doers & {plain(a) for a in approvers}
        for number, each in enumerate(case.steps):
            if each.act == "verify":
                before = [s for s in case.steps[:number] if s.act in ("carry_out", "fail")]
                assert before[-1].act == "carry_out"
                assert plain(before[-1].actor) != plain(each.actor)


@settings(max_examples=200, deadline=None)
@given(MOVES)
def test_what_has_ended_stays_ended(moves: list[tuple[str, str]]) -> None:
    ends: set[State] = {"verified", "refused", "withdrawn", "used"}
    for case in walked(moves)[:-1]:
        assert state(case) not in ends


@settings(max_examples=200, deadline=None)
@given(MOVES)
def test_an_export_is_used_once_and_only_with_every_role(moves: list[tuple[str, str]]) -> None:
    for case in walked(moves, EXPORT):
        uses = [i for i, s in enumerate(case.steps) if s.act == "use"]
        assert len(uses) <= 1
        if uses:
            given_by = [s for s in case.steps[: uses[0]] if s.act == "approve"]
            assert {s.facts["role"] for s in given_by} == set(EXPORT.roles)
            assert len({plain(s.actor) for s in given_by}) == len(EXPORT.roles)


@settings(max_examples=60, deadline=None)
@given(MOVES, st.data())
def test_any_change_to_a_signed_case_is_noticed(
    moves: list[tuple[str, str]], data: st.DataObject
) -> None:
    case = walked([("乙", "approve"), ("丙", "approve"), *moves])[-1]
    if any(s.act == "use" for s in case.steps):
        return
    check_signatures(case)
    number = data.draw(st.integers(0, len(case.steps) - 1))
    changed = msgspec.structs.replace(case.steps[number], facts={"rows": 1})
    steps = (*case.steps[:number], changed, *case.steps[number + 1 :])
    for forged in (
        msgspec.structs.replace(case, steps=steps),
        msgspec.structs.replace(case, steps=case.steps[1:]),
        msgspec.structs.replace(case, requester="丁"),
        msgspec.structs.replace(case, separate=()),
        msgspec.structs.replace(case, signature=""),
    ):
        with pytest.raises(PingyaoError):
            check_signatures(forged)
    with pytest.raises(IntegrityBroken):
        check_signatures(
            msgspec.structs.replace(case, body=msgspec.structs.replace(DESTRUCTION, level=1))
        )


def test_the_floor_stands_whatever_the_pack_says() -> None:
    case = msgspec.structs.replace(opened(HANDS["甲"]), separate=())
    with pytest.raises(PingyaoError):
        admit(case, step(case, HANDS["甲"], "approve"))
    assert cases.APPROVERS == 2


DATES = st.dates(date(1990, 1, 1), date(2060, 1, 1))
SCHEDULES = st.lists(
    st.builds(
        Schedule,
        id=st.uuids().map(str),
        bound=st.sampled_from(["least", "most"]),
        trigger=st.sampled_from(["销户", "交易"]),
        text=st.just(""),
        strength=st.just("应"),
        citation=st.just(Citation("")),
        years=st.integers(0, 40),
        months=st.integers(0, 30),
        days=st.integers(0, 60),
    ),
    max_size=5,
)
HOLDING = Holding("bank", "", "t", "", (Held("x", "a/b", 3, 2),))


@given(
    SCHEDULES, DATES, st.dictionaries(st.sampled_from(["", "销户", "交易"]), DATES), st.booleans()
)
def test_nothing_is_due_before_every_least_period_has_ended(
    schedules: list[Schedule], today: date, starts: dict[str, date], held: bool
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    clocks = [Clock("bank", "", "t", t, f"{d}", "", "r", "a", at) for t, d in starts.items()]
    if held:
        clocks.append(Clock("bank", "", "", "暂缓删除", "", "诉讼", "r", "a", at))
    found = due(schedules, clocks, HOLDING, today)
    if found.status == "due":
        assert not held
        for each in (s for s in schedules if s.bound == "least"):
            start = starts.get(each.trigger, starts.get(""))
            assert start is not None
            assert after(start, each) <= today
    if held:
        assert found.status == "hold"
    if not schedules and not held:
        assert found.status == "no_rule"


@given(DATES, SCHEDULES)
def test_a_cutoff_is_never_too_late(today: date, schedules: list[Schedule]) -> None:
    for each in schedules:
        start = after(today, each, -1)
        # What began a month's length of leap days before the cutoff has surely been kept long enough.
        assert after(start - timedelta(4), each) <= today
