"""Whoever shows two faces is found out, with notes that prove it to others; who is only slow is not accused."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from pingyao.kernel.errors import IntegrityBroken, Invalid, Unavailable
from pingyao.ledger import http as edge
from pingyao.ledger.formats.tlog_tiles import Tile, join_bundle, parse_path
from pingyao.ledger.formats.tlog_witness import format_add_checkpoint
from pingyao.ledger.model import Policy
from pingyao.ledger.monitor import Round, check_alarm, watch
from pingyao.ledger.rules.tree import perfect_root
from pingyao.ledger.witness import add_checkpoint
from pingyao.ledger.witness_store import WitnessStore
from pingyao.platform.asgi import Refusal, Reply, Request
from serving import serving
from witnessed import LOG_KEY, LOGS, ORIGIN, OTHER, Tree, cosigner, key_of, tree

TREE, FORK = tree(2_000), tree(2_000, fork_at=300)


class Place:
    """A log that shows whatever it is told to, and two witnesses of it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.shown: tuple[Tree, int] = (TREE, 1_000)
        self.note: str | None = None
        self.stores = [WitnessStore(folder / f"{n}.db") for n in range(2)]
        self.cosigners = [cosigner(n) for n in range(2)]
        log = stack.enter_context(serving(self._log))
        urls = [
            stack.enter_context(serving(edge.witness(LOGS, [c], s)))
            for c, s in zip(self.cosigners, self.stores, strict=True)
        ]
        for store in self.stores:
            stack.callback(store.close)
        self.policy = Policy(
            (LOG_KEY,),
            {"w0": key_of(self.cosigners[0]), "w1": key_of(self.cosigners[1])},
            {},
            "w0",
            {ORIGIN: log, "w0": urls[0], "w1": urls[1]},
        )

    async def _log(self, request: Request) -> Reply:
        tree_, size = self.shown
        if request.path == "/checkpoint":
            return Reply(200, (self.note or tree_.note(size)).encode())
        tile: Tile = parse_path(request.path.lstrip("/"))
        if tile.level > 1:
            raise Refusal(404)
        first = tile.index * 256
        if tile.is_bundle:
            return Reply(200, join_bundle(tree_.entries[first : first + tile.width]))
        if tile.level == 0:
            return Reply(200, b"".join(tree_.leaves[first : first + tile.width]))
        hashes = [perfect_root(tree_.leaves[i * 256 : (i + 1) * 256]) for i in range(size // 256)]
        return Reply(200, b"".join(hashes[: tile.width]))

    def cosign(self, number: int, tree_: Tree, size: int, old: int = 0) -> None:
        body = format_add_checkpoint(old, tree_.consistency(old, size), tree_.note(size))
        store = self.stores[number]
        answer = add_checkpoint(body, LOGS, [self.cosigners[number]], store, lambda: 1.8e9)
        assert answer.status == 200, answer.body

    def forget(self, number: int) -> None:
        self.stores[number]._db.execute("DELETE FROM seen")

    def watch(self) -> Round:
        return watch(self.policy, self.folder / "watch")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(tmp_path, stack)


def test_all_that_grows_together_is_well(place: Place) -> None:
    place.cosign(0, TREE, 400)
    told = place.watch()
    assert [v.head.size for v in told.views] == [1_000, 400]
    assert (told.alarms, told.silent, told.unsettled) == ((), {}, {})
    place.cosign(0, TREE, 1_500, old=400)
    place.cosign(1, TREE, 1_000)
    told = place.watch()
    assert told.alarms == ()
    assert len(told.unsettled) == 1  # the log has not published yet what a witness cosigned
    place.shown = (TREE, 1_500)
    assert place.watch().unsettled == {}


@pytest.mark.parametrize(("size", "shown"), [(1_000, 1_000), (700, 1_000), (257, 2_000)])
def test_a_log_with_two_faces_is_proved_to_anybody(place: Place, size: int, shown: int) -> None:
    other = tree(2_000, fork_at=100)
    place.shown = (TREE, shown)
    place.cosign(0, other, size)
    place.cosign(1, TREE, 200)
    told = place.watch()
    (alarm,) = told.alarms
    assert alarm.kind == "split"
    (folder,) = (place.folder / "watch" / "alarms").iterdir()
    first, second = check_alarm(folder, [LOG_KEY])
    assert (first.head.size, second.head.size) == (size, shown)
    assert {p.name for p in folder.iterdir()} == {"alarm.json", "first.note", "second.note"}
    damaged = msgspec.json.decode((folder / "alarm.json").read_bytes())
    damaged["prefix_root"] = damaged["prefix_root"][::-1].lstrip("=") + "="
    (folder / "alarm.json").write_bytes(msgspec.json.encode(damaged))
    with pytest.raises((IntegrityBroken, Unavailable)):
        check_alarm(folder, [LOG_KEY])


def test_two_witnesses_with_two_faces_while_the_log_hides(place: Place) -> None:
    place.shown = (TREE, 290)
    place.cosign(0, TREE, 500)
    place.cosign(1, FORK, 500)
    (alarm,) = place.watch().alarms
    assert alarm.kind == "split"
    assert LOG_KEY.name not in alarm.sources


def test_a_face_shown_earlier_is_remembered(place: Place) -> None:
    place.shown = (FORK, 500)
    assert place.watch().alarms == ()
    place.shown = (TREE, 1_000)
    (alarm,) = place.watch().alarms
    assert alarm.kind == "split"
    assert any("先前" in s for s in alarm.sources)


def test_a_witness_set_back_to_an_old_backup(place: Place) -> None:
    place.cosign(0, TREE, 900)
    place.watch()
    place.forget(0)
    place.cosign(0, TREE, 500)
    (alarm,) = place.watch().alarms
    assert alarm.kind == "witness_rolled_back"
    (again,) = place.watch().alarms  # until it is past what it had seen
    assert again.kind == "witness_rolled_back"


def test_a_log_set_back_to_an_old_backup(place: Place) -> None:
    place.watch()
    place.shown = (TREE, 600)
    (alarm,) = place.watch().alarms
    assert alarm.kind == "log_rolled_back"


def test_who_is_silent_or_talks_nonsense_is_named(place: Place) -> None:
    policy = place.policy
    policy.urls["w1"] = "http://127.0.0.1:1"
    told = place.watch()
    assert list(told.silent) == ["http://127.0.0.1:1"]
    assert told.alarms == ()


def test_tiles_that_are_not_those_of_the_head(place: Place) -> None:
    place.cosign(0, TREE, 400)
    place.shown = (FORK, 1_000)
    place.note = TREE.note(1_000)
    told = place.watch()
    assert told.alarms == ()
    assert "瓦片" in told.unsettled[place.policy.urls["w0"]]


def test_a_head_the_log_did_not_sign(place: Place) -> None:
    place.note = TREE.note(1_000, OTHER)
    with pytest.raises(IntegrityBroken):
        place.watch()
    place.policy.urls.pop(ORIGIN)
    with pytest.raises(Invalid):
        place.watch()
