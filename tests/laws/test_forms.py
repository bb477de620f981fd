"""Whatever a number is, it is encrypted in its own form, the same everywhere, and comes back."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingyao.app.example import values
from pingyao.platform.crypto import choose
from pingyao.protect.rules.forms import Forms, decrypt, encrypt
from pingyao.protect.rules.identifiers import PROVINCE_CODES

AES = Forms("", 6, bytes(range(32)), choose.block_cipher("aes"))
SM4 = Forms("region", 8, bytes(range(16)), choose.block_cipher("sm4"))
BIRTH = Forms("birth", 6, bytes(32), choose.block_cipher("aes"))
CODES = st.from_regex(r"[A-Z]{1,6}[0-9]{6,12}", fullmatch=True)
DIGITS = st.text("0123456789", min_size=1, max_size=24)


def luhn(digits: str) -> bool:
    doubled = [int(c) * (2 if i % 2 else 1) for i, c in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def with_luhn(body: str) -> str:
    return next(body + c for c in "0123456789" if luhn(body + c))


def with_check(body: str) -> str:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(c) * w for c, w in zip(body, weights, strict=True))
    return body + "10X98765432"[total % 11]


CARDS = st.text("0123456789", min_size=14, max_size=18).map(with_luhn)
MOBILES = st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True)
IDS = st.builds(
    lambda p, r, d, s: with_check(f"{p}{r:04}{d:%Y%m%d}{s:03}"),
    st.sampled_from(PROVINCE_CODES),
    st.integers(0, 9999),
    st.dates(min_value=date(1900, 1, 1), max_value=date(2099, 12, 31)),
    st.integers(0, 999),
)
CELLS = st.lists(
    st.none() | CARDS | MOBILES | IDS | CODES | DIGITS | st.text(max_size=12), max_size=25
)


@settings(deadline=None)  # kernels are compiled on the first call
@given(CELLS, st.sampled_from([AES, SM4, BIRTH]))
def test_every_number_comes_back(cells: list[str | None], forms: Forms) -> None:
    column = pa.array(cells, pa.string())
    made = encrypt(column, forms)
    made.validate(full=True)
    back = decrypt(made, forms).to_pylist()
    for before, after, again in zip(cells, made.to_pylist(), back, strict=True):
        if after is None:
            assert before is None or not (
                before.isascii() and before.isdigit() and 6 <= len(before) <= 18
            )
        else:
            assert before == again
            assert len(after) == len(before or "")


@settings(deadline=None)
@given(CELLS, st.data())
def test_where_a_cell_stands_makes_no_difference(
    cells: list[str | None], data: st.DataObject
) -> None:
    column = pa.array(cells, pa.string())
    whole = encrypt(column, AES)
    start = data.draw(st.integers(0, len(cells)))
    assert encrypt(column.slice(start), AES).equals(whole.slice(start))


@settings(deadline=None)
@given(st.lists(CARDS | MOBILES | IDS | CODES | DIGITS, min_size=2, max_size=25, unique=True))
def test_different_stay_different(cells: list[str]) -> None:
    made = [v for v in encrypt(pa.array(cells), AES).to_pylist() if v is not None]
    assert len(set(made)) == len(made)


@settings(deadline=None)
@given(st.lists(CARDS, min_size=1), st.lists(MOBILES, min_size=1), st.lists(IDS, min_size=1))
def test_the_form_stays(cards: list[str], mobiles: list[str], ids: list[str]) -> None:
    for before, after in zip(cards, encrypt(pa.array(cards), AES).to_pylist(), strict=True):
        assert luhn(after) or len(before) == 18
        assert after[:6] == before[:6] or len(before) == 18
    for before, after in zip(mobiles, encrypt(pa.array(mobiles), AES).to_pylist(), strict=True):
        assert after[:3] == before[:3]
    for before, after in zip(ids, encrypt(pa.array(ids), SM4).to_pylist(), strict=True):
        assert with_check(after[:17]) == after
        assert after[:6] == before[:6]


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "12345",
        "C12345",
        "ABCDEFG123456",
        "12C000123",
        "１３８１２３４５６７８",
        "1" * 40,
        "abc",
    ],
)
def test_what_has_no_form_is_never_passed_on(cell: str) -> None:
    assert encrypt(pa.array([cell]), AES).to_pylist() == [None]


def test_a_wrong_key_gives_other_numbers() -> None:
    column = values.fixed(values.digits(np.random.default_rng(1), 1000, 16))
    other = Forms("", 6, bytes(32), choose.block_cipher("aes"))
    back = decrypt(encrypt(column, AES), other).to_pylist()
    assert not set(back) & set(column.to_pylist())


@settings(deadline=None)
@given(CODES)
def test_the_letters_of_a_code_stay_and_matter(code: str) -> None:
    made = encrypt(pa.array([code, "Q" + code[1:]]), AES).to_pylist()
    letters = code.rstrip("0123456789")
    assert made[0].startswith(letters)
    assert made[0][len(letters) :].isdigit()
    assert code[0] == "Q" or made[0][len(letters) :] != made[1][len(letters) :] or len(code) < 15
