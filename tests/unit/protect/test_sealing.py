"""A sealed file opens to what it was; altered, cut or reordered it opens to nothing at all."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pingyao.kernel.errors import (
    Conflict,
    IntegrityBroken,
    Invalid,
    NotFound,
    NotYet,
    PingyaoError,
    Unavailable,
)
from pingyao.platform.crypto import derive
from pingyao.platform.crypto.derive import Stretch
from pingyao.platform.crypto.keystore import KeyStore, create_keystore
from pingyao.protect.formats import sealed, sealing

PHRASE = "correct horse battery staple"
KEYS = {"intl": "international", "gm": "national"}
SMALL = 64


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derive, "stretch", lambda: Stretch(os.urandom(16), 1, 1, 8))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 64 bytes, so that few bytes make many of them."""
    monkeypatch.setattr(sealing, "CHUNK_BYTES", SMALL)


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    store = create_keystore(tmp_path / "keys.pks", PHRASE)
    store.create("international", "aes-256")
    store.create("national", "sm4")
    return store


def sealed_of(folder: Path, store: KeyStore, content: bytes, suite: str = "intl") -> Path:
    source, target = folder / "clear", folder / "clear.sealed"
    source.write_bytes(content)
    sealing.seal(source, target, store, (KEYS[suite],), suite=suite)
    return target


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("suite", sealed.SUITES)
@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, 2 * SMALL, 1000])
def test_what_was_sealed_opens(tmp_path: Path, store: KeyStore, suite: str, size: int) -> None:
    content = os.urandom(size)
    target = sealed_of(tmp_path, store, content, suite)
    back = tmp_path / "back"
    told: list[int] = []
    said = sealing.open_(target, back, store, told=told.append)
    assert back.read_bytes() == content
    assert sum(told) == said.length == size
    assert said == sealing.verify(target)
    assert said.chunks == max(1, -(-size // SMALL))
    assert said.keys == ((KEYS[suite], 1),)
    assert target.stat().st_mode & 0o077 == 0
    if size > 8:
        assert content[:8] not in target.read_bytes()


def test_several_megabytes_in_full_chunks(tmp_path: Path, store: KeyStore) -> None:
    content = os.urandom(5_000_001)
    for suite in sealed.SUITES:
        target = sealed_of(tmp_path, store, content, suite)
        sealing.open_(target, tmp_path / "back", store)
        assert (tmp_path / "back").read_bytes() == content
        (tmp_path / "back").unlink()
        target.unlink()


def test_the_same_file_never_seals_to_the_same(tmp_path: Path, store: KeyStore) -> None:
    first = sealed_of(tmp_path, store, b"x" * 100)
    one = first.read_bytes()
    first.unlink()
    two = sealed_of(tmp_path, store, b"x" * 100).read_bytes()
    assert one[-300:-200] != two[-300:-200]


def refused(store: KeyStore, path: Path, error: type[PingyaoError] = IntegrityBroken) -> None:
    back = path.parent / "back"
    with pytest.raises(error):
        sealing.open_(path, back, store)
    assert not back.exists()
    assert not [p for p in path.parent.iterdir() if p.name.startswith(".back")]


@pytest.mark.usefixtures("small")
def test_cut_off_anywhere_it_does_not_open(tmp_path: Path, store: KeyStore) -> None:
    target = sealed_of(tmp_path, store, os.urandom(3 * SMALL))
    content = target.read_bytes()
    for size in [*range(0, 30), *range(30, len(content), 13), len(content) - 1]:
        target.write_bytes(content[:size])
        refused(store, target, Invalid if size < 8 else IntegrityBroken)
        with pytest.raises(PingyaoError):
            sealing.verify(target)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("suite", sealed.SUITES)
def test_every_altered_byte_is_noticed(tmp_path: Path, store: KeyStore, suite: str) -> None:
    target = sealed_of(tmp_path, store, os.urandom(2 * SMALL + 5), suite)
    content = target.read_bytes()
    for at in range(8, len(content), 3):
        spoilt = bytearray(content)
        spoilt[at] ^= 4
        target.write_bytes(spoilt)
        refused(store, target, PingyaoError)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("change", ["swap", "repeat", "drop", "drop last", "add"])
def test_chunks_moved_are_noticed_even_with_a_tree_made_to_fit(
    tmp_path: Path, store: KeyStore, change: str
) -> None:
    """The attacker has no key, but makes leaves, root and counts anew."""
    target = sealed_of(tmp_path, store, os.urandom(3 * SMALL))
    content = target.read_bytes()
    head_size = 12 + int.from_bytes(content[8:12], "big")
    size = SMALL + 16
    a, b, c = (content[head_size + i * size : head_size + (i + 1) * size] for i in range(3))
    chunks = {
        "swap": [b, a, c],
        "repeat": [a, a, c],
        "drop": [a, c],
        "drop last": [a, b],
        "add": [a, b, c, c],
    }[change]
    digest = sealing.choose.digest("sha256")
    leaves = b"".join(digest(b"\0" + chunk) for chunk in chunks)
    root = sealed.root_of(leaves, "intl")
    facts = sealed._FOOT.unpack(content[-sealed.FOOT_BYTES :])
    foot = sealed._FOOT.pack(facts[0], len(chunks), len(chunks) * SMALL, root, facts[4])
    target.write_bytes(content[:head_size] + b"".join(chunks) + leaves + foot)
    sealing.verify(target)  # the tree alone is consistent …
    with pytest.raises(IntegrityBroken):  # … but is not the one that was given out
        sealing.verify(target, facts[3])
    refused(store, target)
    # Nor does it help when the foot's MAC is not looked at: the chunks know their places.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "foot_tag", lambda *_: facts[4])
        refused(store, target)


def test_the_wrong_key_opens_nothing(tmp_path: Path, store: KeyStore) -> None:
    target = sealed_of(tmp_path, store, b"x" * 100)
    other = create_keystore(tmp_path / "other.pks", PHRASE)
    refused(other, target, NotFound)
    other.create("international", "aes-256")
    refused(other, target, IntegrityBroken)


def test_a_data_key_of_another_file_is_not_taken(tmp_path: Path, store: KeyStore) -> None:
    one = sealed_of(tmp_path, store, b"x" * 100)
    content = one.read_bytes()
    one.unlink()
    two = sealed_of(tmp_path, store, b"y" * 100)
    heads = [sealed.read_head(p, "") for p in (_raw(content), _raw(two.read_bytes()))]
    mixed = sealed.Head(heads[0].plan, heads[1].keys)
    body = content[12 + int.from_bytes(content[8:12], "big") :]
    with two.open("wb") as file:
        sealed.write_head(file, mixed)
        file.write(body)
    refused(store, two)


def _raw(content: bytes):
    import io

    return io.BytesIO(content)


def test_a_destroyed_key_makes_the_data_unreadable(tmp_path: Path, store: KeyStore) -> None:
    target = sealed_of(tmp_path, store, b"x" * 100)
    store.rotate("international")
    store.destroy("international", 1, reason="保存期满")
    refused(store, target, NotFound)


def test_rewrapping_moves_a_file_to_the_new_key(tmp_path: Path, store: KeyStore) -> None:
    content = os.urandom(100_000)
    target = sealed_of(tmp_path, store, content)
    root = sealing.verify(target).root
    store.rotate("international")
    said = sealing.rewrap(target, store, ())
    assert said.keys == (("international", 2),)
    assert sealing.verify(target).root == root  # the receipt still holds
    store.destroy("international", 1, reason="已轮换")
    sealing.open_(target, tmp_path / "back", store)
    assert (tmp_path / "back").read_bytes() == content
    sealing.rewrap(target, store, ("national", "international"))
    assert [k for k, _ in sealing.verify(target).keys] == ["national", "international"]


def test_any_of_several_keys_opens(tmp_path: Path, store: KeyStore) -> None:
    source, target = tmp_path / "clear", tmp_path / "sealed"
    source.write_bytes(b"to both")
    sealing.seal(source, target, store, ("international", "national"), suite="gm")
    store.destroy("international", 1, reason="x")
    sealing.open_(target, tmp_path / "back", store)
    assert (tmp_path / "back").read_bytes() == b"to both"


def test_a_two_person_key_takes_two(tmp_path: Path, store: KeyStore) -> None:
    two = {"张": "first of two persons", "李": "second of two persons"}
    store.create("both", "aes-256", custodians=two)
    source, target = tmp_path / "clear", tmp_path / "sealed"
    source.write_bytes(b"x")
    with pytest.raises(NotYet):
        sealing.seal(source, target, store, ("both",), suite="intl")
    assert not target.exists()
    sealing.seal(source, target, store, ("both",), suite="intl", approvals=two)
    refused(store, target, NotYet)
    sealing.open_(target, tmp_path / "back", store, approvals=two)


def test_what_cannot_be_done_is_said(tmp_path: Path, store: KeyStore) -> None:
    source = tmp_path / "clear"
    source.write_bytes(b"x")
    keys = ("international",)
    with pytest.raises(NotFound):
        sealing.seal(tmp_path / "none", tmp_path / "t", store, keys, suite="intl")
    with pytest.raises(Conflict):
        sealing.seal(source, source, store, keys, suite="intl")
    with pytest.raises(Invalid):
        sealing.seal(source, tmp_path / "t", store, keys, suite="rot13")
    with pytest.raises(Invalid):
        sealing.seal(source, tmp_path / "t", store, (), suite="intl")
    with pytest.raises(NotFound):
        sealing.seal(source, tmp_path / "t", store, ("nobody",), suite="intl")
    with pytest.raises(Unavailable):
        sealing.seal(source, tmp_path / "no" / "t", store, keys, suite="intl")
    with pytest.raises(Invalid):
        sealing.verify(source)
    assert source.read_bytes() == b"x"


@pytest.mark.parametrize(
    "change",
    [
        {"chunk_bytes": 1 << 62},
        {"chunk_bytes": 0},
        {"suite": "rot13"},
        {"salt": "AAAA"},
    ],
)
def test_a_hostile_head_is_refused(tmp_path: Path, store: KeyStore, change: dict) -> None:
    target = sealed_of(tmp_path, store, b"x" * 100)
    content = target.read_bytes()
    size = int.from_bytes(content[8:12], "big")
    head = msgspec.json.decode(content[12 : 12 + size])
    head["plan"] |= change
    new = msgspec.json.encode(head)
    target.write_bytes(content[:8] + len(new).to_bytes(4, "big") + new + content[12 + size :])
    refused(store, target)


SCRIPT = """
import resource, signal, sys
from pathlib import Path
from pingyao.platform.crypto.keystore import open_keystore
from pingyao.protect.formats import sealing
folder, limit = Path(sys.argv[1]), int(sys.argv[2])
store = open_keystore(folder / "keys.pks", "correct horse battery staple")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
print("ready", flush=True)
try:
    sealing.seal(folder / "clear", folder / "sealed", store, ("national",), suite="gm")
except Exception as error:
    print(error.code, flush=True)
"""


def start(folder: Path, limit: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(limit)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, store: KeyStore) -> None:
    (tmp_path / "clear").write_bytes(bytes(4_000_000))
    with start(tmp_path, 2_000_000) as process:
        assert process.stdout is not None
        assert process.stdout.read() == "protect.disk_full\n"
    left = {p.name for p in tmp_path.iterdir()} - {".keys.pks.lock"}
    assert left == {"clear", "keys.pks"}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(path.read_bytes() + b"more"),
        lambda path: path.write_bytes(b"y" * 5000),
        lambda path: os.truncate(path, 4999),
        lambda path: os.utime(path, ns=(1, 1)),
    ],
)
def test_a_source_written_to_meanwhile_is_not_sealed(
    tmp_path: Path, store: KeyStore, change: Callable[[Path], object]
) -> None:
    source, target = tmp_path / "clear", tmp_path / "out"
    source.write_bytes(b"x" * 5000)
    with pytest.raises(Conflict) as told:
        sealing.seal(
            source, target, store, ("national",), suite="gm", told=lambda _: change(source)
        )
    assert told.value.code == "protect.source_changed"
    assert not target.exists()


def test_killed_half_way_the_target_is_not_there(tmp_path: Path, store: KeyStore) -> None:
    with (tmp_path / "clear").open("wb") as file:
        file.truncate(2 << 30)
    with start(tmp_path, 0) as process:
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob(".sealed.*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "sealed").exists()
    sealing.seal(store.path, tmp_path / "sealed", store, ("national",), suite="gm")  # and again
