"""Rosters and addresses that are refused, whoever has signed them."""

import time
from datetime import UTC, datetime

import msgspec
import pytest
import sqlalchemy as sa

from circle import (
    BANK,
    CENTRE,
    OTHER,
    PING,
    fetch,
    issued,
    kept,
    own,
    take,
)
from pingyao.kernel.errors import (
    Conflict,
    IntegrityBroken,
    NotPermitted,
    PingyaoError,
)
from pingyao.platform.crypto.suites import key_id
from pingyao.platform.members import (
    fetching,
    publishing,
    reach,
    revoking,
    rosters,
    store,
)
from pingyao.platform.members.client import Client
from pingyao.platform.members.publishing import Published

DAY = 86_400


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
        with b.engine.begin() as db:  # taken some time ago
            db.execute(sa.update(store.rosters).values(serial=int(time.time()) - 1000))
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
