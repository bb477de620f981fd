"""Grading of single columns and of tables."""

import json
from pathlib import Path

import pytest

from pingyao.classify.model import Finding
from pingyao.classify.packs import load_book
from pingyao.classify.rules.grade import Item, TableContext, combine, grade, settle
from pingyao.kernel.labels import Labels, Level, NationalTier, PersonalClass, Tier

BOOK = load_book()
PROFILE = "客户/个人/个人自然信息/个人基本概况信息"
CONTACT = "客户/个人/个人自然信息/个人联系信息"
SECRET = "客户/个人/个人身份鉴别信息/传统鉴别信息"
ASSIST = "客户/个人/个人身份鉴别信息/鉴别辅助信息"
GUARD = "经营管理/运营管理/安防管理信息/技术安防信息"
STAFF = "经营管理/综合管理/员工信息/员工信息（非公开）"
MEDIUM = "业务/账户信息/介质信息"
REMARK = "客户/个人/个人行为信息/行为信息"

LABELS = Path(__file__).resolve().parents[3] / ".." / "shared/data/labels/columns-dev.jsonl"


def of(type_, subject="person", leaf=PROFILE, terms=(), findings=()):
    return Item(type_, subject, leaf, frozenset(terms), tuple(findings))


def graded(*args, **more):
    return grade(of(*args, **more), BOOK)


@pytest.mark.parametrize(
    ("type_", "subject", "leaf", "level", "personal"),
    [
        ("password_or_secret", "person", SECRET, 4, "C3"),
        ("card_security", "person", SECRET, 4, "C3"),
        ("biometric", "person", "客户/个人/个人身份鉴别信息/强隐私生物特征信息", 4, "C3"),
        ("password_or_secret", "system", GUARD, 3, "NONE"),
        ("password_or_secret", "staff", GUARD, 3, "NONE"),
        ("password_or_secret", "organisation", GUARD, 3, "NONE"),
        ("biometric", "staff", STAFF, 3, "NONE"),
        ("verification_code", "person", ASSIST, 3, "C2"),
        ("security_answer", "person", ASSIST, 3, "C2"),
        ("id_card_no", "person", PROFILE, 3, "C2"),
        ("passport_no", "person", PROFILE, 3, "C2"),
        ("bank_card_no", "person", MEDIUM, 3, "C2"),
        ("account_no", "organisation", "业务/账户信息/基本信息", 2, "NONE"),
        ("mobile", "person", CONTACT, 3, "C2"),
        ("mobile", "staff", STAFF, 3, "NONE"),
        ("id_card_no", "staff", STAFF, 3, "NONE"),
        ("phone", "organisation", "客户/单位/单位基本信息/单位联系信息", 2, "NONE"),
        ("gender", "person", PROFILE, 3, "C1"),
        ("social_account", "person", PROFILE, 3, "C1"),
        ("date_time", "person", "业务/账户信息/基本信息", 2, "C1"),
        ("health", "person", "客户/个人/个人自然信息/个人健康生理信息", 4, "C2"),
        ("date_time", "person", "", 2, "NONE"),
        ("technical_key", "system", "", 2, "NONE"),
        ("product_info", "none", "经营管理/营销服务/营销信息/市场营销信息（公开）", 1, "NONE"),
    ],
)
def test_type_subject_and_leaf_decide(type_, subject, leaf, level, personal):
    labels, _ = graded(type_, subject, leaf)
    assert (int(labels.level), labels.personal.name) == (level, personal)


def test_class_has_a_floor_where_the_leaf_is_lower():
    labels, rulings = graded("account_no", leaf="业务/账户信息/基本信息")
    assert labels.level == Level.L3
    assert [r.rule for r in rulings if r.sets == "level=3"] == ["floor.c2"]


def test_every_ruling_cites_and_names_its_pack():
    _, rulings = graded("password_or_secret", leaf=SECRET)
    names = {f"{p.name}@{p.version}" for p in BOOK.packs}
    assert rulings
    assert {r.pack for r in rulings} <= names
    assert all(r.text and "{" not in r.text for r in rulings)
    assert any(r.citation.standard == "JR/T 0171-2020" for r in rulings)


