"""Scans asked for in the console, on SQLite and PostgreSQL: one at a time, none lost, none doubled."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

import nodes
from pingyao.app.running import reports
from pingyao.classify import runs
from pingyao.classify.runs import Ending, Progress
from pingyao.kernel.errors import Conflict, Invalid, NotFound, NotPermitted
from pingyao.platform import audit
from pingyao.platform.policy import Actor

OFFICER, READER, SYSTEM = Actor(1, "o", "officer"), Actor(2, "r", "reader"), Actor(3, "s", "system")


@pytest.fixture
def engine(catalogue_engine: sa.Engine) -> sa.Engine:
    with catalogue_engine.begin() as db:
        runs.register(db, "核心", "/data/core.db", None, "root")
        runs.register(db, "网贷", "postgresql://scan@db/loan", b"sealed", "root")
    return catalogue_engine


def numbers(engine: sa.Engine) -> tuple[int, int]:
    with engine.connect() as db:
        first, second = runs.listed_sources(db)
    return first.id, second.id


def silence(engine: sa.Engine, run: int) -> None:
    past = runs.runs.c.seen_at - runs.SILENT_SECONDS - 1
    with engine.begin() as db:
        db.execute(sa.update(runs.runs).where(runs.runs.c.id == run).values(seen_at=past))


def test_a_run_from_asking_to_its_end(engine: sa.Engine) -> None:
    core, _ = numbers(engine)
    asked = runs.ask(engine, OFFICER, core, sample=100)
    assert (asked.state, asked.source, asked.asked_by, asked.over) == ("queued", "核心", "o", False)
    run = runs.claim(engine)
    assert run is not None
    assert (run.id, run.state) == (asked.id, "running")
    assert runs.tell(engine, run.id, Progress(1, "t_cust", 5, 9, 15, 300))
    seen = runs.one(engine, READER, run.id)
    assert (seen.tables, seen.now, seen.now_rows, seen.rows, seen.bytes) == (
        1,
        "t_cust",
        5,
        15,
        300,
    )
    runs.end(engine, run.id, Progress(2, "", 0, 0, 20, 400), Ending("done", 1, 7))
    over = runs.one(engine, READER, run.id)
    assert (over.state, over.over, over.unread, over.changes, over.rows) == ("done", True, 1, 7, 20)
    assert over.finished_at >= over.started_at > 0
    with engine.connect() as db:
        told = [e.kind for e in audit.read(db, audit.Search("classify."), before=None, limit=9)]
    assert told.count("classify.scan.requested") == 1


def test_runs_are_carried_out_one_after_another_in_order(engine: sa.Engine) -> None:
    core, loan = numbers(engine)
    first, second = runs.ask(engine, OFFICER, loan), runs.ask(engine, OFFICER, core)
    assert runs.claim(engine).id == first.id
    assert runs.claim(engine) is None
    runs.end(engine, first.id, Progress(), Ending("failed", code="x"))
    assert runs.claim(engine).id == second.id


def test_many_claim_and_one_gets_it(engine: sa.Engine) -> None:
    core, loan = numbers(engine)
    runs.ask(engine, OFFICER, core)
    runs.ask(engine, OFFICER, loan)
    with ThreadPoolExecutor(6) as pool:
        got = [r for r in pool.map(lambda _: runs.claim(engine), range(12)) if r]
    assert len(got) == 1


def test_a_source_is_not_waited_for_twice(engine: sa.Engine) -> None:
    core, _ = numbers(engine)
    runs.ask(engine, OFFICER, core)
    with pytest.raises(Conflict):
        runs.ask(engine, OFFICER, core)
    runs.claim(engine)
    with pytest.raises(Conflict):
        runs.ask(engine, OFFICER, core)


def test_a_process_that_fell_silent_is_given_up_and_may_not_go_on(engine: sa.Engine) -> None:
    core, _ = numbers(engine)
    run = runs.ask(engine, OFFICER, core)
    runs.claim(engine)
    runs.tell(engine, run.id, Progress(rows=9))
    silence(engine, run.id)
    assert runs.one(engine, READER, run.id).state == "interrupted"
    again = runs.ask(engine, OFFICER, core)
    assert again.id != run.id
    assert not runs.tell(engine, run.id, Progress(rows=10))
    runs.end(engine, run.id, Progress(rows=10), Ending("done"))
    assert runs.one(engine, READER, run.id).state == "interrupted"
    assert runs.one(engine, READER, run.id).rows == 9


def test_what_waits_is_told_while_nobody_carries_it_out(engine: sa.Engine) -> None:
    core, loan = numbers(engine)
    assert not runs.waits(engine)
    first = runs.ask(engine, OFFICER, core)
    assert runs.waits(engine)
    runs.claim(engine)
    assert not runs.waits(engine)
    runs.ask(engine, OFFICER, loan)
    assert not runs.waits(engine)  # whoever carries out the first takes the next up
    silence(engine, first.id)
    assert runs.waits(engine)


def test_stopping(engine: sa.Engine) -> None:
    core, loan = numbers(engine)
    waiting, running = runs.ask(engine, OFFICER, loan), runs.ask(engine, OFFICER, core)
    assert runs.stop(engine, OFFICER, waiting.id).state == "stopped"
    with pytest.raises(Conflict):
        runs.stop(engine, OFFICER, waiting.id)
    runs.claim(engine)
    assert runs.stop(engine, OFFICER, running.id).stopping
    assert not runs.tell(engine, running.id, Progress())
    runs.end(engine, running.id, Progress(), Ending("stopped"))
    with pytest.raises(Conflict):
        runs.stop(engine, OFFICER, running.id)


@pytest.mark.parametrize("actor", [READER, SYSTEM, Actor(4, "a", "audit"), Actor(5, "x", "")])
def test_who_may_not(engine: sa.Engine, actor: Actor) -> None:
    core, _ = numbers(engine)
    with pytest.raises(NotPermitted):
        runs.ask(engine, actor, core)
    run = runs.ask(engine, OFFICER, core)
    with pytest.raises(NotPermitted):
        runs.stop(engine, actor, run.id)
    if actor is not READER:
        with pytest.raises(NotPermitted):
            runs.listed(engine, actor)
        with pytest.raises(NotPermitted):
            runs.one(engine, actor, run.id)


def test_sources(engine: sa.Engine) -> None:
    core, _ = numbers(engine)
    with engine.begin() as db:
        with pytest.raises(Conflict):
            runs.register(db, "核心", "/elsewhere", None, "root")
        runs.remove(db, "核心", "root")
        with pytest.raises(NotFound):
            runs.remove(db, "核心", "root")
        assert [s.name for s in runs.listed_sources(db)] == ["网贷"]
        runs.register(db, "核心", "/elsewhere", None, "root")
    with pytest.raises(NotFound):
        runs.ask(engine, OFFICER, core)
    with pytest.raises(NotFound):
        runs.one(engine, READER, 99)
    with pytest.raises(Invalid):
        runs.ask(engine, OFFICER, numbers(engine)[1], sample=-1)
    assert "sealed" not in str(runs.listed(engine, READER))


@pytest.mark.usefixtures("quick_passwords")
def test_over_the_console_and_the_api(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    node = nodes.make(engine)
    core, loan = numbers(engine)
    officer, reader = node.client("officer"), node.client("reader")
    assert "核心" in officer.get("/scans").text
    assert 'action="/scans"' not in reader.get("/scans").text
    begun = officer.post("/scans", data={"source": core, "sample": "", "incremental": "yes"})
    assert begun.status_code == 303, begun.text
    assert node.launched == ["run"]
    page = officer.get(begun.headers["location"]).text
    assert "every 2s" in page
    number = int(begun.headers["location"].rpartition("/")[2])
    asked = officer.post("/api/v1/scans", json={"source": loan, "sample": 10})
    assert (asked.status_code, asked.json()["sample"]) == (201, 10)
    assert reader.post("/api/v1/scans", json={"source": loan}).status_code == 403
    assert officer.post("/api/v1/scans", json={"source": loan}).status_code == 409
    for bad in ({"source": 0}, {"source": core, "sample": -1}, {"source": core, "x": 1}, {}):
        assert officer.post("/api/v1/scans", json=bad).status_code == 400
    assert officer.post("/scans", data={"source": "x"}).status_code == 422
    assert reader.get("/api/v1/scans").json()["runs"][1]["id"] == number
    stopped = officer.post(f"/api/v1/scans/{asked.json()['id']}/stop")
    assert (stopped.status_code, stopped.json()["state"]) == (200, "stopped")
    runs.claim(engine)
    folder = reports(number)
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("<script>x</script>")
    runs.end(engine, number, Progress(), Ending("done"))
    page = reader.get(f"/scans/{number}").text
    assert "every 2s" not in page
    got = reader.get(f"/scans/{number}/reports/report.html")
    assert got.headers["content-disposition"].startswith("attachment")
    assert got.text == "<script>x</script>"
    for none in ("report.xlsx", "other.txt", "..%2Fx"):
        assert reader.get(f"/scans/{number}/reports/{none}").status_code == 404
    assert reader.get("/scans/99/reports/report.html").status_code == 404


@pytest.mark.usefixtures("quick_passwords")
def test_a_page_that_asks_by_itself_keeps_no_session_alive(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pingyao.platform.identity import sessions

    client = nodes.make(engine).client("reader")
    begun = sessions._now()
    for minutes in (10, 14):
        monkeypatch.setattr(sessions, "_now", lambda m=minutes: begun + 60 * m)
        assert client.get("/scans", headers={"x-by-itself": "yes"}).status_code == 200
    monkeypatch.setattr(sessions, "_now", lambda: begun + 60 * 16)
    assert client.get("/scans").headers["location"] == "/sign-in"
