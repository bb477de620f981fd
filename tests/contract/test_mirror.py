"""A mirror over HTTP: it cosigns what it holds and serves, takes nothing unproved, and brings a lost log back."""

import errno
import gzip
import http.client
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pingyao.kernel.errors import Conflict, IntegrityBroken, Invalid, PingyaoError
from pingyao.ledger import http as edge
from pingyao.ledger.cosigning import Cosigning
from pingyao.ledger.formats.note import format_line, parse_lines, parse_note, verify_note
from pingyao.ledger.formats.tlog_mirror import (
    Info,
    Package,
    format_add_entries,
    package_ranges,
    parse_add_entries,
    parse_info,
    read_packages,
)
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.formats.tlog_proof import verify_head
from pingyao.ledger.formats.tlog_witness import origin_hash
from pingyao.ledger.mirror import Mirror
from pingyao.ledger.model import ED25519, Note, Policy
from pingyao.ledger.remote import Remote
from pingyao.ledger.rules.proofs import verify_subtree_consistency
from pingyao.ledger.rules.tree import range_hash
from pingyao.ledger.store.fsck import fsck
from pingyao.ledger.store.restore import restore
from pingyao.ledger.store.writer import Log, create_log
from pingyao.ledger.witness_store import WitnessStore
from serving import serving
from witnessed import LOG, LOG_KEY, LOGS, ORIGIN, Tree, cosigner, key_of, tree

OWN = cosigner(9)
TREE, FORK = tree(1000), tree(1000, fork_at=300)
NAME = origin_hash(ORIGIN)
POLICY = Policy((LOG_KEY,), {"m": key_of(OWN)}, {}, "m")


