"""A real node process under clients that stall, lie and send garbage: others are served, nothing gets in."""

import contextlib
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVE = """
from pingyao.platform import patience
patience.HEAD_SECONDS = patience.BODY_SECONDS = 1.0
from pingyao.app.cli import main
main()
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    folder = tmp_path_factory.mktemp("hostile")
    where = ["--db", f"sqlite:///{folder / 'n.db'}", "--key", str(folder / "node.key")]
    uscc = "91140000MA0AAAAA1K"
    init = ["node", "init", "--institution", "晋阳银行", "--uscc", uscc, *where]
    pingyao = [sys.executable, "-c", SERVE]
    subprocess.run([*pingyao, *init], check=True, capture_output=True)
    log = folder / "log"
    with log.open("wb") as file:
        command = [*pingyao, "node", "serve", "--port", "0", *where]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file)
        assert server.stdout is not None
        found = re.search(rb":(\d+)/", server.stdout.readline())
        assert found, log.read_text()
        yield int(found[1]), log
        server.terminate()
        server.wait(20)
        server.stdout.close()
    assert "Traceback" not in log.read_text(), log.read_text()[-2000:]


def healthy(port: int) -> float:
    began = time.monotonic()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
        assert answer.status == 200
    return time.monotonic() - began


def said(port: int, sent: bytes) -> bytes:
    """Returns all that comes back before the node lets go, or for as long as it has to."""
    with socket.create_connection(("127.0.0.1", port), timeout=1.5) as peer:
        held = bytearray()
        with contextlib.suppress(ConnectionError, TimeoutError):
            peer.sendall(sent)
            while piece := peer.recv(65536):
                held += piece
        return bytes(held)


def statuses(answer: bytes) -> list[int]:
    return [int(n) for n in re.findall(rb"HTTP/1\.1 (\d{3})", answer)]


def test_hundreds_that_dribble_stop_nobody(node: tuple[int, Path]) -> None:
    port, _ = node
    head = b"POST /api/v1/session HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "
    body = head + b"b\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n{"
    peers = [socket.create_connection(("127.0.0.1", port)) for _ in range(400)]
    began = time.monotonic()
    open_ = set(range(len(peers)))
    for number, peer in enumerate(peers):
        with contextlib.suppress(ConnectionError):
            if number % 3:
                peer.sendall(head if number % 3 == 1 else body)
    while time.monotonic() - began < 5 and open_:
        assert healthy(port) < 5
        for number in list(open_):
            peers[number].setblocking(False)
            try:
                peers[number].send(b"x")
                if peers[number].recv(1) == b"":
                    open_.discard(number)
            except BlockingIOError:
                pass
            except OSError:
                open_.discard(number)
        time.sleep(0.2)
    for peer in peers:
        peer.close()
    assert not open_, f"{len(open_)} are still waited for"


HOST = b"Host: 127.0.0.1\r\n"
GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    b"\r\n" * 500,
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /catalogue?words=" + b"%41" * 4000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: a\r\n" % n for n in range(2000)) + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n",
    b"POST /sign-in HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
    b"POST /sign-in HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    b"POST /sign-in HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"POST /sign-in HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nGET /people HTTP/1.1\r\n\r\n",
    b"POST /api/v1/session HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000000\r\n\r\n{",
    b"POST /api/v1/session HTTP/1.1\r\n"
    + HOST
    + b"Content-Type: application/json\r\nContent-Length: 40\r\nExpect: 100-continue\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"POST /sign-in HTTP/1.1\r\n"
    + HOST
    + b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 60\r\n\r\n"
    + b"--x\r\nContent-Disposition: form-data; name=a; filename=../../b",
]


@pytest.mark.parametrize("sent", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_refused(node: tuple[int, Path], sent: bytes) -> None:
    port, _ = node
    answer = said(port, sent)
    assert all(300 <= s < 500 or s == 100 for s in statuses(answer)), answer[:300]
    assert b"Traceback" not in answer
    healthy(port)


def test_garbage_behind_a_good_request_changes_nothing(node: tuple[int, Path]) -> None:
    port, _ = node
    good = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    assert statuses(said(port, good * 5)) == [200] * 5
    for bad in (b"\x00\x01\x02 garbage\r\n\r\n", b"GET /people HTTP/1.1\r\n\r\n", b"A" * 50_000):
        seen = statuses(said(port, good + bad))
        assert all(s < 500 for s in seen), seen
    healthy(port)


PATHS = [
    "/static/x/..%2f..%2fpolicy.py",
    "/static/x/%2e%2e/%2e%2e/node.key",
    "/static/../../etc/passwd",
    "/static/x/%00",
    "//evil.example/",
    "/%2f%2fevil.example",
    "/api/v1/..%2f..%2fpeople",
    "/api/v1/accounts/1%00/suspend",
    "/api/v1/accounts/%31",
    "/catalogue/1;x",
    "/catalogue/١",
    "/%ff%fe",
    "/people/",
    "/PEOPLE",
    "/people%20",
    "/.git/config",
    "*",
]


@pytest.mark.parametrize("path", PATHS)
def test_paths_lead_nowhere(node: tuple[int, Path], path: str) -> None:
    port, _ = node
    line = f"GET {path} HTTP/1.1\r\n".encode("latin-1", "ignore")
    answer = said(port, line + HOST + b"Connection: close\r\n\r\n")
    (status,) = statuses(answer)
    location = re.search(rb"location: ([^\r]*)", answer)
    assert 300 <= status < 500, answer[:300]
    assert location is None or location[1] == b"/sign-in", answer[:300]


def test_a_stalled_reader_is_let_go(node: tuple[int, Path]) -> None:
    """Asks much and reads nothing: the node keeps answering others."""
    port, _ = node
    ask = b"GET /static/x/tabler.min.css HTTP/1.1\r\n" + HOST + b"\r\n"
    peers = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for peer in peers:
        peer.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            peer.send(ask * 50)
    for _ in range(5):
        assert healthy(port) < 5
    for peer in peers:
        peer.close()
    healthy(port)
