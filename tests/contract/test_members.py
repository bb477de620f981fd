"""Two nodes over real connections, on SQLite and PostgreSQL: joining, believing, refusing."""

import logging
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
import sqlalchemy as sa
import urllib3

import circle
import nodes
from circle import BANK, CENTRE, Party
from pingyao.kernel.errors import (
    Conflict,
    IntegrityBroken,
    NotFound,
    NotPermitted,
    NotYet,
    PingyaoError,
    Unavailable,
)
from pingyao.platform.crypto.suites import SUITES, suite_of
from pingyao.platform.members import (
    checking,
    documents,
    door,
    inviting,
    joining,
    letters,
    proofs,
    register,
    signatures,
    store,
)
from pingyao.platform.members.client import Answer
from pingyao.platform.members.machine import Pong
from pingyao.platform.members.model import OwnKey
from pingyao.platform.members.ring import StoreRing
from pingyao.platform.members.signatures import Parameters
from pingyao.platform.web.limits import Window

pytestmark = pytest.mark.usefixtures("quick_passwords")
PING = "/member/v1/ping"
POOL = urllib3.PoolManager(retries=False)


@pytest.fixture
def parties(
    catalogue_engine: sa.Engine, tmp_path: Path, quick_passwords: None
) -> Iterator[tuple[Party, Party]]:
    with circle.circle(catalogue_engine, tmp_path) as both:
        yield both


@pytest.fixture
def joined(parties: tuple[Party, Party]) -> tuple[Party, Party]:
    """Gives two members of each other: in one suite on SQLite, in the other on PostgreSQL."""
    on_sqlite = parties[0].engine.dialect.name == "sqlite"
    circle.join(*parties, "international" if on_sqlite else "national")
    return parties


def own(party: Party, suite: str, generation: int = 1) -> OwnKey:
    with party.engine.connect() as db:
        keys = store.read_own_keys(db)
    return next(k for k in keys if (k.suite, k.use, k.generation) == (suite, "sign", generation))


def signed(
    who: Party,
    to: Party,
    body: bytes = b'{"text":"x"}',
    *,
    path: str = PING,
    suite: str = "",
    key: OwnKey | None = None,
    **changed: object,
) -> dict[str, str]:
    """Returns the header fields of a request as a node would send it, but for what is changed."""
    with who.engine.connect() as db:
        peer = store.find(db, to.institution.uscc)
    named = suite_of(suite or (peer.suite if peer else "international"))
    hasher = signatures.hasher(named)
    hasher.update(body)
    digest = signatures.content_digest(named, hasher.digest())
    asked = signatures.asked("POST", to.address + path, digest)
    now = int(time.time())
    key = key or own(who, named.name)
    said = Parameters(
        now,
        now + 60,
        secrets.token_urlsafe(16),
        key.id,
        named.alg,
        f"pingyao-member-1:{to.institution.uscc}",
    )
    said = msgspec.structs.replace(said, **changed)
    signature = who.ring.signer(key).sign(signatures.request_base(asked, said))
    return signatures.fields(said, signature) | {"content-digest": digest}


def post(
    to: Party, headers: dict[str, str], body: bytes = b'{"text":"x"}', path: str = PING
) -> tuple[int, str]:
    """Sends and returns status and code, empty where it was taken."""
    more = {"content-type": "application/json"}
    answer = POOL.request("POST", to.address + path, body=body, headers=headers | more)
    said = msgspec.json.decode(answer.data)
    return answer.status, said.get("code", "")


def whole(line: socket.socket) -> str:
    """Returns an answer to the end of its body."""
    held = b""
    while not held.endswith(b"}"):
        held += line.recv(65_536)
    return held.decode()


def codes_of(party: Party, kind: str) -> int:
    from pingyao.platform import audit

    with party.engine.connect() as db:
        return len(audit.read(db, audit.Search(kind), before=None, limit=100))


