"""A sequencer killed at random points, and a log whose bytes are flipped at random."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from pingyao.kernel.errors import PingyaoError
from pingyao.ledger.national import append_head
from pingyao.ledger.store import seen
from pingyao.ledger.store.fsck import fsck

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "ledger"))

from logs import KINDS, entries, new_log, open_log, publish, signers

# Two hundred in all; as many of each kind take minutes: PINGYAO_TRIALS=200.
TRIALS = int(os.environ.get("PINGYAO_TRIALS", "140"))
COSIGNING_TRIALS = int(os.environ.get("PINGYAO_TRIALS", "30"))
MIRROR_TRIALS = int(os.environ.get("PINGYAO_TRIALS", "30"))
FLIPS = 1000


def _killed(script: str, folder: Path, trials: int) -> dict[str, int]:
    words = [sys.executable, Path(__file__).with_name(script), folder, str(trials), "7"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["trials"] == trials
    return told


def test_killed_while_appending_and_while_taking_up_the_log(tmp_path: Path) -> None:
    told = _killed("ledger_killed.py", tmp_path / "log", TRIALS)
    # Each trial waits for what it is about, so that this holds on any machine.
    assert told["appending"] > TRIALS // 2
    assert told["appending"] + told["opening"] == TRIALS
    assert told["opening"] > 0
    assert told["acked"] > told["appending"]
    assert told["heads"] > 0


def test_killed_with_the_witnesses_in_the_midst_of_cosigning(tmp_path: Path) -> None:
    told = _killed("cosigning_killed.py", tmp_path / "place", COSIGNING_TRIALS)
    assert told["working"] + told["unavailable"] >= COSIGNING_TRIALS
    assert told["working"] > 0
    assert told["heads"] > 0


def test_a_mirror_killed_in_the_midst_of_taking_entries(tmp_path: Path) -> None:
    told = _killed("mirror_killed.py", tmp_path / "place", MIRROR_TRIALS)
    assert told["midway"] > 0
    assert told["cosigned"] > 0


def test_every_flipped_byte_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "RUN", 64)
    folder, mark = tmp_path / "log", tmp_path / "log-mark"
    new_log(folder, KINDS).close()
    (folder / "readers").write_text("regulator.example " + "A" * 43 + "=\n")
    with open_log(folder, KINDS) as log:
        for i in range(0, 600, 60):
            log.append(entries(i, 60))
        append_head(log, signers(KINDS)[-1][1])
        log.append(entries(600, 60))
        publish(log)
    assert not fsck(folder, mark).findings
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "lock"]
    files.append(mark / "head")
    names = {p.name for p in files}
    assert {"sm3/head", "sm3/level-1"} <= {f"{p.parent.name}/{p.name}" for p in files}
    assert {"policy", "readers", "policy.sealed"} <= names
    assert {"entries", "checkpoint", "resume.json", "level-0", "level-1", "positions"} <= names
    draw = random.Random(11)
    for _ in range(FLIPS):
        # Small files are drawn as often as large ones.
        path = draw.choice([p for p in files if p.stat().st_size])
        whole = path.read_bytes()
        at, bit = draw.randrange(len(whole)), 1 << draw.randrange(8)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        try:
            found = fsck(folder, mark).findings
        except PingyaoError as error:
            raise AssertionError("a check reports, it does not stop") from error
        assert found, (path.name, at, bit)
        path.write_bytes(whole)
    for path in files:
        whole = path.read_bytes()
        for other in (whole[:-1], whole + b"\0"):
            if whole:
                path.write_bytes(other)
                assert fsck(folder, mark).findings, (path.name, len(other))
        path.write_bytes(whole)
    assert not fsck(folder, mark).findings
