"""Banks that know each other by the centre's roster: what they take, what they refuse, and for how long."""

import socket
import time
from datetime import UTC, datetime

import msgspec
import pytest
import sqlalchemy as sa

import circle
from circle import BANK, CENTRE, OTHER, PING, Party, own, post, signed
from pingyao.kernel.errors import (
    Conflict,
    IntegrityBroken,
    NotPermitted,
    NotYet,
    PingyaoError,
    Unavailable,
)
from pingyao.platform.crypto.suites import key_id
from pingyao.platform.members import (
    fetching,
    letters,
    publishing,
    reach,
    register,
    revoking,
    roster_store,
    rosters,
    store,
    trust,
)
from pingyao.platform.members.client import Client
from pingyao.platform.members.model import Search
from pingyao.platform.members.publishing import ROSTER, Published
from pingyao.platform.members.rosters import Document

DAY = 86_400


def fetch(party: Party) -> fetching.Fetched:
    [found] = party.desk.fetch(party.node.actor("system"))
    return found


@pytest.fixture
def introduced(joined) -> tuple[Party, Party, Party]:
    """Gives a centre and two banks, of different suites, that have taken its roster."""
    for bank in joined[1:]:
        assert fetch(bank).error == ""
    return joined


def kept(party: Party) -> rosters.Document:
    with party.engine.connect() as db:
        document = roster_store.read_document(db, store.find(db, CENTRE.uscc).id)
    return msgspec.json.decode(document, type=Document)


def issued(a: Party, b: Party, document: bytes) -> Published:
    """Returns a document as the centre would hand it to a bank."""
    key = own(a, b.member(CENTRE.uscc).suite)
    return Published(document, a.ring.signer(key).sign(rosters.signed(document)), key.id)


def take(b: Party, given: Published) -> fetching.Fetched:
    return fetching.take(b.engine, b.member(CENTRE.uscc), given, "test")


class TestKnowingEachOther:
    def test_two_banks_of_different_suites(self, introduced) -> None:
        _, b, c = introduced
        for one, other in ((b, c), (c, b)):
            there = one.member(other.institution.uscc)
            pong = one.desk.ping(one.node.actor("reader"), there.id)
            assert (pong.uscc, pong.name) == (one.institution.uscc, one.institution.name)
            assert pong.suite == one.member(CENTRE.uscc).suite != there.suite
            assert there.confirmed_by == CENTRE.name
            sealed = letters.seal(one.engine, there.id, b"x", b"offer/1")
            opened = letters.open_sealed(other.engine, other.ring, sealed, there.suite, b"offer/1")
            assert opened == b"x"
            said = letters.sign(one.engine, one.ring, there.id, b"y")
            who, text = letters.open_signed(other.engine, said, one.member(CENTRE.uscc).suite)
            assert (who.profile.uscc, text) == (one.institution.uscc, b"y")

    def test_strangers_before_and_nothing_new_after(self, joined) -> None:
        a, b, c = joined
        key = own(b, b.member(CENTRE.uscc).suite)
        assert post(c, signed(b, c, key=key)) == (403, "members.unknown_key")
        first = fetch(c)
        assert (first.new, first.members, first.error) == (True, 1, "")
        assert post(c, signed(b, c, key=key)) == (200, "")
        assert not fetch(c).new
        with a.engine.connect() as db:
            ours = roster_store.read(db, 0)
        assert (first.serial, first.digest) == (ours.serial, ours.digest)
        assert [p.count("members.roster.taken") for p in (a, b, c)] == [0, 0, 1]
        assert a.count("members.roster.published") == 2  # one for each that was confirmed

    def test_only_a_centre_gives_one_and_only_to_members(self, introduced) -> None:
        a, b, c = introduced
        there = b.member(OTHER.uscc)
        answer = b.client.send(there.id, "GET", ROSTER)
        with pytest.raises(NotPermitted, match="not_centre"):
            answer.read(Published)
        assert circle.POOL.request("GET", a.address + ROSTER).status == 422
        with c.engine.begin() as db:  # whoever says so itself is no centre to anybody
            db.execute(sa.update(store.own).values(kind="regulator"))
        assert fetch(b).name == CENTRE.name

    def test_people_decide_where_people_have_compared(self, introduced) -> None:
        a, b, _ = introduced
        there = b.member(CENTRE.uscc)
        assert (there.via, there.state) == (0, "active")
        listed = {m.profile.uscc for m in kept(b).members}
        assert listed == {BANK.uscc, OTHER.uscc}
        number = b.member(OTHER.uscc).id
        with pytest.raises(NotPermitted, match="由中心吊销"):
            revoking.revoke(b.engine, b.node.actor("security"), number, "理由")
        for role in ("audit", "officer", "reader"):
            with pytest.raises(NotPermitted):
                a.desk.fetch(a.node.actor(role))


