"""Cosignatures come together as the policy demands, or the checkpoint is not published."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pingyao.kernel.errors import IntegrityBroken, Unavailable
from pingyao.ledger import http as edge
from pingyao.ledger.asking import Forked
from pingyao.ledger.cosigning import Cosigning
from pingyao.ledger.formats.checkpoint import parse_checkpoint
from pingyao.ledger.formats.note import format_line, parse_note
from pingyao.ledger.formats.tlog_policy import check_quorum
from pingyao.ledger.formats.tlog_proof import verify_head
from pingyao.ledger.model import ED25519_COSIGNATURE, ML_DSA_44_COSIGNATURE, Group, Policy
from pingyao.ledger.views import Split, check_split, read_view
from pingyao.ledger.witness_store import WitnessStore
from pingyao.platform.asgi import Reply, Request
from serving import serving
from witnessed import LOG, LOG_KEY, LOGS, ORIGIN, OTHER, Tree, cosigner, key_of, tree

TREE, FORK = tree(), tree(fork_at=8)
SILENT = "http://127.0.0.1:1"  # nobody listens there


def gather(cosigning: Cosigning, log: Tree, size: int) -> str:
    """The note with the cosignatures a policy demands."""
    note = log.note(size)
    head = parse_checkpoint(parse_note(note).text)
    return note + "".join(map(format_line, cosigning.cosign(log, head, note)))


class Town:
    """Four witnesses, of which some run."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.cosigners = [cosigner(n) for n in range(4)]
        self.stores = [WitnessStore(folder / f"{n}.db") for n in range(4)]
        for store in self.stores:
            stack.callback(store.close)
        self.urls = [
            stack.enter_context(serving(edge.witness(LOGS, [c], s)))
            for c, s in zip(self.cosigners, self.stores, strict=True)
        ]

    def policy(self, quorum: int, urls: list[str] | None = None) -> Policy:
        names = [f"w{n}" for n in range(4)]
        return Policy(
            (LOG_KEY,),
            {n: key_of(c) for n, c in zip(names, self.cosigners, strict=True)},
            {"banks": Group(quorum, tuple(names))},
            "banks",
            dict(zip(names, urls or self.urls, strict=True)),
        )


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with ExitStack() as stack:
        yield Town(tmp_path, stack)


@pytest.mark.parametrize("quorum", [1, 3, 4])
def test_a_quorum_cosigns_as_the_log_grows(town: Town, quorum: int) -> None:
    policy = town.policy(quorum)
    with Cosigning(policy) as cosigning:
        for size in (0, 1, 2, 37, 37, 64):
            note = gather(cosigning, TREE, size)
            head, signed = verify_head(note, policy)
            assert head.size == size
            assert len(signed) > quorum


def test_one_silent_of_four_does_not_matter_two_do(town: Town) -> None:
    for silent, good in ((1, True), (2, False)):
        urls = [SILENT, "http://127.0.0.1:2"][:silent] + town.urls[silent:]
        policy = town.policy(3, urls)
        with Cosigning(policy) as cosigning:
            if good:
                verify_head(gather(cosigning, TREE, 9), policy)
            else:
                with pytest.raises(Unavailable, match="未达") as told:
                    gather(cosigning, TREE, 10)
                assert "127.0.0.1:1" in told.value.detail


def test_quorum_missed_is_made_up_for_later(town: Town, tmp_path: Path) -> None:
    """A witness comes back with an older size; it is caught up from there."""
    policy = town.policy(4)
    with Cosigning(policy) as cosigning:
        gather(cosigning, TREE, 5)
    behind = town.policy(4, [*town.urls[:3], SILENT])
    with Cosigning(behind) as cosigning, pytest.raises(Unavailable):
        gather(cosigning, TREE, 20)
    with Cosigning(policy) as cosigning:
        verify_head(gather(cosigning, TREE, 21), policy)
    assert [s.latest("log.example/bank").size for s in town.stores] == [21] * 4


def stand_in(answer: Callable[[Request], Reply]) -> Callable[[Request], object]:
    async def handle(request: Request) -> Reply:
        await request.body(1 << 20)
        return answer(request)

    return handle


LIES = {
    "another key": lambda _: Reply(200, "— w0.example AAAAAAAAAAAAAAAA\n".encode()),
    "no line": lambda _: Reply(200, b"ok\n"),
    "nothing": lambda _: Reply(200),
    "not text": lambda _: Reply(200, b"\xff\xfe"),
    "too long": lambda _: Reply(200, b"x" * (5 << 20)),
    "a size beyond": lambda _: Reply(409, b"999999\n", "text/x.tlog.size"),
    "no size": lambda _: Reply(409, b"many\n", "text/x.tlog.size"),
    "the same size for ever": lambda _: Reply(409, b"3\n", "text/x.tlog.size"),
    "no media": lambda _: Reply(409, b"3\n"),
    "a redirect": lambda _: Reply(302, headers=(("location", "http://127.0.0.1:1/"),)),
    "an error": lambda _: Reply(500),
    "its head in no form": lambda r: Reply(422 if r.method == "POST" else 200, b"\xff"),
}


