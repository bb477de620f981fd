"""Killed without warning in the middle, again and again, a scan still ends as if in one run."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from pingyao.app.example.generate import generate

TRIALS = int(os.environ.get("PINGYAO_KILL_TRIALS", "5"))
PROGRAM = Path(__file__).with_name("killed.py")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed") / "bank"
    generate(folder, 4_000, 5)
    rows = (f"{i},138{i * 7919 % 10**8:08d},回电13900{i % 10**6:06d}\n" for i in range(300_000))
    (folder / "big.csv").write_text("xh,sjhm,bz\n" + "".join(rows), "utf-8")
    return folder


def begin(bank: Path, journal: Path, result: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, PROGRAM, bank, journal, result])


def test_killed_in_the_middle_it_gives_the_result_of_one_run(bank: Path, tmp_path: Path) -> None:
    assert begin(bank, tmp_path / "j", tmp_path / "whole").wait(120) == 0
    whole = (tmp_path / "whole").read_bytes()
    random_ = random.Random(11)
    interrupted = went_on = 0
    for trial in range(TRIALS):
        journal, result = tmp_path / f"j{trial}", tmp_path / f"r{trial}"
        for _ in range(3):
            process = begin(bank, journal, result)
            try:
                process.wait(random_.uniform(0.8, 2.6))
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                interrupted += 1
                went_on += (journal / "done.jsonl").exists()
        if not result.exists():
            assert begin(bank, journal, result).wait(120) == 0
        assert result.read_bytes() == whole
    assert interrupted
    assert went_on
