"""What names say in general and values in particular is put together."""

import pytest

from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.model import Evidence
from pingyao.classify.rules.fuse import Decision, decide

TYPES = load_knowledge().types


def decided(*said: tuple[str, str, float]) -> Decision:
    return decide([Evidence(o, t, w, "x") for o, t, w in said], TYPES)  # pyright: ignore


@pytest.mark.parametrize(
    ("general", "seen"),
    [
        ("other_id_doc_no", "id_card_no"),
        ("other_id_doc_no", "passport_no"),
        ("phone", "mobile"),
        ("phone", "landline"),
        ("uscc_or_org_code", "uscc"),
    ],
)
def test_a_general_name_is_made_particular_by_values_that_are_sure(general: str, seen: str) -> None:
    decision = decided(("comment", general, 6.0), ("values", seen, 8.0))
    assert decision.type == seen
    assert not decision.abstained
    assert decision.confidence > 0.95


@pytest.mark.parametrize("name", ["amount_balance", "person_name", "date_time"])
def test_values_against_the_name_are_left_to_a_person(name: str) -> None:
    decision = decided(("comment", name, 7.0), ("values", "id_card_no", 7.0))
    assert decision.abstained


def test_what_is_no_shape_of_the_general_name_adds_nothing_to_it() -> None:
    alone = decided(("values", "mobile", 6.5))
    beside = decided(("values", "mobile", 6.5), ("comment", "other_id_doc_no", 6.0))
    assert beside.type != "other_id_doc_no" or beside.abstained
    assert beside.confidence < alone.confidence


def test_nothing_said_is_nothing_asserted() -> None:
    assert decided().abstained
    assert decided(("values", "no_such_type", 8.0)).type == "other"
