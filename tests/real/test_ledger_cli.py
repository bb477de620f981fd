"""The ledger's commands as a person runs them: output, exit codes, what is never written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PASSPHRASE = "平遥 票号 试验 用口令 2026"


class Home:
    """One user's machine: a home, a keystore, and documents."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.contract = folder / "合同.docx"
        self.contract.write_bytes(b"the contract, as signed\n" * 1000)

    def run(self, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from pingyao.app.cli import main; main()", "ledger"]
            + [str(w) for w in words],
            capture_output=True,
            text=True,
            timeout=120,
            env=self.environment() | environment,
        )

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONUTF8": "1",
            "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "PINGYAO_KEYSTORE_PASSPHRASE": PASSPHRASE,
        }

    def must(self, *words: object) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("bank"))
    kinds = ["--algorithm", "ed25519", "--algorithm", "ml-dsa-44", "--algorithm", "sm2"]
    home.must("init", home.log, "--origin", "bank.example/evidence", *kinds)
    for name in ("a.txt", "b.txt"):
        (home.folder / name).write_text(name)
    told = home.must(
        "append", home.log, home.contract, "--member", "示例银行", "--operator", "经办甲"
    )
    assert "合同.docx：第 0 条" in told
    home.must("append", home.log, home.folder / "a.txt", home.folder / "b.txt")
    return home


def _proof(home: Home) -> Path:
    return home.folder / "合同.docx.tlog-proof"


