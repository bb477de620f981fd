"""Keys of members in time: rotated, revoked, judged by when something was signed."""

import secrets
import shutil
import time

import msgspec
import pytest
import sqlalchemy as sa

import circle
import nodes
from circle import BANK, CENTRE, OTHER, own, post, signed
from pingyao.kernel.errors import (
    Conflict,
    IntegrityBroken,
    Invalid,
    NotFound,
    NotPermitted,
    NotYet,
    PingyaoError,
)
from pingyao.platform import audit
from pingyao.platform.crypto.suites import SUITES
from pingyao.platform.members import (
    joining,
    letters,
    proofs,
    register,
    revoking,
    rotating,
    store,
)
from pingyao.platform.members.pinging import PING
from pingyao.platform.members.ring import StoreRing


class TestKeysInTime:
    def test_rotation_overlaps_then_the_old_key_ends(self, joined) -> None:
        a, b, _ = joined
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
        assert [t.error for t in a.desk.rotate(a.node.actor("security"))] == ["", ""]
        assert b.client.send(there.id, "POST", PING, b"{}").status == 200
        assert a.client.send(after.id, "POST", PING, b"{}").status == 200

    def test_who_could_not_be_told_is_told_later(self, joined) -> None:
        a, b, _ = joined
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
        a, b, _ = joined
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
            asking = rotating.Rotation(identity, 60, challenge, answer)
            body, path = msgspec.json.encode(asking), rotating.KEYS
            assert post(a, signed(b, a, body, path=path), body, path)[1] == code
        assert len(a.member(BANK.uscc).keys) == 2

    def test_revoked_members_stay_out_and_their_keys_too(self, joined) -> None:
        a, b, _ = joined
        here, security = a.member(BANK.uscc), a.node.actor("security")
        key = own(b, here.suite)
        for role in ("system", "audit", "officer", "reader"):
            with pytest.raises(NotPermitted):
                revoking.revoke(a.engine, a.node.actor(role), here.id, "理由")
        with pytest.raises(PingyaoError):
            revoking.revoke(a.engine, security, here.id, " ")
        with pytest.raises(PingyaoError):
            revoking.revoke(a.engine, security, here.id, "理由", int(time.time()) + 60)
        revoking.revoke(a.engine, security, here.id, "私钥失密", int(time.time()) - 3600)
        assert post(a, signed(b, a)) == (403, "members.revoked")
        with pytest.raises(Conflict):
            revoking.revoke(a.engine, security, here.id, "再次")
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
        a, b, _ = joined
        here = a.member(BANK.uscc)
        key, now = own(b, here.suite).id, int(time.time())
        assert register.key_at(a.engine, key, now)[0].id == here.id
        revoking.revoke(a.engine, a.node.actor("security"), here.id, "失密", now)
        with a.engine.begin() as db:
            db.execute(sa.update(store.keys).values(not_before=now - 100))
        assert register.key_at(a.engine, key, now - 1)[1].id == key
        for at in (now, now + 5, now - 101):
            with pytest.raises(NotPermitted):
                register.key_at(a.engine, key, at)
        with pytest.raises(NotPermitted):
            register.key_at(a.engine, "0" * 32, now)


