"""Keys rotated as people type it: old verifiers follow offline, and nobody is led astray."""

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from pingyao.kernel.errors import IntegrityBroken, Invalid
from pingyao.ledger.formats.note import verifier_key
from pingyao.ledger.formats.rotation import follow, read_rotation, rotate, succeed
from pingyao.ledger.model import ED25519, ED25519_COSIGNATURE, ML_DSA_44_COSIGNATURE, SM2, Policy
from pingyao.ledger.store.fsck import fsck
from pingyao.platform.crypto.signers import open_signer
from witnessed import LOG, LOG_KEY, ORIGIN, OTHER, cosigner, key_of

sys.path.insert(0, str(Path(__file__).parent))

from test_ledger_cli import Home


@contextlib.contextmanager
def witness(home: Home, folder: Path) -> Generator[str]:
    words = [sys.executable, "-c", "from pingyao.app.cli import main; main()", "ledger", "witness"]
    process = subprocess.Popen(
        [*words, "serve", str(folder), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=home.environment(),
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_the_logs_key_is_rotated_and_verifiers_follow(tmp_path: Path) -> None:
    home = Home(tmp_path)
    old, new, both = tmp_path / "old", tmp_path / "new", tmp_path / "both"
    home.must("init", home.log, "--origin", "bank.example/evidence")
    shutil.copy(home.log / "policy", old)
    home.must("append", home.log, home.contract)
    before = tmp_path / "合同.docx.tlog-proof"
    told = home.must("rotate", home.log)
    assert "第 1 条" in told
    rotation = home.log / "rotations" / "1.tlog-proof"
    assert home.run("rotate", home.log).returncode == 3  # the overlap is on
    # In the overlap both verify what is new.
    paths = [tmp_path / n for n in ("a.txt", "b.txt")]
    for path in paths:
        path.write_text(path.name)
    home.must("append", home.log, paths[0])
    shutil.copy(home.log / "policy", both)
    home.must("trust", old, rotation, "--out", new)
    for policy in (old, new, both):
        home.must("verify", tmp_path / "a.txt.tlog-proof", "--policy", policy)
    assert "只用新密钥" in home.must("rotate", home.log, "--retire")
    assert home.run("rotate", home.log, "--retire").returncode == 4
    home.must("append", home.log, paths[1])
    for policy, proof, code in [
        (old, "b.txt.tlog-proof", 5),
        (new, "b.txt.tlog-proof", 0),
        (old, "合同.docx.tlog-proof", 0),
        (new, "合同.docx.tlog-proof", 5),
    ]:
        assert home.run("verify", tmp_path / proof, "--policy", policy).returncode == code
    # Once more: the next key, and a verifier that slept through both.
    home.must("rotate", home.log)
    second = next(p for p in (home.log / "rotations").iterdir() if p != rotation)
    home.must("rotate", home.log, "--retire")
    home.must("trust", old, rotation, second, "--out", tmp_path / "newest")
    assert home.run("trust", old, second, "--out", tmp_path / "x").returncode == 5
    assert home.run("trust", new, rotation, "--out", tmp_path / "x").returncode == 2
    assert home.run("trust", old, before, "--out", tmp_path / "x").returncode == 5
    assert not (tmp_path / "x").exists()
    home.must("fsck", home.log)


def test_an_interrupted_rotation_is_finished(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.must("init", home.log, "--origin", "bank.example/evidence")
    plain = (home.log / "policy").read_text()
    # The quorum is not to be had: the rotation is begun and waits.
    vkey = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
    waiting = plain.replace("quorum none", f"witness W {vkey}\nquorum W")
    (home.log / "policy").write_text(waiting)
    assert home.run("rotate", home.log).returncode == 75
    assert home.run("rotate", home.log, "--retire").returncode == 3
    text = (home.log / "policy").read_text()
    assert text.count("log ") == 2
    (home.log / "policy").write_text(text.replace(f"witness W {vkey}\nquorum W", "quorum none"))
    assert "第 0 条" in home.must("rotate", home.log)
    home.must("rotate", home.log, "--retire")
    assert not (home.log / "rotation.pending").exists()
    assert not fsck(home.log).findings


def test_a_witness_is_rotated_under_a_running_log(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.must("init", home.log, "--origin", "bank.example/evidence")
    folder, file, old = tmp_path / "witness", tmp_path / "rotation", tmp_path / "old"
    told = home.must("witness", "init", folder, "--name", "w.example", "--algorithm", "ed25519")
    vkey = re.search(r"w\.example\+\S+", told)
    assert vkey is not None
    line = (home.log / "policy").read_text().splitlines()[0]
    with (folder / "policy").open("a") as policy:
        policy.write(line + "\n")

    def policy_with(url: str) -> str:
        text = (home.log / "policy").read_text()
        return re.sub(r"http://\S+", url, text)

    with witness(home, folder) as url:
        (home.log / "policy").write_text(f"{line}\nwitness W {vkey[0]} {url}\nquorum W\n")
        shutil.copy(home.log / "policy", old)
        home.must("append", home.log, home.contract)
        home.must("witness", "rotate", folder, "--out", file)
        assert home.run("witness", "rotate", folder, "--out", file).returncode == 3
    with witness(home, folder) as url:
        (home.log / "policy").write_text(policy_with(url))
        home.must("rotate", home.log, "--accept", file)
        assert home.run("rotate", home.log, "--accept", file).returncode == 3
        (tmp_path / "a.txt").write_text("a")
        home.must("append", home.log, tmp_path / "a.txt")
        home.must("trust", old, home.log / "rotations" / "1.tlog-proof", "--out", tmp_path / "new")
        for trust in (old, tmp_path / "new"):
            home.must("verify", tmp_path / "a.txt.tlog-proof", "--policy", trust)
        home.must("rotate", home.log, "--retire")
        # The log's own key next: witnesses that do not know it yet keep the old one from being dropped.
        home.must("rotate", home.log)
        assert home.run("rotate", home.log, "--retire").returncode == 75
        home.must("witness", "rotate", folder, "--retire")
    proof = max((home.log / "rotations").iterdir(), key=lambda p: int(p.stem))
    # A witness demands no quorum of others.
    home.must("trust", folder / "policy", proof, "--out", folder / "policy")
    with witness(home, folder) as url:
        (home.log / "policy").write_text(policy_with(url))
        home.must("rotate", home.log, "--retire")
        (tmp_path / "b.txt").write_text("b")
        home.must("append", home.log, tmp_path / "b.txt")
    assert home.run("verify", tmp_path / "b.txt.tlog-proof", "--policy", old).returncode == 5


@pytest.mark.parametrize("kind", [ED25519, ED25519_COSIGNATURE, ML_DSA_44_COSIGNATURE, SM2])
def test_both_keys_must_say_so(kind) -> None:
    signers = [open_signer(kind.algorithm, bytes([n]) * 32) for n in (3, 4, 5)]
    old, new, _ = (verifier_key("w.example", kind, s.public_key) for s in signers)
    entry = rotate(old, new, signers[0], signers[1])
    assert read_rotation(entry) == (old, new)
    for wrong in (
        rotate(old, new, signers[2], signers[1]),
        rotate(old, new, signers[0], signers[2]),
        rotate(old, new, signers[1], signers[0]),
        rotate(old, old, signers[0], signers[0]),
        entry.replace(b"w.example+", b"x.example+"),
        b"{}",
        b"\xff",
        b"",
    ):
        with pytest.raises(IntegrityBroken):
            read_rotation(wrong)


def test_one_name_and_kind_stays() -> None:
    old = verifier_key("a.example", ED25519, LOG.public_key)
    for new in (
        verifier_key("b.example", ED25519, OTHER.public_key),
        verifier_key("a.example", ED25519_COSIGNATURE, OTHER.public_key),
    ):
        with pytest.raises(IntegrityBroken):
            read_rotation(rotate(old, new, LOG, OTHER))


def test_a_policy_follows_only_keys_it_trusts() -> None:
    new = verifier_key(ORIGIN, ED25519, OTHER.public_key)
    w = key_of(cosigner(1))
    policy = Policy((LOG_KEY,), {"w": w}, {}, "w")
    after = succeed(policy, LOG_KEY, new)
    assert (after.logs, after.witnesses) == ((new,), {"w": w})
    assert succeed(policy, w, key_of(cosigner(2))).witnesses == {"w": key_of(cosigner(2))}
    for stranger, to in ((new, LOG_KEY), (LOG_KEY, LOG_KEY), (LOG_KEY, w)):
        with pytest.raises(Invalid):
            succeed(policy, stranger, to)
    with pytest.raises(IntegrityBroken):
        follow(policy, [b""])
    assert follow(policy, []) == policy