class TestRevocation:
    def test_a_member_reaches_nobody_after_the_next_fetch(self, introduced) -> None:
        a, b, c = introduced
        there = c.member(BANK.uscc)
        revoking.revoke(a.engine, a.node.actor("security"), a.member(BANK.uscc).id, "退出")
        assert post(a, signed(b, a)) == (403, "members.revoked")
        key = own(b, b.member(CENTRE.uscc).suite)
        assert post(c, signed(b, c, key=key)) == (200, "")
        assert fetch(c).new
        assert post(c, signed(b, c, key=key)) == (403, "members.revoked")
        with pytest.raises(NotYet):
            c.client.send(there.id, "POST", PING, b"{}")
        assert "退出" not in str(kept(c))  # the reason is the centre's own

    def test_a_key_that_its_holder_revokes(self, introduced) -> None:
        _, b, c = introduced
        old = own(b, b.member(CENTRE.uscc).suite)
        told = b.desk.revoke_own(b.node.actor("security"), old.id, "失密")
        assert [t.error for t in told] == [""]
        there = b.member(OTHER.uscc)
        with pytest.raises(NotPermitted, match="unknown_key"):  # until it has fetched
            b.client.send(there.id, "POST", PING, b"{}")
        fetch(c)
        assert b.client.send(there.id, "POST", PING, b"{}").status == 200
        assert post(c, signed(b, c, key=old)) == (403, "members.revoked")
        assert c.client.send(c.member(BANK.uscc).id, "POST", PING, b"{}").status == 200

    def test_a_key_that_the_centre_revokes_is_not_used_by_its_holder(self, introduced) -> None:
        a, b, c = introduced
        suite = b.member(CENTRE.uscc).suite
        b.desk.rotate(b.node.actor("security"))
        number, old = a.member(BANK.uscc).id, own(b, suite)
        revoking.revoke_key(a.engine, a.node.actor("security"), number, old.id, "失密")
        fetch(b), fetch(c)
        assert own(b, suite).revoked_at
        assert b.client.send(b.member(OTHER.uscc).id, "POST", PING, b"{}").status == 200
        with b.engine.begin() as db:  # and were it the newest, rotating would make another
            store.change_own_key(db, own(b, suite, 2).id, revoked_at=1)
        b.desk.rotate(b.node.actor("security"))
        assert own(b, suite, 3)

    def test_what_was_revoked_stays_revoked_whatever_comes_later(self, introduced) -> None:
        a, b, c = introduced
        before = kept(c)
        revoking.revoke(a.engine, a.node.actor("security"), a.member(BANK.uscc).id, "退出")
        fetch(c)
        later = msgspec.structs.replace(before, serial=before.serial + 100_000)
        assert take(c, issued(a, c, msgspec.json.encode(later))).new
        key = own(b, b.member(CENTRE.uscc).suite)
        assert post(c, signed(b, c, key=key)) == (403, "members.revoked")

    def test_who_is_no_longer_listed_is_out(self, introduced) -> None:
        a, b, c = introduced
        before = kept(c)
        none = msgspec.structs.replace(before, serial=before.serial + 1, members=())
        take(c, issued(a, c, msgspec.json.encode(none)))
        key = own(b, b.member(CENTRE.uscc).suite)
        assert post(c, signed(b, c, key=key)) == (403, "members.revoked")


class TestRotation:
    def test_others_understand_the_whole_time(self, introduced) -> None:
        """A new key waits until every roster that is still relied on has it."""
        _, b, c = introduced
        suite, there = b.member(CENTRE.uscc).suite, b.member(OTHER.uscc)
        b.desk.rotate(b.node.actor("security"))
        now = int(time.time())
        with b.engine.connect() as db:
            assert trust.own_key(db, there, "sign", now).generation == 1
            later = now + trust.MOST_AGE + 1
            assert trust.own_key(db, there, "sign", later).generation == 2
        assert b.client.send(there.id, "POST", PING, b"{}").status == 200  # c has not fetched
        fetch(c)
        assert b.client.send(there.id, "POST", PING, b"{}").status == 200
        assert post(c, signed(b, c, key=own(b, suite, 2))) == (200, "")
        assert c.client.send(c.member(BANK.uscc).id, "POST", PING, b"{}").status == 200


