"""Kills a mirror while it takes entries, again and again, and checks what it had cosigned.

``python mirror_killed.py FOLDER TRIALS SEED``: in each trial the log grows by more than one request carries,
and the mirror is killed after it stored some of it; started again, it goes on. Prints what was checked as JSON.
"""

import json
import random
import socket
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import uvicorn  # noqa: F401  # before the processes part, so that none of them loads it again

sys.path.insert(0, str(Path(__file__).parents[1]))

from watched import Watched

from pingyao.kernel.errors import Unavailable
from pingyao.ledger import cosigning
from pingyao.ledger import http as edge
from pingyao.ledger.cosigning import Cosigning
from pingyao.ledger.formats.note import format_line
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.formats.tlog_proof import verify_head
from pingyao.ledger.formats.tlog_witness import origin_hash
from pingyao.ledger.mirror import Mirror
from pingyao.ledger.model import ED25519, Policy
from pingyao.ledger.store import growing
from pingyao.ledger.store.fsck import fsck
from pingyao.ledger.store.reader import read_checkpoint
from pingyao.ledger.store.writer import Log, create_log
from pingyao.ledger.witness_store import WitnessStore
from pingyao.platform.asgi import listen, make_server
from witnessed import LOG, LOG_KEY, LOGS, ORIGIN, cosigner, key_of

# Small enough that one trial takes several requests, and flushing falls into it.
growing._FLUSH_EVERY = 700
cosigning.MOST_PACKAGES = 2
OWN = cosigner(9)


def _serve(folder: Path, listener: socket.socket) -> None:
    with (
        closing(WitnessStore(folder / "pending.db")) as store,
        closing(Mirror(folder / origin_hash(ORIGIN), [LOG_KEY], [OWN], store, time.time)) as mirror,
    ):
        make_server(edge.mirror(LOGS, {ORIGIN: mirror}, store)).run(sockets=[listener])


class _Asked(threading.Thread):
    """Goes on asking the mirror until it has cosigned."""

    def __init__(self, policy: Policy, log: Log) -> None:
        super().__init__()
        self._policy, self._log = policy, log
        self.note = ""
        self.start()

    def run(self) -> None:
        head, note = self._log.sign()
        with Cosigning(self._policy, seconds=10, patience=20) as cosigning:
            while not self.note:
                try:
                    lines = cosigning.cosign(self._log, head, note)
                except Unavailable:
                    time.sleep(0.02)
                    continue
                self.note = note + "".join(map(format_line, lines))


def main(folder: Path, trials: int, seed: int) -> None:
    draw = random.Random(seed)
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    policy = Policy((LOG_KEY,), {"m": key_of(OWN)}, {}, "m", {"m": url})
    mirrored = folder / "mirror" / origin_hash(ORIGIN)
    (folder / "mirror").mkdir(parents=True)
    create_log(folder / "log", format_policy(policy))
    midway = cosigned = 0
    with Log(folder / "log", [(ED25519, LOG)], mark=folder / "mark") as log:
        for _ in range(trials):
            count = draw.randrange(600, 3000)
            log.append([b"%d %d" % (log.size + i, seed) for i in range(count)])
            before = mirrored / "entries"
            held = before.stat().st_size if before.exists() else 0
            mirror = Watched(lambda _: _serve(folder / "mirror", listener))
            asked = _Asked(policy, log)
            # After it stored some of what it lacks, be it the first or the last of it.
            more = draw.randrange(count * 8)
            until = time.monotonic() + 60
            while asked.is_alive() and time.monotonic() < until:
                if before.exists() and before.stat().st_size - held > more:
                    break
                time.sleep(0.0005)
            mirror.kill(draw.choice((0, 0, draw.uniform(0, 0.01))))
            midway += not asked.note
            _check(mirrored, asked.note, policy)
            mirror = Watched(lambda _: _serve(folder / "mirror", listener))
            asked.join(60)
            assert asked.note, "it did not go on"
            mirror.kill()
            cosigned += 1
            _check(mirrored, asked.note, policy)
            head, _ = verify_head(asked.note, policy)
            assert head.size == log.size
            log.publish(asked.note)
    found = fsck(mirrored)
    assert not found.findings, found.findings
    print(json.dumps({"trials": trials, "cosigned": cosigned, "midway": midway}))


def _check(mirrored: Path, note: str, policy: Policy) -> None:
    """What was cosigned is held: it opens, and refuses to if it held less than it said."""
    with (
        closing(WitnessStore(mirrored.parent / "pending.db")) as store,
        closing(Mirror(mirrored, [LOG_KEY], [OWN], store, time.time)) as mirror,
    ):
        published = read_checkpoint(mirrored, policy)
        said = published[0].size if published else 0
        if note:
            said = max(said, verify_head(note, policy)[0].size)
        assert mirror.size >= said, "it cosigned what it does not hold"


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