class TestJoining:
    def test_nothing_is_accepted_before_both_have_confirmed(self, parties, caplog) -> None:
        a, b = parties
        caplog.set_level(logging.DEBUG)
        made = a.desk.invite(a.node.actor("system"), BANK.uscc, BANK.name, "national", 1)
        there = b.desk.join(b.node.actor("system"), made.text)
        here = a.member(BANK.uscc)
        assert (here.state, there.state) == ("pending", "pending")
        assert here.fingerprint == there.fingerprint
        assert len(here.fingerprint) == 40
        assert post(a, signed(b, a)) == (403, "members.pending")
        with pytest.raises(NotYet):
            b.client.send(there.id, "POST", PING, b"{}")
        wrong = f"{(int(here.fingerprint) + 1) % 10**40:040d}"
        for digits in (wrong, "", here.fingerprint[:39], here.fingerprint + "0"):
            with pytest.raises(IntegrityBroken):
                joining.confirm(a.engine, a.node.actor("security"), here.id, digits)
        assert codes_of(a, "members.member.differed") == 4
        for role in ("system", "audit", "officer", "reader"):
            with pytest.raises(NotPermitted):
                joining.confirm(a.engine, a.node.actor(role), here.id, here.fingerprint)
        spoken = documents.grouped(there.fingerprint)
        assert (
            joining.confirm(a.engine, a.node.actor("security"), here.id, spoken).state == "active"
        )
        assert post(a, signed(b, a)) == (200, "")
        with pytest.raises(NotYet):  # the bank has not confirmed the centre yet
            b.client.send(there.id, "POST", PING, b"{}")
        with pytest.raises(NotYet):
            joining.confirm(a.engine, a.node.actor("security"), here.id, here.fingerprint)
        secret = documents.read_invitation(made.text).secret
        assert secret not in caplog.text
        assert nodes.KEY.hex() not in caplog.text

    def test_an_invitation_serves_once_and_one_institution(self, parties) -> None:
        a, b = parties
        system, other = a.node.actor("system"), "91140000MA0CCCCC27"
        made = a.desk.invite(system, BANK.uscc, BANK.name, "international", 1)
        foreign = a.desk.invite(system, other, "别的银行", "international", 1)
        with pytest.raises(NotPermitted):
            b.desk.join(b.node.actor("system"), foreign.text)
        # One who does not ask whether it is hers is refused by the centre.
        text = documents.read_invitation(foreign.text)
        ours = documents.write_invitation(msgspec.structs.replace(text, uscc=BANK.uscc))
        with pytest.raises(NotPermitted, match="no_such_invitation"):
            b.desk.join(b.node.actor("system"), ours)
        b.desk.join(b.node.actor("system"), made.text)
        with pytest.raises(NotPermitted, match="no_such_invitation"):
            b.desk.join(b.node.actor("system"), made.text)
        states = {i.uscc: i.state for i in register.view(a.engine, system).invitations}
        assert states == {BANK.uscc: "used", other: "open"}

    def test_withdrawn_and_expired_invitations(self, parties) -> None:
        a, b = parties
        system = a.node.actor("system")
        made = a.desk.invite(system, BANK.uscc, BANK.name, "international", 1)
        inviting.withdraw(a.engine, system, made.invitation.id)
        with pytest.raises(NotPermitted, match="no_such_invitation"):
            b.desk.join(b.node.actor("system"), made.text)
        late = a.desk.invite(system, BANK.uscc, BANK.name, "international", 1)
        with a.engine.begin() as db:
            db.execute(sa.update(store.invitations).values(expires_at=1))
        with pytest.raises(NotPermitted, match="no_such_invitation"):
            b.desk.join(b.node.actor("system"), late.text)
        text = documents.read_invitation(late.text)
        old = documents.write_invitation(msgspec.structs.replace(text, expires_at=1))
        with pytest.raises(NotPermitted):
            b.desk.join(b.node.actor("system"), old)

    def test_another_node_in_the_centres_place_is_found_out(self, parties) -> None:
        a, b = parties
        made = a.desk.invite(a.node.actor("system"), BANK.uscc, BANK.name, "international", 1)
        text = documents.read_invitation(made.text)
        for changed in (
            {"keys": (text.keys[1], text.keys[0])},
            {"keys": ("0" * 32, text.keys[1])},
            {"address": b.address},
            {"suite": "national"},
        ):
            forged = documents.write_invitation(msgspec.structs.replace(text, **changed))
            with pytest.raises(IntegrityBroken):
                b.desk.join(b.node.actor("system"), forged)

    def test_keys_must_be_proved(self, parties) -> None:
        a, b = parties
        made = a.desk.invite(a.node.actor("system"), BANK.uscc, BANK.name, "international", 1)
        secret = documents.read_invitation(made.text).secret
        with a.engine.connect() as db:
            _, centre, _ = proofs.own_identity(db, a.ring, "international")
        with b.engine.connect() as db:
            whole, us, sealing = proofs.own_identity(db, b.ring, "international")
        challenge = proofs.seal_proof(centre, bytes(32))
        asking = proofs.Joining(secret, whole, challenge)
        reply = inviting.receive(a.engine, a.ring, asking)
        assert reply.answer == bytes(32)
        right = proofs.open_proof(b.ring, sealing, reply.challenge)
        for answer in (bytes(32), right[:31], b"x"):
            with pytest.raises(IntegrityBroken):
                inviting.receive(a.engine, a.ring, msgspec.structs.replace(asking, answer=answer))
        # A sealing key of somebody else cannot be slipped in: the document would have another proof.
        stranger = documents.IdentityKey(
            centre.key("seal").id, "seal", "x25519", centre.key("seal").public
        )
        doc = msgspec.json.encode(msgspec.structs.replace(us, keys=(us.key("sign"), stranger)))
        signer = b.ring.signer(own(b, "international"))
        stolen = documents.SignedIdentity(doc, signer.sign(b"pingyao-identity-1\n" + doc))
        with pytest.raises(IntegrityBroken):
            inviting.receive(
                a.engine, a.ring, msgspec.structs.replace(asking, identity=stolen, answer=right)
            )
        broken = documents.SignedIdentity(whole.document, bytes(64))
        with pytest.raises(IntegrityBroken):
            inviting.receive(a.engine, a.ring, msgspec.structs.replace(asking, identity=broken))
        assert not register.view(a.engine, a.node.actor("system")).members

    def test_who_may_invite(self, parties) -> None:
        a, b = parties
        for role in ("security", "audit", "officer", "reader"):
            with pytest.raises(NotPermitted):
                a.desk.invite(a.node.actor(role), BANK.uscc, BANK.name, "international", 1)
        with pytest.raises(NotYet):  # a bank is no centre
            b.desk.invite(b.node.actor("system"), CENTRE.uscc, CENTRE.name, "international", 1)
        with pytest.raises(Conflict):
            a.desk.invite(a.node.actor("system"), CENTRE.uscc, CENTRE.name, "international", 1)
        for uscc, suite, hours in (
            ("91140000MA0AAAAA1X", "international", 1),
            (BANK.uscc, "none", 1),
            (BANK.uscc, "international", 0),
        ):
            with pytest.raises(PingyaoError):
                a.desk.invite(a.node.actor("system"), uscc, BANK.name, suite, hours)


