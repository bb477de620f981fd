"""A log over HTTP: what is published, in its right form, and nothing else."""

import gzip
import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pingyao.ledger import http as edge
from pingyao.ledger.cosigning import publish
from pingyao.ledger.formats.checkpoint import parse_checkpoint
from pingyao.ledger.formats.note import parse_note, verify_note
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.formats.tlog_tiles import format_path, split_bundle, tiles_of
from pingyao.ledger.model import ED25519, Policy
from pingyao.ledger.monitor import RemoteTree
from pingyao.ledger.remote import Remote
from pingyao.ledger.store.writer import Log, create_log
from serving import serving
from witnessed import LOG, LOG_KEY, ORIGIN, tree

TREE = tree(70_000)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    folder = tmp_path_factory.mktemp("log") / "log"
    create_log(folder, format_policy(Policy((LOG_KEY,), {}, {}, "none")))
    with Log(folder, [(ED25519, LOG)], mark=folder.with_name("mark")) as opened:
        for first in range(0, 70_000, 10_000):
            opened.append(TREE.entries[first : first + 10_000])
        publish(opened, None)
        opened.append([b"not published yet"])
        yield opened


@pytest.fixture(scope="module")
def url(log: Log) -> Iterator[str]:
    with serving(edge.tiles(log.folder)) as address:
        yield address


def get(
    url: str, path: str, method: str = "GET", **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, answer.headers


def test_the_head_is_fresh_plain_text(url: str) -> None:
    status, body, headers = get(url, "/checkpoint")
    assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert headers["cache-control"] == "no-cache"
    note = parse_note(body)
    verify_note(note, [LOG_KEY])
    head = parse_checkpoint(note.text)
    assert (head.origin, head.size, head.root) == (ORIGIN, 70_000, TREE.root(70_000))


def test_every_tile_is_there_for_good_in_octets(url: str) -> None:
    """Cites: C2SP tlog-tiles v0.1.0, Partial Tiles (the example of 70,000 entries)."""
    wanted = list(tiles_of(70_000))
    assert sum(t.level == 0 for t in wanted) == 274
    some = [t for t in wanted if t.level > 0 or t.index % 60 == 0 or t.width < 256]
    for tile in some:
        status, body, headers = get(url, "/" + format_path(tile))
        assert status == 200, format_path(tile)
        assert headers["content-type"] == "application/octet-stream"
        assert "immutable" in headers["cache-control"]
        first = tile.index * 256
        if tile.is_bundle:
            assert split_bundle(body, tile.width) == TREE.entries[first : first + tile.width]
        elif tile.level == 0:
            assert body == b"".join(TREE.leaves[first : first + tile.width])
    status, body, headers = get(url, "/tile/entries/000", **{"Accept-Encoding": "gzip"})
    assert headers["content-encoding"] == "gzip"
    assert split_bundle(gzip.decompress(body), 256) == TREE.entries[:256]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/policy",
        "/entries",
        "/../mark/head",
        "/tile/0/273",
        "/tile/0/273.p/113",
        "/tile/entries/273.p/113",
        "/tile/0/274.p/1",
        "/tile/00/000",
        "/tile/0/0",
        "/tile/0/x000/000",
        "/tile/0/000.p/0",
        "/tile/0/000.p/256",
        "/tile/64/000",
        "/tile/3/000.p/1",
        "/tile/0/000.p/12/",
        "/tile/0/%30%30%30.p/999",
    ],
)
def test_what_is_not_published_is_not_there(url: str, path: str) -> None:
    assert get(url, path)[0] == 404


def test_only_reading(url: str) -> None:
    assert get(url, "/checkpoint", "POST")[0] == 405
    assert get(url, "/tile/0/000", "HEAD")[:2] == (200, b"")


def test_a_reader_elsewhere_makes_its_own_proofs(url: str) -> None:
    remote = Remote(url)
    head = parse_checkpoint(parse_note(remote.fetch("checkpoint")).text)
    there = RemoteTree(remote.fetch, head)
    remote.close()
    for size in (1, 255, 256, 257, 65_536, 69_999, 70_000):
        assert there.root(size) == TREE.root(size)
        assert list(there.consistency(size)) == TREE.consistency(size, 70_000)


def test_a_log_without_a_head_has_nothing_to_show(tmp_path: Path) -> None:
    create_log(tmp_path / "log", format_policy(Policy((LOG_KEY,), {}, {}, "none")))
    with serving(edge.tiles(tmp_path / "log")) as address:
        assert get(address, "/checkpoint")[0] == 404
        assert get(address, "/tile/0/000.p/1")[0] == 404


def test_a_head_somebody_put_there_is_not_served(tmp_path: Path) -> None:
    create_log(tmp_path / "log", format_policy(Policy((LOG_KEY,), {}, {}, "none")))
    (tmp_path / "log" / "checkpoint").write_text(TREE.note(9).replace("\n9\n", "\n8\n"))
    with serving(edge.tiles(tmp_path / "log")) as address:
        assert get(address, "/checkpoint")[0] == 500
