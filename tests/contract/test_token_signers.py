"""A log whose key never leaves a PKCS#11 device, on SoftHSM: the same promises as with the keystore."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pingyao.kernel.errors import IntegrityBroken, Invalid, PingyaoError, Unsupported
from pingyao.ledger.formats.note import verifier_key
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.model import ED25519, Policy
from pingyao.ledger.store.fsck import fsck
from pingyao.ledger.store.writer import Log, create_log
from pingyao.platform.crypto.signers import Algorithm, verify

pytest.importorskip("pkcs11")
sys.path.insert(0, str(Path(__file__).parents[1] / "real"))
sys.path.insert(0, str(Path(__file__).parent))

from test_hsm import LIBRARY, PIN, token  # noqa: F401  # the fixture
from test_ledger_cli import Home

from pingyao.platform.crypto.hsm import Hsm, open_hsm
from pingyao.platform.crypto.token_signers import create_signer, signers


@pytest.fixture
def hsm(token: str) -> Iterator[Hsm]:  # noqa: F811 - the imported fixture
    opened = open_hsm(LIBRARY, token, PIN, writable=True)
    yield opened
    opened.close()


@pytest.fixture
def name() -> str:
    return f"ledger-{os.urandom(4).hex()}.ed25519"


def test_what_the_device_signs_verifies_and_nothing_else_does(hsm: Hsm, name: str) -> None:
    assert signers(hsm, name, Algorithm.ED25519) == []
    first = create_signer(hsm, name, Algorithm.ED25519)
    second = create_signer(hsm, name, Algorithm.ED25519)
    assert [s.public_key for s in signers(hsm, name, Algorithm.ED25519)] == [
        first.public_key,
        second.public_key,
    ]
    for message in (b"", b"m", bytes(100_000)):
        signature = first.sign(message)
        assert first.sign(message) == signature
        verify(Algorithm.ED25519, first.public_key, message, signature)
        for key, said, by in (
            (second.public_key, message, signature),
            (first.public_key, message + b"x", signature),
            (first.public_key, message, bytes(64)),
        ):
            with pytest.raises(IntegrityBroken):
                verify(Algorithm.ED25519, key, said, by)


def test_the_key_does_not_leave(hsm: Hsm, name: str) -> None:
    from pkcs11 import Attribute, ObjectClass
    from pkcs11.exceptions import PKCS11Error

    create_signer(hsm, name, Algorithm.ED25519)
    (private,) = hsm.session.get_objects(
        {Attribute.LABEL: name, Attribute.CLASS: ObjectClass.PRIVATE_KEY}
    )
    with pytest.raises(PKCS11Error):
        private[Attribute.VALUE]


@pytest.mark.parametrize("algorithm", [Algorithm.SM2, Algorithm.ML_DSA_44])
def test_what_pkcs11_has_no_mechanism_for_is_said(hsm: Hsm, algorithm: Algorithm) -> None:
    assert signers(hsm, "any", algorithm) == []
    with pytest.raises(Unsupported):
        create_signer(hsm, "any", algorithm)


def test_who_may_only_read_makes_no_key(token: str, name: str) -> None:  # noqa: F811 - the imported fixture
    with contextlib.closing(open_hsm(LIBRARY, token, PIN)) as reader:
        with pytest.raises(Invalid):
            create_signer(reader, name, Algorithm.ED25519)
        # A second session of the same program shares the login.
        with contextlib.closing(open_hsm(LIBRARY, token, PIN, writable=True)) as writer:
            create_signer(writer, name, Algorithm.ED25519)
        assert len(signers(reader, name, Algorithm.ED25519)) == 1


def test_a_log_grows_under_the_device_and_stops_without_it(
    token: str,  # noqa: F811 - the imported fixture
    name: str,
    tmp_path: Path,
) -> None:
    opened = open_hsm(LIBRARY, token, PIN, writable=True)
    own = create_signer(opened, name, Algorithm.ED25519)
    key = verifier_key("bank.example/log", ED25519, own.public_key)
    create_log(tmp_path / "log", format_policy(Policy((key,), {}, {}, "none")))
    with Log(tmp_path / "log", [(ED25519, own)], mark=tmp_path / "mark") as log:
        assert log.append([b"one", b"two"]) == [0, 1]
        log.publish(log.sign()[1])
        opened.close()
        assert log.append([b"three"]) == [2]
        with pytest.raises(PingyaoError) as told:
            log.sign()
        assert told.value.code == "keys.device"
    assert not fsck(tmp_path / "log", tmp_path / "mark").findings
    with contextlib.closing(open_hsm(LIBRARY, token, PIN)) as again:
        (held,) = signers(again, name, Algorithm.ED25519)
        with Log(tmp_path / "log", [(ED25519, held)], mark=tmp_path / "mark") as log:
            assert log.append([b"three"]) == [2]
            log.publish(log.sign()[1])
    assert not fsck(tmp_path / "log", tmp_path / "mark").findings


def test_as_people_type_it(tmp_path: Path) -> None:
    if not LIBRARY.exists() or not shutil.which("softhsm2-util"):
        pytest.skip("SoftHSM is not installed")
    home = Home(tmp_path)
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    device = {
        "SOFTHSM2_CONF": str(tmp_path / "softhsm2.conf"),
        "PINGYAO_PKCS11_LIBRARY": str(LIBRARY),
        "PINGYAO_PKCS11_TOKEN": "ledger",
        "PINGYAO_PKCS11_PIN": PIN,
    }
    words = ["softhsm2-util", "--init-token", "--free", "--label", "ledger"]
    subprocess.run(
        [*words, "--so-pin", PIN, "--pin", PIN],
        check=True,
        capture_output=True,
        env={**os.environ, **device},
    )

    def run(*words: object, code: int = 0, **other: str) -> str:
        done = home.run(*words, **(device | other))
        assert done.returncode == code, done.stderr
        assert PIN not in done.stdout + done.stderr
        return done.stdout + done.stderr

    said = home.run("init", tmp_path / "no", "--origin", "bank.example/log", "--device")
    assert said.returncode == 2  # no device is configured
    assert not (tmp_path / "no").exists()
    run("init", home.log, "--origin", "bank.example/log", "--device")
    keys = re.findall(r"^log (\S+)", (home.log / "policy").read_text(), re.M)
    run("append", home.log, home.contract)
    run("init", tmp_path / "other", "--origin", "bank.example/log", "--device", code=3)
    run("append", home.log, home.contract, code=4, PINGYAO_PKCS11_LIBRARY="")
    run("append", home.log, home.contract, code=3, PINGYAO_PKCS11_PIN="0000000000")
    run("rotate", home.log)
    both = re.findall(r"^log (\S+)", (home.log / "policy").read_text(), re.M)
    assert len(set(both) | set(keys)) == 2
    (tmp_path / "a.txt").write_text("a")
    run("append", home.log, tmp_path / "a.txt")
    run("rotate", home.log, "--retire")
    proof = tmp_path / "a.txt.tlog-proof"
    for vkey in both:
        run("verify", proof, "--vkey", vkey)
    run("fsck", home.log)
    run("witness", "init", tmp_path / "w", "--name", "w.example", "--device")
