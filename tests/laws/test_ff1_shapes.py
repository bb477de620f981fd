"""Encrypting keeps an identifier valid and goes back, for every identifier there is."""

from datetime import date

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pingyao.platform.crypto import choose
from pingyao.protect.rules import identifiers as shape
from pingyao.protect.rules.ff1 import UPPER36, Kind, Scheme, decrypt_column, encrypt_column

USCC_SET = shape.USCC_SET.decode()
CIPHERS = {a: choose.block_cipher(a) for a in ("aes", "sm4")}
keys = st.binary(min_size=16, max_size=16)
ciphers = st.sampled_from(["aes", "sm4"])
tweaks = st.binary(max_size=40)


def octets(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def luhn_digit(digits: str) -> str:
    return next(c for c in "0123456789" if shape.luhn(octets(digits + c), 0, len(digits) + 1))


@st.composite
def id_numbers(draw: st.DrawFn) -> str:
    province = draw(st.sampled_from(shape.PROVINCE_CODES))
    born = draw(st.dates(date(1900, 1, 1), date(2099, 12, 31)))
    rest, county = draw(st.integers(0, 999)), draw(st.integers(0, 9999))
    body = f"{province}{county:04}{born:%Y%m%d}{rest:03}"
    return body + chr(shape.id_check(octets(body), 0))


@st.composite
def cards(draw: st.DrawFn) -> str:
    body = draw(st.from_regex(r"[1-9][0-9]{13,17}", fullmatch=True))
    return body + luhn_digit(body)


@st.composite
def credit_codes(draw: st.DrawFn) -> str:
    head = draw(st.sampled_from(["91", "12", "52", "93", "A1", "N2", "Y1"]))
    head += str(draw(st.sampled_from(shape.PROVINCE_CODES))) + f"{draw(st.integers(0, 9999)):04}"
    code = "".join(draw(st.lists(st.sampled_from(USCC_SET), min_size=8, max_size=8)))
    sound = chr(shape.org_check(octets(code), 0))
    code += sound if draw(st.booleans()) else draw(st.sampled_from(USCC_SET))
    return head + code + chr(shape.uscc_check(octets(head + code), 0))


def round_trip(kind: Kind, values: list[str], key: bytes, tweak: bytes, cipher: str, **options):
    scheme, array = Scheme(kind, **options), pa.array(values, pa.string())
    sealed = encrypt_column(array, scheme, key, tweak, CIPHERS[cipher])
    sealed.validate(full=True)
    assert decrypt_column(sealed, scheme, key, tweak, CIPHERS[cipher]).equals(array)
    given = sealed.to_pylist()
    assert len(set(given)) == len(set(values))  # one to one
    assert [len(g) for g in given] == [len(v) for v in values]
    return list(zip(values, given, strict=True))


@settings(deadline=None)
@given(
    st.lists(id_numbers(), min_size=1),
    st.sampled_from(["", "region", "birth"]),
    keys,
    tweaks,
    ciphers,
)
def test_id_numbers(values, keep, key, tweak, cipher) -> None:
    for clear, sealed in round_trip("id_card", values, key, tweak, cipher, keep=keep):
        assert shape.id_card(octets(sealed), 0, 18) == 2
        if keep == "region":
            assert sealed[:6] == clear[:6]
        if keep == "birth":
            assert sealed[6:14] == clear[6:14]


@settings(deadline=None)
@given(st.lists(cards(), min_size=1), st.integers(6, 8), keys, tweaks, ciphers)
def test_cards(values, bin_digits, key, tweak, cipher) -> None:
    for clear, sealed in round_trip("bank_card", values, key, tweak, cipher, bin_digits=bin_digits):
        assert sealed.isdigit()
        assert shape.luhn(octets(sealed), 0, len(sealed))
        assert sealed[:bin_digits] == clear[:bin_digits]


@settings(deadline=None)
@given(st.lists(credit_codes(), min_size=1), keys, tweaks, ciphers)
def test_credit_codes(values, key, tweak, cipher) -> None:
    for clear, sealed in round_trip("uscc", values, key, tweak, cipher):
        assert shape.uscc(octets(sealed), 0, 18) == 2
        assert sealed[:8] == clear[:8]
        sound = [chr(shape.org_check(octets(c[8:]), 0)) == c[16] for c in (clear, sealed)]
        assert sound[0] == sound[1]


@settings(deadline=None)
@given(
    st.lists(st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True), min_size=1),
    keys,
    tweaks,
    ciphers,
)
def test_mobiles(values, key, tweak, cipher) -> None:
    for clear, sealed in round_trip("mobile", values, key, tweak, cipher):
        assert shape.mobile(octets(sealed), 0, 11)
        assert sealed[:3] == clear[:3]


@settings(deadline=None)
@given(st.lists(st.text(UPPER36, min_size=4, max_size=24), min_size=1), keys, tweaks, ciphers)
def test_texts_of_any_length(values, key, tweak, cipher) -> None:
    for _, sealed in round_trip("text", values, key, tweak, cipher, alphabet=UPPER36):
        assert set(sealed) <= set(UPPER36)
