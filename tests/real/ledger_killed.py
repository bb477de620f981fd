"""Kills a sequencer at random points, again and again, and checks what it had acknowledged.

``python ledger_killed.py FOLDER TRIALS SEED``: each trial is a process of its own that opens the log, appends,
signs and publishes; it is killed after it acknowledged some batches, or while it takes the log up again.
Prints what was checked as JSON.
"""

import json
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "ledger"))

from logs import new_log, open_log, policy, publish
from watched import Tell, Watched

from pingyao.ledger.store import growing, seen
from pingyao.ledger.store.fsck import fsck
from pingyao.ledger.store.reader import own_head

# Small enough that flushing and merging happen often, and kills fall into them.
seen.RUN = 512
growing._FLUSH_EVERY = 700


def _entry(number: int) -> bytes:
    return b'{"event":%d,"pad":"%s"}' % (number, b"x" * (number * 7919 % 300))


def _work(folder: Path, start: int, seed: int, tell: Tell) -> None:
    draw = random.Random(seed)
    tell("opening")
    at = time.monotonic()
    log = open_log(folder)
    tell("open", time.monotonic() - at)
    number = start
    while True:
        count = draw.choice((1, 3, 64, 256, 300))
        indices = log.append([_entry(n) for n in range(number, number + count)])
        tell("acked", number, indices)
        if draw.random() < 0.7:
            tell("head", publish(log))
        number += count


def main(folder: Path, trials: int, seed: int) -> None:
    draw = random.Random(seed)
    new_log(folder).close()
    acked: dict[int, int] = {}
    heads: list[str] = []
    took, appending = 0.01, 0
    for trial in range(trials):
        # From the last acknowledged on, as a submitter does that heard nothing.
        start = max(max(acked, default=-1) + 1 - draw.choice((0, 0, 1, 50)), 0)
        child = Watched(lambda tell, at=start, s=seed + trial: _work(folder, at, s, tell))
        # One in four while it takes up the log, the others in the midst of appending.
        if draw.random() < 0.25:
            child.wait_for("opening", 1)
            told = child.kill(draw.uniform(0, took))
        else:
            child.wait_for("acked", draw.randrange(1, 12))
            told = child.kill(draw.uniform(0, 0.01))
        took = max([took, *(what[1] for what in told if what[0] == "open")])
        appending += child.count("acked") > 0
        for kind, *what in told:
            if kind == "head":
                heads.append(what[0])
            elif kind == "acked":
                for n, index in enumerate(what[1], what[0]):
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
                "appending": appending,
                "opening": trials - appending,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
