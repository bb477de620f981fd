"""Cases, approvals and clocks on SQLite and PostgreSQL; files, tables, rows and keys really gone."""

import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

import servers
from cases import DESTRUCTION, EXPORT, person
from pingyao.kernel.errors import (
    Conflict,
    IntegrityBroken,
    Invalid,
    NotFound,
    NotPermitted,
    NotYet,
    PingyaoError,
)
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.crypto import derive
from pingyao.platform.crypto.derive import Stretch
from pingyao.platform.crypto.keystore import KeyStore, create_keystore
from pingyao.platform.crypto.signers import Algorithm
from pingyao.platform.outbox import outbox
from pingyao.protect import acting, erasing, store
from pingyao.protect.acting import Hand, act
from pingyao.protect.approvals import consume_approval, request_export, require_approval
from pingyao.protect.assessment_model import Statement
from pingyao.protect.formats.certificate import read_certificate, write_certificate
from pingyao.protect.formats.sealing import open_, seal
from pingyao.protect.lifecycle_model import Case, Clock, Destruction, Export, Thing
from pingyao.protect.lifecycle_packs import load_rules
from pingyao.protect.model import Use
from pingyao.protect.rules.cases import state

RULES = load_rules()
TODAY = datetime.now(UTC).astimezone().date()
OUT = msgspec.structs.replace(
    EXPORT, from_on=f"{TODAY}", until_on=f"{TODAY + timedelta(5)}", level=3, personal=1
)


@pytest.fixture
def engine(catalogue_engine: sa.Engine) -> sa.Engine:
    return catalogue_engine


@pytest.fixture
def hands(engine: sa.Engine) -> dict[str, Hand]:
    made = {
        n: person(n, a)
        for n, a in zip("甲乙丙丁", [Algorithm.SM2, *[Algorithm.ED25519] * 3], strict=True)
    }
    roles = {"乙": ("业务部门负责人",), "丙": ("数据安全管理员", "业务部门负责人")}
    for name, hand in made.items():
        acting.register(engine, hand, roles.get(name, ()), "登记人")
    return made


def events(engine: sa.Engine) -> list[str]:
    with engine.connect() as db:
        rows = db.execute(sa.select(outbox.c.event).order_by(outbox.c.id)).scalars().all()
    return [msgspec.json.decode(row, type=EvidenceEvent).kind for row in rows]


def approved(engine: sa.Engine, hands: dict[str, Hand], body: Destruction) -> Case:
    case = acting.request_destruction(engine, hands["甲"], body, RULES)
    act(engine, case.id, hands["乙"], "approve")
    return act(engine, case.id, hands["丙"], "approve")


def carried_out(
    engine: sa.Engine, hands: dict[str, Hand], body: Destruction, keys: KeyStore | None = None
) -> Case:
    case = approved(engine, hands, body)
    act(engine, case.id, hands["丁"], "start", erasing.inspect(body, keys))
    return act(engine, case.id, hands["丁"], "carry_out", erasing.carry_out(body, keys, case.id))


def of(thing: Thing, method: str = "delete", **more: object) -> Destruction:
    return msgspec.structs.replace(DESTRUCTION, thing=thing, method=method, **more)


def test_from_request_to_certificate(
    engine: sa.Engine, hands: dict[str, Hand], tmp_path: Path
) -> None:
    path = tmp_path / "old.csv"
    path.write_bytes(b"x" * 2_000_000)
    body = of(Thing("file", str(path)), "overwrite")
    case = carried_out(engine, hands, body)
    with pytest.raises(NotYet):
        write_certificate(acting.find(engine, case.id), tmp_path / "c")
    gone, seen = erasing.look(body, None)
    assert gone
    assert not path.exists()
    case = act(engine, case.id, hands["乙"], "verify", seen)
    paths = write_certificate(acting.find(engine, case.id), tmp_path / "c")
    assert read_certificate(paths[0]) == case
    assert "数据删除凭证" in paths[1].read_text("utf-8")
    assert paths[0].stat().st_mode & 0o077 == 0
    assert events(engine)[-6:] == [
        f"protect.destruction.{k}"
        for k in ("requested", "approve", "approve", "start", "carry_out", "verify")
    ]
    for number in range(0, len(raw := paths[0].read_bytes()), 97):
        changed = bytearray(raw)
        changed[number] ^= 1
        (tmp_path / "changed.json").write_bytes(changed)
        try:
            read = read_certificate(tmp_path / "changed.json")
        except PingyaoError:
            continue
        assert read == case  # white space, or the name of the program