class TestTheDoor:
    @pytest.mark.parametrize("suite", [*SUITES])
    def test_both_ways(self, parties, suite) -> None:
        a, b = parties
        circle.join(a, b, suite)
        there, here = b.member(CENTRE.uscc), a.member(BANK.uscc)
        answer = b.client.send(there.id, "POST", f"{PING}?a=1&b=%E5%B9%B3", b'{"text":"x"}')
        assert answer.read(Pong) == Pong("x", BANK.name, BANK.uscc, there.suite)
        assert answer.signature
        assert a.client.send(here.id, "POST", PING, b"{}").read(Pong).uscc == CENTRE.uscc
        # A refusal by the handler is signed as well.
        bad = b.client.send(there.id, "POST", PING, b'{"nothing":1}')
        assert (bad.status, bool(bad.signature)) == (400, True)

    def test_replay_is_refused_and_another_order_is_not(self, joined) -> None:
        a, b = joined
        first, second = signed(b, a), signed(b, a, created=int(time.time()) - 30)
        assert post(a, first) == (200, "")
        assert post(a, second) == (200, "")
        for again in (first, second, first):
            assert post(a, again) == (403, "members.replayed")
        with a.engine.connect() as db:
            kept = db.execute(sa.select(sa.func.count()).select_from(store.nonces)).scalar_one()
        assert kept == 2

    def test_a_refused_request_uses_no_nonce_up(self, joined) -> None:
        a, b = joined
        request = signed(b, a)
        assert post(a, request, b'{"text":"y"}') == (409, "members.bad_digest")
        assert post(a, request) == (200, "")

    def test_what_differs_from_what_was_signed(self, joined) -> None:
        a, b = joined
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
        a, b = joined
        b_view = Party.__new__(Party)
        b_view.__dict__ = a.__dict__ | {"address": "http://evil.example"}
        request = signed(b, b_view)
        assert post(a, request | {"host": "evil.example"}) == (403, "web.bad_host")

    def test_times(self, joined) -> None:
        a, b = joined
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
        a, b = joined
        tag = "pingyao-member-1:91140000MA0CCCCC27"
        assert post(a, signed(b, a, tag=tag)) == (403, "members.wrong_recipient")
        assert post(a, signed(b, a, tag="pingyao-member-2")) == (403, "members.wrong_recipient")
        # And its own request sent back to the bank.
        assert post(b, signed(b, a))[1] == "members.unknown_key"

    def test_no_other_suite_than_the_registered(self, joined) -> None:
        a, b = joined
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
        a, b = joined
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
        a, b = joined
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
        a, b = joined
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
        a, b = joined
        head = "".join(f"{k}: {v}\r\n" for k, v in signed(b, a, keyid="0" * 32).items())
        host = urlsplit(a.address)
        with socket.create_connection((host.hostname, host.port), 5) as line:
            start = f"POST {PING} HTTP/1.1\r\nhost: {host.netloc}\r\ncontent-length: 999999\r\n{head}\r\n"
            line.sendall(start.encode())
            assert "members.unknown_key" in whole(line)

    def test_who_asks_too_often_is_told_when_to_ask_again(self, joined) -> None:
        """Before any signature is worked on: what bears none is counted as well."""
        a, b = joined
        a.node.app.state.node.limits.nodes = Window(2)
        assert post(a, signed(b, a))[0] == 200
        assert post(a, {})[0] == 422
        for fields in (signed(b, a), {}):
            answer = POOL.request("POST", a.address + PING, body=b'{"text":"x"}', headers=fields)
            assert answer.status == 429
            assert 0 < int(answer.headers["retry-after"]) <= 60

    def test_a_browser_with_a_session_is_nobody_here(self, joined) -> None:
        a, _ = joined
        for role in ("system", "security"):
            answer = a.node.client(role).post(PING, json={"text": "x"})
            assert answer.status_code == 422