@pytest.mark.parametrize("lie", LIES)
def test_one_that_lies_counts_for_nothing_and_stops_nothing(town: Town, lie: str) -> None:
    with serving(stand_in(LIES[lie])) as liar:
        policy = town.policy(3, [liar, *town.urls[1:]])
        with Cosigning(policy) as cosigning:
            for size in (9, 12):
                _, signed = verify_head(gather(cosigning, TREE, size), policy)
                assert key_of(town.cosigners[0]) not in {s.key for s in signed}
        policy = town.policy(4, [liar, *town.urls[1:]])
        with Cosigning(policy) as cosigning, pytest.raises(Unavailable):
            gather(cosigning, TREE, 13)


def test_one_that_is_slow_holds_up_nobody(town: Town) -> None:
    wait = threading.Event()

    async def handle(request: Request) -> Reply:
        import asyncio

        await asyncio.to_thread(wait.wait, 20)
        return Reply(500)

    with serving(handle) as slow:
        policy = town.policy(3, [slow, *town.urls[1:]])
        cosigning = Cosigning(policy)
        begun = time.monotonic()
        for size in range(1, 20):
            verify_head(gather(cosigning, TREE, size), policy)
        assert time.monotonic() - begun < 10
        wait.set()
        cosigning.close()


def test_an_old_backup_is_refused_with_the_proof(town: Town) -> None:
    policy = town.policy(3)
    with Cosigning(policy) as cosigning:
        gather(cosigning, TREE, 40)
    with Cosigning(policy) as cosigning:
        assert {read_view("", n, [LOG_KEY]).head.size for n in cosigning.heads(ORIGIN)} == {40}
        with pytest.raises(Forked) as told:
            gather(cosigning, TREE, 30)
    assert read_view("", told.value.theirs, [LOG_KEY]).head.size == 40
    assert read_view("", told.value.ours, [LOG_KEY]).head.size == 30


def test_two_sequencers_with_one_key_are_found_out(town: Town) -> None:
    """The second signs another tree of the same size; both notes are the proof."""
    policy = town.policy(3)
    with Cosigning(policy) as first, Cosigning(policy) as second:
        gather(first, TREE, 9)
        with pytest.raises(Forked) as told:
            gather(second, FORK, 9)
    theirs, ours = (read_view("", n, [LOG_KEY]) for n in (told.value.theirs, told.value.ours))
    assert theirs.head.size == ours.head.size
    check_split(Split(theirs.note, ours.note, ours.head.root), [LOG_KEY])


def test_heads_signed_by_others_stop_nobody(town: Town) -> None:
    """A witness cannot stop the log with a head the log did not sign."""

    def answer(request: Request) -> Reply:
        if request.method == "POST":
            return Reply(409, b"50\n", "text/x.tlog.size")
        return Reply(200, TREE.note(50, OTHER).encode())

    with serving(stand_in(answer)) as liar:
        policy = town.policy(3, [liar, *town.urls[1:]])
        with Cosigning(policy) as cosigning:
            verify_head(gather(cosigning, TREE, 9), policy)
            assert all(TREE.note(50, OTHER) != note for note in cosigning.heads(ORIGIN))


def test_two_keys_of_one_witness_come_with_one_request(tmp_path: Path) -> None:
    keys = [cosigner(7, ED25519_COSIGNATURE), cosigner(7, ML_DSA_44_COSIGNATURE)]
    store = WitnessStore(tmp_path / "w.db")
    with serving(edge.witness(LOGS, keys, store)) as url:
        policy = Policy(
            (LOG_KEY,),
            {"a": key_of(keys[0]), "b": key_of(keys[1])},
            {"both": Group(2, ("a", "b"))},
            "both",
            {"a": url, "b": url},
        )
        with Cosigning(policy) as cosigning:
            _, signed = verify_head(gather(cosigning, TREE, 9), policy)
    assert len(signed) == 3
    store.close()


@pytest.mark.parametrize(
    ("first", "second", "root", "path"),
    [
        (TREE.note(9), TREE.note(9), TREE.root(9), []),
        (TREE.note(9), FORK.note(9), TREE.root(9), []),
        (TREE.note(9, OTHER), FORK.note(9), FORK.root(9), []),
        (TREE.note(9), TREE.note(20), TREE.root(9), TREE.consistency(9, 20)),
        (TREE.note(9), TREE.note(20), FORK.root(9), FORK.consistency(9, 20)),
        (TREE.note(9), FORK.note(20), FORK.root(9), []),
        (FORK.note(20), TREE.note(9), TREE.root(9), TREE.consistency(9, 20)),
        ("", "", bytes(32), []),
    ],
)
def test_what_proves_no_split(first: str, second: str, root: bytes, path: list[bytes]) -> None:
    with pytest.raises(IntegrityBroken):
        check_split(Split(first, second, root, tuple(path)), [LOG_KEY])


def test_a_split_between_sizes_is_proved_too() -> None:
    split = Split(TREE.note(9), FORK.note(20), FORK.root(9), tuple(FORK.consistency(9, 20)))
    check_split(split, [LOG_KEY])
    check_split(Split(TREE.note(9), FORK.note(9), FORK.root(9)), [LOG_KEY])
    assert LOG.algorithm == "ed25519"
    check_quorum(Policy((LOG_KEY,), {}, {}, "none"), set())
