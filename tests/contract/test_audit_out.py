"""The trail leaves the node: forwarded at least once over restarts, exported, cleared only when old; recovery."""

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

import nodes
from pingyao.kernel.errors import Conflict, Invalid, NotPermitted, NotYet
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform import audit, forwarding
from pingyao.platform.audit_lines import as_cef, as_json, as_syslog
from pingyao.platform.identity import people, sessions, trail
from pingyao.platform.outbox import emit


@pytest.fixture
def node(catalogue_engine: sa.Engine, quick_passwords: None) -> nodes.Tested:
    return nodes.make(catalogue_engine)


def lines(engine: sa.Engine) -> list[audit.Entry]:
    with engine.connect() as db:
        return audit.read_after(db, 0, 10_000)


class Collector:
    """A syslog server over TCP that reads octet-counted messages.

    Args:
        hang_ups: after how many messages it hangs up on the first connections.
        context: where it speaks TLS.
    """

    def __init__(self, hang_ups: Sequence[int] = (), context: ssl.SSLContext | None = None) -> None:
        self.seen: list[int] = []
        self._hang_ups, self._context = list(hang_ups), context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                with contextlib.suppress(OSError, ValueError), peer:
                    if self._context:
                        peer = self._context.wrap_socket(peer, server_side=True)
                    self._take(peer)

    def _take(self, peer: socket.socket) -> None:
        most = self._hang_ups.pop(0) if self._hang_ups else 10**9
        with peer, peer.makefile("rb", 0) as file:
            for _ in range(most):
                size = b""
                while (c := file.read(1)) != b" ":
                    if not c:
                        return
                    size += c
                text = b""
                while len(text) < int(size):
                    text += file.read(int(size) - len(text)) or b""
                text = text.decode()
                found = re.search(r' id="(\d+)"', text)
                assert found, text
                self.seen.append(int(found[1]))

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits for a connection
        self._listener.close()
        self._thread.join(5)

    def await_all(self, expected: list[int]) -> None:
        for _ in range(500):
            if set(expected) <= set(self.seen):
                return
            threading.Event().wait(0.01)
        raise AssertionError((expected, self.seen))


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def test_lines_are_sent_in_order_and_once_while_all_is_well(
    node: nodes.Tested, collector: Collector
) -> None:
    to = forwarding.target(f"tcp://127.0.0.1:{collector.port}")
    expected = [e.id for e in lines(node.engine)]
    for again in range(2):  # the second as after a restart
        while forwarding.forward(node.engine, to):
            pass
        collector.await_all(expected)
        assert collector.seen == expected, again
    sessions.sign_in(node.engine, nodes.KEY, "reader1", nodes.PASSWORD, "", "")
    assert forwarding.forward(node.engine, to) == 1
    collector.await_all([e.id for e in lines(node.engine)])


def test_nothing_is_lost_when_the_other_side_hangs_up(
    node: nodes.Tested, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "_BATCH", 4)
    monkeypatch.setattr(forwarding, "_RETRY", 0.05)
    collector = Collector([3, 0, 4, 1, 2, 3, 0, 3])  # of batches of four
    to = forwarding.target(f"tcp://127.0.0.1:{collector.port}")
    expected = [e.id for e in lines(node.engine)]
    stop = threading.Event()
    thread = threading.Thread(target=forwarding.run, args=(node.engine, to, stop))
    thread.start()
    try:
        collector.await_all(expected)
    finally:
        stop.set()
        thread.join(15)
        collector.close()


@pytest.mark.parametrize("read", [0, 1, 3])
@pytest.mark.parametrize("tls", [False, True])
def test_what_was_not_read_is_not_taken_for_sent(
    node: nodes.Tested, read: int, tls: bool, tmp_path: Path
) -> None:
    cert, key = certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    collector = Collector([read], context if tls else None)
    way = "tls" if tls else "tcp"
    to = forwarding.target(f"{way}://localhost:{collector.port}", authority=cert)
    with pytest.raises(OSError):  # noqa: PT011 - whichever way it shows
        forwarding.forward(node.engine, to)
    assert forwarding.forward(node.engine, to) == len(lines(node.engine))
    collector.await_all([e.id for e in lines(node.engine)])
    collector.close()