def test_unknown_leaf_is_said_not_hidden():
    labels, rulings = graded("other", "none", "业务/没有/这一项")
    assert labels.level == Level.L2
    assert rulings[0].rule == "place.unknown"
    assert "没有/这一项" in rulings[0].text


def test_findings_in_a_remark_take_the_labels_of_what_was_found():
    found = Finding("id_card_no", rows=12, of_rows=90_000, count=12, valid=12)
    labels, rulings = graded("free_text_remark", leaf=REMARK, findings=[found])
    assert (labels.level, labels.personal) == (Level.L3, PersonalClass.C2)
    said = next(r for r in rulings if r.rule == "found.identity")
    assert "居民身份证号码×12" in said.text


def test_findings_in_a_log_of_the_system_count_too():
    found = Finding("bank_card_no", rows=1, of_rows=10, count=1, valid=1)
    labels, _ = graded("free_text_remark", "system", "", findings=[found])
    assert (labels.level, labels.personal) == (Level.L3, PersonalClass.C2)


@pytest.mark.parametrize(
    ("subject", "found"),
    [
        # Shaped like an ID number, but no more check digits hold than chance would have.
        ("person", Finding("id_card_no", rows=100, of_rows=100, count=100, valid=9)),
        # A company's address is no personal information.
        ("organisation", Finding("address", rows=5, of_rows=9, count=5)),
        ("person", Finding("date_time", rows=5, of_rows=9, count=5)),
        ("person", Finding("id_card_no", rows=0, of_rows=9, count=0, valid=0)),
    ],
)
def test_findings_that_prove_nothing_change_nothing(subject, found):
    plain = graded("free_text_remark", subject, REMARK)
    assert graded("free_text_remark", subject, REMARK, findings=[found]) == plain


def test_findings_with_staff_raise_the_level_but_are_no_personal_financial_information():
    found = Finding("mobile", rows=3, of_rows=9, count=3)
    labels, _ = graded("free_text_remark", "staff", "", findings=[found])
    assert (labels.level, labels.personal) == (Level.L3, PersonalClass.NONE)


def test_masked_values_are_lowered_and_it_says_so():
    labels, rulings = graded("mobile", leaf=CONTACT, terms=["masked"])
    assert (labels.level, labels.personal) == (Level.L2, PersonalClass.C1)
    assert {"lower.masked_class", "lower.masked"} <= {r.rule for r in rulings}
    assert labels.tier == Tier.GENERAL_OTHER


@pytest.mark.parametrize("type_", ["mobile", "phone"])
def test_what_calls_itself_masked_but_shows_clear_values_is_not_lowered(type_):
    found = Finding(type_, rows=1, of_rows=1000, count=1)
    labels, _ = graded("mobile", leaf=CONTACT, terms=["masked"], findings=[found])
    assert (labels.level, labels.personal) == (Level.L3, PersonalClass.C2)


@pytest.mark.parametrize(
    ("type_", "leaf", "terms"),
    [
        ("password_or_secret", SECRET, ["masked", "lapsed", "hashed", "public"]),
        ("verification_code", ASSIST, ["masked", "lapsed"]),
        ("card_security", SECRET, ["masked", "lapsed", "tokenised"]),
        ("id_card_no", PROFILE, ["hashed"]),
        ("id_card_no", PROFILE, ["public"]),
        ("mobile", CONTACT, ["lapsed", "old"]),
        ("mobile", CONTACT, ["tokenised"]),
    ],
)
def test_what_must_not_be_lowered(type_, leaf, terms):
    assert graded(type_, leaf=leaf, terms=terms)[0] == graded(type_, leaf=leaf)[0]


def test_masked_alone_does_not_lower_level_four_but_lapsed_as_well_does():
    health = "客户/个人/个人自然信息/个人健康生理信息"
    assert graded("health", leaf=health, terms=["masked"])[0].level == Level.L4
    assert graded("health", leaf=health, terms=["masked", "lapsed"])[0].level == Level.L2


def test_payment_token_is_c1():
    labels, _ = graded("account_no", leaf=MEDIUM, terms=["tokenised"])
    assert (labels.level, labels.personal) == (Level.L2, PersonalClass.C1)


