"""Laws of grading: it is monotone, and labels join as a semilattice."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pingyao.classify.model import Finding
from pingyao.classify.packs import load_book
from pingyao.classify.rules.grade import Item, TableContext, combine, grade
from pingyao.kernel.labels import (
    BusinessTier,
    Labels,
    Level,
    NationalTier,
    PersonalClass,
    Tier,
    highest,
)

BOOK = load_book()
TYPES = sorted(BOOK.families)
LEAVES = ["", *sorted(BOOK.leaves)]

findings = st.builds(
    Finding,
    type=st.sampled_from(TYPES),
    rows=st.integers(0, 50),
    of_rows=st.just(50),
    count=st.integers(0, 60),
    valid=st.none() | st.integers(0, 60),
)
items = st.builds(
    Item,
    type=st.sampled_from(TYPES),
    subject=st.sampled_from(["person", "organisation", "staff", "system", "none"]),
    leaf=st.sampled_from(LEAVES),
    terms=st.frozensets(st.sampled_from(sorted(BOOK.terms)), max_size=3),
    findings=st.lists(findings, max_size=3).map(tuple),
)
labels = st.builds(
    Labels,
    level=st.sampled_from(Level),
    personal=st.sampled_from(PersonalClass),
    tier=st.sampled_from(Tier),
    business=st.sampled_from(BusinessTier),
    high_sensitivity=st.booleans(),
    national=st.sampled_from(NationalTier),
    proposed_important=st.booleans(),
    proposed_core=st.booleans(),
)


def at_least(stricter, laxer):
    return stricter.join(laxer) == stricter


@given(items, findings)
def test_more_findings_never_lower(item, more):
    with_more = msgspec.structs.replace(item, findings=(*item.findings, more))
    assert at_least(grade(with_more, BOOK)[0], grade(item, BOOK)[0])


@given(items, st.integers(1, 4))
def test_stricter_leaf_never_lowers(item, level):
    stricter = {p: max(n, level) for p, n in BOOK.leaves.items()}
    book = msgspec.structs.replace(BOOK, leaves=stricter)
    assert at_least(grade(item, book)[0], grade(item, BOOK)[0])


@given(items)
def test_lowering_terms_are_the_only_thing_that_lowers(item):
    plain = msgspec.structs.replace(item, terms=frozenset())
    lower, higher = grade(item, BOOK)[0], grade(plain, BOOK)[0]
    lowering = {"masked", "lapsed", "tokenised", "hashed", "public"}
    assert at_least(lower, higher) or item.terms & lowering


@given(items)
def test_a_rule_never_decides_what_only_a_person_may(item):
    found, _ = grade(item, BOOK)
    assert found.level <= Level.L4
    assert found.tier <= Tier.GENERAL_SENSITIVE
    assert found.business == BusinessTier.GENERAL
    assert found.national == NationalTier.GENERAL


@given(items)
def test_class_never_stands_below_its_floor(item):
    found, _ = grade(item, BOOK)
    floor = {0: 1, 1: 2, 2: 3, 3: 4}[int(found.personal)]
    assert found.level >= floor


@given(items)
def test_every_change_has_its_ruling(item):
    found, rulings = grade(item, BOOK)
    said = ";".join(r.sets for r in rulings)
    assert f"level={found.level:d}" in said
    assert found.personal == PersonalClass.NONE or f"personal={found.personal.name}" in said
    assert all(r.pack and r.text for r in rulings)


@given(st.lists(items, max_size=5), items, st.integers(0, 10))
def test_more_columns_never_lower_a_table(some, another, rows):
    columns = [(i, grade(i, BOOK)[0]) for i in some]
    more = [*columns, (another, grade(another, BOOK)[0])]
    context = TableContext(rows)
    before, after = combine(columns, BOOK, context)[0], combine(more, BOOK, context)[0]
    assert at_least(after, before)
    assert at_least(before, highest(each for _, each in columns))


@given(labels, labels, labels)
def test_join_is_a_semilattice(a, b, c):
    assert a.join(a) == a
    assert a.join(b) == b.join(a)
    assert a.join(b).join(c) == a.join(b.join(c))
    assert a.join(Labels()) == a