class TestWithoutTheCentre:
    def test_the_roster_is_lived_by_until_it_is_too_old(self, introduced) -> None:
        _, b, c = introduced
        there = b.member(OTHER.uscc)
        with b.engine.begin() as db:
            store.update(db, b.member(CENTRE.uscc).id, address="http://127.0.0.1:9")
        assert "没有按时应答" in fetch(b).error
        assert b.client.send(there.id, "POST", PING, b"{}").status == 200
        now = int(time.time())
        for checked_at in (now - trust.MOST_AGE - 1, now + 3600, 0):
            with b.engine.begin() as db:
                db.execute(sa.update(store.rosters).values(checked_at=checked_at))
            with pytest.raises(Unavailable, match="名册"):
                b.client.send(there.id, "POST", PING, b"{}")
            theirs = own(c, c.member(CENTRE.uscc).suite)
            assert post(b, signed(c, b, key=theirs)) == (503, "members.roster_too_old")
        with b.engine.begin() as db:
            db.execute(sa.update(store.rosters).values(checked_at=now - trust.MOST_AGE + 60))
        assert b.client.send(there.id, "POST", PING, b"{}").status == 200

    def test_a_centre_that_is_revoked_here_vouches_for_nobody(self, introduced) -> None:
        _, b, c = introduced
        there, centre = b.member(OTHER.uscc), b.member(CENTRE.uscc)
        revoking.revoke(b.engine, b.node.actor("security"), centre.id, "理由")
        with pytest.raises(NotPermitted, match="中心"):
            b.client.send(there.id, "POST", PING, b"{}")
        theirs = own(c, c.member(CENTRE.uscc).suite)
        assert post(b, signed(c, b, key=theirs)) == (403, "members.centre_gone")
        assert b.desk.fetch(b.node.actor("system")) == []

    def test_a_roster_under_a_key_that_was_lost_is_asked_for_anew(self, introduced) -> None:
        a, b, _ = introduced
        there, key = b.member(OTHER.uscc), own(a, b.member(CENTRE.uscc).suite)
        told = a.desk.revoke_own(a.node.actor("security"), key.id, "失密")
        assert [t.error for t in told] == ["", ""]
        with pytest.raises(Unavailable):
            b.client.send(there.id, "POST", PING, b"{}")
        assert fetch(b).error == ""
        assert b.client.send(there.id, "POST", PING, b"{}").status == 200

    def test_a_centre_that_does_not_answer(self, introduced, monkeypatch) -> None:
        _, b, _ = introduced
        monkeypatch.setattr("pingyao.platform.members.client.SECONDS", 0.3)
        before = kept(b)
        with socket.create_server(("127.0.0.1", 0)) as mute:
            port = mute.getsockname()[1]
            with b.engine.begin() as db:
                store.update(db, b.member(CENTRE.uscc).id, address=f"http://127.0.0.1:{port}")
            assert fetch(b).error
        assert kept(b) == before


