"""Kills a sequencer at random points, again and again, and checks what it had acknowledged.

``python ledger_killed.py FOLDER TRIALS SEED``: each trial is a process of its own that appends, signs and
publishes until it is killed; what it acknowledged comes through a pipe. Prints what was checked as JSON.
"""

import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "ledger"))

from logs import new_log, open_log, policy, publish

from pingyao.ledger.store import growing, seen
from pingyao.ledger.store.fsck import fsck
from pingyao.ledger.store.reader import own_head

# Small enough that flushing and merging happen often, and kills fall into them.
seen.RUN = 512
growing._FLUSH_EVERY = 700


def _entry(number: int) -> bytes:
    return b'{"event":%d,"pad":"%s"}' % (number, b"x" * (number * 7919 % 300))


def _work(folder: Path, start: int, seed: int, out: int) -> None:
    draw = random.Random(seed)
    log = open_log(folder)
    number = start
    while True:
        count = draw.choice((1, 3, 64, 256, 300))
        indices = log.append([_entry(n) for n in range(number, number + count)])
        os.write(out, json.dumps(["acked", number, indices]).encode() + b"\n")
        if draw.random() < 0.7:
            os.write(out, json.dumps(["head", publish(log)]).encode() + b"\n")
        number += count


def _trial(folder: Path, start: int, seed: int, seconds: float) -> list[list[object]]:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            _work(folder, start, seed, writing)
        except BaseException as error:
            os.write(writing, json.dumps(["failed", repr(error)]).encode() + b"\n")
        os._exit(1)
    os.close(writing)
    data, deadline = b"", time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            more = os.read(reading, 1 << 20)
            if not more:
                break
            data += more
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reading, 1 << 20):
        data += more
    os.close(reading)
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


def main(folder: Path, trials: int, seed: int) -> None:
    draw = random.Random(seed)
    new_log(folder).close()
    acked: dict[int, int] = {}
    heads: list[str] = []
    idle = 0
    for trial in range(trials):
        # From the last acknowledged on, as a submitter does that heard nothing.
        start = max(acked, default=-1) + 1 - draw.choice((0, 0, 1, 50))
        told = _trial(folder, max(start, 0), seed + trial, draw.uniform(0.002, 0.15))
        idle += not told
        for kind, *what in told:
            if kind == "failed":
                raise AssertionError(what[0])
            if kind == "head":
                heads.append(what[0])
                continue
            number, indices = what
            for n, index in enumerate(indices, number):
                assert acked.setdefault(n, index) == index, "an entry moved"
    with open_log(folder) as log:
        publish(log)
        assert sorted(acked.values()) == sorted(set(acked.values())), "two entries in one place"
        held = log.entries(0, log.size)
        assert len(set(held)) == len(held), "an entry stands twice"
        for number, index in acked.items():
            assert held[index] == _entry(number), "an acknowledged entry was lost"
        sizes = []
        for note in heads:
            head = own_head(note, policy())
            assert log.root(head.size) == head.root, "a forked head"
            sizes.append(head.size)
        assert sizes == sorted(sizes), "a smaller head"
    found = fsck(folder, folder.with_name(folder.name + "-mark"))
    assert not found.findings, found.findings
    print(
        json.dumps(
            {
                "trials": trials,
                "acked": len(acked),
                "held": found.entries,
                "heads": len(heads),
                "idle": idle,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
