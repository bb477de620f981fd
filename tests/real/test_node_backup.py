"""Backup, restore and check as an operator runs them: exit codes, a full disk, what is never shown."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from pingyao.app.migrations import migrate
from pingyao.platform.db import open_engine

PASSPHRASE = "correct horse battery"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONUTF8": "1",
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PINGYAO_KEYSTORE_PASSPHRASE": PASSPHRASE,
        "PINGYAO_BACKUP_PASSPHRASE": PASSPHRASE,
        "PINGYAO_LEDGER": str(tmp_path / "ledger"),
    }


def run(*words: str, home: dict[str, str], **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from pingyao.app.cli import main; main()", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env=home,
        **more,
    )


@pytest.fixture
def node(tmp_path: Path, home: dict[str, str]) -> Path:
    done = run("ledger", "init", str(tmp_path / "ledger"), "--origin", "b.example/e", home=home)
    assert done.returncode == 0, done.stderr
    done = run(
        *("node", "init", "--institution", "晋阳银行", "--uscc", "91140000MA0AAAAA1K"),
        *("--passwords", str(tmp_path / "once")),
        home=home,
    )
    if done.returncode == 2:  # the check digit of a made-up code
        pytest.fail(done.stderr)
    assert done.returncode == 0, done.stderr
    done = run("ledger", "drain", home=home)
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_an_operator_moves_a_node(node: Path, home: dict[str, str]) -> None:
    done = run("node", "backup", str(node / "b"), "--keys", home=home)
    assert done.returncode == 0, done.stderr
    sums = subprocess.run(
        ["/usr/bin/sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=node / "b", check=False
    )
    assert sums.returncode == 0
    other = {k: v.replace(str(node), str(node / "other")) for k, v in home.items()}
    words = ("node", "restore", str(node / "b"), "--keys")
    done = run(*words, home=other)
    assert done.returncode == 3, done.stderr  # nobody watches this ledger
    assert "--moved" in done.stderr
    assert not (node / "other" / "ledger").exists()
    done = run(*words, "--moved", home=other)
    assert done.returncode == 0, done.stderr
    done = run("ledger", "fsck", str(node / "other" / "ledger"), "--rows", home=other)
    assert done.returncode == 0, done.stdout + done.stderr
    done = run("ledger", "drain", home=other)
    assert done.returncode == 0, done.stderr
    done = run("node", "check", "--json", home=other)
    states = {f["what"]: f["state"] for f in json.loads(done.stdout)}
    assert done.returncode == 0, done.stdout
    assert {states[w] for w in ("database", "schema", "integrity", "audit", "ledger")} == {"ok"}
    assert {states[w] for w in ("node_key", "keystore", "second_factors")} == {"ok"}


def test_a_full_disk_leaves_nothing_half(node: Path, home: dict[str, str]) -> None:
    engine = open_engine(f"sqlite:///{node / 'data' / 'pingyao' / 'pingyao.db'}", migrate)
    with engine.begin() as db:  # what does not fit
        db.execute(
            sa.text("insert into classify_memory values (99, '2026', false, :m, '')"),
            {"m": os.urandom(3 << 20)},
        )
    engine.dispose()

    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    done = run("node", "backup", str(node / "b"), home=home, preexec_fn=small)
    assert done.returncode == 75, done.stderr
    assert "backup.disk_full" in done.stderr
    assert not [p.name for p in node.iterdir() if "b" in p.name.split(".")]
    assert run("node", "backup", str(node / "b"), home=home).returncode == 0


def test_what_is_wrong_is_found(node: Path, home: dict[str, str]) -> None:
    key = node / "data" / "pingyao" / "node.key"
    key.chmod(0o644)
    with (node / "ledger" / "entries").open("r+b") as file:
        file.seek(60)
        file.write(b"\xff\xff\xff")
    old = node / "old.pem"
    old.write_text("no certificate")
    done = run("node", "check", "--tls-cert", str(old), "--json", home=home)
    failed = {f["what"] for f in json.loads(done.stdout) if f["state"] == "failed"}
    assert (done.returncode, failed) == (1, {"node_key", "ledger", "certificate"})
    done = run("node", "check", "--db", f"sqlite:///{node / 'none.db'}", home=home)
    assert done.returncode == 1
    assert not (node / "none.db").exists()
    assert run("node", "restore", str(node / "nothing"), home=home).returncode == 4


def test_a_killed_backup_is_no_backup(node: Path, home: dict[str, str]) -> None:
    script = (
        "import os, pathlib, pingyao.app.backing_up as b\n"
        "b.copy_log = lambda *_: os._exit(9)\n"
        f"from pingyao.app.cli import main; main(['node', 'backup', {str(node / 'b')!r}])"
    )
    done = subprocess.run([sys.executable, "-c", script], env=home, check=False)
    assert done.returncode == 9
    assert not (node / "b").exists()
    assert run("node", "backup", str(node / "b"), home=home).returncode == 0