class TestWhatIsRefused:
    def test_wrong_signatures(self, introduced) -> None:
        a, b, c = introduced
        document = msgspec.json.encode(kept(b))
        right = issued(a, b, document)
        sealing = own(a, b.member(CENTRE.uscc).suite, use="seal").id
        for change in (
            {"signature": bytes(64)},
            {"document": document + b" "},
            {"key": "0" * 32},
            {"key": sealing},
            {"key": own(a, c.member(CENTRE.uscc).suite).id},
            {"key": own(b, b.member(CENTRE.uscc).suite).id},
        ):
            with pytest.raises(IntegrityBroken):
                take(b, msgspec.structs.replace(right, **change))
        other = issued(a, c, document)  # good for the other bank, in the other suite
        with pytest.raises(IntegrityBroken):
            take(b, other)

    def test_older_and_another_of_the_same_serial(self, introduced) -> None:
        a, b, c = introduced
        now, here = kept(b), b.member(CENTRE.uscc)
        older = msgspec.structs.replace(now, serial=now.serial - 1)
        with pytest.raises(IntegrityBroken, match="旧"):
            take(b, issued(a, b, msgspec.json.encode(older)))
        same = msgspec.structs.replace(now, issued_at=now.issued_at + 1)
        with pytest.raises(IntegrityBroken, match="两份"):
            take(b, issued(a, b, msgspec.json.encode(same)))
        assert kept(b) == now
        # The two banks find it out as well where the centre tells one this, the other that.
        with c.engine.begin() as db:
            db.execute(sa.update(store.rosters).values(digest="0" * 64))
        with pytest.raises(IntegrityBroken, match="两份"):
            b.desk.ping(b.node.actor("reader"), b.member(OTHER.uscc).id)
        assert b.count("members.roster.differed") == 1
        assert b.desk.ping(b.node.actor("reader"), here.id).uscc == BANK.uscc

    def test_an_answer_of_nothing_at_first(self, joined) -> None:
        _, b, _ = joined
        with pytest.raises(IntegrityBroken):
            take(b, Published())

    def test_what_cannot_be(self, introduced) -> None:
        a, b, c = introduced
        now = kept(b)
        ours = next(m for m in now.members if m.profile.uscc == BANK.uscc)
        theirs = next(m for m in now.members if m.profile.uscc == OTHER.uscc)
        change = msgspec.structs.replace
        stolen = change(theirs, keys=ours.keys)
        made_up = change(ours.keys[0], public=bytes(len(ours.keys[0].public)))
        made_up = change(made_up, id=key_id(made_up.kind, made_up.public))
        documents = {
            "another's": change(now, centre=OTHER.uscc),
            "a form of later": change(now, format="pingyao-roster-2"),
            "twice": change(now, members=(theirs, theirs)),
            "one key of two": change(now, members=(ours, stolen)),
            "a key of ours": change(now, members=(stolen,)),
            "not ours": change(now, members=(change(ours, keys=(*ours.keys, made_up)), theirs)),
            "the centre itself": change(
                now, members=(change(theirs, profile=change(theirs.profile, uscc=CENTRE.uscc)),)
            ),
            "a second centre": change(
                now, members=(change(theirs, profile=change(theirs.profile, role="centre")),)
            ),
            "no such suite": change(now, members=(change(theirs, suite="none"),)),
            "a false name of a key": change(
                now, members=(change(theirs, keys=(change(theirs.keys[0], id="0" * 32),)),)
            ),
            "a path in an address": change(
                now,
                members=(
                    change(theirs, profile=change(theirs.profile, address="https://x.example/y")),
                ),
            ),
        }
        for name, document in documents.items():
            later = change(document, serial=now.serial + 10)
            with pytest.raises(PingyaoError):
                take(b, issued(a, b, msgspec.json.encode(later)))
            assert kept(b) == now, name
        for document in (b"", b"{}", b"[" * 100_000, b'{"format":"pingyao-roster-1"}'):
            with pytest.raises(PingyaoError):
                take(b, issued(a, b, document or b" "))
        assert b.member(OTHER.uscc).keys == tuple(map(rosters.held, theirs.keys))
        assert c.client.send(c.member(BANK.uscc).id, "POST", PING, b"{}").status == 200

    def test_too_large(self, introduced, monkeypatch) -> None:
        a, b, _ = introduced
        document = msgspec.json.encode(kept(b))
        monkeypatch.setattr(rosters, "MOST_BYTES", len(document) - 1)
        with pytest.raises(IntegrityBroken):
            take(b, issued(a, b, document))
        monkeypatch.setattr(rosters, "MOST_MEMBERS", 1)
        with pytest.raises(Conflict), a.engine.begin() as db:
            publishing.publish(db, "test", datetime.now(UTC))
        monkeypatch.setattr(fetching, "_MOST_ANSWER", 100)
        with b.engine.begin() as db:
            db.execute(sa.update(store.rosters).values(digest="0" * 64))
        assert "过大" in fetch(b).error

    def test_a_refusal_is_written_down(self, introduced) -> None:
        a, b, _ = introduced
        with a.engine.begin() as db:  # as a backup would bring it back
            db.execute(sa.update(store.rosters).values(serial=1, document=b"{}", digest="0" * 64))
        assert fetch(b).error
        assert b.count("members.roster.refused") == 1
        # The next change at the centre is above what it has ever issued.
        revoking.revoke(a.engine, a.node.actor("security"), a.member(OTHER.uscc).id, "补办")
        assert (fetch(b).error, b.member(OTHER.uscc).state) == ("", "revoked")


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            "https://127.0.0.1:8443",
            "https://localhost:8443",
            "https://127.1:8443",
            "https://2130706433:8443",
            "https://[::1]:8443",
            "https://[::ffff:127.0.0.1]:8443",
            "https://169.254.169.254",
            "https://[fe80::1]:8443",
            "https://0.0.0.0:8443",
            "https://224.0.0.1:8443",
        ],
    )
    def test_a_roster_sends_nobody_to_herself(self, address: str) -> None:
        for ours in ("https://node.bank.example:8443", ""):
            with pytest.raises(NotPermitted):
                reach.check(address, ours)

    def test_private_lines_are_where_banks_meet(self) -> None:
        for address in ("https://10.1.2.3:8443", "https://192.168.1.1", "https://172.16.0.1", ""):
            reach.check(address, "https://node.bank.example:8443")
        reach.check("http://127.0.0.1:8443", "http://127.0.0.1:8444")  # a trial on one machine

    def test_it_is_looked_at_before_anything_is_sent(self, introduced) -> None:
        _, b, _ = introduced
        with b.engine.begin() as db:
            db.execute(sa.update(store.own).values(address="https://node.bank.example:8443"))
        with pytest.raises(NotPermitted, match=r"127\.0\.0\.1"):
            b.client.send(b.member(OTHER.uscc).id, "POST", PING, b"{}")

    def test_a_redirect_is_not_followed(self, introduced, monkeypatch) -> None:
        _, b, _ = introduced
        seen = []
        real = Client._ask

        def spied(self, url, method, body, headers, most):
            seen.append(url)
            answer = real(self, url, method, body, headers, most)
            fields = (("location", "http://127.0.0.1:9/"),)
            return msgspec.structs.replace(answer, status=307, fields=fields)

        monkeypatch.setattr(Client, "_ask", spied)
        with pytest.raises(IntegrityBroken):
            b.client.send(b.member(OTHER.uscc).id, "POST", PING, b"{}")
        assert len(seen) == 1


