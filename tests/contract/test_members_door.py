"""Requests and answers between two nodes: what is believed and what is refused."""

import socket
import time
from urllib.parse import urlsplit

import msgspec
import pytest
import sqlalchemy as sa

import circle
from circle import BANK, CENTRE, POOL, Party, own, post, signed
from pingyao.kernel.errors import (
    IntegrityBroken,
    NotPermitted,
    Unavailable,
)
from pingyao.platform.crypto.suites import SUITES
from pingyao.platform.members import (
    checking,
    door,
    revoking,
    store,
)
from pingyao.platform.members.client import Answer
from pingyao.platform.members.pinging import PING, Pong
from pingyao.platform.members.signatures import Parameters
from pingyao.platform.web.limits import Window


def whole(line: socket.socket) -> str:
    """Returns an answer to the end of its body."""
    held = b""
    while not held.endswith(b"}"):
        held += line.recv(65_536)
    return held.decode()


class TestTheDoor:
    @pytest.mark.parametrize("suite", [*SUITES])
    def test_both_ways(self, parties, suite) -> None:
        a, b, _ = parties
        circle.join(a, b, suite)
        there, here = b.member(CENTRE.uscc), a.member(BANK.uscc)
        answer = b.client.send(there.id, "POST", f"{PING}?a=1&b=%E5%B9%B3", b'{"text":"x"}')
        said = answer.read(Pong)
        assert (said.text, said.name, said.uscc) == ("x", BANK.name, BANK.uscc)
        assert said.suite == there.suite
        assert answer.signature
        assert a.client.send(here.id, "POST", PING, b"{}").read(Pong).uscc == CENTRE.uscc
        # A refusal by the handler is signed as well.
        bad = b.client.send(there.id, "POST", PING, b'{"nothing":1}')
        assert (bad.status, bool(bad.signature)) == (400, True)

    def test_replay_is_refused_and_another_order_is_not(self, joined) -> None:
        a, b, _ = joined
        first, second = signed(b, a), signed(b, a, created=int(time.time()) - 30)
        assert post(a, first) == (200, "")
        assert post(a, second) == (200, "")
        for again in (first, second, first):
            assert post(a, again) == (403, "members.replayed")
        with a.engine.connect() as db:
            kept = db.execute(sa.select(sa.func.count()).select_from(store.nonces)).scalar_one()
        assert kept == 2

    def test_a_refused_request_uses_no_nonce_up(self, joined) -> None:
        a, b, _ = joined
        request = signed(b, a)
        assert post(a, request, b'{"text":"y"}') == (409, "members.bad_digest")
        assert post(a, request) == (200, "")

    def test_what_differs_from_what_was_signed(self, joined) -> None:
        a, b, _ = joined
        request = signed(b, a)
        assert post(a, request, path=PING + "?x=1")[1] == "crypto.bad_signature"
        assert post(a, request, path="/member/v1/keys")[1] == "crypto.bad_signature"
        elsewhere = urlsplit(a.address).port
        for host in ("localhost", "127.0.0.1", f"127.0.0.1:{elsewhere + 1}"):
            assert post(a, request | {"host": host})[1] == "crypto.bad_signature"
        assert post(a, {k: v for k, v in request.items() if k != "content-digest"})[0] == 422
        assert post(a, {})[1] == "members.bad_signature_fields"
        assert post(a, request) == (200, "")

    def test_a_name_that_is_not_ours(self, joined) -> None:
        a, b, _ = joined
        b_view = Party.__new__(Party)
        b_view.__dict__ = a.__dict__ | {"address": "http://evil.example"}
        request = signed(b, b_view)
        assert post(a, request | {"host": "evil.example"}) == (403, "web.bad_host")

    def test_times(self, joined) -> None:
        a, b, _ = joined
        now = int(time.time())
        cases = {
            (now - 700, now - 640): "members.clock_skew",
            (now + 360, now + 420): "members.clock_skew",
            (now, now): "members.bad_lifetime",
            (now, now - 1): "members.bad_lifetime",
            (now, now + 301): "members.bad_lifetime",
            (now - 290, now - 230): "",
            (now + 290, now + 350): "",
        }
        for (created, expires), code in cases.items():
            assert post(a, signed(b, a, created=created, expires=expires))[1] == code, code
        said = Parameters(now - 700, now - 640, "n", "k", "a", "t")
        with pytest.raises(NotPermitted, match="慢 700 秒"):
            checking.check_times(said, now)

    def test_another_recipient(self, joined, tmp_path) -> None:
        """A request the bank makes to somebody else is of no use at the centre, whatever the address."""
        a, b, _ = joined
        tag = "pingyao-member-1:91140000MA0CCCCC27"
        assert post(a, signed(b, a, tag=tag)) == (403, "members.wrong_recipient")
        assert post(a, signed(b, a, tag="pingyao-member-2")) == (403, "members.wrong_recipient")
        # And its own request sent back to the bank.
        assert post(b, signed(b, a))[1] == "members.unknown_key"

    def test_no_other_suite_than_the_registered(self, joined) -> None:
        a, b, _ = joined
        mine = b.member(CENTRE.uscc).suite
        other = next(s for s in SUITES if s != mine)
        assert post(a, signed(b, a, suite=other)) == (403, "members.unknown_key")
        right = own(b, mine)
        assert post(a, signed(b, a, alg=SUITES[other].alg))[1] == "members.wrong_suite"
        assert post(a, signed(b, a, alg="none"))[1] == "members.wrong_suite"
        assert post(a, signed(b, a, suite=other, key=right, alg=SUITES[mine].alg))[1] == (
            "members.wrong_suite"  # the digest is of the other suite
        )

    def test_keys_that_are_unknown_expired_revoked_or_for_another_use(self, joined) -> None:
        a, b, _ = joined
        here = a.member(BANK.uscc)
        stranger = own(b, here.suite)
        assert post(a, signed(b, a, keyid="0" * 32)) == (403, "members.unknown_key")
        sealing = next(k for k in here.keys if k.use == "seal")
        assert post(a, signed(b, a, keyid=sealing.id))[0] in (403, 409)
        t = store.keys.c
        for values, code in (
            ({"not_after": int(time.time())}, "members.key_expired"),
            ({"not_after": 2**40, "not_before": int(time.time()) + 60}, "members.key_expired"),
            ({"not_before": 0, "revoked_at": int(time.time())}, "members.revoked"),
        ):
            with a.engine.begin() as db:
                db.execute(sa.update(store.keys).where(t.id == stranger.id).values(**values))
            assert post(a, signed(b, a)) == (403, code)

    def test_nonces(self, joined, monkeypatch) -> None:
        a, b, _ = joined
        for nonce in ("", "short", "x" * 65):
            assert post(a, signed(b, a, nonce=nonce)) == (403, "members.bad_nonce")
        monkeypatch.setattr(checking, "MOST_NONCES", 3)
        monkeypatch.setattr(checking, "_COUNT_EVERY", 1)
        codes = [post(a, signed(b, a))[1] for _ in range(5)]
        assert codes == ["", "", "", "members.too_many", "members.too_many"]
        with a.engine.begin() as db:
            db.execute(sa.update(store.nonces).values(until=1))
        assert post(a, signed(b, a)) == (200, "")
        with a.engine.connect() as db:
            kept = db.execute(sa.select(sa.func.count()).select_from(store.nonces)).scalar_one()
        assert kept == 1

    def test_oversize_and_slow_bodies(self, joined, monkeypatch) -> None:
        a, b, _ = joined
        big = b'{"text":"' + b"x" * door.MOST_BODY + b'"}'
        assert post(a, signed(b, a, big), big) == (413, "members.too_large")
        monkeypatch.setattr(door, "BODY_SECONDS", 0.3)
        head = "".join(f"{k}: {v}\r\n" for k, v in signed(b, a).items())
        host = urlsplit(a.address)
        with socket.create_connection((host.hostname, host.port), 5) as line:
            start = (
                f"POST {PING} HTTP/1.1\r\nhost: {host.netloc}\r\ncontent-length: 12\r\n{head}\r\n{{"
            )
            line.sendall(start.encode())
            assert "members.too_slow" in whole(line)

    def test_unbelieved_content_is_not_even_read(self, joined) -> None:
        """A stranger's upload is refused on its head: the answer comes while the body is still owed."""
        a, b, _ = joined
        head = "".join(f"{k}: {v}\r\n" for k, v in signed(b, a, keyid="0" * 32).items())
        host = urlsplit(a.address)
        with socket.create_connection((host.hostname, host.port), 5) as line:
            start = f"POST {PING} HTTP/1.1\r\nhost: {host.netloc}\r\ncontent-length: 999999\r\n{head}\r\n"
            line.sendall(start.encode())
            assert "members.unknown_key" in whole(line)

    def test_who_asks_too_often_is_told_when_to_ask_again(self, joined) -> None:
        """Before any signature is worked on: what bears none is counted as well."""
        a, b, _ = joined
        a.node.app.state.node.limits.nodes = Window(2)
        assert post(a, signed(b, a))[0] == 200
        assert post(a, {})[0] == 422
        for fields in (signed(b, a), {}):
            answer = POOL.request("POST", a.address + PING, body=b'{"text":"x"}', headers=fields)
            assert answer.status == 429
            assert 0 < int(answer.headers["retry-after"]) <= 60

    def test_a_browser_with_a_session_is_nobody_here(self, joined) -> None:
        a, _, _ = joined
        for role in ("system", "security"):
            answer = a.node.client(role).post(PING, json={"text": "x"})
            assert answer.status_code == 422