def test_not_gone_goes_back(engine: sa.Engine, hands: dict[str, Hand], tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("x")
    body = of(Thing("file", str(path)))
    case = carried_out(engine, hands, body)
    path.write_text("back again")
    gone, seen = erasing.look(body, None)
    assert not gone
    case = act(engine, case.id, hands["乙"], "fail", seen)
    assert state(case) == "approved"
    with pytest.raises(Conflict):
        act(engine, case.id, hands["乙"], "verify")


def test_a_run_cut_off_goes_on(engine: sa.Engine, hands: dict[str, Hand], tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("x")
    body = of(Thing("file", str(path)))
    case = approved(engine, hands, body)
    act(engine, case.id, hands["丁"], "start", erasing.inspect(body, None))
    erasing.carry_out(body, None, case.id)  # killed before it was noted
    act(engine, case.id, hands["丁"], "start")
    act(engine, case.id, hands["丁"], "carry_out", erasing.carry_out(body, None, case.id))
    assert erasing.look(body, None)[0]


def test_who_may_not(engine: sa.Engine, hands: dict[str, Hand]) -> None:
    case = acting.request_destruction(engine, hands["甲"], DESTRUCTION, RULES)
    before = events(engine)
    stranger = person("戊")
    imposter = Hand("乙", stranger.signer)
    for who, what in (
        (hands["甲"], "approve"),
        (stranger, "approve"),
        (imposter, "approve"),
        (hands["乙"], "withdraw"),
        (hands["乙"], "start"),
        (hands["乙"], "verify"),
        (hands["乙"], "use"),
    ):
        with pytest.raises((NotPermitted, Conflict)):
            act(engine, case.id, who, what)
    act(engine, case.id, hands["乙"], "approve")
    with pytest.raises(NotPermitted):
        act(engine, case.id, hands["乙"], "approve")
    acting.retire(engine, "丙", "登记人")
    with pytest.raises(NotPermitted):
        act(engine, case.id, hands["丙"], "approve")
    assert events(engine)[len(before) :] == [
        "protect.destruction.approve",
        "protect.person.retired",
    ]
    with pytest.raises(NotFound):
        act(engine, "DS-0", hands["乙"], "approve")


def test_two_at_once_only_one_counts(engine: sa.Engine, hands: dict[str, Hand]) -> None:
    case = acting.request_destruction(engine, hands["甲"], DESTRUCTION, RULES)
    with engine.connect() as db:
        held, seen = store.find_case(db, case.id)
    act(engine, case.id, hands["乙"], "approve")
    with pytest.raises(Conflict, match="刚由他人"), engine.begin() as db:
        store.save_case(db, held, seen)


def test_a_case_altered_in_the_database_goes_nowhere(
    engine: sa.Engine, hands: dict[str, Hand]
) -> None:
    case = approved(engine, hands, DESTRUCTION)
    thing = Thing("file", "/etc/passwd")
    changed = msgspec.structs.replace(case, body=msgspec.structs.replace(DESTRUCTION, thing=thing))
    with engine.begin() as db:
        store.save_case(db, changed, 2)
    with pytest.raises(IntegrityBroken):
        act(engine, case.id, hands["丁"], "start")
    with pytest.raises(IntegrityBroken):
        acting.find(engine, case.id)


def test_a_key_is_one_persons(engine: sa.Engine, hands: dict[str, Hand]) -> None:
    with pytest.raises(Conflict):
        acting.register(engine, Hand("己", hands["乙"].signer), (), "登记人")
    with pytest.raises(Conflict):
        acting.register(engine, person("乙"), (), "登记人")
    with pytest.raises(Conflict):
        acting.register(engine, person(" 乙 "), (), "登记人")
    for name in ("", "  ", "名" * 101):
        with pytest.raises(Invalid):
            acting.register(engine, person(name), (), "登记人")


@pytest.mark.parametrize(
    ("level", "end", "method", "kind"),
    [
        (2, "destruction", "delete", "file"),
        (3, "destruction", "overwrite", "file"),
        (4, "destruction", "crypto_erase", "sealed"),
        (5, "destruction", "overwrite", "file"),
    ],
)
def test_weak_methods_are_refused(
    engine: sa.Engine, hands: dict[str, Hand], level: int, end: str, method: str, kind: str
) -> None:
    body = of(Thing(kind, "/x"), method, level=level, end=end)
    with pytest.raises(NotPermitted, match="不能采用"):
        acting.request_destruction(engine, hands["甲"], body, RULES)


def test_a_hold_stops_what_was_approved(engine: sa.Engine, hands: dict[str, Hand]) -> None:
    case = approved(engine, hands, DESTRUCTION)
    at = datetime.now(UTC)
    clock = Clock("bank", "", "", "暂缓删除", "", "诉讼", "诉讼", "法务", at)
    acting.set_clock(engine, clock)
    with pytest.raises(NotPermitted, match="暂缓"):
        act(engine, case.id, hands["丁"], "start")
    with pytest.raises(NotPermitted, match="暂缓"):
        acting.request_destruction(engine, hands["甲"], DESTRUCTION, RULES)
    acting.set_clock(engine, msgspec.structs.replace(clock, hold="", reason="结案"))
    act(engine, case.id, hands["丁"], "start")
    for bad in (
        msgspec.structs.replace(clock, reason=" "),
        msgspec.structs.replace(clock, started_on="2026-13-01"),
        msgspec.structs.replace(clock, started_on="2999-01-01"),
    ):
        with pytest.raises(Invalid):
            acting.set_clock(engine, bad)


def test_rows_and_tables_are_gone(
    engine: sa.Engine, hands: dict[str, Hand], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where, run = _database(engine, tmp_path, request)
    run("create table t (d date, v varchar(20))", "create table whole (d date)")
    run("insert into t values ('2010-01-01', 'old'), ('2020-05-05', 'new'), (null, 'undated')")
    rows = of(Thing("rows", where, "", "t", "d", "2015-01-01"))
    assert erasing.inspect(rows, None) == {"rows": 1, "of_rows": 3}
    assert not erasing.look(rows, None)[0]
    carried_out(engine, hands, rows)
    assert erasing.look(rows, None) == (True, {"checked": "count", "rows": 0})
    assert erasing.inspect(rows, None)["of_rows"] == 2
    whole = of(Thing("table", where, "", "whole"))
    assert not erasing.look(whole, None)[0]
    carried_out(engine, hands, whole)
    assert erasing.look(whole, None)[0]
    for bad in (
        of(Thing("table", where, "", "nowhere")),
        of(Thing("rows", where, "", "t", "x", "2015-01-01")),
        of(Thing("table", where, "", 't"; drop table t; --')),
        of(Thing("table", str(tmp_path / "no.db"), "", "t")),
        of(Thing("table", "mysql://h/d", "", "t")),
        of(Thing("table", where, "", "t"), "overwrite"),
    ):
        with pytest.raises(PingyaoError):
            erasing.inspect(bad, None)
    assert erasing.inspect(rows, None)["of_rows"] == 2


def _database(
    engine: sa.Engine, tmp_path: Path, request: pytest.FixtureRequest
) -> tuple[str, Callable[..., None]]:
    if engine.dialect.name == "sqlite":
        where = str(tmp_path / "data.db")
        held = sqlite3.connect(where, isolation_level=None)
        request.addfinalizer(held.close)

        def run(*statements: str) -> None:
            for each in statements:
                held.execute(each)

        return where, run
    server: servers.Server = request.getfixturevalue("postgresql_server")
    name: str = request.getfixturevalue("postgresql_database")
    execute = request.getfixturevalue("run_postgresql")
    return server.url(name), lambda *statements: execute(name, *statements)


def test_sqlite_compares_only_dates(tmp_path: Path) -> None:
    where = tmp_path / "data.db"
    with sqlite3.connect(where) as db:
        db.execute("create table t (d, v)")
        db.executemany("insert into t values (?, 1)", [("2010-01-01",), (20300101,), ("20100101",)])
    db.close()
    body = of(Thing("rows", str(where), "", "t", "d", "2015-01-01"))
    with pytest.raises(Invalid, match="不是"):
        erasing.inspect(body, None)
    with pytest.raises(Invalid, match="不是"):
        erasing.carry_out(body, None, "DS-1")


def test_nothing_is_left_in_the_sqlite_file(tmp_path: Path) -> None:
    where = tmp_path / "data.db"
    with sqlite3.connect(where) as db:
        db.execute("create table t (d, v)")
        db.executemany("insert into t values ('2010-01-01', ?)", [("身份证 6501" * 50,)] * 50)
        db.execute("insert into t values ('2020-01-01', 'stays')")
    db.close()
    erasing.carry_out(of(Thing("rows", str(where), "", "t", "d", "2015-01-01")), None, "DS-1")
    assert "身份证".encode() not in where.read_bytes()
    assert b"stays" in where.read_bytes()


def test_files_that_are_no_single_file(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_text("x")
    (tmp_path / "link").symlink_to(real)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "nothing", "."):
        with pytest.raises(PingyaoError):
            erasing.inspect(of(Thing("file", str(tmp_path / name))), None)
    os.link(real, tmp_path / "second")
    with pytest.raises(Invalid, match="硬链接"):
        erasing.inspect(of(Thing("file", str(real))), None)
    with pytest.raises(Invalid, match="无法核实"):
        erasing.look(of(Thing("file", str(tmp_path / "no" / "file"))), None)


def test_a_sealed_file_without_its_keys(
    engine: sa.Engine, hands: dict[str, Hand], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derive, "stretch", lambda: Stretch(os.urandom(16), 1, 1, 8))
    keys = create_keystore(tmp_path / "k.pks", "correct horse battery staple")
    other = create_keystore(tmp_path / "o.pks", "another horse battery staple")
    keys.create("一", "aes-256")
    keys.create("二", "sm4")
    (tmp_path / "clear").write_bytes(b"secret" * 1000)
    seal(tmp_path / "clear", tmp_path / "sealed", keys, ("一", "二"), suite="intl")
    body = of(Thing("sealed", str(tmp_path / "sealed")), "crypto_erase")
    with pytest.raises(NotFound, match="仍能打开"):
        erasing.inspect(body, other)
    with pytest.raises(Invalid):
        erasing.inspect(body, None)
    assert not erasing.look(body, keys)[0]
    keys.destroy("一", 1, reason="半途")
    assert not erasing.look(body, keys)[0]
    carried_out(engine, hands, body, keys)
    assert erasing.look(body, keys) == (True, {"checked": "keys", "usable": []})
    with pytest.raises(NotFound):
        open_(tmp_path / "sealed", tmp_path / "again", keys)


def asked(engine: sa.Engine, hands: dict[str, Hand], body: Export = OUT) -> Case:
    return request_export(engine, hands["甲"], body, RULES, leaves=True)


def use_of(case: Case, **more: object) -> Use:
    made = Use(case.id, (OUT.bound,), OUT.purpose, OUT.source)
    return msgspec.structs.replace(made, **more)


def test_an_approval_is_good_for_one_thing_once(engine: sa.Engine, hands: dict[str, Hand]) -> None:
    case = asked(engine, hands)
    assert isinstance(case.body, Export)
    assert case.body.roles == ("业务部门负责人", "数据安全管理员")
    with pytest.raises(NotYet):
        require_approval(engine, use_of(case))
    with pytest.raises(NotPermitted, match="没有登记"):
        act(engine, case.id, hands["乙"], "approve", {"role": "数据安全管理员"})
    act(engine, case.id, hands["乙"], "approve", {"role": "业务部门负责人"})
    with pytest.raises(NotPermitted, match="不需要或已有"):
        act(engine, case.id, hands["丙"], "approve", {"role": "业务部门负责人"})
    act(engine, case.id, hands["丙"], "approve", {"role": "数据安全管理员"})
    assert require_approval(engine, use_of(case, recipient="甲行", rows=1000)).rows == 1000
    for wrong in (
        {"bound": ("plan:" + "b" * 64,)},
        {"recipient": "乙行"},
        {"source": "elsewhere"},
        {"purpose": "testing"},
        {"rows": 1001},
    ):
        with pytest.raises(NotPermitted):
            require_approval(engine, use_of(case, **wrong))
    for days in (6, -1):
        with pytest.raises((NotPermitted, NotYet)):
            require_approval(engine, use_of(case), TODAY + timedelta(days))
    with engine.connect() as db:  # a run that fails after all leaves the approval as it was
        consume_approval(db, use_of(case, rows=5), "丁")
        db.rollback()
    with engine.begin() as db:
        consume_approval(db, use_of(case, rows=5), "丁")
    assert events(engine)[-1] == "protect.export.use"
    with pytest.raises(Conflict, match="使用过"):
        require_approval(engine, use_of(case))
    with pytest.raises(Conflict), engine.begin() as db:
        consume_approval(db, use_of(case, rows=5), "丁")
    with pytest.raises(Conflict):
        act(engine, case.id, hands["乙"], "revoke")


def test_refused_and_revoked_exports_are_void(engine: sa.Engine, hands: dict[str, Hand]) -> None:
    refused = act(engine, asked(engine, hands).id, hands["乙"], "refuse", {"reason": "过宽"})
    revoked = asked(engine, hands)
    act(engine, revoked.id, hands["乙"], "approve", {"role": "业务部门负责人"})
    act(engine, revoked.id, hands["丙"], "approve", {"role": "数据安全管理员"})
    act(engine, revoked.id, hands["乙"], "revoke", {"reason": "情况有变"})
    for case in (refused, revoked):
        with pytest.raises(NotPermitted):
            require_approval(engine, use_of(case))
    destroyed = acting.request_destruction(engine, hands["甲"], DESTRUCTION, RULES)
    with pytest.raises(NotPermitted):
        require_approval(engine, use_of(destroyed))
    with pytest.raises(NotFound):
        require_approval(engine, msgspec.structs.replace(use_of(destroyed), number="EX-0"))


@pytest.mark.parametrize(
    "change",
    [
        {"personal": 3},
        {"bound": "plan:xyz"},
        {"bound": "other:" + "a" * 64},
        {"rows": 0},
        {"recipient": " "},
        {"reason": ""},
        {"reason": "长" * 501},
        {"until_on": f"{TODAY - timedelta(1)}", "from_on": f"{TODAY - timedelta(2)}"},
        {"until_on": f"{TODAY + timedelta(60)}"},
        {"until_on": "明天"},
        {"from_on": f"{TODAY + timedelta(9)}"},
        {"level": 0},
    ],
)
def test_requests_that_are_not_taken(
    engine: sa.Engine, hands: dict[str, Hand], change: dict[str, object]
) -> None:
    before = events(engine)
    with pytest.raises((Invalid, NotPermitted)):
        asked(engine, hands, msgspec.structs.replace(OUT, **change))
    assert events(engine) == before


def test_level_four_takes_senior_management(engine: sa.Engine, hands: dict[str, Hand]) -> None:
    body = msgspec.structs.replace(OUT, level=4, personal=2)
    case = asked(engine, hands, body)
    assert isinstance(case.body, Export)
    assert case.body.roles[-2:] == ("高级管理层", "个人信息保护负责人")


def test_the_latest_statement_counts_and_the_first_stays(engine: sa.Engine) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    first = Statement("c", "不符合", "没有", "", "张三", "甲", at)
    with engine.begin() as db:
        store.add_statements(db, "s", [first, msgspec.structs.replace(first, control="d")])
        store.add_statements(db, "s", [msgspec.structs.replace(first, mark="符合")])
    with engine.connect() as db:
        assert {k: s.mark for k, s in store.read_statements(db, "s").items()} == {
            "c": "符合",
            "d": "不符合",
        }
        assert db.execute(sa.select(sa.func.count()).select_from(store.statements)).scalar() == 3
        assert store.last_assessment(db, "s") is None
