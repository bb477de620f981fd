"""Banks that know each other by the centre's roster: what they take, what they refuse, and for how long."""

import socket
import time

import msgspec
import pytest
import sqlalchemy as sa

import circle
from circle import (
    BANK,
    CENTRE,
    OTHER,
    PING,
    fetch,
    issued,
    kept,
    own,
    post,
    signed,
    take,
)
from pingyao.kernel.errors import (
    NotPermitted,
    NotYet,
    Unavailable,
)
from pingyao.platform.members import (
    letters,
    register,
    revoking,
    roster_store,
    store,
    trust,
)
from pingyao.platform.members.model import Search
from pingyao.platform.members.publishing import ROSTER, Published

DAY = 86_400


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