class TestAnswers:
    def test_what_is_not_theirs_to_this_request_is_refused(self, joined, monkeypatch) -> None:
        _, b, _ = joined
        there = b.member(CENTRE.uscc)
        real = b.client._ask
        earlier = b.client.send(there.id, "POST", PING, b'{"text":"earlier"}')

        def unsigned(answer: Answer) -> Answer:
            kept = [f for f in answer.fields if "signature" not in f[0]]
            return msgspec.structs.replace(answer, fields=tuple(kept))

        for alter in (
            lambda answer: msgspec.structs.replace(answer, body=answer.body + b" "),
            lambda answer: msgspec.structs.replace(answer, status=201),
            lambda _: earlier,
            unsigned,
        ):
            monkeypatch.setattr(b.client, "_ask", lambda *given, f=alter: f(real(*given)))
            with pytest.raises(IntegrityBroken):
                b.client.send(there.id, "POST", PING, b'{"text":"now"}')

    def test_silence_and_refusal(self, joined) -> None:
        a, b, _ = joined
        there = b.member(CENTRE.uscc)
        here = a.member(BANK.uscc)
        revoking.revoke(a.engine, a.node.actor("security"), here.id, "合作终止")
        with pytest.raises(NotPermitted, match=r"members\.revoked"):
            b.client.send(there.id, "POST", PING, b"{}")
        with b.engine.begin() as db:
            store.update(db, there.id, address="http://127.0.0.1:9")
        with pytest.raises(Unavailable):
            b.client.send(there.id, "POST", PING, b"{}")

    def test_an_answer_without_end_is_cut(self, joined) -> None:
        _, b, _ = joined
        there = b.member(CENTRE.uscc)
        with pytest.raises(Unavailable):
            b.client.send(there.id, "POST", PING, b'{"text":"xxxxxxxx"}', most=10)
