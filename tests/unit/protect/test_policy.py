"""What the rules demand, and what nobody can choose away."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from pingyao.app.protection import policy as load
from pingyao.kernel.errors import Invalid
from pingyao.protect.formats.plan_json import read_plan, write_plan
from pingyao.protect.formats.plan_xlsx import parsed, read_plan_xlsx, write_plan_xlsx, written
from pingyao.protect.model import Asset, Field, Found, Inventory, Place, Plan, Purpose
from pingyao.protect.planning import choose, make_plan
from pingyao.protect.rules.policy import Policy, applying, data_controls, speaking
from pingyao.protect.rules.propose import allowed, defaults
from pingyao.protect.rules.techniques import HAVE, TECHNIQUES, check_params

PURPOSES = get_args(Purpose)
LEAVING = ("sharing", "entrusting", "disclosure")


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load(())


def field(name: str, type_: str, level: int, personal: int, **more: object) -> Field:
    return Field(Place("", "t", name), type_, level, personal, **more)


def inventory(*fields: Field) -> Inventory:
    return Inventory("bank.db", "sqlite", "full", (Asset("", "t", fields),), packs=("x@1",))


CUSTOMER = (
    field("cust_no", "customer_no", 3, 2),
    field("name", "person_name", 3, 2),
    field("id_no", "id_card_no", 3, 2),
    field("mobile", "mobile", 3, 2),
    field("birth", "birth_date", 3, 1),
    field("cvv2", "card_security", 4, 3),
    field("otp", "verification_code", 3, 2),
    field("pwd", "password_or_secret", 3, 0, subject="staff"),
    field("balance", "amount_balance", 3, 2, declared_type="double"),
    field("note", "free_text_remark", 3, 2, found=(Found("mobile", 3, 3),)),
    field("branch", "org_branch_code", 2, 0),
)


def planned(policy: Policy, purpose: Purpose) -> tuple[Plan, dict[str, str]]:
    made = make_plan(inventory(*CUSTOMER), purpose, policy)
    return made, {c.field.place.column: c.technique for c in made.choices}


def test_each_purpose_gets_what_it_needs(policy: Policy) -> None:
    testing = planned(policy, "testing")[1]
    assert testing == {
        "cust_no": "fpe",
        "name": "surrogate",
        "id_no": "fpe",
        "mobile": "fpe",
        "birth": "shift",
        "cvv2": "redact",
        "otp": "mask",
        "pwd": "redact",
        "balance": "keep",
        "note": "spans",
        "branch": "keep",
    }
    display = planned(policy, "display")[1]
    assert {display[n] for n in ("name", "id_no", "mobile", "cust_no")} == {"mask"}
    assert display["cvv2"] == "redact"
    for purpose in LEAVING:
        gone = {n for n, t in planned(policy, purpose)[1].items() if t == "withhold"}
        assert {"cvv2", "otp", "pwd"} <= gone
    assert planned(policy, "disclosure")[1]["branch"] == "keep"
    assert planned(policy, "modelling")[1]["id_no"] == "fpe"
    assert planned(policy, "entrusting")[1]["id_no"] == "pseudonym"


TYPES = st.sampled_from(
    [
        "id_card_no",
        "card_security",
        "biometric",
        "password_or_secret",
        "other",
        "amount_balance",
        "free_text_remark",
        "person_name",
        "date_time",
        "mobile",
        "verification_code",
        "unheard_of",
    ]
)


@settings(deadline=None)
@given(
    TYPES,
    st.integers(1, 5),
    st.sampled_from(LEAVING),
    st.booleans(),
    st.lists(TYPES, max_size=3),
    st.sampled_from(["", "varchar", "int", "date"]),
)
def test_no_c3_leaves_ever(
    type_: str, level: int, purpose: Purpose, sure: bool, guesses: list[str], declared: str
) -> None:
    """Whatever the type, the level and the doubt: of C3 nothing but withholding is allowed."""
    policy = load(())
    each = field("c", type_, level, 3, sure=sure, guesses=tuple(guesses), declared_type=declared)
    fit = allowed(policy, purpose, each, speaking(policy, purpose, each), HAVE)
    assert [t.id for t in fit] == ["withhold"]


@settings(deadline=None)
@given(TYPES, st.integers(1, 5), st.integers(0, 3), st.sampled_from(PURPOSES), st.booleans(), TYPES)
def test_a_higher_grade_or_a_doubt_never_asks_for_less(
    type_: str, level: int, personal: int, purpose: Purpose, found: bool, guess: str
) -> None:
    policy = load(())
    more = {"found": (Found("mobile", 1, 1),) if found else ()}
    asked = data_controls(
        policy, speaking(policy, purpose, field("c", type_, level, personal, **more))
    )
    for worse in (
        field("c", type_, min(5, level + 1), personal, **more),
        field("c", type_, level, min(3, personal + 1), **more),
        field("c", type_, level, personal, sure=False, guesses=(guess,), **more),
    ):
        rules = speaking(policy, purpose, worse)
        assert asked <= data_controls(policy, rules)
        assert allowed(policy, purpose, worse, rules, HAVE)[-1].id == "withhold"


def test_every_technique_says_its_threat_and_can_be_carried_out(policy: Policy) -> None:
    assert set(TECHNIQUES) <= policy.techniques.keys()
    for technique in policy.techniques.values():
        assert technique.threat.endswith("。")
        if technique.id in HAVE:
            params = defaults(technique, field("born", "birth_date", 3, 1), "")
            assert check_params(technique.id, params, []) == ""


def test_rules_cite_and_say_how_sure_they_are(policy: Policy) -> None:
    for rule in policy.rules:
        assert rule.citation.standard or rule.strength == "产品默认"
        assert not (rule.citation.standard and rule.citation.verified)
    stages = {s for r in policy.rules for s in r.stages}
    assert len(stages) == 15
    assert any(r.act == "forbid" for r in applying(policy, "sharing", 4, 3))


# --- a person chooses ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "technique", "params"),
    [
        ("cvv2", "keep", {}),
        ("cvv2", "mask", {}),
        ("cvv2", "pseudonym", {}),
        ("id_no", "keep", {}),
        ("note", "keep", {}),
        ("name", "nonsense", {}),
        ("name", "fpe", {}),
        ("id_no", "fpe", {"keep": "sex"}),
        ("id_no", "fpe", {"bin": 9}),
        ("id_no", "vault", {}),
        ("id_no", "vault", {"vault": ""}),
        ("balance", "keep", {"mark": 0}),
        ("birth", "shift", {"days": 0}),
        ("birth", "shift", {}),
        ("birth", "shift", {"days": 9, "by": "nobody"}),
        ("birth", "period", {"unit": "aeon"}),
        ("id_no", "mask", {"head": 17}),
        ("balance", "noise", {"percent": "much"}),
        ("nowhere", "keep", {}),
    ],
)
def test_what_the_rules_forbid_cannot_be_chosen(
    policy: Policy, column: str, technique: str, params: dict[str, object]
) -> None:
    made, _ = planned(policy, "testing")
    with pytest.raises(Invalid) as refusal:
        choose(made, {Place("", "t", column): (technique, params)}, policy)
    assert refusal.value.code == "protect.bad_choice"
    assert column in refusal.value.detail


def test_what_they_allow_can(policy: Policy) -> None:
    made, _ = planned(policy, "testing")
    place = Place("", "t", "balance")
    new = choose(made, {place: ("bin", {"width": 5000})}, policy)
    (changed,) = [c for c in new.choices if c.field.place == place]
    assert (changed.technique, changed.params, changed.by) == ("bin", {"width": 5000}, "person")


def test_a_plan_that_was_tampered_with_is_judged_anew(policy: Policy) -> None:
    """Its own list of what is allowed counts for nothing."""
    made, _ = planned(policy, "testing")
    forged = msgspec.structs.replace(
        made,
        choices=tuple(
            msgspec.structs.replace(c, technique="keep", params={}, allowed=("keep",), demands=())
            for c in made.choices
        ),
    )
    with pytest.raises(Invalid, match="cvv2"):
        choose(forged, {}, policy)


# --- files ---------------------------------------------------------------------------------


def test_a_plan_comes_back_from_json_and_excel(policy: Policy, tmp_path: Path) -> None:
    made, _ = planned(policy, "sharing")
    write_plan(made, tmp_path / "p.json")
    assert read_plan(tmp_path / "p.json") == made
    write_plan_xlsx(made, policy, tmp_path / "p.xlsx")
    assert (tmp_path / "p.xlsx").stat().st_mode & 0o077 == 0
    back, wanted = read_plan_xlsx(tmp_path / "p.xlsx", policy)
    assert back == made
    assert choose(back, wanted, policy) == made


def test_a_hostile_name_is_no_formula_and_is_found_again(policy: Policy, tmp_path: Path) -> None:
    names = ("=cmd|' /C calc'!A0", "a\nb", "+1", "\u202eabc", "x" * 300)
    made = make_plan(inventory(*(field(n, "person_name", 3, 2) for n in names)), "testing", policy)
    path = tmp_path / "p.xlsx"
    write_plan_xlsx(made, policy, path)
    sheet = CalamineWorkbook.from_path(str(path)).get_sheet_by_name("方案")
    assert sheet.to_python()[1][2] == names[0]
    assert len(read_plan_xlsx(path, policy)[1]) == len(names)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"{}", b'{"format":"x","plan":{}}', b"\xff" * 99]
)
def test_other_files_are_no_plans(policy: Policy, tmp_path: Path, content: bytes) -> None:
    for name, read in (("p.json", read_plan), ("p.xlsx", lambda p: read_plan_xlsx(p, policy))):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(Invalid) as refusal:
            read(path)
        assert refusal.value.code.startswith("plan.")


def test_parameters_are_read_as_they_are_written() -> None:
    params = {"days": 180, "by": "cust_no", "percent": 2.5}
    assert parsed(written(params)) == params
    assert parsed("days=1；by=x") == {"days": 1, "by": "x"}
    assert parsed("") == {}
    assert parsed("days") is None
    assert parsed("days=") is None


# --- an institution's own pack ---------------------------------------------------------------


def own(tmp_path: Path, **rows: object) -> Path:
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"pack": "own", "version": "1", "source": "本机构"} | rows))
    return path


CITATION = {"standard": "本机构制度", "confidence": 1.0, "verified": True}


def test_an_own_pack_goes_before_the_shipped_ones(tmp_path: Path) -> None:
    rule = {
        "id": "own.branch",
        "stages": ["testing"],
        "act": "require",
        "when": {"type": ["org_branch_code"]},
        "controls": ["hide"],
        "strength": "应",
        "text": "机构号不进测试环境",
        "citation": CITATION,
    }
    path = own(tmp_path, rules=[rule], disable=["testing.l3_dates"])
    made = planned(load((path,)), "testing")[1]
    assert made["branch"] == "mask" or made["branch"] == "pseudonym"
    assert made["birth"] == "keep"
    plan = make_plan(inventory(*CUSTOMER), "testing", load((path,)))
    assert "own@1" in plan.packs
    assert any(d.rule == "own@1/own.branch" for d in plan.demands)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ({"disable": ["no.such"]}, "pack.unknown_rule"),
        ({"pack": "protect-jrt0171"}, "pack.duplicate_name"),
        ({"rules": [{"id": "x"}]}, "pack.malformed"),
        ({"surprise": 1}, "pack.malformed"),
        (
            {
                "rules": [
                    {
                        "id": "x",
                        "stages": ["sharing"],
                        "act": "forbid",
                        "controls": ["hide"],
                        "strength": "应",
                        "text": "t",
                        "citation": CITATION,
                    }
                ]
            },
            "pack.weak_prohibition",
        ),
        (
            {
                "rules": [
                    {
                        "id": "x",
                        "stages": ["sharing"],
                        "act": "require",
                        "controls": ["magic"],
                        "strength": "应",
                        "text": "t",
                        "citation": CITATION,
                    }
                ]
            },
            "pack.unknown_name",
        ),
        (
            {
                "rules": [
                    {
                        "id": "x",
                        "stages": ["sharing"],
                        "act": "require",
                        "controls": ["hide"],
                        "when": {"type": ["nonsense"]},
                        "strength": "应",
                        "text": "t",
                        "citation": CITATION,
                    }
                ]
            },
            "pack.unknown_name",
        ),
    ],
)
def test_a_bad_pack_is_refused(tmp_path: Path, rows: dict[str, object], code: str) -> None:
    with pytest.raises(Invalid) as refusal:
        load((own(tmp_path, **rows),))
    assert refusal.value.code == code


def test_nothing_to_plan_for_is_said(policy: Policy) -> None:
    with pytest.raises(Invalid, match="没有可处理的列"):
        make_plan(Inventory("x", "csv", "full", ()), "testing", policy)
    assert planned(policy, "testing")[0].made_at < datetime.now(UTC)
