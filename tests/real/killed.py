"""Scans a source in one run, then again and again in processes killed without warning.

``python killed.py SOURCE FOLDER TRIALS SEED``: prints what happened as JSON. Everything is loaded
once; each process is a fork, so that death and not loading takes the time.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import msgspec
import pyarrow as pa

from pingyao.classify.journal import FileJournal
from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.rules import values
from pingyao.classify.service import scan
from pingyao.classify.sources.open import open_source

MOST_KILLS = 3


def begin(spec: str, journal: Path, result: Path) -> int:
    """Begins or goes on with a scan in a process of its own; its result has no times in it."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        with FileJournal(journal, resume=True, every=0.0) as kept:
            found = scan(open_source(spec), load_knowledge(), journal=kept)
        body = msgspec.to_builtins(found)
        del body["started_at"], body["finished_at"]
        result.write_bytes(msgspec.json.encode(body))
        status = 0
    finally:
        os._exit(status)


def main(spec: str, folder: Path, trials: int, seed: int) -> None:
    """Runs the trials."""
    load_knowledge()
    values.profile(pa.array(["13800138000"]))
    random_ = random.Random(seed)
    began = time.monotonic()
    assert os.waitpid(begin(spec, folder / "j", folder / "whole"), 0)[1] == 0
    span = time.monotonic() - began
    whole = (folder / "whole").read_bytes()
    told = {"interrupted": 0, "within_a_table": 0, "different": 0}
    for trial in range(trials):
        journal, result = folder / f"j{trial}", folder / f"r{trial}"
        for kill in range(MOST_KILLS + 1):
            pid = begin(spec, journal, result)
            if kill < MOST_KILLS:
                time.sleep(random_.uniform(0, span))
                os.kill(pid, signal.SIGKILL)
            killed = os.waitpid(pid, 0)[1] == signal.SIGKILL
            told["interrupted"] += killed
            told["within_a_table"] += killed and (journal / "current.json").exists()
            if not killed:
                break
        told["different"] += not result.exists() or result.read_bytes() != whole
    print(json.dumps(told))


main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
