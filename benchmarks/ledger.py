"""The evidence log: appending, proving, restarting; beside SQLite with the same durability.

Wall time counts here as well as CPU: what is measured is how often the disk must be waited for. The peer
writes the same entries in the same batches in the same run, without a tree and without signatures.
"""

import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pingyao.ledger.formats.note import verifier_key
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.model import ED25519, Policy
from pingyao.ledger.rules.proofs import verify_inclusion
from pingyao.ledger.rules.tree import leaf_hash
from pingyao.ledger.store.fsck import fsck
from pingyao.ledger.store.reader import own_head
from pingyao.ledger.store.writer import Log, create_log
from pingyao.platform.crypto.signers import Algorithm, generate, open_signer

Row = tuple[str, str, str, str]
_COMMAND = "python -m benchmarks.ledger"
_SIGNER = open_signer(Algorithm.ED25519, generate(Algorithm.ED25519))
_BYTES = 400


def run(quick: bool) -> list[Row]:
    """Measures; quick takes seconds and a small log, otherwise ten million entries and 4 GB."""
    entries, batch = (100_000, 256) if quick else (10_000_000, 1_000)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        rows = [_beside_sqlite(place, 256, 51_200), _beside_sqlite(place, 1, 200)]
        rows += _grow(place / "log", entries, batch)
        rows += _reopen(place / "log", entries + entries // 10)
    return rows


def _entries(first: int, count: int) -> list[bytes]:
    pad = b"x" * (_BYTES - 20)
    return [b"%020d" % i + pad for i in range(first, first + count)]


def _open(folder: Path) -> Log:
    if not folder.exists():
        key = verifier_key("bank.example/log", ED25519, _SIGNER.public_key)
        create_log(folder, format_policy(Policy((key,), {}, {}, "none")))
    return Log(folder, [(ED25519, _SIGNER)], mark=_mark(folder))


def _mark(folder: Path) -> Path:
    return folder.with_name(folder.name + "-mark")


def _timed(
    step: Callable[[int], object], starts: Iterator[int]
) -> tuple[float, float, list[float]]:
    """Returns wall seconds, CPU seconds, and the sorted wall seconds of each step."""
    each: list[float] = []
    began, spent = time.perf_counter(), time.process_time()
    for start in starts:
        at = time.perf_counter()
        step(start)
        each.append(time.perf_counter() - at)
    return time.perf_counter() - began, time.process_time() - spent, sorted(each)


def _spread(each: list[float]) -> str:
    middle, late = each[len(each) // 2], each[int(len(each) * 0.99)]
    return f"p50 {middle * 1e3:.1f} / p99 {late * 1e3:.1f} ms"


def _beside_sqlite(place: Path, batch: int, count: int) -> Row:
    log = _open(place / f"log-{batch}")
    ours = _timed(_appending(log, batch), iter(range(0, count, batch)))
    log.close()
    db = sqlite3.connect(place / f"peer-{batch}.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, content BLOB)")

    def insert(start: int) -> None:
        db.execute("BEGIN")
        db.executemany(
            "INSERT INTO entry (content) VALUES (?)", ((e,) for e in _entries(start, batch))
        )
        db.execute("COMMIT")

    peer = _timed(insert, iter(range(0, count, batch)))
    db.close()
    return (
        f"追加并签出检查点，每批 {batch} 条，每批一次落盘（对照：SQLite WAL FULL 同批写入）",
        _COMMAND,
        "≥ 10,000 条/秒，p99 ≤ 250 ms" if batch > 1 else "—",
        f"{count / ours[0]:,.0f} 条/秒（每 CPU 秒 {count / ours[1]:,.0f}），{_spread(ours[2])}；"
        f"SQLite {count / peer[0]:,.0f} 条/秒（每 CPU 秒 {count / peer[1]:,.0f}），{_spread(peer[2])}",
    )


def _appending(log: Log, batch: int) -> Callable[[int], None]:
    def append(start: int) -> None:
        log.append(_entries(start, batch))
        log.publish(log.sign()[1])

    return append


def _grow(folder: Path, count: int, batch: int) -> list[Row]:
    log, part = _open(folder), count // 10
    rates: list[float] = []
    for start in range(0, count, part):
        _, spent, _ = _timed(_appending(log, batch), iter(range(start, start + part, batch)))
        rates.append(part / spent)
    # The machine changes over minutes; side by side, the large log and a new one see the same of it.
    new = _open(folder.with_name("new"))
    pair = [0.0, 0.0]
    for start in range(0, part, part // 20):
        for which, (each, at) in enumerate(((new, start), (log, count + start))):
            steps = iter(range(at, at + part // 20, batch))
            pair[which] += _timed(_appending(each, batch), steps)[1]
    new.close()
    log.close()
    first, beside = rates[0], pair[0] / pair[1] - 1
    return [
        (
            f"{count:,} 条时的追加速度，对空账本的头 {part:,} 条（两者交替追加）",
            _COMMAND,
            "相差 10% 以内",
            f"{beside:+.1%}（{part / pair[0]:,.0f} 与 {part / pair[1]:,.0f} 条/CPU 秒）；"
            f"一路追加时各十分之一：首 {first:,.0f}，末 {rates[-1]:,.0f}（{rates[-1] / first - 1:+.0%}），"
            f"最低 {min(rates):,.0f}（{min(rates) / first - 1:+.0%}）；负载 {os.getloadavg()[0]:.1f}",
        )
    ]


def _reopen(folder: Path, count: int) -> list[Row]:
    at, spent = time.perf_counter(), time.process_time()
    log = _open(folder)
    opened = time.perf_counter() - at, time.process_time() - spent
    note = log.sign()[1]
    head = own_head(note, log.policy)
    draw = random.Random(1)  # noqa: S311
    pairs = []
    spent_each: list[float] = []

    def prove(index: int) -> None:
        began = time.process_time()
        pairs.append((index, log.prove(index, note)))
        spent_each.append(time.process_time() - began)

    _, _, each = _timed(prove, iter(draw.sample(range(count), 2_000)))
    spent_each.sort()
    for index, proof in pairs:
        leaf = leaf_hash(log.entries(index, 1)[0])
        verify_inclusion(index, head.size, leaf, proof.path, head.root)
    log.close()
    at, spent = time.perf_counter(), time.process_time()
    if fsck(folder, _mark(folder)).findings:
        raise RuntimeError("the log does not hold")
    checked = time.perf_counter() - at, time.process_time() - spent
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    return [
        (
            f"{count:,} 条时取得证明",
            _COMMAND,
            "≤ 5 ms",
            f"{_spread(each)}；CPU {_spread(spent_each)}",
        ),
        (
            f"{count:,} 条时重新打开",
            _COMMAND,
            "≤ 10 s",
            f"{opened[0]:.2f} s（{opened[1]:.2f} CPU 秒）",
        ),
        (
            f"{count:,} 条通读（fsck）",
            _COMMAND,
            "—",
            f"{checked[0]:.1f} s（{checked[1]:.1f} CPU 秒），占盘为条目的 {size / count / _BYTES:.2f} 倍",
        ),
    ]


if __name__ == "__main__":
    os.nice(5)
    for row in run(quick="--full" not in sys.argv):
        print("| " + " | ".join(row) + " |")