def test_code_that_alone_completes_a_login_is_c3():
    labels, _ = graded("verification_code", leaf=ASSIST, terms=["whole_login"])
    assert (labels.level, labels.personal) == (Level.L4, PersonalClass.C3)


def test_important_data_is_only_proposed():
    leaf = "业务/金融监管和服务/反洗钱业务信息/调查协查信息"
    labels, _ = graded("other", "none", leaf)
    assert labels.proposed_important
    assert (labels.level, labels.tier) == (Level.L3, Tier.GENERAL_SENSITIVE)
    assert labels.national == NationalTier.GENERAL


def test_a_persons_decision_for_level_five_completes_the_tiers():
    labels, rulings = settle(of("other"), Labels(level=Level.L5), BOOK)
    assert (labels.tier, labels.national) == (Tier.IMPORTANT, NationalTier.IMPORTANT)
    assert all(not r.citation.verified for r in rulings)


def test_suggestion_is_ruled_and_leaves_the_labels():
    leaf = "业务/账户信息/金额信息"
    labels, rulings = graded("amount_balance", "organisation", leaf, terms=["aggregate"])
    assert labels.level == Level.L3
    assert [r.sets for r in rulings if r.rule == "raise.aggregate"] == ["suggested level=4"]


def test_high_sensitivity_is_for_authentication_and_biometrics():
    assert graded("password_or_secret", leaf=SECRET)[0].high_sensitivity
    assert graded("biometric", "staff", STAFF)[0].high_sensitivity
    assert not graded("mobile", leaf=CONTACT)[0].high_sensitivity


def table(*items, rows=10, terms=()):
    columns = [(item, grade(item, BOOK)[0]) for item in items]
    return combine(columns, BOOK, TableContext(rows, frozenset(terms)))


def test_table_takes_its_highest_column_and_names_it():
    labels, rulings = table(of("gender"), of("password_or_secret", leaf=SECRET))
    assert (labels.level, labels.personal) == (Level.L4, PersonalClass.C3)
    assert "第 2 列" in rulings[0].text


def test_empty_table_has_the_lowest_labels_and_no_ruling():
    assert table() == (Labels(), ())


@pytest.mark.parametrize("who", ["account_no", "bank_card_no", "login_name"])
def test_account_and_one_time_code_complete_a_login(who):
    labels, rulings = table(of("gender"), of(who), of("verification_code", leaf=ASSIST))
    assert (labels.level, labels.personal) == (Level.L4, PersonalClass.C3)
    assert labels.high_sensitivity
    assert "第 2、3 列" in next(r.text for r in rulings if r.rule == "group.login")


@pytest.mark.parametrize(
    "items",
    [
        [of("verification_code", leaf=ASSIST)],
        [of("account_no"), of("gender")],
        [of("account_no", "staff"), of("verification_code", leaf=ASSIST)],
    ],
)
def test_half_a_login_is_not_a_login(items):
    assert table(*items)[0].personal < PersonalClass.C3


def test_phone_and_code_are_put_before_a_person():
    labels, rulings = table(of("mobile"), of("verification_code", leaf=ASSIST))
    assert labels.personal == PersonalClass.C2
    assert [r.sets for r in rulings if r.rule == "group.login_by_phone"]


def test_identity_combination_is_suggested_with_its_columns():
    items = [of("person_name"), of("gender"), of("id_card_no"), of("bank_card_no"), of("mobile")]
    labels, rulings = table(*items)
    assert labels.level == Level.L3
    said = next(r for r in rulings if r.rule == "group.identity")
    assert said.sets == "suggested level=4"
    assert "第 1、3、4、5 列" in said.text


def test_label_conventions_of_the_development_set():
    if not LABELS.exists():
        pytest.skip("the labelled columns are not beside this repository")
    rows = [json.loads(line) for line in LABELS.read_text("utf-8").splitlines()]
    right_level = right_class = 0
    for row in rows:
        labels, _ = graded(row["dtype"], row["subject"], row["leaf"])
        right_level += labels.level == row["level"]
        right_class += labels.personal.name.lower() == row["pfi"].lower()
    assert right_level / len(rows) >= 0.95
    assert right_class / len(rows) >= 0.95