class Site:
    """A mirror's folder; it can be started again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / NAME
        self.now = 1_700_000_000.0

    def open(self, stack: ExitStack) -> tuple[str, Mirror]:
        store = stack.enter_context(closing(WitnessStore(self.folder / "pending.db")))
        mirror = Mirror(self.log, [LOG_KEY], [OWN], store, lambda: self.now)
        stack.enter_context(closing(mirror))
        url = stack.enter_context(serving(edge.mirror(LOGS, {ORIGIN: mirror}, store)))
        return url, mirror


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "mirror")


@pytest.fixture
def url(site: Site) -> Iterator[str]:
    with ExitStack() as stack:
        yield site.open(stack)[0]


def post(url: str, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    connection.request("POST", path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def get(url: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def packages(log: Tree, start: int, end: int) -> list[Package]:
    return [
        Package(a, b, log.entries[a:b], log.subtree(a - a % 256, b, end))
        for a, b in package_ranges(start, end)
    ]


def upload(log: Tree, start: int, end: int, most: int | None = None) -> bytes:
    return format_add_entries(ORIGIN, start, end, b"", packages(log, start, end)[:most])


def head(url: str, old: int, size: int, log: Tree = TREE) -> None:
    assert post(url, "/add-checkpoint", log.request(old, size)) == (200, b"")


def test_it_cosigns_what_it_holds_and_serves_it(url: str, site: Site) -> None:
    head(url, 0, 700)
    assert get(url, f"/{NAME}/checkpoint")[0] == 404  # pending, not mirrored
    status, lines = post(url, "/add-entries", upload(TREE, 0, 700))
    assert status == 200
    verify_note(Note(parse_note(TREE.note(700)).text, parse_lines(lines)), [key_of(OWN)])
    status, note = get(url, f"/{NAME}/checkpoint")
    assert status == 200
    assert verify_head(note, POLICY)[0].size == 700
    assert get(url, f"/{NAME}/tile/entries/001")[0] == 200
    assert get(url, f"/{NAME}/tile/0/002.p/188")[0] == 200
    head(url, 700, 1000)
    site.now = 1_000_000_000.0  # a clock set back does not show
    status, lines = post(
        url, "/add-entries", gzip.compress(upload(TREE, 700, 1000)), content_encoding="gzip"
    )
    assert status == 200
    note = Note(parse_note(TREE.note(1000)).text, parse_lines(lines))
    assert verify_note(note, [key_of(OWN)])[0].at == 1_700_000_000
    assert not fsck(site.log).findings
    assert fsck(site.log).entries == 1000


def test_what_is_torn_is_kept_as_far_as_it_is_whole(url: str) -> None:
    head(url, 0, 1000)
    assert post(url, "/add-entries", upload(TREE, 0, 1000, 2)) == (202, b"1000\n512\n\n")
    whole = upload(TREE, 512, 1000)
    assert post(url, "/add-entries", whole[:60]) == (400, post(url, "/add-entries", whole[:60])[1])
    assert post(url, "/add-entries", whole[:-1]) == (202, b"1000\n768\n\n")
    # An overlap is proved again and stored once.
    assert post(url, "/add-entries", upload(TREE, 300, 1000))[0] == 200


def test_where_it_is_it_tells_whoever_asks(url: str) -> None:
    assert post(url, "/add-entries", format_add_entries(ORIGIN, 0, 0, b"", [])) == (
        409,
        b"0\n0\n\n",
    )
    head(url, 0, 700)
    assert post(url, "/add-entries", format_add_entries(ORIGIN, 700, 700, b"", [])) == (
        409,
        b"700\n0\n\n",
    )
    post(url, "/add-entries", upload(TREE, 0, 700))
    head(url, 700, 900)
    # An older pending head is taken still; one behind what was cosigned is not.
    head(url, 900, 1000)
    assert post(url, "/add-entries", upload(TREE, 700, 900))[0] == 200
    assert post(url, "/add-entries", upload(TREE, 512, 700)) == (409, b"1000\n900\n\n")
    assert post(url, "/add-entries", upload(TREE, 900, 901)) == (409, b"1000\n900\n\n")


REFUSED: dict[str, tuple[Callable[[], bytes], int]] = {
    "nothing": (lambda: b"", 400),
    "no origin": (lambda: b"\0\xff" + b"x" * 9, 400),
    "an origin in no text": (lambda: b"\0\1\xff" + bytes(18), 400),
    "another log": (lambda: format_add_entries("x.example", 0, 0, b"", []), 404),
    "backwards": (lambda: format_add_entries(ORIGIN, 9, 3, b"", []), 400),
    "ahead": (lambda: upload(TREE, 256, 700), 409),
    "an unknown size": (lambda: upload(TREE, 0, 699), 409),
    "no package": (lambda: upload(TREE, 0, 700, 0), 400),
    "other entries": (lambda: upload(FORK, 0, 700), 422),
    "proofs of another tree": (
        lambda: format_add_entries(
            ORIGIN, 0, 700, b"", [Package(0, 256, TREE.entries[:256], FORK.subtree(0, 256, 700))]
        ),
        422,
    ),
    "a proof too long": (
        lambda: format_add_entries(
            ORIGIN, 0, 700, b"", [Package(0, 256, TREE.entries[:256], [bytes(32)] * 64)]
        ),
        422,
    ),
    "no proof": (
        lambda: format_add_entries(ORIGIN, 0, 700, b"", [Package(0, 256, TREE.entries[:256], [])]),
        422,
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_proved_is_not_stored(url: str, site: Site, what: str) -> None:
    make, status = REFUSED[what]
    head(url, 0, 700)
    assert post(url, "/add-entries", make())[0] == status
    assert get(url, f"/{NAME}/checkpoint")[0] == 404
    for path in (
        "",
        "/",
        f"/{NAME}",
        f"/{NAME}/../pending.db",
        f"/{NAME}/policy",
        f"/{'0' * 64}/checkpoint",
    ):
        assert get(url, path)[0] == 404
    assert post(url, "/add-entries", upload(TREE, 0, 700))[0] == 200
    assert not fsck(site.log).findings


def test_bodies_beyond_measure_are_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "_ENTRIES_BYTES", 100_000)
    head(url, 0, 700)
    bomb = gzip.compress(bytes(10_000_000))
    assert post(url, "/add-entries", bomb, content_encoding="gzip")[0] == 413
    assert post(url, "/add-entries", bytes(200_000))[0] == 413
    assert post(url, "/add-entries", b"x", content_encoding="gzip")[0] == 400
    assert post(url, "/add-entries", b"x", content_encoding="br")[0] == 415
    assert post(url, "/add-entries", upload(TREE, 0, 700))[0] == 200


def test_a_full_disk_is_no_cosignature(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    head(url, 0, 700)
    with monkeypatch.context() as patch:

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "full")

        patch.setattr(os, "pwrite", full)
        status, body = post(url, "/add-entries", upload(TREE, 0, 700))
    assert status == 503
    assert "—".encode() not in body
    assert post(url, "/add-entries", upload(TREE, 0, 700))[0] == 200


def test_stopped_anywhere_it_goes_on(site: Site) -> None:
    with ExitStack() as stack:
        url, _ = site.open(stack)
        head(url, 0, 700)
        assert post(url, "/add-entries", upload(TREE, 0, 700, 1))[0] == 202
        with pytest.raises(Conflict):
            site.open(stack)
    with ExitStack() as stack:
        url, mirror = site.open(stack)
        assert mirror.size == 256
        assert post(url, "/add-entries", upload(TREE, 256, 700))[0] == 200
    shutil.rmtree(site.log / "hashes")
    with ExitStack() as stack:
        url, mirror = site.open(stack)
        head(url, 700, 1000)
        assert post(url, "/add-entries", upload(TREE, 700, 1000))[0] == 200
    # Less than was cosigned is not gone on from.
    path = site.log / "entries"
    path.write_bytes(path.read_bytes()[:-5])
    with ExitStack() as stack, pytest.raises(IntegrityBroken):
        site.open(stack)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log") / "log"
    create_log(folder, format_policy(Policy((LOG_KEY,), {}, {}, "none")))
    return folder


def test_a_log_keeps_its_mirror_up_and_is_restored_from_it(
    url: str, site: Site, source: Path, tmp_path: Path
) -> None:
    policy = Policy((LOG_KEY,), {"m": key_of(OWN)}, {}, "m", {"m": url})
    with (
        Log(source, [(ED25519, LOG)], mark=tmp_path / "mark") as log,
        Cosigning(policy) as cosigning,
    ):
        for first, count in ((0, 16_000), (16_000, 1), (16_001, 300)):
            log.append([b"%d" % i for i in range(first, first + count)])
            at, note = log.sign()
            note += "".join(map(format_line, cosigning.cosign(log, at, note)))
            assert verify_head(note, policy)[0].size == first + count
            log.publish(note)
    assert not fsck(site.log).findings
    with closing(Remote(f"{url}/{NAME}")) as remote:
        note = remote.fetch("checkpoint").decode()
        lost, seen = tmp_path / "restored", []
        assert restore(lost, format_policy(policy), note, remote.fetch, seen.append) == 16_301
        assert seen[-1] == 16_301
        with pytest.raises(Invalid):
            restore(lost, b"", note, remote.fetch)

        def other(path: str) -> bytes:
            body = remote.fetch(path)
            return body.replace(b"9", b"8", 1) if "entries/003" in path else body

        with pytest.raises(PingyaoError):
            restore(tmp_path / "no", format_policy(policy), note, other)
        assert not (tmp_path / "no").exists()
    with Log(lost, [(ED25519, LOG)], mark=tmp_path / "mark") as log:
        assert log.size == 16_301
        assert log.append([b"16301", b"5"]) == [16_301, 5]
    assert not fsck(lost).findings


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13, 64, 100])
def test_every_subtree_is_proved(size: int) -> None:
    log = tree(size)
    for start in range(size):
        for end in range(start + 1, size + 1):
            if start % (1 << (end - start - 1).bit_length()):
                continue
            root = range_hash(start, end, log.read)
            path = log.subtree(start, end, size)
            verify_subtree_consistency(start, end, size, root, log.root(size), path)
            if path:
                with pytest.raises(IntegrityBroken):
                    verify_subtree_consistency(start, end, size, root, log.root(size), path[1:])


def test_requests_are_read_as_they_were_written() -> None:
    body = upload(TREE, 300, 1000)
    request = parse_add_entries(body)
    assert (request.origin, request.start, request.end) == (ORIGIN, 300, 1000)
    assert list(read_packages(request)) == packages(TREE, 300, 1000)
    assert [(p.start, p.end) for p in read_packages(request)] == [
        (300, 512),
        (512, 768),
        (768, 1000),
    ]
    assert parse_info(b"12\n3\nAAE=\n") == Info(12, 3, b"\0\1")
    for bad in (
        b"",
        b"1\n2\n",
        b"1\n2\n\n\n",
        b"01\n2\n\n",
        b"1\n-2\n\n",
        b"1\n2\n!\n",
        b"\xff\n2\n\n",
    ):
        with pytest.raises(IntegrityBroken):
            parse_info(bad)
