"""FF1 gives the standard's samples, agrees with its text, keeps shapes, and lets nothing slip through."""

import random

import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ff1_reference import ff1
from pingyao.kernel.errors import Invalid, Unsupported
from pingyao.platform.crypto import choose
from pingyao.protect.rules import identifiers
from pingyao.protect.rules.feistel import Feistel
from pingyao.protect.rules.ff1 import (
    LOWER36,
    UPPER36,
    Scheme,
    decrypt_column,
    encrypt_column,
)

KEY = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3CEF4359D8D580AA4F7F036D6F04FC6A94")
TWEAK = bytes.fromhex("39383736353433323130")
TWEAK36 = bytes.fromhex("3737373770717273373737")
TEXT = Scheme("text")
PROVIDERS = [p.name for p in choose.providers()]


def block(algorithm: str, key: bytes):
    cipher = algorithms.AES(key) if algorithm == "aes" else algorithms.SM4(key)

    def encrypt(text: bytes) -> bytes:
        return Cipher(cipher, modes.ECB()).encryptor().update(text)  # noqa: S305 - one block, as FF1 is defined

    return encrypt


def through(values, scheme: Scheme, *, tweak: bytes = b"", algorithm: str = "aes", key=KEY[:16]):
    array = pa.array(values, pa.string())
    cipher = choose.block_cipher(algorithm)
    given = encrypt_column(array, scheme, key, tweak, cipher)
    given.validate(full=True)
    assert decrypt_column(given, scheme, key, tweak, cipher).equals(array)
    return given.to_pylist()


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("bits", "scheme", "tweak", "clear", "sealed"),
    [
        (128, TEXT, b"", "0123456789", "2433477484"),
        (128, TEXT, TWEAK, "0123456789", "6124200773"),
        (128, Scheme("text", LOWER36), TWEAK36, "0123456789abcdefghi", "a9tv40mll9kdu509eum"),
        (192, TEXT, b"", "0123456789", "2830668132"),
        (192, TEXT, TWEAK, "0123456789", "2496655549"),
        (192, Scheme("text", LOWER36), TWEAK36, "0123456789abcdefghi", "xbj3kv35jrawxv32ysr"),
        (256, TEXT, b"", "0123456789", "6657667009"),
        (256, TEXT, TWEAK, "0123456789", "1001623463"),
        (256, Scheme("text", LOWER36), TWEAK36, "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"),
    ],
)
def test_the_nine_samples_of_the_standard(provider, bits, scheme, tweak, clear, sealed) -> None:
    key, cipher = KEY[: bits // 8], choose.block_cipher("aes", provider)
    array = pa.array([clear] * 5000)  # more than a tile
    given = encrypt_column(array, scheme, key, tweak, cipher)
    assert set(given.to_pylist()) == {sealed}
    assert decrypt_column(given, scheme, key, tweak, cipher).equals(array)


@pytest.mark.parametrize("algorithm", ["aes", "sm4"])
@pytest.mark.parametrize("radix", [2, 10, 16, 31, 36])
@pytest.mark.parametrize("tweak", [b"", b"t", b"x" * 7, b"x" * 11, b"x" * 16, b"x" * 40])
def test_every_length_agrees_with_the_text_of_the_standard(algorithm, radix, tweak) -> None:
    draw = random.Random(radix)
    scheme = Scheme("text", LOWER36[:radix])
    least = next(n for n in range(2, 30) if radix**n >= 1_000_000)
    most = next(n for n in range(60, 2, -1) if radix ** (n - n // 2) < 1 << 63) if radix > 2 else 64
    for length in range(least, most + 1):
        values = ["".join(draw.choices(scheme.alphabet, k=length)) for _ in range(3)]
        values.append(scheme.alphabet[-1] * length)
        given = through(values, scheme, tweak=tweak, algorithm=algorithm)
        for clear, sealed in zip(values, given, strict=True):
            wanted = ff1(
                block(algorithm, KEY[:16]), radix, tweak, [LOWER36.index(c) for c in clear]
            )
            assert sealed == "".join(LOWER36[d] for d in wanted)


def test_a_number_bound_to_the_row_is_a_tweak_of_the_standard() -> None:
    for length in (7, 10, 16, 20, 36):
        encrypt = choose.block_cipher("sm4").keyed(KEY[:16])
        feistel = Feistel(encrypt, 10, length, b"column", bound=True)
        u = length // 2
        a, b, kept = (np.array([x], np.uint64) for x in (12, 345, 622202))
        feistel.apply(a, b, kept)
        width = ((10 ** (length - u) - 1).bit_length() + 7) // 8
        tweak = b"column".ljust(16, b"\0") + (622202).to_bytes(7, "big") + bytes(8 - width)
        text = [int(c) for c in f"{12:0{u}}{345:0{length - u}}"]
        wanted = "".join(map(str, ff1(block("sm4", KEY[:16]), 10, tweak, text)))
        assert f"{int(a[0]):0{u}}{int(b[0]):0{length - u}}" == wanted


@pytest.mark.parametrize(
    ("scheme", "value"),
    [
        (TEXT, "12345"),
        (Scheme("text", "01"), "1" * 19),
        (Scheme("text", LOWER36), "abc"),
    ],
)
def test_a_domain_under_a_million_is_refused(scheme: Scheme, value: str) -> None:
    with pytest.raises(Unsupported) as told:
        through([value], scheme)
    assert told.value.code == "protect.small_domain"
    assert value not in told.value.detail


@pytest.mark.parametrize(("scheme", "length"), [(TEXT, 37), (Scheme("text", UPPER36), 25)])
def test_a_value_too_long_is_refused(scheme: Scheme, length: int) -> None:
    with pytest.raises(Unsupported, match="过长"):
        through(["1" * length], scheme)


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (pa.array([123456789]), "protect.not_text"),
        (pa.array([b"123456789"]), "protect.not_text"),
        (pa.array([None], pa.null()), "protect.not_text"),
    ],
)
def test_what_is_no_text_is_refused(array: pa.Array, code: str) -> None:
    with pytest.raises(Unsupported) as told:
        encrypt_column(array, TEXT, KEY[:16], b"", choose.block_cipher("aes"))
    assert told.value.code == code


@pytest.mark.parametrize("change", [{"alphabet": "0"}, {"alphabet": "00"}, {"alphabet": "零一"}])
def test_a_scheme_that_makes_no_sense_is_refused(change: dict) -> None:
    with pytest.raises(Invalid):
        Scheme("text", **change)
    with pytest.raises(Invalid):
        Scheme("bank_card", bin_digits=12)


ID = "11010519491231002X"
CARD = "6222021234567894"
MISFITS = {
    "text": ["12345678a", "1234 5678", "１２３４５６７８", "12345678\n", "123456789-"],
    "mobile": ["12800138000", "1380013800", "138001380001", "+8613800138000", "1380013800a"],
    "bank_card": ["6222021234567890", "622202123456789", "abcdefghijklmnop", CARD + " "],
    "id_card": ["110105194912310021", "11010519491331002X", "110105491231002", ID[:-1]],
    "uscc": ["91110000000000000I", "911100000000000000", "9111000000000000"],
}


@pytest.mark.parametrize("kind", MISFITS)
def test_what_lacks_the_shape_never_passes_in_clear(kind) -> None:
    bad = [*MISFITS[kind], "", " ", "张三"]
    good = {"text": "123456789", "mobile": "13800138000", "bank_card": CARD, "id_card": ID}
    values = [*bad, None, good.get(kind)]
    cipher, array = choose.block_cipher("aes"), pa.array(values, pa.string())
    with pytest.raises(Invalid) as refused:
        encrypt_column(array, Scheme(kind), KEY[:16], b"", cipher)
    assert f"{len(bad)} 个" in refused.value.detail
    assert not any(b.strip() and b in refused.value.detail for b in bad)
    told: list[int] = []
    given = encrypt_column(
        array, Scheme(kind, misfits="redact"), KEY[:16], b"", cipher, told.append
    )
    given.validate(full=True)
    assert told == [len(bad)]
    assert given.to_pylist()[: len(bad) + 1] == [None] * (len(bad) + 1)
    kept = given.buffers()[2].to_pybytes()
    assert not any(b.strip() and b.encode() in kept for b in bad)  # nor beneath the nulls


def test_lengths_that_cannot_be_encrypted_are_emptied_where_that_is_allowed() -> None:
    values = ["12345", "1234567", "1" * 37]
    told: list[int] = []
    scheme = Scheme("text", misfits="redact")
    cipher = choose.block_cipher("aes")
    given = encrypt_column(pa.array(values), scheme, KEY[:16], b"", cipher, told.append).to_pylist()
    assert given[0] is given[2] is None
    assert given[1] not in (None, values[1])
    assert told == [2]


def test_a_small_x_is_an_x() -> None:
    cipher, scheme = choose.block_cipher("aes"), Scheme("id_card")
    given = encrypt_column(pa.array([ID.lower(), ID]), scheme, KEY[:16], b"", cipher)
    assert given[0] == given[1]
    assert decrypt_column(given, scheme, KEY[:16], b"", cipher).to_pylist() == [ID, ID]


def test_slices_nulls_and_other_string_types() -> None:
    values = [None, "1234567890", "9876543210987654", None, "0000000"]
    cipher = choose.block_cipher("aes")
    whole = encrypt_column(pa.array(values), TEXT, KEY[:16], b"", cipher)
    assert whole.is_null().to_pylist() == [v is None for v in values]
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        array = pa.array(values, pa.string()).cast(kind)
        given = encrypt_column(array[1:], TEXT, KEY[:16], b"", cipher)
        assert given.type == kind
        assert given.to_pylist() == whole.to_pylist()[1:]
    for empty in (pa.array([], pa.string()), pa.array([None, None], pa.string()), whole[2:2]):
        assert encrypt_column(empty, TEXT, KEY[:16], b"", cipher).to_pylist() == empty.to_pylist()


def test_what_is_kept_is_kept_and_check_digits_fit() -> None:
    sealed = through([CARD], Scheme("bank_card", bin_digits=8))[0]
    assert sealed[:8] == CARD[:8]
    assert sealed != CARD
    for keep, span in (("region", slice(0, 6)), ("birth", slice(6, 14)), ("", slice(0, 0))):
        sealed = through([ID], Scheme("id_card", keep=keep))[0]
        assert sealed[span] == ID[span]
        assert identifiers.id_card(np.frombuffer(sealed.encode(), np.uint8), 0, 18) == 2
        assert sealed[:6] != ID[:6] or keep == "region"
        assert sealed[6:14] != ID[6:14] or keep == "birth"


def test_key_tweak_kept_part_and_cipher_all_matter() -> None:
    seen = {
        through(["13800138000"], Scheme("mobile"), key=k, tweak=t, algorithm=a)[0][3:]
        for k in (KEY[:16], KEY[16:])
        for t in (b"", b"a")
        for a in ("aes", "sm4")
    }
    assert len(seen) == 8
    assert (
        through(["13800138000"], Scheme("mobile"))[0][3:]
        != through(["13900138000"], Scheme("mobile"))[0][3:]
    )


def test_a_permutation_of_the_whole_domain() -> None:
    """Six digits: a million different values give a million different values."""
    numbers = np.arange(1_000_000, dtype=np.uint64)
    feistel = Feistel(choose.block_cipher("sm4").keyed(KEY[:16]), 10, 6, b"")
    a, b = numbers // 1000, numbers % 1000
    feistel.apply(a, b, np.empty(0, np.uint64))
    assert len(np.unique(a * np.uint64(1000) + b)) == 1_000_000
