"""A witness answers as the text says, case by case, and never cosigns two trees of one log."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pingyao.ledger.formats.checkpoint import format_checkpoint
from pingyao.ledger.formats.note import (
    format_note,
    parse_lines,
    parse_note,
    sign,
    verify_note,
)
from pingyao.ledger.formats.tlog_witness import format_add_checkpoint
from pingyao.ledger.model import (
    ED25519,
    ED25519_COSIGNATURE,
    ML_DSA_44_COSIGNATURE,
    SM2_COSIGNATURE,
    Checkpoint,
    Note,
    SignatureLine,
)
from pingyao.ledger.witness import Answer, add_checkpoint
from pingyao.ledger.witness_store import WitnessStore
from witnessed import LOG, LOGS, ORIGIN, OTHER, cosigner, key_of, signed, tree

KINDS = (ED25519_COSIGNATURE, ML_DSA_44_COSIGNATURE, SM2_COSIGNATURE)
COSIGNERS = [cosigner(1, kind) for kind in KINDS]
KEYS = [key_of(c) for c in COSIGNERS]
CONFLICT = "text/x.tlog.size"


TREE, FORK, FORK_AFTER_8 = tree(), tree(fork_at=0), tree(fork_at=8)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WitnessStore]:
    opened = WitnessStore(tmp_path / "w.db")
    yield opened
    opened.close()


def ask(store: WitnessStore, body: bytes, at: float = 1_800_000_000.5) -> Answer:
    return add_checkpoint(body, LOGS, COSIGNERS, store, lambda: at)


def test_it_cosigns_a_log_that_grows_with_every_key(store: WitnessStore) -> None:
    for old, size in ((0, 0), (0, 1), (1, 1), (1, 2), (2, 37), (37, 64)):
        answer = ask(store, TREE.request(old, size))
        assert answer.status == 200, answer.body
        text = parse_note(TREE.note(size)).text
        signs = verify_note(Note(text, parse_lines(answer.body)), KEYS)
        assert [(s.key, s.at) for s in signs] == [(k, 1_800_000_000) for k in KEYS]
    kept = store.latest(ORIGIN)
    assert kept is not None
    assert (kept.size, kept.root) == (64, TREE.root(64))
    assert len(verify_note(parse_note(kept.note), [*LOGS[ORIGIN], *KEYS])) == 4


def swapped(body: bytes, old: str, new: str) -> bytes:
    text = body.decode()
    assert old in text
    return text.replace(old, new, 1).encode()


EMPTY_WRONG = signed(format_checkpoint(Checkpoint(ORIGIN, 0, bytes(32))))
TWICE = parse_note(TREE.note(9))
BROKEN_SECOND = format_note(
    Note(
        TWICE.text,
        (SignatureLine(ORIGIN, TWICE.signatures[0].key_id, bytes(64)), *TWICE.signatures),
    )
)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff", 400),
        (b"old 8\n", 400),
        (TREE.note(9).encode(), 400),
        (swapped(TREE.request(8, 9), "old 8", "old 08"), 400),
        (swapped(TREE.request(8, 9), "old 8", "old -8"), 400),
        (swapped(TREE.request(8, 9), "old 8", "old  8"), 400),
        (swapped(TREE.request(8, 9), "old 8", "old 8 "), 400),
        (swapped(TREE.request(8, 9), "old 8\n", "old 8\r\n"), 400),
        (swapped(TREE.request(8, 9), "old 8", "old 99999999999999999999"), 400),
        (swapped(TREE.request(8, 9), "\n\n", "\nAAAA\n\n"), 400),
        (format_add_checkpoint(8, [bytes(32)] * 64, TREE.note(9)), 400),
        (format_add_checkpoint(10, [], TREE.note(9)), 400),
        (format_add_checkpoint(8, TREE.consistency(8, 9), TREE.note(9)[:-1]), 400),
        (format_add_checkpoint(8, TREE.consistency(8, 9), signed(f"{ORIGIN}\n9\n")), 400),
        (format_add_checkpoint(8, TREE.consistency(8, 9), signed(f"{ORIGIN}\n09\nAAAA\n")), 400),
        (format_add_checkpoint(8, [], TREE.note(9, LOG, "log.example/none")), 404),
        (format_add_checkpoint(8, [], TREE.note(9, OTHER)), 403),
        (swapped(TREE.request(8, 9), "\n9\n", "\n10\n"), 403),
        (format_add_checkpoint(8, TREE.consistency(8, 9), BROKEN_SECOND), 403),
        (TREE.request(0, 9), 409),
        (TREE.request(7, 9), 409),
        (TREE.request(9, 9), 409),
        (format_add_checkpoint(0, [], EMPTY_WRONG), 409),
        (format_add_checkpoint(8, [], TREE.note(9)), 422),
        (format_add_checkpoint(8, [*TREE.consistency(8, 9), bytes(32)], TREE.note(9)), 422),
        (format_add_checkpoint(8, TREE.consistency(8, 27)[::-1], TREE.note(27)), 422),
        (FORK.request(8, 9), 422),
        (FORK.request(8, 8), 422),
        (format_add_checkpoint(8, [bytes(32)], TREE.note(8)), 422),
    ],
)
def test_what_it_refuses(store: WitnessStore, body: bytes, status: int) -> None:
    assert ask(store, TREE.request(0, 8)).status == 200
    before = store.latest(ORIGIN)
    answer = ask(store, body)
    assert answer.status == status, answer.body
    assert "— w1.example".encode() not in answer.body
    if status == 409:
        assert (answer.body, answer.media) == (b"8\n", CONFLICT)
    assert store.latest(ORIGIN) == before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (TREE.request(5, 9), 409),
        (format_add_checkpoint(0, [bytes(32)], TREE.note(9)), 422),
        (format_add_checkpoint(0, [], EMPTY_WRONG), 422),
        (format_add_checkpoint(0, [bytes(32)], TREE.note(0)), 422),
        (TREE.request(0, 0), 200),
        (TREE.request(0, 9), 200),
    ],
)
def test_the_first_time_it_sees_a_log(store: WitnessStore, body: bytes, status: int) -> None:
    answer = ask(store, body)
    assert answer.status == status, answer.body
    if status == 409:
        assert answer.body == b"0\n"


def test_two_trees_of_one_log_are_kept_as_proof(store: WitnessStore) -> None:
    ask(store, TREE.request(0, 8))
    for _ in range(2):
        ask(store, FORK.request(8, 8))
    ((seen, offered),) = store.suspicions(ORIGIN)
    for note in (seen, offered):
        verify_note(parse_note(note), LOGS[ORIGIN])
    assert parse_note(seen).text.split("\n")[1] == parse_note(offered).text.split("\n")[1] == "8"
    assert parse_note(seen).text != parse_note(offered).text


def test_keys_of_strangers_under_the_note_are_not_kept(store: WitnessStore) -> None:
    text = parse_note(TREE.note(9)).text
    stranger = sign(text, "stranger", ED25519, OTHER)
    note = format_note(Note(text, (stranger, *parse_note(TREE.note(9)).signatures)))
    assert ask(store, format_add_checkpoint(0, [], note)).status == 200
    kept = store.latest(ORIGIN)
    assert kept is not None
    assert "stranger" not in kept.note


def test_a_clock_set_back_is_not_signed(store: WitnessStore) -> None:
    ask(store, TREE.request(0, 8), at=1_800_000_000)
    answer = ask(store, TREE.request(8, 9), at=5)
    (first, *_) = verify_note(Note(parse_note(TREE.note(9)).text, parse_lines(answer.body)), KEYS)
    assert first.at == 1_800_000_000


def test_of_two_at_once_one_is_cosigned(tmp_path: Path) -> None:
    """Trees of equal size and of different sizes, from threads and from two openings of the file."""
    for trial in range(20):
        path = tmp_path / f"{trial}.db"
        stores = [WitnessStore(path), WitnessStore(path)]
        ask(stores[0], TREE.request(0, 8))
        bodies = [TREE.request(8, 9), FORK_AFTER_8.request(8, 9), TREE.request(8, 20)]
        barrier = threading.Barrier(len(bodies))
        answers: list[Answer] = []

        def go(number: int, body: bytes) -> None:
            barrier.wait()  # noqa: B023 - joined below
            answers.append(ask(stores[number % 2], body))  # noqa: B023 - joined below

        threads = [threading.Thread(target=go, args=pair) for pair in enumerate(bodies)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(a.status for a in answers) == [200, 409, 409]
        for store in stores:
            store.close()


def test_it_remembers_across_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    store = WitnessStore(path)
    ask(store, TREE.request(0, 8))
    store.close()
    store = WitnessStore(path)
    assert ask(store, FORK.request(0, 8)).status == 409
    assert ask(store, FORK_AFTER_8.request(8, 9)).status == 200
    assert store.origins() == [ORIGIN]
    store.close()