def test_finding_members_among_many(joined) -> None:
    a, _, _ = joined
    member = a.member(OTHER.uscc)
    with a.engine.begin() as db:
        for number in range(7):
            profile = msgspec.structs.replace(
                member.profile,
                name=f"第{number}号银行",
                uscc=f"91140000MA0ZZZZ{number:03}",
                region=f"14{number:02}00",
                code=f"C1{number:012}",
            )
            state = "revoked" if number % 2 else "active"
            store.write(db, msgspec.structs.replace(member, profile=profile, state=state, keys=()))
    reader = a.node.actor("reader")

    def names(wanted: Search, after: int = 0, limit: int = 3) -> list[str]:
        view = register.view(a.engine, reader, wanted, after, limit)
        return [m.profile.name for m in view.members]

    assert names(Search("号银行")) == ["第0号银行", "第1号银行", "第2号银行"]
    last = register.view(a.engine, reader, Search("号银行"), 0, 3).members[-1].id
    assert names(Search("号银行"), last) == ["第3号银行", "第4号银行", "第5号银行"]
    assert register.view(a.engine, reader, Search("号银行"), last, 3).total == 7
    assert names(Search("zzzz003")) == ["第3号银行"]
    assert names(Search("c1000000000005")) == ["第5号银行"]
    assert names(Search(region="1404")) == ["第4号银行"]
    assert names(Search("号银行", state="revoked")) == ["第1号银行", "第3号银行", "第5号银行"]
    for nothing in ("%", "_", "'", "\\"):
        assert names(Search(nothing)) == []
    client = a.node.client("reader")
    seen = client.get("/api/v1/members", params={"words": "号银行", "limit": 3}).json()
    assert (seen["total"], seen["after"], len(seen["members"])) == (7, last, 3)
    rest = client.get("/api/v1/members", params={"words": "号银行", "after": last}).json()
    assert (len(rest["members"]), rest["after"]) == (4, None)
    assert client.get("/api/v1/members", params={"state": "none"}).status_code == 400
    page = client.get("/members", params={"words": "号银行", "state": "revoked"}).text
    assert (
        page.count("/members/") - page.count("/members/joining") - page.count("/members/own") == 3
    )