class TestAnswers:
    def test_what_is_not_theirs_to_this_request_is_refused(self, joined, monkeypatch) -> None:
        _, b = joined
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
        a, b = joined
        there = b.member(CENTRE.uscc)
        here = a.member(BANK.uscc)
        register.revoke(a.engine, a.node.actor("security"), here.id, "合作终止")
        with pytest.raises(NotPermitted, match=r"members\.revoked"):
            b.client.send(there.id, "POST", PING, b"{}")
        with b.engine.begin() as db:
            store.update(db, there.id, address="http://127.0.0.1:9")
        with pytest.raises(Unavailable):
            b.client.send(there.id, "POST", PING, b"{}")

    def test_an_answer_without_end_is_cut(self, joined) -> None:
        _, b = joined
        there = b.member(CENTRE.uscc)
        with pytest.raises(Unavailable):
            b.client.send(there.id, "POST", PING, b'{"text":"xxxxxxxx"}', most=10)


class TestKeysInTime:
    def test_rotation_overlaps_then_the_old_key_ends(self, joined) -> None:
        a, b = joined
        there, before = b.member(CENTRE.uscc), a.member(BANK.uscc)
        assert [t.error for t in b.desk.rotate(b.node.actor("security"))] == [""]
        after = a.member(BANK.uscc)
        assert len(after.keys) == 4
        assert after.fingerprint == before.fingerprint
        assert b.client.send(there.id, "POST", PING, b"{}").status == 200
        assert post(a, signed(b, a, key=own(b, there.suite, 1))) == (200, "")
        assert post(a, signed(b, a, key=own(b, there.suite, 2))) == (200, "")
        now = int(time.time())
        old = {k.id for k in before.keys}
        assert all(k.not_after <= now + 31 * 86_400 for k in after.keys if k.id in old)
        with a.engine.begin() as db:
            db.execute(sa.update(store.keys).where(store.keys.c.id.in_(old)).values(not_after=now))
        code = post(a, signed(b, a, key=own(b, there.suite, 1)))
        assert code == (403, "members.key_expired")
        assert b.client.send(there.id, "POST", PING, b"{}").status == 200
        # The centre rotates too, and both still understand each other.
        assert [t.error for t in a.desk.rotate(a.node.actor("security"))] == [""]
        assert b.client.send(there.id, "POST", PING, b"{}").status == 200
        assert a.client.send(after.id, "POST", PING, b"{}").status == 200

    def test_who_could_not_be_told_is_told_later(self, joined) -> None:
        a, b = joined
        there = b.member(CENTRE.uscc)
        with b.engine.begin() as db:
            store.update(db, there.id, address="http://127.0.0.1:9")
        assert [bool(t.error) for t in b.desk.rotate(b.node.actor("security"))] == [True]
        with b.engine.begin() as db:
            store.update(db, there.id, address=a.address)
        assert b.client.send(there.id, "POST", PING, b"{}").status == 200  # still under the old key
        assert [t.error for t in b.desk.rotate(b.node.actor("security"))] == [""]
        with b.engine.connect() as db:
            assert max(k.generation for k in store.read_own_keys(db)) == 2
        with b.engine.begin() as db:  # a third generation does not wait for who has not heard
            store.update(db, there.id, known=1)
        told = b.desk.rotate(b.node.actor("security"), anew=True)
        assert [t.error for t in told] == [""]
        assert {k.generation for k in register.view(b.engine, b.node.actor("reader")).keys} == {
            1,
            2,
            3,
        }
        assert b.client.send(there.id, "POST", PING, b"{}").status == 200

    def test_nobody_announces_keys_for_another_or_without_proof(self, joined) -> None:
        a, b = joined
        suite = b.member(CENTRE.uscc).suite
        with a.engine.connect() as db:
            theirs, centre, _ = proofs.own_identity(db, a.ring, suite)
        with b.engine.connect() as db:
            ours = proofs.own_identity(db, b.ring, suite)[0]
        challenge = proofs.seal_proof(centre, bytes(32))
        for identity, answer, code in (
            (theirs, b"", "members.wrong_suite"),
            (ours, bytes(32), "members.no_proof"),
        ):
            asking = register.Rotation(identity, 60, challenge, answer)
            body, path = msgspec.json.encode(asking), register.KEYS
            assert post(a, signed(b, a, body, path=path), body, path)[1] == code
        assert len(a.member(BANK.uscc).keys) == 2

    def test_revoked_members_stay_out_and_their_keys_too(self, joined) -> None:
        a, b = joined
        here, security = a.member(BANK.uscc), a.node.actor("security")
        key = own(b, here.suite)
        for role in ("system", "audit", "officer", "reader"):
            with pytest.raises(NotPermitted):
                register.revoke(a.engine, a.node.actor(role), here.id, "理由")
        with pytest.raises(PingyaoError):
            register.revoke(a.engine, security, here.id, " ")
        with pytest.raises(PingyaoError):
            register.revoke(a.engine, security, here.id, "理由", int(time.time()) + 60)
        register.revoke(a.engine, security, here.id, "私钥失密", int(time.time()) - 3600)
        assert post(a, signed(b, a)) == (403, "members.revoked")
        with pytest.raises(Conflict):
            register.revoke(a.engine, security, here.id, "再次")
        # The same keys never come back; new ones may, all the way of an invitation.
        with b.engine.begin() as db:
            store.update(db, b.member(CENTRE.uscc).id, state="revoked")
        made = a.desk.invite(a.node.actor("system"), BANK.uscc, BANK.name, here.suite, 1)
        with pytest.raises(NotPermitted, match="used_key"):
            b.desk.join(b.node.actor("system"), made.text)
        b.desk.rotate(b.node.actor("security"))
        there = b.desk.join(b.node.actor("system"), made.text)
        joining.confirm(a.engine, security, here.id, there.fingerprint)
        joining.confirm(b.engine, b.node.actor("security"), there.id, there.fingerprint)
        assert b.client.send(there.id, "POST", PING, b"{}").status == 200
        assert post(a, signed(b, a, key=key)) == (403, "members.revoked")

    def test_what_was_signed_before_is_judged_by_proven_time(self, joined) -> None:
        a, b = joined
        here = a.member(BANK.uscc)
        key, now = own(b, here.suite).id, int(time.time())
        assert register.key_at(a.engine, key, now)[0].id == here.id
        register.revoke(a.engine, a.node.actor("security"), here.id, "失密", now)
        with a.engine.begin() as db:
            db.execute(sa.update(store.keys).values(not_before=now - 100))
        assert register.key_at(a.engine, key, now - 1)[1].id == key
        for at in (now, now + 5, now - 101):
            with pytest.raises(NotPermitted):
                register.key_at(a.engine, key, at)
        with pytest.raises(NotPermitted):
            register.key_at(a.engine, "0" * 32, now)


