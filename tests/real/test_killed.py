"""Killed without warning in the middle, again and again, a scan still ends as if in one run."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pingyao.app.example.generate import generate

TRIALS = int(os.environ.get("PINGYAO_KILL_TRIALS", "25"))
PROGRAM = Path(__file__).with_name("killed.py")


def survives(spec: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, spec, folder, str(TRIALS), "11"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert told["different"] == 0
    assert told["interrupted"] >= TRIALS
    assert told["within_a_table"] > 0


def test_files(tmp_path: Path) -> None:
    bank = tmp_path / "bank"
    generate(bank, 500, 5)
    rows = (f"{i},138{i * 7919 % 10**8:08d},回电13900{i % 10**6:06d}\n" for i in range(140_000))
    (bank / "big.csv").write_text("xh,sjhm,bz\n" + "".join(rows), "utf-8")
    survives(str(bank), tmp_path)


def test_a_database(
    postgresql_server, postgresql_database: str, run_postgresql: Callable[..., None], tmp_path: Path
) -> None:
    made = "SELECT n, '138' || lpad((n * 7919 % 100000000)::text, 8, '0'), md5(n::text)"
    run_postgresql(
        postgresql_database,
        *(
            f"CREATE TABLE {name} AS {made} FROM generate_series(1, {rows}) n (n)"
            for name, rows in (("a", 1_000), ("b", 140_000), ("c", 1_000))
        ),
    )
    survives(postgresql_server.url(postgresql_database), tmp_path)
