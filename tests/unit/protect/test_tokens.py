"""Tokens are HMACs cut short: the same for the same, different for another key or domain."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingyao.platform.crypto import derive
from pingyao.platform.crypto.lanes import hmac_many
from pingyao.protect.rules.keyed import Prf
from pingyao.protect.rules.tokens import ALPHABET, LENGTH, collision_bound, token_column

KEY = bytes(range(32))

# RFC 4231, cases 1–4, 6 and 7: key, data, HMAC-SHA-256.
RFC_4231 = [
    ("0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (
        b"Jefe".hex(),
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    ("aa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (
        bytes(range(1, 26)).hex(),
        b"\xcd" * 50,
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ),
    (
        "aa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (
        "aa" * 131,
        b"This is a test using a larger than block-size key and a larger than block-size data. "
        b"The key needs to be hashed before being used by the HMAC algorithm.",
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
]


@pytest.mark.parametrize(("key", "data", "wanted"), RFC_4231)
def test_published_answers(key: str, data: bytes, wanted: str) -> None:
    cells = np.frombuffer(data, np.uint8)
    offsets = np.array([0, len(data)])
    given = hmac_many("sha256", bytes.fromhex(key), cells, offsets, np.array([0]))
    assert given[0].tobytes().hex() == wanted


@settings(deadline=None)
@given(
    st.sampled_from(["sha256", "sm3"]),
    st.binary(max_size=130),
    st.lists(st.binary(max_size=200), max_size=40),
)
def test_lanes_agree_with_the_library(algorithm: str, key: bytes, cells: list[bytes]) -> None:
    data = np.frombuffer(b"".join(cells), np.uint8)
    offsets = np.cumsum([0, *map(len, cells)])
    rows = np.arange(len(cells))[::-1].copy()
    given = hmac_many(algorithm, key, data, offsets, rows)
    for row, mac in zip(rows, given, strict=True):
        assert mac.tobytes() == derive.mac(key, cells[row], algorithm)


@pytest.mark.parametrize("algorithm", ["sha256", "sm3"])
def test_a_token_is_the_front_of_the_mac_in_runs_of_five_bits(algorithm: str) -> None:
    column = pa.array(["13800138000", None, "", "张三", "x" * 500])
    given = token_column(column, Prf(algorithm, KEY))
    given.validate(full=True)
    for value, token in zip(column.to_pylist(), given.to_pylist(), strict=True):
        if not value:
            assert token == value
            continue
        bits = int.from_bytes(derive.mac(KEY, value.upper().encode(), algorithm), "big") >> 156
        wanted = [ALPHABET[bits >> 5 * (LENGTH - 1 - i) & 31] for i in range(LENGTH)]
        assert token.encode() == bytes(wanted)


def test_key_and_algorithm_matter() -> None:
    column = pa.array(["13800138000"])
    seen = {
        token_column(column, Prf(algorithm, key)).to_pylist()[0]
        for key in (KEY, KEY[::-1])
        for algorithm in ("sha256", "sm3")
    }
    assert len(seen) == 4


def test_slices_give_the_same() -> None:
    values = ["a", None, "b", "a", "c"]
    whole = token_column(pa.array(values), Prf("sha256", KEY)).to_pylist()
    part = token_column(pa.array(values)[1:4], Prf("sha256", KEY))
    assert part.to_pylist() == whole[1:4]
    assert token_column(pa.array([], pa.string()), Prf("sha256", KEY)).to_pylist() == []


def test_the_bound_on_collisions() -> None:
    assert collision_bound(1) == 0
    assert collision_bound(10**9) < 4e-13
    assert collision_bound(1 << 60) == 1
