"""Check digits against published examples, columns that only look like identifiers, spans in Chinese."""

import random

import numpy as np
import pyarrow as pa
import pytest

from pingyao.classify.rules import values
from pingyao.platform import checks


def look(check, text: str) -> int:
    data = np.frombuffer(text.encode(), np.uint8)
    return int(check(data.ctypes.data, 0, len(data)))


@pytest.mark.parametrize(
    ("check", "text", "expected"),
    [
        # GB 11643-1999 gives 11010519491231002X and 440524188001010014 as examples; the second's
        # birth year lies before the range that is plausible today.
        (checks.id_card, "11010519491231002X", 2),
        (checks.id_card, "11010519491231002x", 2),
        (checks.id_card, "440524188001010014", 0),
        (checks.id_card, "110105194912310021", 1),
        (checks.id_card, "110105491231002", 1),
        (checks.id_card, "990105194912310021", 0),
        (checks.id_card, "110105194913310021", 0),
        (checks.id_card, "110105190002290021", 0),
        (checks.id_card, "11010519491231002Y", 0),
        (checks.id_card, "1101051949123100", 0),
        # Published test card numbers.
        (checks.bank_card, "4111111111111111", 2),
        (checks.bank_card, "378282246310005", 2),
        (checks.bank_card, "4111111111111112", 1),
        (checks.bank_card, "1111111111111117", 0),
        (checks.bank_card, "41111111111111a1", 0),
        # Codes of registered firms, as they publish them.
        (checks.uscc, "91350100M000100Y43", 2),
        (checks.uscc, "91110000100003962U", 1),
        (checks.uscc, "91110000I00003962T", 0),
        (checks.uscc, "01350100M000100Y43", 0),
        (checks.org_code, "D2143569-X", 2),
        (checks.org_code, "D2143569X", 2),
        (checks.org_code, "D21435691", 1),
        (checks.org_code, "d2143569X", 0),
        (checks.lei, "5493001KJTIIGC8Y1R12", 2),
        (checks.lei, "5493001KJTIIGC8Y1R13", 1),
        (checks.lei, "54930012345678901212", 0),
        (checks.mobile, "13800138000", 1),
        (checks.mobile, "8613800138000", 1),
        (checks.mobile, "12800138000", 0),
        (checks.mobile, "1380013800", 0),
    ],
)
def test_published_examples(check, text: str, expected: int) -> None:
    assert look(check, text) == expected


def best(cells: list[object]) -> str:
    evidence = [e for e in values.weigh(values.profile(pa.array(cells))) if e.weight > 0]
    return max(evidence, key=lambda e: e.weight).type if evidence else ""


@pytest.fixture
def rng() -> random.Random:
    return random.Random(11)


def test_serial_numbers_of_eighteen_digits_are_no_id_numbers(rng: random.Random) -> None:
    assert best([f"{20250101000000000 + i * 13:018d}" for i in range(3000)]) != "id_card_no"
    assert best([f"{rng.randrange(10**18):018d}" for _ in range(3000)]) != "id_card_no"


def test_random_numbers_in_a_card_range_are_no_cards(rng: random.Random) -> None:
    cells = [f"62{rng.randrange(10**14):014d}" for _ in range(3000)]
    codes = {e.code: e.weight for e in values.weigh(values.profile(pa.array(cells)))}
    assert codes["values.check_by_chance"] < 0
    assert best(cells) != "bank_card_no"


def test_random_letters_are_no_credit_codes(rng: random.Random) -> None:
    cells = ["91110000" + "".join(rng.choices("0123456789ABCDEFGH", k=10)) for _ in range(2000)]
    assert best(cells) != "uscc"


@pytest.mark.parametrize(
    "cells",
    [
        [f"{i:010d}" for i in range(500)],
        [f"{20200101 + i % 28}" for i in range(500)],
        [str(100000 + i) for i in range(500)],
        ["", "-", "无", "N/A", None, "null"] * 50,
        ["a" * 32 + str(i) for i in range(200)],
        [],
    ],
)
def test_what_is_no_contact_is_not_taken_for_one(cells: list[object]) -> None:
    assert best(cells) not in {"landline", "mobile", "passport_no", "email", "hk_macao_permit_no"}


def test_id_shaped_but_invalid_is_said_and_still_typed(rng: random.Random) -> None:
    cells = [
        f"110105{rng.randrange(1950, 2000)}0{rng.randrange(1, 9)}15{rng.randrange(10**4):04d}"
        for _ in range(800)
    ]
    evidence = values.weigh(values.profile(pa.array(cells)))
    assert {e.code for e in evidence} >= {"values.share", "values.id_invalid"}
    assert best(cells) == "id_card_no"


