"""Joining, over real connections, on SQLite and PostgreSQL: proving keys, comparing fingerprints."""

import logging

import msgspec
import pytest
import sqlalchemy as sa

import nodes
from circle import BANK, CENTRE, own, post, signed
from pingyao.kernel.errors import (
    Conflict,
    IntegrityBroken,
    NotPermitted,
    NotYet,
    PingyaoError,
)
from pingyao.platform.members import (
    documents,
    inviting,
    joining,
    proofs,
    register,
    store,
)
from pingyao.platform.members.pinging import PING


class TestJoining:
    def test_nothing_is_accepted_before_both_have_confirmed(self, parties, caplog) -> None:
        a, b, _ = parties
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
        assert a.count("members.member.differed") == 4
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
        a, b, _ = parties
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
        a, b, _ = parties
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
        a, b, _ = parties
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
        a, b, _ = parties
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
        a, b, _ = parties
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
