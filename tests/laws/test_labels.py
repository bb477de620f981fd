"""Labels form a semilattice: joining never lowers, and order does not matter."""

from hypothesis import given
from hypothesis import strategies as st

from pingyao.kernel.labels import (
    BusinessTier,
    Labels,
    Level,
    NationalTier,
    PersonalClass,
    Tier,
    highest,
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


@given(labels, labels, labels)
def test_join_is_associative_commutative_idempotent(a: Labels, b: Labels, c: Labels) -> None:
    assert a.join(b) == b.join(a)
    assert a.join(b).join(c) == a.join(b.join(c))
    assert a.join(a) == a


@given(labels, labels)
def test_join_never_lowers(a: Labels, b: Labels) -> None:
    joined = a.join(b)
    for name in Labels.__struct_fields__:
        assert getattr(joined, name) >= getattr(a, name)


@given(st.lists(labels))
def test_highest_takes_the_strictest_of_each(many: list[Labels]) -> None:
    result = highest(many)
    assert result.level == max((x.level for x in many), default=Level.L1)
    assert result.personal == max((x.personal for x in many), default=PersonalClass.NONE)
