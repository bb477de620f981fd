"""Accounts, sessions and the three administrators keep each other in check on SQLite and PostgreSQL."""

import time

import pyotp
import pytest
import sqlalchemy as sa

import nodes
from pingyao.kernel.errors import Conflict, Invalid, NotFound, NotPermitted, PingyaoError
from pingyao.platform import audit
from pingyao.platform.identity import own, people, sessions, store, trail
from pingyao.platform.outbox import outbox

pytestmark = pytest.mark.usefixtures("quick_passwords")


@pytest.fixture
def node(catalogue_engine: sa.Engine, quick_passwords: None) -> nodes.Tested:
    return nodes.make(catalogue_engine)


def sign_in(node: nodes.Tested, name: str, password: str = nodes.PASSWORD, code: str = ""):
    return sessions.sign_in(node.engine, nodes.KEY, name, password, code, "10.0.0.1")


def kinds(node: nodes.Tested) -> list[str]:
    with node.engine.connect() as db:
        return [e.kind for e in audit.read(db, audit.Search(), before=None, limit=500)]


def test_every_event_is_in_the_trail_and_awaits_the_ledger(node: nodes.Tested) -> None:
    sign_in(node, "system1")
    with node.engine.connect() as db:
        waiting = db.execute(sa.select(sa.func.count()).select_from(outbox)).scalar_one()
        kept = db.execute(sa.select(sa.func.count()).select_from(audit.trail)).scalar_one()
    assert waiting == kept > 10
    assert kinds(node)[0] == "identity.session.started"


def test_a_node_is_founded_once(node: nodes.Tested) -> None:
    three = [("a1", "甲", "system"), ("b1", "乙", "security"), ("c1", "丙", "audit")]
    with pytest.raises(Conflict, match="已是一个节点"):
        people.found(node.engine, nodes.INSTITUTION, three, "root")
    with pytest.raises(Invalid, match="三员"):
        people.found(node.engine, nodes.INSTITUTION, three[:2], "root")


def test_every_refusal_says_the_same(node: nodes.Tested) -> None:
    wrong = [("system1", "wrong"), ("nobody", nodes.PASSWORD), ("", ""), ("system1", "")]
    for name, password in (*wrong, ("S" * 999, "x")):
        with pytest.raises(NotPermitted) as refused:
            sign_in(node, name, password)
        assert refused.value.code == "identity.refused"
        assert kinds(node)[0] == "identity.session.refused"


def test_what_was_typed_as_an_unknown_name_is_not_kept(node: nodes.Tested) -> None:
    with pytest.raises(NotPermitted):
        sign_in(node, "my-secret-password-typed-too-early", "x")
    with node.engine.connect() as db:
        everything = str(audit.read(db, audit.Search(), before=None, limit=500))
    assert "typed-too-early" not in everything
    assert nodes.PASSWORD not in everything


def test_five_failures_lock_and_security_unlocks(node: nodes.Tested) -> None:
    for _ in range(sessions.FAILURES):
        with pytest.raises(NotPermitted):
            sign_in(node, "officer1", "wrong")
    with pytest.raises(NotPermitted):
        sign_in(node, "officer1")
    assert "identity.account.locked" in kinds(node)
    people.unlock(node.engine, node.actor("security"), node.people["officer"].id)
    assert sign_in(node, "officer1").actor.ready


