"""Providers give the published answers, agree with each other, and one that errs is not used."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingyao.kernel.errors import IntegrityBroken, Unsupported
from pingyao.platform.crypto import choose, gcrypt, known
from pingyao.platform.crypto.ports import Provider

ALL = choose.providers()
each = pytest.mark.parametrize("provider", ALL, ids=lambda p: p.name)


@each
def test_known_answers(provider: Provider) -> None:
    assert known.check(provider) == []


@pytest.mark.parametrize("algorithm", choose.ALGORITHMS)
def test_the_fastest_measured_is_chosen(algorithm: str) -> None:
    found = choose.choice(algorithm)
    assert found.rates[found.provider] == max(found.rates.values())
    assert set(found.rates) == {p.name for p in ALL}
    assert not found.unfit


@pytest.mark.parametrize("algorithm", choose.ALGORITHMS)
@given(data=st.binary(max_size=2000), key=st.binary(min_size=32, max_size=32), aad=st.binary())
def test_providers_agree(algorithm: str, data: bytes, key: bytes, aad: bytes) -> None:
    given_by: list[bytes] = []
    for p in ALL:
        if algorithm in p.digests:
            given_by.append(p.digests[algorithm](data))
        elif algorithm in p.blocks:
            text = np.frombuffer(data[: len(data) // 16 * 16], np.uint8)
            out = np.zeros(len(text) + 16, np.uint8)
            p.blocks[algorithm](key[:16])(text, out)
            given_by.append(out[: len(text)].tobytes())
        else:
            cipher = p.aeads[algorithm](key if "256" in algorithm else key[:16])
            sealed = bytearray(len(data) + 16)
            cipher.encrypt(key[:12], data, aad, memoryview(sealed))
            opened = bytearray(len(sealed))
            cipher.decrypt(key[:12], bytes(sealed), aad, memoryview(opened))
            assert opened[: len(data)] == data
            given_by.append(bytes(sealed))
    assert len(set(given_by)) == 1


@each
@pytest.mark.parametrize("algorithm", ["aes-256-gcm", "sm4-gcm"])
@pytest.mark.parametrize("spoilt", ["key", "nonce", "aad", "text", "tag", "short", "empty"])
def test_what_was_altered_does_not_open(provider: Provider, algorithm: str, spoilt: str) -> None:
    key = bytes(32 if "256" in algorithm else 16)
    sealed = bytearray(40 + 16)
    provider.aeads[algorithm](key).encrypt(bytes(12), b"x" * 40, b"a", memoryview(sealed))
    nonce, aad = bytes(12), b"a"
    match spoilt:
        case "key":
            key = b"\1" + key[1:]
        case "nonce":
            nonce = b"\1" + nonce[1:]
        case "aad":
            aad = b"b"
        case "text":
            sealed[0] ^= 1
        case "tag":
            sealed[-1] ^= 128
        case "short":
            del sealed[20:]
        case _:
            sealed.clear()
    out = bytearray(56)
    with pytest.raises(IntegrityBroken):
        provider.aeads[algorithm](key).decrypt(nonce, bytes(sealed), aad, memoryview(out))
    assert out == bytes(56)  # nothing unverified is left behind


@pytest.mark.parametrize("length", [0, 15, 17, 24, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    for algorithm in ("sm4-gcm", "aes-256-gcm"):
        with pytest.raises(Unsupported, match="字节"):
            choose.aead(algorithm, bytes(length))
    with pytest.raises(Unsupported):
        choose.block_cipher("sm4").keyed(bytes(length))


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(Unsupported):
        choose.choice("des")


def test_an_absent_library_is_no_provider() -> None:
    assert gcrypt.load("libgcrypt-of-another-world.so.20") is None


@pytest.fixture
def erring(monkeypatch: pytest.MonkeyPatch):
    """Puts a second provider in that errs in SM3, in the way told."""

    def put(digest) -> None:
        wrong = msgspec.structs.replace(ALL[0], name="wrong", digests={"sm3": digest})
        choose.choice.cache_clear()
        choose._missed.cache_clear()
        monkeypatch.setattr(choose, "providers", lambda: (ALL[0], wrong))

    yield put
    choose.choice.cache_clear()
    choose._missed.cache_clear()


def test_one_that_misses_a_known_answer_is_not_used(erring) -> None:
    erring(lambda data: bytes(32))
    found = choose.choice("sm3")
    assert found.provider == ALL[0].name
    assert found.unfit == ("wrong",)


def test_two_that_disagree_on_long_texts_stop_the_work(erring) -> None:
    right = ALL[0].digests["sm3"]
    erring(lambda data: right(data) if len(data) < 1000 else bytes(32))
    with pytest.raises(IntegrityBroken) as told:
        choose.choice("sm3")
    assert told.value.code == "crypto.self_test"
