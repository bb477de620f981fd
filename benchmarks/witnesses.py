"""Events made durable and cosigned by three of four witness processes on this machine.

Batches of 256 are handed in at a steady rate, whether or not earlier ones are done; the latency of a batch
is from when it was due to when the head that covers it is published with the quorum's cosignatures. Every
witness is a process of its own, with its own file, and flushes it before it answers.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

from pingyao.ledger.cosigning import Cosigning
from pingyao.ledger.formats.note import verifier_key
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.formats.tlog_proof import verify_head
from pingyao.ledger.model import ED25519, ED25519_COSIGNATURE, Group, Policy, VerifierKey
from pingyao.ledger.service import Sequencer, Submission
from pingyao.ledger.store.writer import Log, create_log
from pingyao.platform.crypto.signers import Algorithm, Signer, open_signer

Row = tuple[str, str, str, str]
_COMMAND = "python -m benchmarks.witnesses"
_LOG = open_signer(Algorithm.ED25519, b"L" * 32)
_BATCH, _BYTES = 256, 400
_RATES = (12_000, 20_000)


def run(quick: bool) -> list[Row]:
    """Measures; quick takes some ten seconds."""
    with tempfile.TemporaryDirectory() as folder, _witnesses(Path(folder)) as urls:
        return [_steady(Path(folder), urls, rate, 4 if quick else 30) for rate in _RATES]


def _steady(place: Path, urls: list[str], rate: int, seconds: int) -> Row:
    names = [f"w{n}" for n in range(len(urls))]
    keys = {
        name: verifier_key(name, ED25519_COSIGNATURE, _witness_signer(n).public_key)
        for n, name in enumerate(names)
    }
    policy = Policy(
        (_log_key(rate),),
        keys,
        {"members": Group(3, tuple(names))},
        "members",
        dict(zip(names, urls, strict=True)),
    )
    folder = place / str(rate)
    create_log(folder, format_policy(policy))
    taken: list[float] = []
    cpu = time.process_time()
    with (
        Cosigning(policy) as cosigning,
        Log(folder, [(ED25519, _LOG)], mark=place / f"mark-{rate}") as log,
        Sequencer(log, cosigning, batch=_BATCH) as sequencer,
    ):
        told: list[Submission] = []
        warm = [_entry(10**11 + i) for i in range(_BATCH)]
        sequencer.submit(warm).final.result(60)
        begun = time.perf_counter()
        for number in range(rate * seconds // _BATCH):
            due = begun + number * _BATCH / rate
            entries = [_entry(number * _BATCH + i) for i in range(_BATCH)]
            time.sleep(max(0.0, due - time.perf_counter()))
            submission = sequencer.submit(entries)
            submission.final.add_done_callback(
                lambda _, due=due: taken.append(time.perf_counter() - due)
            )
            told.append(submission)
        note = told[-1].final.result(60)
        ended = time.perf_counter()
    head, _ = verify_head(note, policy)
    if head.size != (len(told) + 1) * _BATCH:
        raise RuntimeError("the published head covers every entry")
    taken.sort()
    real = len(told) * _BATCH / (ended - begun)
    p50, p99 = (taken[int(len(taken) * q)] * 1e3 for q in (0.5, 0.99))
    return (
        f"存证追加，4 个见证进程中 3 个联署，每批 256 条，按每秒 {rate:,} 条送入",
        _COMMAND,
        "≥ 10,000 条/s，p99 ≤ 250 ms" if rate == _RATES[0] else "—",
        f"{real:,.0f} 条/s；p50 {p50:.0f} ms，p99 {p99:.0f} ms；"
        f"定序进程 {head.size / (time.process_time() - cpu):,.0f} 条/CPU 秒；负载 {os.getloadavg()[0]:.0f}",
    )


def _entry(number: int) -> bytes:
    return b'{"n":%012d,"pad":"%s"}' % (number, b"x" * (_BYTES - 27))


def _log_key(rate: int) -> VerifierKey:
    return verifier_key(f"bench.example/{rate}", ED25519, _LOG.public_key)


def _witness_signer(number: int) -> Signer:
    return open_signer(Algorithm.ED25519, bytes([number + 1]) * 32)


@contextlib.contextmanager
def _witnesses(place: Path) -> Generator[list[str]]:
    processes = [
        subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "benchmarks.witnesses", "witness", str(n), str(place)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    try:
        yield [p.stdout.readline().strip() for p in processes if p.stdout is not None]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(10)


def _serve(number: int, place: Path) -> None:
    from pingyao.ledger import http
    from pingyao.ledger.witness import Cosigner
    from pingyao.ledger.witness_store import WitnessStore
    from pingyao.platform.asgi import serve

    keys = [_log_key(rate) for rate in _RATES]
    cosigner = Cosigner(f"w{number}", ED25519_COSIGNATURE, _witness_signer(number))
    store = WitnessStore(place / f"witness-{number}.db")
    handler = http.witness({k.name: [k] for k in keys}, [cosigner], store)
    serve(handler, "127.0.0.1", 0, started=lambda p: print(f"http://127.0.0.1:{p}", flush=True))


if __name__ == "__main__":
    if sys.argv[1:2] == ["witness"]:
        _serve(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        for row in run("--quick" in sys.argv):
            print(" | ".join(row))