def test_a_lock_out_ends_by_itself(node: nodes.Tested, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(sessions.FAILURES):
        with pytest.raises(NotPermitted):
            sign_in(node, "officer1", "wrong")
    with node.engine.begin() as db:
        t = store.accounts
        db.execute(sa.update(t).values(locked_until=t.c.locked_until - sessions.LOCKED_SECONDS - 1))
    assert sign_in(node, "officer1")


def test_a_session_ends_when_idle_when_old_and_when_signed_out(node: nodes.Tested) -> None:
    t = store.sessions
    for column, seconds in ((t.c.seen_at, sessions.IDLE_SECONDS), (t.c.started_at, 9 * 3600)):
        session = sign_in(node, "reader1")
        assert sessions.resume(node.engine, session.token)
        with node.engine.begin() as db:
            db.execute(sa.update(t).values({column: column - seconds - 2}))
        assert sessions.resume(node.engine, session.token) is None
    session = sign_in(node, "reader1")
    sessions.sign_out(node.engine, session)
    assert sessions.resume(node.engine, session.token) is None
    assert sessions.resume(node.engine, "") is None


def test_the_database_holds_no_token(node: nodes.Tested) -> None:
    session = sign_in(node, "reader1")
    with node.engine.connect() as db:
        kept = str(db.execute(sa.select(store.sessions)).all())
    assert session.token not in kept


def test_a_changed_password_ends_the_other_sessions(node: nodes.Tested) -> None:
    one, other = sign_in(node, "reader1"), sign_in(node, "reader1")
    own.change_password(node.engine, one, nodes.PASSWORD, "Another-Word-42")
    assert sessions.resume(node.engine, one.token)
    assert sessions.resume(node.engine, other.token) is None
    with pytest.raises(NotPermitted):
        sign_in(node, "reader1")


def test_guessing_the_current_password_locks_too(node: nodes.Tested) -> None:
    session = sign_in(node, "reader1")
    for _ in range(sessions.FAILURES):
        with pytest.raises(NotPermitted):
            own.change_password(node.engine, session, "wrong", "Another-Word-42")
    assert sessions.resume(node.engine, session.token) is None


def test_an_expired_password_must_be_changed_first(node: nodes.Tested) -> None:
    with node.engine.begin() as db:
        t = store.accounts
        db.execute(sa.update(t).values(password_at=t.c.password_at - sessions.PASSWORD_SECONDS - 9))
    session = sign_in(node, "reader1")
    assert (session.actor.ready, session.why_unready) == (False, "password")


def test_a_second_factor_is_asked_for_and_each_code_taken_once(node: nodes.Tested) -> None:
    session = sign_in(node, "officer1")
    secret = own.begin_second_factor(node.engine, session, nodes.KEY)
    assert own.begin_second_factor(node.engine, session, nodes.KEY) == secret
    totp, now = pyotp.TOTP(secret), int(time.time())
    with pytest.raises(Invalid):
        own.confirm_second_factor(node.engine, session, nodes.KEY, "000000x")
    own.confirm_second_factor(node.engine, session, nodes.KEY, totp.at(now - 30))
    with pytest.raises(NotPermitted):
        sign_in(node, "officer1")
    with pytest.raises(NotPermitted):
        sign_in(node, "officer1", code=totp.at(now - 30))
    assert sign_in(node, "officer1", code=totp.at(now))
    with pytest.raises(NotPermitted):
        sign_in(node, "officer1", code=totp.at(now))
    with pytest.raises(Conflict):
        own.begin_second_factor(node.engine, session, nodes.KEY)
    with node.engine.connect() as db:
        kept = db.execute(sa.select(store.accounts.c.totp)).scalars().all()
    assert all(secret.encode() not in (k or b"") for k in kept)


def test_another_key_opens_no_second_factor(node: nodes.Tested) -> None:
    session = sign_in(node, "officer1")
    own.begin_second_factor(node.engine, session, nodes.KEY)
    with pytest.raises(PingyaoError, match="无法解开"):
        own.begin_second_factor(node.engine, session, b"1" * 32)


def test_neither_administrator_alone_makes_an_account_that_works(node: nodes.Tested) -> None:
    system, security = node.actor("system"), node.actor("security")
    made = people.create(node.engine, system, "newcomer", "新人")
    with pytest.raises(NotPermitted):
        sign_in(node, "newcomer", "")
    with pytest.raises(NotPermitted):
        people.grant(node.engine, system, made.id, "officer")
    with pytest.raises(NotPermitted):
        people.create(node.engine, security, "puppet", "傀儡")
    issued = people.grant(node.engine, security, made.id, "officer")
    session = sign_in(node, "newcomer", issued.password)
    assert not session.actor.ready


def test_security_cannot_take_over_an_account_that_works(node: nodes.Tested) -> None:
    with pytest.raises(Conflict, match="待授权"):
        people.grant(node.engine, node.actor("security"), node.people["audit"].id, "audit")


def test_a_reset_signs_out_and_waits_for_the_other(node: nodes.Tested) -> None:
    session, number = sign_in(node, "reader1"), node.people["reader"].id
    people.reset(node.engine, node.actor("system"), number)
    assert sessions.resume(node.engine, session.token) is None
    with pytest.raises(NotPermitted):
        sign_in(node, "reader1")
    issued = people.grant(node.engine, node.actor("security"), number, "reader")
    assert not sign_in(node, "reader1", issued.password).actor.ready


def test_no_administrator_role_is_left_empty(node: nodes.Tested) -> None:
    second = node.account("system2", "system")
    for act in (people.suspend, people.reset):
        for role in ("security", "audit"):
            with pytest.raises(Conflict, match="唯一"):
                act(node.engine, node.actor("system"), node.people[role].id)
    with pytest.raises(Conflict, match="唯一"):
        people.revoke(node.engine, node.actor("security"), node.people["audit"].id)
    assert people.suspend(node.engine, node.actor("system"), second.id).state == "suspended"


def test_nobody_acts_on_their_own_account(node: nodes.Tested) -> None:
    for actor in map(node.actor, node.people):
        for act in (people.suspend, people.reset, people.revoke, people.unlock):
            with pytest.raises(NotPermitted):
                act(node.engine, actor, actor.id)
        with pytest.raises(NotPermitted):
            people.grant(node.engine, actor, actor.id, "security")


def test_no_such_account(node: nodes.Tested) -> None:
    with pytest.raises(NotFound):
        people.suspend(node.engine, node.actor("system"), 999)


def test_bad_names_are_refused(node: nodes.Tested) -> None:
    for name in ("", "a", "A b", "ä1", "x" * 33, "1a", "a\nb", "a'--"):
        with pytest.raises(Invalid):
            people.create(node.engine, node.actor("system"), name, "某人")


def test_a_refused_change_leaves_no_event(node: nodes.Tested) -> None:
    before = kinds(node)
    with pytest.raises(Conflict):
        people.create(node.engine, node.actor("system"), "reader1", "重名")
    assert kinds(node) == before


def test_the_trail_is_searched_and_exported(node: nodes.Tested) -> None:
    people.create(node.engine, node.actor("system"), "formula", "=HYPERLINK(1)")
    actor = node.actor("audit")
    found = trail.read(node.engine, actor, audit.Search(kind="identity.account."), None, 100)
    assert {e.kind for e in found} == {"identity.account.created"}
    assert trail.read(node.engine, actor, audit.Search(words="%"), None, 9) == []
    newest = trail.read(node.engine, actor, audit.Search(actor="system1"), None, 1)
    assert newest[0].subject == "formula"
    import io

    from python_calamine import CalamineWorkbook

    raw = trail.export(node.engine, actor, audit.Search(), "zh")
    rows = CalamineWorkbook.from_filelike(io.BytesIO(raw)).get_sheet_by_name("audit").to_python()
    assert len(rows) == len(kinds(node))  # the export itself came after, the head takes its place
    assert kinds(node)[0] == "audit.exported"
