"""Scans that a node carries out, each in a process of its own: to the end, stopped, killed."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

import servers
from command import pingyao
from pingyao.app.migrations import migrate
from pingyao.app.running import bound, launch, reports, take_up
from pingyao.classify import runs, views
from pingyao.classify.runs import Run
from pingyao.kernel.errors import IntegrityBroken
from pingyao.platform import nodekey
from pingyao.platform.db import open_engine
from pingyao.platform.policy import Actor

OFFICER = Actor(1, "officer", "officer")


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    path = tmp_path / "node.key"
    nodekey.make_key(path)
    return path


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    return open_engine(f"sqlite:///{tmp_path / 'n.db'}", migrate)


def register(tmp_path: Path, key: Path, name: str, source: object) -> None:
    db = f"sqlite:///{tmp_path / 'n.db'}"
    done = pingyao("node", "source", "add", name, source, "--db", db, "--key", key)
    assert done.code == 0, done.err


def until(engine: sa.Engine, number: int, wanted: Callable[[Run], bool]) -> Run:
    for _ in range(1200):
        if wanted(run := runs.one(engine, OFFICER, number)):
            return run
        time.sleep(0.1)
    raise AssertionError(run)


def write_large(path: Path) -> None:
    """Writes what takes a while to read."""
    some = "".join(
        f"{n},客户王建国来电13800138000咨询{n}号贷款,{n * 7}.50\n" for n in range(10_000)
    )
    path.write_text("no,remark,amt\n" + some * 60)


def asked(engine: sa.Engine) -> int:
    with engine.connect() as db:
        (source,) = runs.listed_sources(db)
    return runs.ask(engine, OFFICER, source.id).id


def started(engine: sa.Engine, key: Path) -> int:
    number = asked(engine)
    launch(engine, key)
    return number


def test_a_run_fills_the_catalogue_and_leaves_reports(
    engine: sa.Engine, key: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bank"
    folder.mkdir()
    (folder / "t_cust.csv").write_text("cust_nm,cert_no\n王建国,110101199003071233\n" * 3)
    register(tmp_path, key, "核心", folder)
    run = until(engine, started(engine, key), lambda r: r.over)
    assert (run.state, run.tables, run.unread, run.detail) == ("done", 1, 0, "")
    assert run.rows > 0
    assert run.changes == 2
    with engine.connect() as db:
        assert views.overview(db).columns == 2
    assert {p.name for p in reports(run.id).iterdir()} == {
        *("report.xlsx", "report.html", "result.json")
    }
    again = until(engine, started(engine, key), lambda r: r.over)
    assert (again.state, again.changes, again.rows) == ("done", 0, run.rows)


def test_stopped_it_goes_on_from_there(engine: sa.Engine, key: Path, tmp_path: Path) -> None:
    write_large(tmp_path / "t.csv")
    register(tmp_path, key, "大表", tmp_path / "t.csv")
    number = started(engine, key)
    until(engine, number, lambda r: r.rows > 0 or r.over)
    if not runs.one(engine, OFFICER, number).over:
        runs.stop(engine, OFFICER, number)
    assert until(engine, number, lambda r: r.over).state in ("stopped", "done")
    again = until(engine, started(engine, key), lambda r: r.over)
    assert (again.state, again.tables, again.rows) == ("done", 1, 600_000)


def test_killed_it_is_given_up_and_the_next_run_goes_on(
    engine: sa.Engine, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_large(tmp_path / "t.csv")
    register(tmp_path, key, "大表", tmp_path / "t.csv")
    number = asked(engine)
    process = launch(engine, key)
    until(engine, number, lambda r: r.state == "running")
    process.kill()
    monkeypatch.setattr(runs, "SILENT_SECONDS", 3)
    assert until(engine, number, lambda r: r.over).state == "interrupted"
    again = until(engine, started(engine, key), lambda r: r.over)
    assert (again.state, again.rows) == ("done", 600_000)


def test_what_nobody_took_up_is_taken_up_and_old_reports_go(
    engine: sa.Engine, key: Path, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("cert_no,mobile\n110101199003071233,13800138000\n")
    register(tmp_path, key, "表", tmp_path / "t.csv")
    assert take_up(engine, key) == ""
    with engine.connect() as db:
        (source,) = runs.listed_sources(db)
    for _ in range(runs.MOST_LISTED):  # so that there are runs the console lists no more
        runs.stop(engine, OFFICER, runs.ask(engine, OFFICER, source.id).id)
    number = asked(engine)
    for old in (number - runs.MOST_LISTED, number - runs.MOST_LISTED + 1):
        reports(old).mkdir(parents=True)
    assert take_up(engine, key)
    assert until(engine, number, lambda r: r.over).state == "done"
    for _ in range(100):
        if not reports(number - runs.MOST_LISTED).exists():
            break
        time.sleep(0.1)
    assert not reports(number - runs.MOST_LISTED).exists()
    assert reports(number - runs.MOST_LISTED + 1).exists()


def test_what_cannot_be_opened_any_more_is_said(
    engine: sa.Engine, key: Path, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    register(tmp_path, key, "表", path)
    path.unlink()
    run = until(engine, started(engine, key), lambda r: r.over)
    assert (run.state, run.code) == ("failed", "scan.no_such_source")
    assert run.remedy


def test_a_password_is_sealed_for_its_address_alone(
    engine: sa.Engine,
    key: Path,
    tmp_path: Path,
    postgresql_server: servers.Server,
    postgresql_database: str,
    run_postgresql: Callable[..., None],
) -> None:
    source = postgresql_server.url(postgresql_database)
    password = str(sa.make_url(source).password)
    assert len(password) > 6
    create = "create table t_cust (mobile text)"
    run_postgresql(postgresql_database, create, "insert into t_cust values ('13800138000')")
    register(tmp_path, key, "信贷", source)
    with engine.connect() as db:
        (row,) = db.execute(sa.select(runs.sources)).all()
    assert password not in row.address
    held = nodekey.read_key(key)
    assert nodekey.unseal(held, row.secret, bound(row.address)) == password.encode()
    for wrong, address in ((bytes(32), row.address), (held, row.address + "x")):
        with pytest.raises(IntegrityBroken):
            nodekey.unseal(wrong, row.secret, bound(address))
    assert nodekey.seal(held, b"x", b"a") != nodekey.seal(held, b"x", b"a")
    assert password.encode() not in (tmp_path / "n.db").read_bytes()
    run = until(engine, started(engine, key), lambda r: r.over)
    assert (run.state, run.tables, run.rows) == ("done", 1, 1)


@pytest.mark.parametrize("name", ["", " ", "x" * 41, "a\u202eb"])
def test_names_that_are_none(name: str, key: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    db = f"sqlite:///{tmp_path / 'n.db'}"
    refused = pingyao("node", "source", "add", name, path, "--db", db, "--key", key)
    assert refused.code == 2
    assert "source.bad_name" in refused.err


def test_listing_and_removing(engine: sa.Engine, key: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    register(tmp_path, key, "表", path)
    db = f"sqlite:///{tmp_path / 'n.db'}"
    assert "表" in pingyao("node", "source", "list", "--db", db).out
    assert pingyao("node", "source", "remove", "表", "--db", db).code == 0
    assert pingyao("node", "source", "remove", "表", "--db", db).code == 4
    missing = tmp_path / "none.csv"
    refused = pingyao("node", "source", "add", "无", missing, "--db", db, "--key", key)
    assert refused.code == 4