def test_over_the_api_and_the_pages(parties) -> None:
    a, b = parties
    system, security, bank = (
        a.node.client("system"),
        a.node.client("security"),
        b.node.client("system"),
    )
    asked = {"uscc": BANK.uscc, "name": BANK.name, "suite": "national"}
    made = system.post("/api/v1/members/invitations", json=asked)
    assert made.status_code == 201, made.text
    text = made.json()["text"]
    bad = bank.post("/api/v1/members/join", json={"invitation": text[:-9]})
    assert (bad.status_code, bad.json()["code"]) == (422, "members.bad_invitation")
    there = bank.post("/api/v1/members/join", json={"invitation": text}).json()
    page = security.get("/members").text
    assert there["fingerprint"] in page
    url = f"/members/{a.member(BANK.uscc).id}/confirm"
    wrong = security.post(
        url, data={"fingerprint": "0" * 40}, headers={"origin": "https://127.0.0.1"}
    )
    assert wrong.status_code == 409
    assert "members.fingerprint_differs" in wrong.text
    right = {"fingerprint": there["fingerprint"]}
    done = security.post(url, data=right, headers={"origin": "https://127.0.0.1"})
    assert done.headers["location"] == "/members?done=member_confirmed"
    for language in ("zh", "en"):
        for role in ("system", "security", "audit", "officer", "reader"):
            client = a.node.client(role)
            client.cookies.set("language", language)
            assert client.get("/members").status_code == 200
    seen = a.node.client("audit").get("/api/v1/audit", params={"kind": "members."}).json()
    kinds = [e["kind"] for e in seen["items"]]
    assert kinds[:4] == [
        "members.member.confirmed",
        "members.member.differed",
        "members.member.joined",
        "members.invitation.made",
    ]
    assert text not in str(seen)
    assert documents.read_invitation(text).secret not in str(seen)


