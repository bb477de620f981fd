"""A PKCS#11 device holds the keys: the same promises as the keystore, on SoftHSM."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pingyao.kernel.errors import (
    Conflict,
    IntegrityBroken,
    Invalid,
    NotFound,
    NotPermitted,
    Unsupported,
)
from pingyao.protect.formats import sealing

pytest.importorskip("pkcs11")
from pingyao.platform.crypto.hsm import Hsm, open_hsm

LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "1234567890"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A token of SoftHSM of these tests alone; the library reads its settings once a process."""
    if not LIBRARY.exists() or not shutil.which("softhsm2-util"):
        pytest.skip("SoftHSM is not installed")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        command = ["softhsm2-util", "--init-token", "--free", "--label", "pingyao"]
        subprocess.run([*command, "--so-pin", PIN, "--pin", PIN], check=True, capture_output=True)
        yield "pingyao"


@pytest.fixture
def hsm(token: str) -> Iterator[Hsm]:
    opened = open_hsm(LIBRARY, token, PIN, writable=True)
    yield opened
    opened.close()


@pytest.fixture
def name() -> str:
    return f"k-{os.urandom(4).hex()}"


def test_what_it_wraps_it_unwraps(hsm: Hsm, name: str) -> None:
    assert hsm.create(name) == 1
    wrapped = hsm.wrap(name, b"d" * 32, b"context")
    assert b"d" * 8 not in wrapped.sealed
    assert hsm.unwrap(wrapped, b"context") == b"d" * 32
    assert hsm.rotate(name) == 2
    assert hsm.wrap(name, b"d" * 32, b"").version == 2
    assert hsm.unwrap(wrapped, b"context") == b"d" * 32
    assert hsm.versions(name) == [1, 2]


def test_a_wrapped_key_is_bound(hsm: Hsm, name: str) -> None:
    hsm.create(name)
    wrapped = hsm.wrap(name, b"d" * 32, b"x")
    for spoilt, context in (
        (wrapped, b"y"),
        (msgspec.structs.replace(wrapped, sealed=bytes(48)), b"x"),
        (msgspec.structs.replace(wrapped, sealed=b""), b"x"),
        (msgspec.structs.replace(wrapped, nonce=bytes(12)), b"x"),
        (msgspec.structs.replace(wrapped, nonce=b""), b"x"),
        (msgspec.structs.replace(wrapped, cipher="sm4-gcm"), b"x"),
    ):
        with pytest.raises(IntegrityBroken):
            hsm.unwrap(spoilt, context)


def test_a_destroyed_key_is_gone(hsm: Hsm, name: str) -> None:
    hsm.create(name)
    wrapped = hsm.wrap(name, b"d" * 32, b"")
    hsm.destroy(name, 1)
    with pytest.raises(NotFound):
        hsm.unwrap(wrapped, b"")
    with pytest.raises(NotFound):
        hsm.destroy(name, 1)
    with pytest.raises(NotFound):
        hsm.rotate(name)


def test_a_file_sealed_to_the_device_opens_with_it(hsm: Hsm, name: str, tmp_path: Path) -> None:
    hsm.create(name)
    (tmp_path / "clear").write_bytes(b"x" * 1000)
    sealing.seal(tmp_path / "clear", tmp_path / "sealed", hsm, (name,), suite="gm")
    hsm.rotate(name)
    sealing.rewrap(tmp_path / "sealed", hsm, ())
    hsm.destroy(name, 1)
    sealing.open_(tmp_path / "sealed", tmp_path / "back", hsm)
    assert (tmp_path / "back").read_bytes() == b"x" * 1000


def test_what_cannot_be_done_is_said(token: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(NotPermitted) as told:
        open_hsm(LIBRARY, token, "0987654321")
    assert "0987654321" not in told.value.detail
    with pytest.raises(NotFound):
        open_hsm(LIBRARY, "another", PIN)
    with pytest.raises(Unsupported):
        open_hsm(tmp_path / "none.so", token, PIN)
    reader = open_hsm(LIBRARY, token, PIN)
    with pytest.raises(Invalid):
        reader.create(name)
    reader.close()


def test_a_name_is_given_once(hsm: Hsm, name: str) -> None:
    hsm.create(name)
    with pytest.raises(Conflict):
        hsm.create(name)
