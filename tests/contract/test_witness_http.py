"""The witness over HTTP, with clients that mean well and others."""

import http.client
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pingyao.ledger import http as edge
from pingyao.ledger.formats.note import parse_lines, parse_note, verify_note
from pingyao.ledger.formats.tlog_witness import origin_hash
from pingyao.ledger.model import Note
from pingyao.ledger.witness import Seen
from pingyao.ledger.witness_store import WitnessStore
from pingyao.platform import asgi
from serving import serving
from witnessed import LOG_KEY, LOGS, ORIGIN, cosigner, key_of, tree

TREE = tree()
WITNESS = cosigner(1)
CHECKPOINT = f"/{origin_hash(ORIGIN)}/checkpoint"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WitnessStore]:
    opened = WitnessStore(tmp_path / "w.db")
    yield opened
    opened.close()


@pytest.fixture
def url(store: WitnessStore) -> Iterator[str]:
    with serving(edge.witness(LOGS, [WITNESS], store)) as address:
        yield address


def ask(
    url: str, method: str, path: str, body: bytes | None = None
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request(method, path, body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, answer.headers


def test_it_cosigns_and_shows_what_it_cosigned(url: str) -> None:
    assert ask(url, "GET", CHECKPOINT)[0] == 404
    status, lines, _ = ask(url, "POST", "/add-checkpoint", TREE.request(0, 9))
    assert status == 200
    text = parse_note(TREE.note(9)).text
    verify_note(Note(text, parse_lines(lines)), [key_of(WITNESS)])
    status, note, headers = ask(url, "GET", CHECKPOINT)
    assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert len(verify_note(parse_note(note), [LOG_KEY, key_of(WITNESS)])) == 2
    status, nothing, headers = ask(url, "HEAD", CHECKPOINT)
    assert (status, nothing, int(headers["content-length"])) == (200, b"", len(note))


def test_a_wrong_size_is_answered_with_the_right_one(url: str) -> None:
    ask(url, "POST", "/add-checkpoint", TREE.request(0, 9))
    status, body, headers = ask(url, "POST", "/add-checkpoint", TREE.request(5, 12))
    assert (status, body, headers["content-type"]) == (409, b"9\n", "text/x.tlog.size")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/add-checkpoint", None, 405),
        ("PUT", "/add-checkpoint", b"", 405),
        ("POST", "/add-checkpoint", b"", 400),
        ("POST", "/add-checkpoint", b"old 0\n\n" + b"x" * (1 << 20), 413),
        ("POST", "/", b"", 404),
        ("GET", "/", None, 404),
        ("GET", "/../w.db", None, 404),
        ("GET", "/" + "0" * 64 + "/checkpoint", None, 404),
        ("GET", CHECKPOINT.upper(), None, 404),
        ("POST", "/sign-subtree", b"", 404),
    ],
)
def test_what_is_no_such_request(
    url: str, method: str, path: str, body: bytes | None, status: int
) -> None:
    assert ask(url, method, path, body)[0] == status


def test_one_connection_serves_many_requests(url: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    for size in range(1, 20):
        connection.request("POST", "/add-checkpoint", TREE.request(size - 1, size))
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (200, True)
    connection.close()


def test_a_client_that_stalls_is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "BODY_SECONDS", 0.2)
    host, port = urlsplit(url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nold")
        assert client.recv(100).startswith(b"HTTP/1.1 408")
    assert ask(url, "POST", "/add-checkpoint", TREE.request(0, 9))[0] == 200


def test_what_cannot_be_remembered_is_not_cosigned(
    url: str, store: WitnessStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: WitnessStore, origin: str, before: Seen | None, after: Seen) -> bool:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(WitnessStore, "replace", full)
        status, body, _ = ask(url, "POST", "/add-checkpoint", TREE.request(0, 9))
    assert status == 503
    assert "—".encode() not in body
    assert ask(url, "POST", "/add-checkpoint", TREE.request(0, 9))[0] == 200


def test_an_address_in_use_is_said(url: str) -> None:
    from pingyao.kernel.errors import Invalid, Unavailable

    with pytest.raises(Unavailable):
        asgi.listen("127.0.0.1", int(url.rsplit(":", 1)[1]))
    with pytest.raises(Invalid):
        asgi.listen("localhost.example", 0)