def test_letters(joined) -> None:
    a, b = joined
    there, here = b.member(CENTRE.uscc), a.member(BANK.uscc)
    suite, payload = here.suite, secrets.token_bytes(1000)
    sealed = letters.seal(b.engine, there.id, payload, b"offer/1")
    signed_ = letters.sign(b.engine, b.ring, there.id, payload)
    a.desk.rotate(a.node.actor("security"))  # what was closed for an older key still opens
    assert letters.open_sealed(a.engine, a.ring, sealed, suite, b"offer/1") == payload
    sealed_again = letters.seal(b.engine, there.id, payload, b"offer/1")
    assert letters.open_sealed(a.engine, a.ring, sealed_again, suite, b"offer/1") == payload
    with pytest.raises(IntegrityBroken):
        letters.open_sealed(a.engine, a.ring, sealed, suite, b"offer/2")
    with pytest.raises(NotFound):
        letters.open_sealed(b.engine, b.ring, sealed, suite, b"offer/1")
    other = next(s for s in SUITES if s != suite)
    with pytest.raises(IntegrityBroken):
        letters.open_sealed(a.engine, a.ring, sealed, other, b"offer/1")
    who, said = letters.open_signed(a.engine, signed_, suite)
    assert (who.id, said) == (here.id, payload)
    with pytest.raises(IntegrityBroken):
        letters.open_signed(a.engine, signed_[:-1] + bytes([signed_[-1] ^ 1]), suite)
    at = int(time.time())
    register.revoke(a.engine, a.node.actor("security"), here.id, "失密", at)
    with pytest.raises(NotPermitted):
        letters.open_signed(a.engine, signed_, suite)
    with a.engine.begin() as db:
        db.execute(sa.update(store.keys).values(not_before=at - 100))
    assert letters.open_signed(a.engine, signed_, suite, at - 1)[1] == payload
    with pytest.raises(NotYet):
        letters.seal(a.engine, here.id, b"", b"")
    with pytest.raises(NotYet):
        letters.sign(a.engine, a.ring, here.id, b"")


def test_a_keystore_of_another_node_is_noticed(joined, tmp_path) -> None:
    a, b = joined
    (tmp_path / "b" / "members.pks").rename(tmp_path / "b" / "kept.pks")
    with pytest.raises(PingyaoError):
        StoreRing(tmp_path / "b" / "node.key", nodes.KEY).signer(own(b, "national"))
    wrong = StoreRing(tmp_path / "a" / "node.key", nodes.KEY)
    with pytest.raises(NotFound, match="密钥库"):
        wrong.signer(own(b, "national"))
    with pytest.raises(NotPermitted):
        StoreRing(tmp_path / "a" / "node.key", b"\1" * 32).signer(own(a, "national"))
