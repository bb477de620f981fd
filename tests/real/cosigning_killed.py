"""Kills a sequencer and its witnesses at random points, again and again, and checks what each had said.

``python cosigning_killed.py FOLDER TRIALS SEED``: in each trial one process appends while two of three witness
processes must cosign; then one or all are killed. Some run out of disk, and every witness has another clock.
Prints what was checked as JSON.
"""

import json
import random
import socket
import sys
import time
import types
from pathlib import Path

import uvicorn  # noqa: F401  # before the processes part, so that none of them loads it again

sys.path.insert(0, str(Path(__file__).parents[1]))

from watched import Tell, Watched

from pingyao.kernel.errors import Unavailable
from pingyao.ledger import http as edge
from pingyao.ledger import service
from pingyao.ledger.cosigning import Cosigning
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.formats.tlog_proof import verify_head
from pingyao.ledger.model import ED25519, Group, Policy
from pingyao.ledger.store import growing, seen
from pingyao.ledger.store.fsck import fsck
from pingyao.ledger.store.writer import Log, create_log
from pingyao.ledger.witness_store import WitnessStore
from pingyao.platform.asgi import listen, make_server
from witnessed import LOG, LOG_KEY, LOGS, ORIGIN, cosigner, key_of

# Small enough that flushing falls into the time of a trial.
seen.RUN = 512
growing._FLUSH_EVERY = 700
WITNESSES = 3


def _entry(number: int) -> bytes:
    return b'{"event":%d,"pad":"%s"}' % (number, b"x" * (number * 7919 % 300))


def _witness(folder: Path, number: int, listener: socket.socket, now: float) -> None:
    edge.time = types.SimpleNamespace(time=lambda: now)
    store = WitnessStore(folder / f"witness-{number}.db")
    make_server(edge.witness(LOGS, [cosigner(number)], store)).run(sockets=[listener])


def _work(folder: Path, policy: Policy, start: int, seed: int, tell: Tell) -> None:
    draw, number = random.Random(seed), start
    try:
        with Cosigning(policy, seconds=1, patience=1) as asked:
            heads = asked.heads(ORIGIN)
            keys = [(ED25519, LOG)]
            with (
                Log(folder / "log", keys, mark=folder / "mark", heads=heads) as log,
                service.Sequencer(log, asked, wait=0.001) as sequencer,
            ):
                while True:
                    count = draw.choice((1, 3, 64, 256))
                    told = sequencer.submit([_entry(n) for n in range(number, number + count)])
                    tell("acked", number, told.durable.result(20))
                    if draw.random() < 0.5:
                        tell("head", told.final.result(20))
                    number += count
    except Unavailable as error:
        tell("unavailable", error.code)


def main(folder: Path, trials: int, seed: int) -> None:
    draw = random.Random(seed)
    listeners = [listen("127.0.0.1", 0) for _ in range(WITNESSES)]
    names = [f"w{n}" for n in range(WITNESSES)]
    policy = Policy(
        (LOG_KEY,),
        {n: key_of(cosigner(i)) for i, n in enumerate(names)},
        {"two": Group(2, tuple(names))},
        "two",
        {
            n: f"http://127.0.0.1:{s.getsockname()[1]}"
            for n, s in zip(names, listeners, strict=True)
        },
    )
    folder.mkdir()
    create_log(folder / "log", format_policy(policy))
    witnesses: dict[int, Watched] = {}
    stood = [(0, 0)] * WITNESSES
    acked: dict[int, int] = {}
    heads: list[str] = []
    said = {"unavailable": 0, "working": 0}
    for trial in range(trials):
        for number in set(range(WITNESSES)) - set(witnesses):
            room = draw.choice((None, None, None, 60_000))
            now = draw.uniform(1_600_000_000, 1_800_000_000)
            listener = listeners[number]
            witnesses[number] = Watched(
                lambda _, n=number, s=listener, at=now: _witness(folder, n, s, at), room
            )
        start = max(max(acked, default=-1) + 1 - draw.choice((0, 0, 1, 50)), 0)
        held = (folder / "log" / "entries").stat().st_size if acked else 0
        room = draw.choice((None, None, None, None, held + 100_000))
        child = Watched(
            lambda tell, at=start, s=seed + trial: _work(folder, policy, at, s, tell), room
        )
        # It is at work when it is killed, unless it was told to stop: no room, no quorum.
        child.wait_for(*draw.choice((("acked", 1), ("acked", draw.randrange(2, 9)), ("head", 1))))
        time.sleep(draw.uniform(0, 0.02))
        # One of the witnesses in the midst of it, and the log goes on with the two that are left.
        victims = draw.choice(([], [0], [1], [2], [0, 1], [0, 1, 2]))
        for number in victims:
            witnesses.pop(number).kill()
        said["working"] += child.count("acked") > 0
        for kind, *what in child.kill(draw.uniform(0, 0.1)):
            if kind == "unavailable":
                said["unavailable"] += 1
            elif kind == "head":
                heads.append(what[0])
            else:
                for n, index in enumerate(what[1], what[0]):
                    assert acked.setdefault(n, index) == index, "an entry moved"
        for number in victims:
            store = WitnessStore(folder / f"witness-{number}.db")
            latest = store.latest(ORIGIN)
            assert not store.suspicions(ORIGIN), "a fork was offered"
            store.close()
            now_at = (latest.size, latest.at) if latest else (0, 0)
            assert now_at >= stood[number], "a witness went back"
            assert now_at[1] >= stood[number][1], "its clock went back in the log"
            stood[number] = now_at
    for child in witnesses.values():
        child.kill()
    _check(folder, policy, acked, heads)
    print(json.dumps({"trials": trials, "acked": len(acked), "heads": len(heads), **said}))


def _check(folder: Path, policy: Policy, acked: dict[int, int], heads: list[str]) -> None:
    with Log(folder / "log", [(ED25519, LOG)], mark=folder / "mark") as log:
        assert len(set(acked.values())) == len(acked), "two entries in one place"
        held = log.entries(0, log.size)
        assert len(set(held)) == len(held), "an entry stands twice"
        for number, index in acked.items():
            assert held[index] == _entry(number), "an acknowledged entry was lost"
        sizes: list[int] = []
        for note in heads:
            head, _ = verify_head(note, policy)
            assert log.root(head.size) == head.root, "a forked head"
            sizes.append(head.size)
        assert sizes == sorted(sizes), "a smaller head"
        for number in range(WITNESSES):
            store = WitnessStore(folder / f"witness-{number}.db")
            latest = store.latest(ORIGIN)
            store.close()
            if latest is not None:
                assert log.root(latest.size) == latest.root, "a witness is on another tree"
    assert not fsck(folder / "log", folder / "mark").findings


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
