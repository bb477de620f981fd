"""Techniques on columns: what stays, what goes, and that nulls and cuts make no difference."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingyao.protect.rules import dates, masks, numbers
from pingyao.protect.rules.arrays import as_text, unchanged
from pingyao.protect.rules.keyed import Prf
from pingyao.protect.rules.surrogates import MAKERS, surrogate
from pingyao.protect.rules.tokens import token_column

KEY = bytes(range(32))
CELLS = st.lists(st.none() | st.text(max_size=40), max_size=30)


def text(*cells: str | None) -> pa.Array:
    return pa.array(cells, pa.string())


# --- masks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "head", "tail", "masked"),
    [
        ("13812345678", 3, 4, "138****5678"),
        ("6222021234567890123", 6, 4, "622202*********0123"),
        ("王小明", 1, 0, "王**"),
        ("欧阳", 1, 0, "欧*"),
        ("王", 1, 0, "*"),
        ("1234", 3, 4, "12**"),
        ("", 3, 4, ""),
        (None, 3, 4, None),
        ("𠮷野家", 1, 0, "𠮷**"),
    ],
)
def test_ends_stay(cell: str | None, head: int, tail: int, masked: str | None) -> None:
    assert masks.ends(text(cell), head, tail).to_pylist() == [masked]


@settings(deadline=None)  # kernels are compiled on the first call
@given(CELLS, st.integers(0, 16), st.integers(0, 16))
def test_a_mask_hides_at_least_a_third(cells: list[str | None], head: int, tail: int) -> None:
    made = masks.ends(text(*cells), head, tail)
    made.validate(full=True)
    for before, after in zip(cells, made.to_pylist(), strict=True):
        if before is None:
            assert after is None
            continue
        assert len(after) == len(before)
        kept = sum(a == b for a, b in zip(after, before.replace("*", "\0"), strict=True))
        assert kept <= len(before) * 2 // 3


@settings(deadline=None)  # kernels are compiled on the first call
@given(CELLS, st.data())
def test_a_slice_is_masked_as_the_whole(cells: list[str | None], data: st.DataObject) -> None:
    whole = text(*cells)
    start = data.draw(st.integers(0, len(cells)))
    assert masks.ends(whole.slice(start), 2, 2).equals(masks.ends(whole, 2, 2).slice(start))
    assert masks.spans(whole.slice(start))[0].equals(masks.spans(whole)[0].slice(start))


def test_numbers_are_masked_in_plain_digits() -> None:
    assert masks.ends(pa.array([13812345678]), 3, 4).to_pylist() == ["138****5678"]
    assert masks.ends(pa.array([13812345678.0, None]), 3, 4).to_pylist() == ["138****5678", None]


def test_what_does_not_fit_a_pattern_is_hidden() -> None:
    made, hidden = masks.pattern(
        text("zhang@bank.cn", "no address", "", None), "^([^@]).*(@[^@]+)$", r"\1***\2"
    )
    assert made.to_pylist() == ["z***@bank.cn", "***", "", None]
    assert hidden == 1


@pytest.mark.parametrize(
    "cell",
    [
        "客户身份证11010519491231002X，请核对",
        "电话13812345678转2",
        "卡号6222021234567890128",
        "税号91110108MA01G0BM23",
        "请发 zhang.san+1@mail.bank.com.cn 谢谢",
        "tel13812345678",
        "ID11010519491231002X",
        "8613812345678",
        "致电138-1234-5678",
        "卡6222 0212 3456 7890 128",
        "固话010-66194114",
        "车牌晋A12345违停",
        "110105194912310029 末位有误也遮",
    ],
)
def test_identifiers_in_text_are_hidden(cell: str) -> None:
    made, found = masks.spans(text(cell))
    shown = made.to_pylist()[0]
    assert found == 1
    assert not any(char.isdigit() for char in shown.replace("转2", ""))
    assert "@" not in shown


@pytest.mark.parametrize(
    "cell", ["工单20250611000123", "金额1234567.89", "第100号", "", "a@", "2025-06-11"]
)
def test_other_text_stays(cell: str) -> None:
    assert masks.spans(text(cell)) == (text(cell), 0)


# --- dates ---------------------------------------------------------------------------------


@settings(deadline=None)  # kernels are compiled on the first call
@given(
    st.lists(
        st.tuples(st.dates(date(1850, 1, 1), date(2150, 1, 1)), st.integers(-4000, 4000)),
        max_size=9,
    ),
    st.sampled_from(["%Y%m%d", "%Y-%m-%d", "%Y/%m/%d", "%Y-%m-%d 10:20:30"]),
)
def test_dates_move_by_their_days_in_their_form(cells: list[tuple[date, int]], form: str) -> None:
    given_ = text(*(d.strftime(form) for d, _ in cells))
    moved, hidden = dates.shift(given_, np.array([n for _, n in cells], np.int64))
    days = [date.fromordinal(d.toordinal() + n) for d, n in cells]
    assert hidden == 0
    assert moved.to_pylist() == [d.strftime(form) for d in days]
    native, _ = dates.shift(
        pa.array([d for d, _ in cells], pa.date32()), np.array([n for _, n in cells], np.int64)
    )
    assert native.to_pylist() == days


@settings(deadline=None)  # kernels are compiled on the first call
@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)))
def test_periods_begin_on_their_first_day(day: date) -> None:
    firsts = {
        "month": day.replace(day=1),
        "quarter": day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1),
        "year": day.replace(month=1, day=1),
        "decade": date(day.year // 10 * 10, 1, 1),
    }
    for unit, first in firsts.items():
        assert dates.period(text(f"{day:%Y%m%d}"), unit)[0].to_pylist() == [f"{first:%Y%m%d}"]
        assert dates.period(pa.array([day]), unit)[0].to_pylist() == [first]


def test_a_time_of_day_stays_when_shifted_and_goes_when_rounded() -> None:
    stamp = text("2024-02-28 13:05:00", None).cast(pa.timestamp("us"))
    moved, _ = dates.shift(stamp, np.array([2, 2]))
    assert as_text(moved).to_pylist() == ["2024-03-01 13:05:00.000000", None]
    rounded, _ = dates.period(stamp, "month")
    assert as_text(rounded).to_pylist() == ["2024-02-01 00:00:00.000000", None]
    assert dates.period(text("2024-02-28 13:05:06"), "year")[0].to_pylist() == [
        "2024-01-01 00:00:00"
    ]


def test_no_date_is_hidden_and_placeholders_stay() -> None:
    made, hidden = dates.shift(text("1980年", "20241301", "9999-12-31", "", None), np.full(5, 3))
    assert made.to_pylist() == ["*******", "********", "9999-12-31", "", None]
    assert hidden == 2


# --- numbers -------------------------------------------------------------------------------


def test_noise_stays_within_bounds_and_keeps_type_and_decimals() -> None:
    bits = np.random.default_rng(1).integers(0, 2**64, 1000, np.uint64, endpoint=False)
    amounts = pa.array(np.full(1000, 1234.56))
    made, _ = numbers.noise(amounts, 5, bits)
    values = made.to_numpy()
    assert made.type == pa.float64()
    assert np.all(np.abs(values / 1234.56 - 1) <= 0.0501)
    assert np.allclose(np.round(values, 2), values)
    assert abs(values.mean() / 1234.56 - 1) < 0.005
    assert numbers.noise(text("100", "-", None), 5, bits[:3])[1] == 1
    assert numbers.noise(text("100"), 5, bits[:1])[0].type == pa.string()


def test_bins_are_named_by_their_bounds() -> None:
    made, unfit = numbers.bins(pa.array([0.0, 9999.99, 10000.0, -1.0, None]), 10000)
    assert made.to_pylist() == ["[0,10000)", "[0,10000)", "[10000,20000)", "[-10000,0)", None]
    assert unfit == 0
    assert numbers.bins(text("250", "x"), 100) == (text("[200,300)", None), 1)


# --- keyed ---------------------------------------------------------------------------------


def test_tokens_meet_for_equal_identifiers_only() -> None:
    prf = Prf("sha256", KEY)
    cells = text("11010519491231002x", " 11010519491231002X ", "", None, "C000000001")
    made = token_column(cells, prf).to_pylist()
    assert made[0] == made[1] != made[4]
    assert made[2:4] == ["", None]
    assert len(made[0]) == 20
    whole = pa.array([13812345678])
    assert (
        token_column(whole, prf).to_pylist() == token_column(text("13812345678"), prf).to_pylist()
    )
    other = Prf("sha256", bytes(32))
    assert token_column(cells, other).to_pylist()[0] != made[0]


def test_long_cells_are_told_apart() -> None:
    prf = Prf("sha256", KEY)
    long = text("长" * 5000, "长" * 5000 + "x", "长" * 5000)
    rows = prf(long)
    assert (rows[0] == rows[2]).all()
    assert (rows[0] != rows[1]).any()


@pytest.mark.parametrize("type_", sorted(MAKERS))
def test_surrogates_are_the_same_in_any_cut_and_never_the_original(type_: str) -> None:
    cells = text(
        "王小明", "13812345678", "山西省晋中市平遥县古城路1号", "a@b.cn", "", None, "010-66194114"
    )
    prf = Prf("sha256", KEY)
    made = surrogate(cells, type_, prf(cells))
    parts = [surrogate(cells.slice(i, 1), type_, prf(cells.slice(i, 1))) for i in range(len(cells))]
    assert pa.concat_arrays(parts).equals(made)
    assert made.to_pylist()[4:6] == ["", None]
    assert unchanged(cells, made) == 0


def test_surrogates_keep_their_kind() -> None:
    prf = Prf("sha256", KEY)
    place = text("山西省晋中市平遥县古城路1号")
    assert surrogate(place, "address", prf(place))[0].as_py().startswith("山西省晋中市平遥县")
    phone = text("13812345678")
    made = surrogate(phone, "mobile", prf(phone))[0].as_py()
    assert len(made) == 11
    assert made[0] == "1"
    name = text("王小明")
    assert len(surrogate(name, "person_name", prf(name))[0].as_py()) == 3


def test_everything_becomes_text() -> None:
    assert as_text(pa.array([1.5, None])).to_pylist() == ["1.5", None]
    assert as_text(pa.array([b"\x01\xff"])).to_pylist() == ["01ff"]
    assert as_text(pa.array([date(2024, 1, 2)])).to_pylist() == ["2024-01-02"]