def test_a_server_that_is_away_keeps_the_position(node: nodes.Tested) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    to = forwarding.target(f"tcp://127.0.0.1:{port}")
    with pytest.raises(OSError, match="refused"):
        forwarding.connect(to)
    stop = threading.Event()
    thread = threading.Thread(target=forwarding.run, args=(node.engine, to, stop))
    thread.start()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_line_committed_late_is_not_skipped(node: nodes.Tested, collector: Collector) -> None:
    if node.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer")
    to = forwarding.target(f"tcp://127.0.0.1:{collector.port}")
    at = datetime.now(UTC)
    while forwarding.forward(node.engine, to):
        pass
    with node.engine.begin() as slow:
        emit(slow, [EvidenceEvent("audit.exported", "slow", "x", at, {})])
        with node.engine.begin() as fast:
            emit(fast, [EvidenceEvent("audit.exported", "fast", "x", at, {})])
        assert forwarding.forward(node.engine, to) == 0  # waits, and holds nobody up
    assert forwarding.forward(node.engine, to) == 2
    collector.await_all([e.id for e in lines(node.engine)])


def test_only_a_trusted_server_is_talked_to_over_tls(node: nodes.Tested, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    collector = Collector(context=context)
    stranger = forwarding.target(f"tls://localhost:{collector.port}")
    with pytest.raises(ssl.SSLError):
        forwarding.connect(stranger)
    to = forwarding.target(f"tls://localhost:{collector.port}", authority=cert)
    assert forwarding.forward(node.engine, to) > 5
    collector.await_all([e.id for e in lines(node.engine)])
    wrong = forwarding.target(f"tls://127.0.0.1:{collector.port}", authority=cert)
    with pytest.raises(ssl.SSLError):
        forwarding.connect(wrong)
    collector.close()


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return paths


def test_datagrams(node: nodes.Tested) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        to = forwarding.target(f"udp://127.0.0.1:{server.getsockname()[1]}", cef=True)
        count = forwarding.forward(node.engine, to)
        first = server.recv(65536).decode()
    assert count > 5
    assert "CEF:0|Pingyao|pingyao|" in first


@pytest.mark.parametrize(
    "address", ["", "localhost", "http://a", "tcp://", "tcp://a:99999", "tcp://a/b", "tcp://u@a"]
)
def test_bad_addresses_are_refused(address: str) -> None:
    with pytest.raises(Invalid, match="syslog"):
        forwarding.target(address)


HOSTILE = 'a"]\\ b=c|d\ne\r\n<14>1 - \x1b[31m\u2028'


def test_what_is_hostile_cannot_end_a_line_or_a_field() -> None:
    entry = audit.Entry(
        7, "2026-01-02T03:04:05.678901+00:00", "x.y", HOSTILE, HOSTILE, {"k": HOSTILE}
    )
    for line in (as_syslog(entry), as_cef(entry)):
        assert not any(c in line for c in "\n\r\x1b\u2028"), line
    assert msgspec.json.decode(as_json(entry))["actor"] == HOSTILE
    syslog = as_syslog(entry)
    assert re.match(
        r"<110>1 2026-01-02T03:04:05\.678901Z \S+ pingyao - x\.y \[pingyao@32473 ", syslog
    )
    data = re.search(r'\[pingyao@32473((?: \w+="(?:[^"\\\]]|\\["\\\]])*")*)\] ', syslog)
    assert data
    assert len(re.findall(r' \w+="', re.sub(r"\\.", "", data[1]))) == 5
    head, _, extension = as_cef(entry).partition("|3|")
    assert len(re.sub(r"\\.", "", head).split("|")) == 6
    keys = re.findall(r"(?:^| )(\w+)=", re.sub(r"\\.", "", extension))
    assert keys == ["rt", "externalId", "suser", "cs1Label", "cs1", "msg"]
    assert "rt=1767323045678" in extension


def test_exports_hold_every_line_and_are_noted(node: nodes.Tested, tmp_path: Path) -> None:
    everything = lines(node.engine)
    for form in ("jsonl", "syslog", "cef"):
        with trail.new_file(tmp_path / form) as file:
            rows = trail.export_lines(node.engine, "root", audit.Search(), form, file)
        assert rows >= len(everything)
        assert (tmp_path / form).read_text("utf-8").count("\n") == rows
    assert lines(node.engine)[-1].body == {"form": "cef", "rows": rows, "whole": True}
    with pytest.raises(Conflict), trail.new_file(tmp_path / "cef"):
        pass


def test_only_what_is_old_is_cleared_into_an_archive(node: nodes.Tested, tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    limit = today - timedelta(days=trail.LEAST_DAYS)
    archive = tmp_path / "old.jsonl"
    for day in (today, limit + timedelta(days=1)):
        with pytest.raises(NotYet):
            trail.purge(node.engine, "root", day, archive)
    t = audit.trail
    with node.engine.begin() as db:
        ids = db.execute(sa.select(t.c.id).order_by(t.c.id)).scalars().all()
        old = f"{limit - timedelta(days=1)}T23:59:59.999999+00:00"
        db.execute(sa.update(t).where(t.c.id <= ids[2]).values(at=old))
        db.execute(sa.update(t).where(t.c.id == ids[3]).values(at=f"{limit}T00:00:00+00:00"))
    assert trail.purge(node.engine, "root", limit, archive) == 3
    kept = [msgspec.json.decode(line)["id"] for line in archive.read_bytes().splitlines()]
    assert kept == ids[:3]
    left = lines(node.engine)
    assert [e.id for e in left][:-1] == ids[3:]
    assert (left[-1].kind, left[-1].body["rows"]) == ("audit.purged", 3)
    import hashlib

    assert left[-1].body["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    with pytest.raises(Conflict):
        trail.purge(node.engine, "root", limit, archive)


def test_what_was_not_forwarded_is_not_cleared(node: nodes.Tested, tmp_path: Path) -> None:
    old = datetime.now(UTC).date() - timedelta(days=trail.LEAST_DAYS + 1)
    with node.engine.begin() as db:
        db.execute(sa.update(audit.trail).values(at=f"{old}T00:00:00+00:00"))
        db.execute(sa.insert(forwarding.positions).values(target="tcp://x:1", position=1))
    before = lines(node.engine)
    with pytest.raises(NotYet, match="尚未转发"):
        trail.purge(node.engine, "root", old + timedelta(days=1), tmp_path / "old")
    assert lines(node.engine) == before
    assert not (tmp_path / "old").exists()


def test_two_other_administrators_recover_the_only_one(node: nodes.Tested) -> None:
    system, security, auditor = map(node.actor, ("system", "security", "audit"))
    for vouching in ([system], [system, system], [system, node.actor("officer")], []):
        with pytest.raises(NotPermitted):
            people.recover(node.engine, vouching, "security1")
    with pytest.raises(NotPermitted):  # nobody vouches for herself
        people.recover(node.engine, [system, security], "security1")
    for name in ("officer1", "nobody", ""):
        with pytest.raises(Conflict):
            people.recover(node.engine, [system, auditor], name)
    before = sessions.sign_in(node.engine, nodes.KEY, "security1", nodes.PASSWORD, "", "")
    issued = people.recover(node.engine, [system, auditor], "security1")
    assert issued.account.role == "security"
    assert sessions.resume(node.engine, before.token) is None
    with pytest.raises(NotPermitted):
        sessions.sign_in(node.engine, nodes.KEY, "security1", nodes.PASSWORD, "", "")
    again = sessions.sign_in(node.engine, nodes.KEY, "security1", issued.password, "", "")
    assert not again.actor.ready
    (said,) = [e for e in lines(node.engine) if e.kind == "identity.account.recovered"]
    assert said.body["vouched"] == ["audit1", "system1"]