class TestOneKeyRevoked:
    def test_by_the_centre_and_the_member_goes_on(self, joined) -> None:
        a, b, _ = joined
        here, there, security = a.member(BANK.uscc), b.member(CENTRE.uscc), a.node.actor("security")
        old = own(b, here.suite, 1)
        b.desk.rotate(b.node.actor("security"))
        assert post(a, signed(b, a, key=old)) == (200, "")
        for role in ("system", "audit", "officer", "reader"):
            with pytest.raises(NotPermitted):
                revoking.revoke_key(a.engine, a.node.actor(role), here.id, old.id, "失密")
        for key, why, since, kind in (
            ("0" * 32, "失密", None, NotFound),
            (own(a, here.suite).id, "失密", None, NotFound),
            (old.id, " ", None, Invalid),
            (old.id, "x" * 501, None, Invalid),
            (old.id, "失密", int(time.time()) + 60, Invalid),
        ):
            with pytest.raises(kind):
                revoking.revoke_key(a.engine, security, here.id, key, why, since)
        now = int(time.time())
        member = revoking.revoke_key(a.engine, security, here.id, old.id, "失密", now - 60)
        gone = next(k for k in member.keys if k.id == old.id)
        assert (gone.revoked_at, gone.why, member.state) == (now - 60, "失密", "active")
        assert post(a, signed(b, a, key=old)) == (403, "members.revoked")
        assert b.client.send(there.id, "POST", PING, b"{}").status == 200
        for since in (None, now - 60, now - 59):
            with pytest.raises(Conflict):
                revoking.revoke_key(a.engine, security, here.id, old.id, "再次", since)
        # An inquiry may find that it was lost earlier still.
        earlier = revoking.revoke_key(a.engine, security, here.id, old.id, "早已失密", now - 3600)
        assert next(k for k in earlier.keys if k.id == old.id).revoked_at == now - 3600
        assert a.count("members.key.revoked") == 2

    def test_by_its_holder_under_a_successor(self, joined) -> None:
        a, b, _ = joined
        here, there = a.member(BANK.uscc), b.member(CENTRE.uscc)
        old, lost = own(b, here.suite, 1), int(time.time()) - 3600
        for role in ("system", "audit", "officer", "reader"):
            with pytest.raises(NotPermitted):
                b.desk.revoke_own(b.node.actor(role), old.id, "失密")
        told = b.desk.revoke_own(b.node.actor("security"), old.id, "介质遗失", lost)
        assert [t.error for t in told] == [""]
        assert post(a, signed(b, a, key=old)) == (403, "members.revoked")
        assert b.client.send(there.id, "POST", PING, b"{}").status == 200
        kept = next(k for k in a.member(BANK.uscc).keys if k.id == old.id)
        # Nobody disowns by her own word what she signed before she spoke.
        assert kept.revoked_at >= int(time.time()) - 60
        with a.engine.connect() as db:
            said = audit.read(db, audit.Search("members.key.revoked"), before=None, limit=1)[0]
        assert (said.body["since"], said.body["why"]) == (lost, "介质遗失")
        with pytest.raises(Conflict):
            b.desk.revoke_own(b.node.actor("security"), old.id, "再次")
        with pytest.raises(NotFound):
            b.desk.revoke_own(b.node.actor("security"), "0" * 32, "失密")
        # The sealing key of the same generation goes without yet another generation.
        b.desk.revoke_own(b.node.actor("security"), own(b, here.suite, 1, "seal").id, "介质遗失")
        with b.engine.connect() as db:
            assert max(k.generation for k in store.read_own_keys(db)) == 2

    def test_who_could_not_be_told_is_told_later(self, joined) -> None:
        a, b, _ = joined
        there, old = b.member(CENTRE.uscc), own(b, b.member(CENTRE.uscc).suite, 1)
        with b.engine.begin() as db:
            store.update(db, there.id, address="http://127.0.0.1:9")
        told = b.desk.revoke_own(b.node.actor("security"), old.id, "失密")
        assert [bool(t.error) for t in told] == [True]
        with b.engine.begin() as db:
            store.update(db, there.id, address=a.address)
        with pytest.raises(NotFound):  # nothing but the news itself is signed with it any more
            b.client.send(there.id, "POST", PING, b"{}")
        assert post(a, signed(b, a, key=old)) == (200, "")
        assert [t.error for t in b.desk.rotate(b.node.actor("security"))] == [""]
        assert post(a, signed(b, a, key=old)) == (403, "members.revoked")
        assert b.client.send(there.id, "POST", PING, b"{}").status == 200
        with b.engine.connect() as db:
            assert max(k.generation for k in store.read_own_keys(db)) == 2

    def test_who_joins_later_need_not_hear_of_it(self, parties) -> None:
        a, b, _ = parties
        a.desk.revoke_own(a.node.actor("security"), own(a, "national").id, "失密")
        circle.join(a, b, "national")
        with a.engine.connect() as db:
            assert not rotating.is_behind(a.member(BANK.uscc), store.read_own_keys(db))
        assert b.client.send(b.member(CENTRE.uscc).id, "POST", PING, b"{}").status == 200

    def test_what_a_member_may_not_say_of_keys(self, joined) -> None:
        a, b, c = joined
        mine, theirs = own(b, b.member(CENTRE.uscc).suite), a.member(OTHER.uscc).keys
        for lost, code in (
            ([rotating.Lost(mine.id, 0, "x")], "members.own_signature"),
            ([rotating.Lost("k" * 33, 0, "x")], "http.400"),
            ([rotating.Lost(f"{i:032x}", 0, "x") for i in range(101)], "http.400"),
        ):
            body = msgspec.json.encode(rotating.Revocation(tuple(lost)))
            given = signed(b, a, body, path=rotating.REVOKED)
            assert post(a, given, body, rotating.REVOKED)[1] == code
        body = msgspec.json.encode(
            rotating.Revocation(tuple(rotating.Lost(k.id, 0, "x") for k in theirs))
        )
        given = signed(b, a, body, path=rotating.REVOKED)
        assert post(a, given, body, rotating.REVOKED) == (200, "")
        assert not any(k.revoked_at for k in a.member(OTHER.uscc).keys)
        assert c.client.send(c.member(CENTRE.uscc).id, "POST", PING, b"{}").status == 200


def test_letters(joined) -> None:
    a, b, _ = joined
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
    revoking.revoke(a.engine, a.node.actor("security"), here.id, "失密", at)
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
    a, b, _ = joined
    with pytest.raises(PingyaoError):  # none is there
        StoreRing(tmp_path / "node.key", nodes.KEY).signer(own(b, "national"))
    shutil.copy(a.ring.path, tmp_path / "members.pks")
    wrong = StoreRing(tmp_path / "node.key", nodes.KEY)
    with pytest.raises(NotFound, match="密钥库"):
        wrong.signer(own(b, "national"))
    with pytest.raises(NotPermitted):
        StoreRing(tmp_path / "node.key", b"\1" * 32).signer(own(a, "national"))