def test_numbers_kept_as_integers_are_seen_as_what_they_are(rng: random.Random) -> None:
    assert best([rng.randrange(13000000000, 13999999999) for _ in range(500)]) == "mobile"
    floats = pa.array([float(rng.randrange(13000000000, 13999999999)) for _ in range(500)])
    assert max(values.weigh(values.profile(floats)), key=lambda e: e.weight).type == "mobile"


@pytest.mark.parametrize("around", ["电话{}请回", "（{}）", "：{}。", "{}", "号{}号", "，{}；"])
def test_chinese_neighbours_never_hide_an_identifier(around: str) -> None:
    cells = ["例行回访记录，客户情况正常，无其他事项"] * 999 + [
        "客户留言" + around.format("13800138000") + "，谢谢"
    ]
    (finding,) = values.findings(values.profile(pa.array(cells)))
    assert (finding.type, finding.rows, finding.first_rows) == ("mobile", 1, (999,))
    assert 0 < finding.low < 1 / 1000


@pytest.mark.parametrize(
    "inside", ["A13800138000", "138001380001", "13800138000B", "0.13800138000e"]
)
def test_part_of_a_longer_run_is_no_finding(inside: str) -> None:
    cells = [f"设备编号{inside}已登记完毕，请知悉"]
    assert values.findings(values.profile(pa.array(cells))) == ()


def test_three_in_a_million_are_found() -> None:
    plain = pa.array(["客户来电咨询，已答复"] * 100_000)
    rare = pa.array(["补充联系电话13912345678请致电"])
    profile = values.EMPTY
    for n in range(10):
        profile = values.merge(profile, values.profile(plain, n * 100_000))
        if n % 3 == 0:
            profile = values.merge(profile, values.profile(rare, 10**6 + n))
    (finding,) = values.findings(profile)
    assert (finding.rows, finding.of_rows) == (4, 1_000_004)


def test_a_monstrous_cell_is_read_to_its_end() -> None:
    profile = values.profile(pa.array(["，" * 4_000_000 + "13800138000", "13800138000"]))
    assert profile.spans["mobile"].found == 1
    assert profile.counts["mobile"] == 1


def test_the_reason_names_the_rows_of_lone_identifiers(rng: random.Random) -> None:
    """A remark that is nothing but a number is as much a finding as one inside a sentence."""
    remarks = ["客户来电咨询，已答复"] * 500
    remarks[123] = "110105194912310021"
    remarks[7] = "13800138000"
    found = {f.type: f for f in values.findings(values.profile(pa.array(remarks)))}
    assert found["id_card_no"].first_rows == (123,)
    assert found["id_card_no"].valid == 0
    assert found["mobile"].first_rows == (7,)


def test_numbers_that_look_like_cards_by_chance_are_no_finding(rng: random.Random) -> None:
    orders = [f"订单62{rng.randrange(10**14):014d}已发货" for _ in range(3000)]
    serials = [f"62{rng.randrange(10**14):014d}" for _ in range(3000)]
    for cells in (orders, serials):
        assert "bank_card_no" not in {
            f.type for f in values.findings(values.profile(pa.array(cells)))
        }


@pytest.mark.parametrize(
    "array",
    [
        pa.array([b"\x00\xff\xfe", b"", None]),
        pa.array([None, None]),
        pa.array([[1, 2], None, []]),
        pa.array([{"a": 1}, None]),
        pa.array([[{"a": ["x"]}], None]),
        pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
        pa.array([[1, 2], None], pa.list_(pa.int8(), 2)),
        pa.array(["\x00", "\ud7ff", "🙂" * 50]),
        pa.array(["a", "b", "a"]).dictionary_encode(),
        pa.array([True, None, False]),
        pa.array([1.5, float("nan"), float("inf")]),
        pa.chunked_array([["1"], ["2", None]]),
        pa.array(["a", "b", "c"])[1:],
    ],
)
def test_any_arrow_column_is_summed_up(array: pa.Array) -> None:
    profile = values.profile(array)
    assert profile.rows == len(array)
    assert profile.nulls + profile.blanks + profile.cells == profile.rows
    values.weigh(profile)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([["13800138000", None], None, []]),
        pa.array([{"name": "张三", "phone": "13800138000"}, None]),
        pa.array([[{"phone": 13800138000}]]),
        pa.array([[("电话", "13800138000")], None], pa.map_(pa.string(), pa.string())),
        pa.array([[{"phone": "x"}], [{"phone": "13800138000"}]])[1:],
    ],
)
def test_identifiers_in_nested_columns_are_found(array: pa.Array) -> None:
    found = [f for f in values.findings(values.profile(array)) if f.type == "mobile"]
    assert [(f.rows, f.first_rows) for f in found] == [(1, (0,))]
