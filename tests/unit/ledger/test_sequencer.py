"""The sequencer: order, acknowledgement, cosigning beside it, and what happens when something fails."""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from logs import entries, new_log

from pingyao.kernel.errors import IntegrityBroken, Invalid, PingyaoError, Unavailable
from pingyao.ledger.model import Checkpoint, SignatureLine
from pingyao.ledger.ports import AppendLog
from pingyao.ledger.service import Sequencer
from pingyao.ledger.store.fsck import fsck
from pingyao.ledger.store.reader import own_head, read_checkpoint


class Witnesses:
    """Cosigns with nothing, fails as told, and notes what it was asked."""

    def __init__(self, *failures: PingyaoError | None) -> None:
        self.failures = list(failures)
        self.asked: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def cosign(self, log: AppendLog, head: Checkpoint, note: str) -> Sequence[SignatureLine]:
        self.gate.wait(10)
        self.asked.append(head.size)
        failure = self.failures.pop(0) if self.failures else None
        if failure:
            raise failure
        return [SignatureLine("stranger", b"keys", b"sig")]

    def heads(self, origin: str) -> Sequence[str]:
        return ()


def test_many_submitters_one_order(tmp_path: Path) -> None:
    told: dict[bytes, int] = {}
    with new_log(tmp_path / "log") as log:
        with Sequencer(log, Witnesses()) as sequencer:

            def submit(start: int) -> None:
                for i in range(start, start + 200, 20):
                    batch = entries(i, 20)
                    done = sequencer.submit(batch)
                    told.update(zip(batch, done.durable.result(30), strict=True))
                    head = own_head(done.final.result(30), log.policy)
                    assert max(told[e] for e in batch) < head.size

            threads = [threading.Thread(target=submit, args=(i * 200,)) for i in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert sorted(told.values()) == list(range(1000))
        assert all(log.entries(i, 1) == [e] for e, i in told.items())
        published = read_checkpoint(tmp_path / "log", log.policy)
        assert published is not None
        assert published[0].size == 1000
        assert "— stranger " in published[1]


def test_entries_are_durable_while_witnesses_are_slow_and_heads_are_skipped(tmp_path: Path) -> None:
    witnesses = Witnesses()
    witnesses.gate.clear()
    with new_log(tmp_path / "log") as log, Sequencer(log, witnesses) as sequencer:
        waiting = [sequencer.submit([entries(i, 1)[0]]) for i in range(10)]
        assert [w.durable.result(10) for w in waiting] == [[i] for i in range(10)]
        later = [sequencer.submit([b"later %d" % i]) for i in range(5)]
        for each in later:
            each.durable.result(10)
        assert not any(w.final.done() for w in waiting)
        witnesses.gate.set()
        for each in (*waiting, *later):
            each.final.result(10)
    assert len(witnesses.asked) < 15
    assert witnesses.asked == sorted(witnesses.asked)


def test_a_quorum_not_reached_is_tried_again(tmp_path: Path) -> None:
    witnesses = Witnesses(Unavailable("ledger.quorum.not_reached", "…"), None)
    with new_log(tmp_path / "log") as log, Sequencer(log, witnesses) as sequencer:
        assert sequencer.submit([b"one"]).final.result(10)
    assert witnesses.asked == [1, 1]


def test_a_witness_that_saw_another_log_stops_everything(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log")
    sequencer = Sequencer(log, Witnesses(IntegrityBroken("ledger.forked", "…")))
    first = sequencer.submit([b"one"])
    assert first.durable.result(10) == [0]
    with pytest.raises(IntegrityBroken):
        first.final.result(10)
    with pytest.raises(IntegrityBroken):
        sequencer.submit([b"two"])
    with pytest.raises(IntegrityBroken):
        sequencer.close()
    assert read_checkpoint(tmp_path / "log", log.policy) is None
    log.close()


def test_a_full_disk_refuses_a_batch_and_the_next_one_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_log(tmp_path / "log") as log, Sequencer(log) as sequencer:
        real, failures = log.append, [Unavailable("ledger.disk_full", "…")]

        def append(entries: Sequence[bytes]) -> list[int]:
            if failures:
                raise failures.pop()
            return real(entries)

        monkeypatch.setattr(log, "append", append)
        with pytest.raises(Unavailable):
            sequencer.submit([b"one"]).durable.result(10)
        assert sequencer.submit([b"one"]).durable.result(10) == [0]
    assert not fsck(tmp_path / "log").findings


def test_a_failed_disk_stops_the_sequencer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log(tmp_path / "log")
    sequencer = Sequencer(log)

    def append(entries: Sequence[bytes]) -> list[int]:
        raise Unavailable("ledger.disk_failed", "…")

    monkeypatch.setattr(log, "append", append)
    waiting = sequencer.submit([b"one"])
    for future in (waiting.durable, waiting.final):
        with pytest.raises(Unavailable):
            future.result(10)
    with pytest.raises(Unavailable):
        sequencer.close()
    with pytest.raises(Unavailable):
        sequencer.submit([b"two"])
    log.close()


def test_what_is_in_the_log_already_is_final_at_once(tmp_path: Path) -> None:
    with new_log(tmp_path / "log") as log, Sequencer(log) as sequencer:
        first = sequencer.submit([b"one", b"two"])
        note = first.final.result(10)
        again = sequencer.submit([b"two", b"one"])
        assert again.durable.result(10) == [1, 0]
        assert again.final.result(10) == note


def test_large_entries_of_many_go_in_several_batches(tmp_path: Path) -> None:
    with new_log(tmp_path / "log") as log, Sequencer(log, wait=0.2) as sequencer:
        waiting = [
            sequencer.submit([b"%02d%03d" % (i, j) + b"x" * 65_000 for j in range(120)])
            for i in range(8)
        ]
        for i, each in enumerate(waiting):
            assert each.durable.result(60) == list(range(i * 120, (i + 1) * 120))
    assert not fsck(tmp_path / "log").findings


def test_an_error_nobody_foresaw_leaves_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = new_log(tmp_path / "log")
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def sign() -> tuple[Checkpoint, str]:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(log, "sign", sign)
    sequencer = Sequencer(log)
    waiting = sequencer.submit([b"one"])
    for future in (waiting.durable, waiting.final):
        with pytest.raises(Unavailable):
            future.result(10)
    with pytest.raises(Unavailable):
        sequencer.close()
    log.close()


@pytest.mark.parametrize("bad", [[], [b""], [b"x" * 65_536], [b"x"] * 4_097, [b"x" * 65_535] * 129])
def test_what_no_log_can_hold_is_refused_alone(tmp_path: Path, bad: list[bytes]) -> None:
    with new_log(tmp_path / "log") as log, Sequencer(log) as sequencer:
        with pytest.raises(Invalid):
            sequencer.submit(bad)
        assert sequencer.submit([b"x" * 65_535]).durable.result(10) == [0]
