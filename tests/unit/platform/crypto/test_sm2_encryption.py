"""SM2 encryption: the standard's example, and OpenSSL and GmSSL in both directions."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from pingyao.kernel.errors import Invalid
from pingyao.platform.crypto.sm2 import Sm2PrivateKey, Sm2PublicKey, generate

SECRET = bytes.fromhex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8")
# GB/T 32918.5-2017, C.2: x and y of C1, C3, C2.
EXAMPLE = [
    bytes.fromhex(part)
    for part in (
        "04ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73",
        "e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0",
        "59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766",
        "21886ca989ca9c7d58087307ca93092d651efa",
    )
]
PKCS8 = bytes.fromhex("3041020100301306072a8648ce3d020106082a811ccf5501822d042730250201010420")
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")


def tlv(tag: int, value: bytes) -> bytes:
    length = bytes([len(value)]) if len(value) < 128 else bytes([0x81, len(value)])
    return bytes([tag]) + length + value


def der(x: bytes, y: bytes, digest: bytes, cipher: bytes) -> bytes:
    """SM2Cipher of GB/T 35276-2017."""
    numbers = b"".join(
        tlv(2, n.to_bytes(n.bit_length() // 8 + 1)) for n in map(int.from_bytes, (x, y))
    )
    return tlv(0x30, numbers + tlv(4, digest) + tlv(4, cipher))


def parts(sealed: bytes) -> list[bytes]:
    """The reverse, for short messages."""
    assert sealed[0] == 0x30
    rest = sealed[3:] if sealed[1] == 0x81 else sealed[2:]
    found = []
    while rest:
        tag, length = rest[:2]
        value, rest = rest[2 : 2 + length], rest[2 + length :]
        found.append(int.from_bytes(value).to_bytes(32) if tag == 2 else value)
    return found


def test_the_standards_example_is_read() -> None:
    key = Sm2PrivateKey(SECRET)
    assert key.decrypt(der(*EXAMPLE)) == b"encryption standard"
    assert key.public_key.point[1:9].hex() == "09f9df311e5421a1"


@pytest.mark.parametrize("size", [1, 16, 32, 33, 97])
def test_what_is_encrypted_is_decrypted(size: int) -> None:
    key, message = Sm2PrivateKey(generate()), bytes(range(size))
    sealed = [key.public_key.encrypt(message) for _ in "ab"]
    assert sealed[0] != sealed[1]
    assert [key.decrypt(s) for s in sealed] == [message] * 2


def test_nothing_else_is_decrypted() -> None:
    key = Sm2PrivateKey(SECRET)
    whole = key.public_key.encrypt(b"k" * 32)
    with pytest.raises(ValueError, match=r"SM2|key"):
        Sm2PrivateKey(generate()).decrypt(whole)
    for wrong in (
        b"",
        b"\x30",
        b"\x30\x00",
        whole[:-1],
        whole * 2,
        whole[1:],
        bytes(140),
        b"x" * 5000,
    ):
        with pytest.raises(ValueError, match=r"SM2|key"):
            key.decrypt(wrong)
    draw = random.Random(1)
    for _ in range(300):
        at, bit = draw.randrange(len(whole)), 1 << draw.randrange(8)
        with pytest.raises(ValueError, match=r"SM2|key"):
            key.decrypt(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])


def test_what_is_no_key_is_refused() -> None:
    point = Sm2PrivateKey(SECRET).public_key.point
    for wrong in (
        b"",
        point[1:],
        point + b"\0",
        b"\x02" + point[1:],
        point[:-1] + b"\0",
        bytes(65),
    ):
        with pytest.raises(ValueError):  # noqa: PT011  # the library says why
            Sm2PublicKey(wrong)
    for secret in (b"", bytes(32), b"\xff" * 32, SECRET[1:]):
        with pytest.raises(Invalid):
            Sm2PrivateKey(secret)


def test_openssl_in_both_directions(tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    key, message = Sm2PrivateKey(SECRET), b"k" * 32
    (tmp_path / "key").write_bytes(PKCS8 + SECRET)
    (tmp_path / "pub").write_bytes(SPKI + key.public_key.point)

    def openssl(*words: object, data: bytes) -> bytes:
        line = ["openssl", "pkeyutl", "-keyform", "DER", *map(str, words)]
        return subprocess.run(line, input=data, capture_output=True, check=True, timeout=60).stdout

    theirs = openssl("-encrypt", "-pubin", "-inkey", tmp_path / "pub", data=message)
    assert key.decrypt(theirs) == message
    ours = key.public_key.encrypt(message)
    assert openssl("-decrypt", "-inkey", tmp_path / "key", data=ours) == message


def test_gmssl_in_both_directions() -> None:
    sm2 = pytest.importorskip("gmssl.sm2")
    key, message = Sm2PrivateKey(SECRET), b"k" * 32
    theirs = sm2.CryptSM2(SECRET.hex(), key.public_key.point[1:].hex(), mode=1)  # C1 C3 C2
    sealed = theirs.encrypt(message)
    x, y, digest, cipher = (sealed[i : i + 32] for i in range(0, 128, 32))
    assert key.decrypt(der(x, y, digest, cipher)) == message
    assert theirs.decrypt(b"".join(parts(key.public_key.encrypt(message)))) == message
