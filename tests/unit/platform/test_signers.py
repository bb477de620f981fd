"""Signers: published vectors, second opinions on SM2, and everything that must be refused."""

import contextlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pingyao.kernel.errors import IntegrityBroken, Invalid
from pingyao.platform.crypto.signers import LENGTHS, Algorithm, generate, open_signer, verify

ORDER = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123


@pytest.mark.parametrize("algorithm", Algorithm)
def test_what_is_signed_verifies_and_nothing_else(algorithm: Algorithm) -> None:
    signer = open_signer(algorithm, generate(algorithm))
    other = open_signer(algorithm, generate(algorithm))
    signature = signer.sign(b"message")
    assert len(signer.public_key) == LENGTHS[algorithm].public
    assert len(signature) <= LENGTHS[algorithm].signature
    verify(algorithm, signer.public_key, b"message", signature)
    for key, message, wrong in [
        (other.public_key, b"message", signature),
        (signer.public_key, b"messagE", signature),
        (signer.public_key, b"", signature),
        (signer.public_key, b"message", signature[:-1]),
        (signer.public_key, b"message", signature + b"\0"),
        (signer.public_key, b"message", b""),
        (signer.public_key, b"message", b"\xff" * 10_000),
        (signer.public_key[:-1], b"message", signature),
        (bytes(len(signer.public_key)), b"message", signature),
        (b"\xff" * len(signer.public_key), b"message", signature),
        *(
            (signer.public_key, b"message", signature[:i] + bytes([b ^ 1]) + signature[i + 1 :])
            for i, b in enumerate(signature[:100])
        ),
    ]:
        with pytest.raises(IntegrityBroken):
            verify(algorithm, key, message, wrong)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_no_key_is_refused(algorithm: Algorithm) -> None:
    for secret in (b"", bytes(31), bytes(33)):
        with pytest.raises(Invalid):
            open_signer(algorithm, secret)


def test_rfc_8032_7_1_test_2() -> None:
    secret = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    signer = open_signer(Algorithm.ED25519, secret)
    assert signer.public_key == bytes.fromhex(
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    )
    assert signer.sign(b"\x72") == bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@pytest.mark.parametrize("scalar", [0, ORDER - 1, ORDER, 2**256 - 1])
def test_sm2_scalars_out_of_range_are_refused(scalar: int) -> None:
    with pytest.raises(Invalid):
        open_signer(Algorithm.SM2, scalar.to_bytes(32))


def _der(r: int, s: int) -> bytes:
    def number(value: int) -> bytes:
        data = value.to_bytes(value.bit_length() // 8 + 1)
        return b"\x02" + bytes([len(data)]) + data

    body = number(r) + number(s)
    return b"\x30" + bytes([len(body)]) + body


def test_gb_t_32918_5_example_verifies() -> None:
    # GB/T 32918.5-2017, A.2: the recommended curve, identity 1234567812345678, "message digest".
    public = bytes.fromhex(
        "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
        "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
    )
    secret = bytes.fromhex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8")
    r = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
    s = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA
    assert open_signer(Algorithm.SM2, secret).public_key == public
    verify(Algorithm.SM2, public, b"message digest", _der(r, s))
    for wrong in (_der(s, r), _der(r, ORDER - s), _der(r + ORDER, s), _der(0, s), _der(r, 0)):
        with pytest.raises(IntegrityBroken):
            verify(Algorithm.SM2, public, b"message digest", wrong)


def test_sm2_against_an_implementation_apart_in_both_directions() -> None:
    gmssl = pytest.importorskip("gmssl.sm2", reason="gmssl is not installed")
    for message in (b"", b"message digest", bytes(range(256)) * 9):
        secret = generate(Algorithm.SM2)
        signer = open_signer(Algorithm.SM2, secret)
        other = gmssl.CryptSM2(
            private_key=secret.hex(), public_key=signer.public_key[1:].hex(), asn1=True
        )
        if message:
            assert _verified_by(other, signer.sign, message)
        signature = bytes.fromhex(other.sign_with_sm3(message))
        verify(Algorithm.SM2, signer.public_key, message, signature)


def _verified_by(other: Any, sign: Callable[[bytes], bytes], message: bytes) -> bool:
    """Asks gmssl, which stumbles over about one good signature in a hundred; never over eight."""
    for _ in range(8):
        with contextlib.suppress(TypeError):
            return other.verify_with_sm3(sign(message).hex(), message)
    return False


def test_sm2_against_the_openssl_command_in_both_directions(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    secret = generate(Algorithm.SM2)
    signer = open_signer(Algorithm.SM2, secret)
    pkcs8 = bytes.fromhex("3041020100301306072a8648ce3d020106082a811ccf5501822d042730250201010420")
    (tmp_path / "key.der").write_bytes(pkcs8 + secret)
    (tmp_path / "message").write_bytes(b"message digest")
    (tmp_path / "ours").write_bytes(signer.sign(b"message digest"))
    common = [*("-rawin", "-digest", "sm3"), *("-inkey", "key.der", "-keyform", "DER")]
    common += ["-pkeyopt", "distid:1234567812345678", "-in", "message"]

    def run(*arguments: str) -> None:
        subprocess.run(
            [openssl, "pkeyutl", *arguments, *common],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            timeout=60,
        )

    run("-verify", "-sigfile", "ours")
    run("-sign", "-out", "theirs")
    theirs = (tmp_path / "theirs").read_bytes()
    verify(Algorithm.SM2, signer.public_key, b"message digest", theirs)