def test_a_file_is_verified_offline_by_somebody_else(home: Home, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.write_bytes((home.log / "policy").read_bytes())
    stranger = Home(tmp_path)
    told = stranger.must("verify", _proof(home), "--policy", policy, "--file", home.contract)
    for words in ("核验通过", "示例银行", "经办甲", "合同.docx", "与登记的一致", "账本签名"):
        assert words in told
    vkey = policy.read_text().split()[1]
    rows = json.loads(stranger.must("verify", _proof(home), "--vkey", vkey, "--json"))
    assert (rows["index"], rows["size"], rows["file_matches"]) == (0, 1, False)
    assert rows["event"]["body"]["size"] == 24_000
    assert len(rows["signed"]) == 1


def test_another_file_is_told_apart(home: Home, tmp_path: Path) -> None:
    other = tmp_path / "合同.docx"
    other.write_bytes(home.contract.read_bytes()[:-1] + b"!")
    done = home.run("verify", _proof(home), "--policy", home.log / "policy", "--file", other)
    assert done.returncode == 5
    assert "ledger.another_file" in done.stderr


def test_every_changed_byte_of_a_proof_is_refused(home: Home, tmp_path: Path) -> None:
    from pingyao.kernel.errors import IntegrityBroken
    from pingyao.ledger.formats.opening import read_opening
    from pingyao.ledger.formats.tlog_policy import parse_policy
    from pingyao.ledger.formats.tlog_proof import parse_proof, verify_proof
    from pingyao.ledger.rules.tree import leaf_hash

    policy = parse_policy((home.log / "policy").read_bytes())
    whole = _proof(home).read_bytes()

    def verify(data: bytes) -> None:
        proof = parse_proof(data)
        entry, _ = read_opening(proof.extra) or (b"", None)
        verify_proof(proof, leaf_hash(entry), policy)

    verify(whole)
    passed = []
    for at in range(0, len(whole), 5):
        try:
            verify(whole[:at] + bytes([whole[at] ^ 2]) + whole[at + 1 :])
        except IntegrityBroken:
            continue
        passed.append(at)
    # A signature whose key name or ID was changed is a stranger's, and strangers are passed over:
    # what is left is signed by the log all the same.
    lines = whole.decode().split("\n")
    start = len("\n".join(lines[: lines.index("")]).encode())
    assert all(at > start for at in passed)
    assert len(passed) < 60

    broken = tmp_path / "broken.tlog-proof"
    broken.write_bytes(whole.replace(b"\n1\n", b"\n2\n"))
    done = home.run("verify", broken, "--policy", home.log / "policy")
    assert done.returncode == 5
    broken.write_bytes(b"")
    assert home.run("verify", broken, "--policy", home.log / "policy").returncode == 5


def test_the_log_holds_nothing_in_clear(home: Home) -> None:
    secrets = ["合同", "经办甲", "24000", "a.txt", "the contract"]
    for path in home.log.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [s for s in secrets if s.encode() in data], path
    for path in (home.folder / "data").rglob("*"):
        assert path.is_dir() or path.stat().st_mode & 0o077 == 0


def test_a_proof_by_number_shows_no_facts(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "1.tlog-proof"
    home.must("prove", home.log, 1, "--out", out)
    told = home.must("verify", out, "--policy", home.log / "policy")
    assert "第 1 条" in told
    assert "SHA-256" not in told
    done = home.run("verify", out, "--policy", home.log / "policy", "--file", home.folder / "a.txt")
    assert (done.returncode, "ledger.no_facts" in done.stderr) == (2, True)
    assert home.run("prove", home.log, 3, "--out", out).returncode == 4
    assert home.run("prove", home.log, -1, "--out", out).returncode == 4


def test_the_wrong_trust_is_refused(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path)
    other.must("init", other.log, "--origin", "bank.example/evidence")
    done = other.run("verify", _proof(home), "--policy", other.log / "policy")
    assert (done.returncode, "ledger.note.unsigned" in done.stderr) == (5, True)
    assert home.run("verify", _proof(home)).returncode == 2
    assert home.run("verify", _proof(home), "--vkey", "nonsense").returncode == 2
    assert home.run("verify", tmp_path / "none", "--policy", home.log / "policy").returncode == 4


def test_fsck_and_a_damaged_log(home: Home, tmp_path: Path) -> None:
    import shutil

    assert "全部相符" in home.must("fsck", home.log)
    copy = tmp_path / "copy"
    shutil.copytree(home.log, copy)
    path = copy / "entries"
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    done = home.run("fsck", copy)
    assert done.returncode == 5
    assert "不符" in done.stdout
    assert home.run("fsck", tmp_path).returncode == 4


def test_waiting_for_a_quorum_keeps_what_is_needed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.must("init", home.log, "--origin", "bank.example/evidence")
    plain = (home.log / "policy").read_text()
    vkey = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
    waiting = plain.replace("quorum none", f"witness W {vkey}\nquorum W")
    (home.log / "policy").write_text(waiting)
    for _ in range(2):
        done = home.run("append", home.log, home.contract)
        assert (done.returncode, "ledger.not_final" in done.stderr) == (3, True)
        assert not (home.log / "checkpoint").exists()
    opening = tmp_path / "合同.docx.tlog-opening"
    assert opening.stat().st_mode & 0o077 == 0
    # Its facts were not lost, and the second run recorded nothing twice.
    (home.log / "policy").write_text(plain)
    home.must("append", home.log, home.folder / "log" / "policy", "--out", tmp_path / "p")
    home.must("prove", home.log, "--opening", opening, "--out", _proof(home))
    told = home.must(
        "verify", _proof(home), "--policy", home.log / "policy", "--file", home.contract
    )
    assert "第 0 条（检查点共 2 条）" in told


def test_what_cannot_be_done_is_said(home: Home, tmp_path: Path) -> None:
    assert home.run("init", home.log, "--origin", "x").returncode == 2
    other = Home(tmp_path)
    assert other.run("init", other.log, "--origin", "two words").returncode == 2
    assert other.run("init", other.log, "--origin", "x", "--algorithm", "sm2").returncode == 2
    assert other.run("append", other.log, other.contract).returncode == 4
    assert home.run("append", home.log, tmp_path / "none").returncode == 4
    assert home.run("append", home.log, tmp_path).returncode == 2
    same = home.run("append", home.log, home.contract, tmp_path / "合同.docx", "--out", tmp_path)
    assert (same.returncode, "ledger.same_name" in same.stderr) == (2, True)
    wrong = home.run("append", home.log, home.contract, PINGYAO_KEYSTORE_PASSPHRASE="wrong one")
    assert wrong.returncode == 3
    assert PASSPHRASE not in wrong.stderr


def test_the_export_is_what_others_serve(home: Home, tmp_path: Path) -> None:
    home.must("export", home.log, tmp_path / "out")
    found = {
        str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()
    }
    assert found == {"checkpoint", "tile/0/000.p/3", "tile/entries/000.p/3"}


def test_an_entry_is_proved_in_the_national_tree(tmp_path: Path) -> None:
    home = Home(tmp_path)
    policy, proof = home.log / "policy", tmp_path / "0.sm3-proof"
    kinds = ["--algorithm", "ed25519", "--algorithm", "sm2"]
    home.must("init", home.log, "--origin", "bank.example/evidence", *kinds)
    home.must("append", home.log, home.contract)
    assert home.run("sm3", home.log, "--prove", 0, "--out", proof).returncode == 3
    assert "第 1 条" in home.must("sm3", home.log)
    home.must("sm3", home.log, "--prove", 0, "--out", proof)
    assert "国密树头共 1 条" in home.must("verify", proof, "--policy", policy)
    assert json.loads(home.must("verify", proof, "--policy", policy, "--json"))["tree"] == "sm3"
    for words, code in [
        (("sm3", home.log, "--prove", 1, "--out", proof), 3),
        (("sm3", home.log, "--prove", 9, "--out", proof), 4),
        (("sm3", home.log, "--prove", 0), 2),
        (("sm3", home.log, "--check", "--prove", 0, "--out", proof), 2),
    ]:
        assert home.run(*words).returncode == code, words
    home.must("sm3", home.log, "--check")
    home.must("fsck", home.log)
    proof.write_bytes(proof.read_bytes().replace(b"index 0", b"index 1"))
    assert home.run("verify", proof, "--policy", policy).returncode == 5
