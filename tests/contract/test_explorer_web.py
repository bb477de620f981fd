"""The evidence explorer over HTTP on SQLite and PostgreSQL: what is shown is proven, and nothing else gets in."""

import hashlib
import io
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
import uvicorn

import nodes
from evidenced import House
from pingyao.app.exploring import open_archive
from pingyao.app.web import make_app
from pingyao.kernel.errors import Invalid, NotFound
from pingyao.ledger import apart, desk, evidence, tables
from pingyao.ledger.formats.tlog_policy import parse_policy
from pingyao.ledger.model import Policy
from pingyao.ledger.monitor import watch
from pingyao.ledger.store.reader import POLICY, read_policy
from pingyao.platform import audit
from pingyao.platform.asgi import listen
from pingyao.platform.identity import tokens
from pingyao.platform.policy import SCOPES, URGENT
from pingyao.platform.web.limits import Window
from witnessed import ORIGIN

pytestmark = pytest.mark.usefixtures("quick_passwords")
REPORT = "".join(f"<tr><td>第{n}行</td></tr>\n" for n in range(200))
API = "/api/v1/evidence"


@pytest.fixture
def house(catalogue_engine: sa.Engine, tmp_path: Path) -> Iterator[House]:
    with House(catalogue_engine, tmp_path / "house") as made:
        yield made


@pytest.fixture
def node(house: House) -> nodes.Tested:
    made = nodes.make(house.engine, archive=house.archive)
    house.record("报告.html", REPORT, {"scan": nodes.HOSTILE})
    house.seal()
    return made


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def find(client: object, name: str = "报告.html") -> dict[str, object]:
    (item,) = client.get(API, params={"subject": name}).json()["items"]
    return item


def test_what_is_shown_is_proven(node: nodes.Tested, house: House) -> None:
    client = node.client("audit")
    told = client.get(API, params={"limit": 3}).json()
    assert (len(told["items"]), told["state"]["unpublished"]) == (3, 0)
    size = told["state"]["head"]["size"]
    assert told["items"][0]["position"] == size - 1
    assert (
        client.get(API, params={"before": told["before"]}).json()["items"][0] not in told["items"]
    )
    item = find(client)
    for place in (item["key"], str(item["position"])):
        event = client.get(f"{API}/{place}").json()
        assert (event["content"], event["body"], event["subject"]) == ("sealed", {}, "报告.html")
        assert event["stands"]["head"]["root"] == told["state"]["head"]["root"]
        assert [s["witness"] for s in event["stands"]["head"]["signatures"]] == [False, True, True]
    proof = client.get(f"{API}/{item['key']}/proof")
    assert (
        proof.headers["content-disposition"] == f'attachment; filename="{item["key"]}.tlog-proof"'
    )
    policy = read_policy(house.archive.folder)
    assert evidence.read_standing(proof.content, policy)[1] is None
    assert digest(REPORT) not in proof.text
    assert client.get("/evidence/checkpoint").content == client.get("/log/checkpoint").content
    assert noted(node) == []


def noted(node: nodes.Tested) -> list[tuple[str, str, str, dict[str, object]]]:
    """Returns what the trail says of contents opened: kind, who, which and the facts; the latest first."""
    kinds = ("ledger.payload.opened", "ledger.proof.taken")
    with node.engine.connect() as db:
        trail = audit.read(db, audit.Search(kind="ledger."), before=None, limit=50)
    return [(e.kind, e.actor, e.subject, e.body) for e in trail if e.kind in kinds]


WHY = "监管检查，来函〔2026〕7号"


@pytest.mark.parametrize("role", ["audit", "officer"])
def test_a_content_is_opened_for_a_reason_that_is_noted(
    node: nodes.Tested, house: House, role: str
) -> None:
    client = node.client(role)
    item = find(client)
    event = client.post(f"{API}/{item['position']}/open", json={"reason": f" {WHY} "}).json()
    assert (event["content"], event["body"]["sha256"]) == ("open", digest(REPORT))
    assert event["body"]["about"] == {"scan": nodes.HOSTILE}
    facts = {"position": item["position"], "by": role, "reason": WHY}
    assert noted(node) == [("ledger.payload.opened", f"{role}1", item["key"], facts)]
    page = client.post(f"/evidence/{item['key']}/open", data={"reason": WHY})
    assert page.status_code == 200
    assert digest(REPORT) in page.text
    assert WHY in page.text
    assert "<img" not in page.text
    for answer in (
        client.post(f"{API}/{item['key']}/proof", json={"reason": WHY}),
        client.post(f"/evidence/{item['key']}/proof", data={"reason": WHY}),
    ):
        proven = evidence.read_proof(answer.content, read_policy(house.archive.folder))
        assert evidence.read_facts(proven).sha256 == digest(REPORT)
    assert [n[0] for n in noted(node)] == ["ledger.proof.taken"] * 2 + ["ledger.payload.opened"] * 2


def test_without_a_reason_nothing_is_opened(node: nodes.Tested) -> None:
    client = node.client("audit")
    key = find(client)["key"]
    for reason in ("", "   ", "因为", "x" * 501, "\u202e查看内容", "看\x00一看看看"):
        page = client.post(f"/evidence/{key}/open", data={"reason": reason})
        assert page.status_code == 422, reason
        assert digest(REPORT) not in page.text
        for what in ("open", "proof"):
            answer = client.post(f"{API}/{key}/{what}", json={"reason": reason})
            assert answer.status_code in (400, 422), reason
            assert digest(REPORT) not in answer.text
    assert client.post(f"{API}/{key}/open", json={}).status_code in (400, 422)
    assert noted(node) == []


@pytest.mark.parametrize("role", ["system", "security", "reader", ""])
def test_nobody_else_opens_a_content(node: nodes.Tested, role: str) -> None:
    key = find(node.client("audit"))["key"]
    client = node.client(role)
    headers = {"origin": "https://127.0.0.1"}
    for what in ("open", "proof"):
        answer = client.post(f"{API}/{key}/{what}", json={"reason": WHY}, headers=headers)
        assert answer.status_code == (403 if role else 401)
        page = client.post(f"/evidence/{key}/{what}", data={"reason": WHY}, headers=headers)
        assert page.status_code == (403 if role else 303)
    assert noted(node) == []


def test_no_program_opens_a_content(node: nodes.Tested) -> None:
    assert "evidence.open" not in SCOPES
    assert "evidence.open" not in URGENT
    officer = node.actor("officer")
    with pytest.raises(Invalid, match="范围"):
        tokens.make(node.engine, officer, "job", ("evidence.open",), 1)
    made = tokens.make(node.engine, officer, "job", ("evidence.read",), 1)
    headers = {"authorization": f"Bearer {made.text}"}
    client = node.client()
    assert client.get(f"{API}/1", headers=headers).status_code == 200
    answer = client.post(f"{API}/1/open", json={"reason": WHY}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "policy.out_of_scope")
    assert noted(node) == []


def test_verifying_tells_of_a_file_what_tells_it_from_others(node: nodes.Tested) -> None:
    client = node.client("reader")
    for sha256, outcome in ((digest(REPORT), "same"), (digest("forged"), "altered")):
        told = client.post(f"{API}/verify", json={"sha256": sha256, "name": "报告.html"}).json()
        assert (told["outcome"], told["event"]["body"]["sha256"]) == (outcome, digest(REPORT))
        assert not {"about", "parts"} & set(told["event"]["body"])


@pytest.mark.parametrize("language", ["zh", "en"])
def test_pages_say_it_and_nothing_hostile_gets_through(node: nodes.Tested, language: str) -> None:
    client = node.client("officer")
    client.cookies.set("language", language)
    key = find(client)["key"]
    said = "足够的见证方" if language == "zh" else "Enough witnesses"
    page = client.get(f"/evidence/{key}").text
    assert said in page
    assert "<img" not in page
    assert "\u202e" not in page
    assert client.get("/evidence", params={"place": " 1 "}).headers["location"] == "/evidence/1"
    for query in (
        "?kind=classify.",
        "?subject=%25",
        "?since=2026-01-01&until=9999-12-31",
        "?before=1",
    ):
        assert client.get(f"/evidence{query}").status_code == 200, query


def test_what_is_no_event_is_a_problem(node: nodes.Tested) -> None:
    client = node.client("officer")
    for place in ("999999", "9" * 18, "9" * 19, "9" * 32, "f" * 32, "deadbeef"):
        for path in (f"{API}/{place}", f"{API}/{place}/proof", f"/evidence/{place}"):
            assert client.get(path).status_code == 404, path
    for place in ("x", "-1", "1.5", "%2e%2e", "1" * 33, "＿", "A" * 32):
        for path in (f"{API}/{place}", f"/evidence/{place}"):
            assert client.get(path).status_code in (400, 404), path
    for query in (
        "place=../../etc",
        "since=2026-02-30",
        "until=x",
        "before=-1",
        "kind=" + "x" * 200,
    ):
        assert client.get(f"/evidence?{query}").status_code in (400, 422), query


def test_signs_no_database_takes_are_no_failure(node: nodes.Tested) -> None:
    client = node.client("officer")
    for path in ("/evidence?subject=%00", "/evidence?actor=%00", f"{API}?kind=%00&subject=%00"):
        assert client.get(path).status_code < 500, path
    asked = {"sha256": digest("x"), "name": "a\x00b"}
    assert client.post(f"{API}/verify", json=asked).status_code < 500
    assert client.post("/evidence/verify", data=asked).status_code < 500
    for name in ("%00", "%ff%fe", "..%2f..%2fx", "%ed%a0%80"):
        answer = client.post(f"/evidence/verify/file?name={name}", content=b"x")
        assert answer.status_code < 500, name


def test_a_file_is_told_from_another_by_its_hash(node: nodes.Tested) -> None:
    client = node.client("reader")
    ask = {"sha256": digest(REPORT), "name": "报告.html"}
    told = client.post(f"{API}/verify", json=ask).json()
    assert (told["outcome"], told["event"]["actor"]) == ("same", "officer1")
    assert client.post(f"{API}/verify", json=ask | {"name": "renamed"}).json()["outcome"] == "same"
    changed = client.post(f"{API}/verify", json=ask | {"sha256": digest(REPORT + " ")}).json()
    assert (changed["outcome"], changed["compared"]) == ("altered", False)
    other = {"sha256": digest("other"), "name": "other.html"}
    assert client.post(f"{API}/verify", json=other).json() | {"event": None} == {
        **msgspec.to_builtins(desk.Verdict("unknown", "other.html"))
    }
    for bad in (
        {},
        {"sha256": "x" * 64},
        {"sha256": digest("a"), "proof": "p"},
        {"proof": "p" * 140_000},
    ):
        assert client.post(f"{API}/verify", json=bad).status_code in (400, 413, 422), bad
    for path in (
        API,
        f"{API}/0",
        f"{API}/0/proof",
        f"{API}/checkpoint",
        "/evidence",
        "/evidence/0",
    ):
        assert client.get(path).status_code == 403, path


def test_a_proof_holds_or_is_refused(node: nodes.Tested) -> None:
    client, key = node.client("officer"), ""
    key = find(client)["key"]
    proof = client.get(f"{API}/{key}/proof").text
    good = client.post(f"{API}/verify", json={"proof": proof}).json()
    assert (good["outcome"], good["event"]["key"]) == ("proven", key)
    page = node.client("reader").post("/evidence/verify/proof?name=a.tlog-proof", content=proof)
    assert 'data-outcome="proven"' in page.text
    lines = proof.splitlines(keepends=True)
    wrong = [
        "",
        "no proof",
        proof[: len(proof) // 2],
        proof.replace("index ", "index 1"),
        "".join(lines[:1] + lines[2:]),
        "".join(lines[:-2]),
        proof.replace(ORIGIN, "evil.example/log"),
        proof.replace("extra e", "extra f"),
        proof + proof,
        "\u202e" * 1000,
    ]
    for each in wrong:
        answer = client.post("/evidence/verify/proof", content=each.encode())
        assert answer.status_code in (409, 422), each[:80]
        assert "data-outcome" not in answer.text
        assert client.post(f"{API}/verify", json={"proof": each}).status_code in (409, 422)
    assert client.post("/evidence/verify/proof", content=b"x" * 140_000).status_code == 413


def test_an_upload_tells_where_and_leaves_nothing(
    node: nodes.Tested, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = tmp_path / "sent"
    sent.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(sent))
    client = node.client("reader")

    def upload(content: bytes, name: str = "报告.html") -> str:
        answer = client.post("/evidence/verify/file", params={"name": name}, content=content)
        assert answer.status_code < 500
        assert not list(sent.iterdir())
        return answer.text

    client.cookies.set("language", "en")
    assert 'data-outcome="same"' in upload(REPORT.encode())
    changed = upload(REPORT.replace("第7行", "第七行").encode())
    assert 'data-outcome="altered"' in changed
    assert "line 8 changed" in changed
    assert 'data-outcome="unknown"' in upload(b"", "../../etc/passwd")
    assert 'data-outcome="unknown"' in upload(b"PK\x03\x04 no archive", "x.xlsx")
    assert 'data-outcome="unknown"' in upload(b"[" * 100_000, "x.json")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * (8 << 20))
    assert "data-outcome" in upload(bomb.getvalue(), "x.xlsx")
    monkeypatch.setattr(apart, "SECONDS", 0)  # what takes too long is ended
    assert "ledger.cannot_compare" in upload(REPORT.encode())
    monkeypatch.undo()


def test_uploads_are_bounded(node: nodes.Tested, monkeypatch: pytest.MonkeyPatch) -> None:
    from pingyao.ledger import explorer_pages

    client = node.client("reader")
    big = {"content-length": str(65 << 20)}
    answer = client.post("/evidence/verify/file?name=a", content=b"x", headers=big)
    assert answer.status_code == 413
    assert client.post("/evidence/verify/file?name=" + "x" * 256, content=b"x").status_code == 400
    monkeypatch.setattr(explorer_pages, "_uploads", threading.BoundedSemaphore(1))
    explorer_pages._uploads.acquire()
    assert client.post("/evidence/verify/file?name=a", content=b"x").status_code == 503
    elsewhere = {"origin": "https://evil.example"}
    for path in ("/evidence/verify", "/evidence/verify/file", "/evidence/verify/proof"):
        assert client.post(path, content=b"x", headers=elsewhere).status_code == 403
        assert node.client().post(path, content=b"x").headers.get("location") == "/sign-in"


def test_what_needs_too_much_memory_ends_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"line\n" * (16 << 20))
    code = "import sys; from pathlib import Path; from pingyao.ledger import apart; "
    code += "apart.MEMORY = 100 << 20; apart._main(Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True)
    assert done.returncode != 0
    assert not done.stdout


def test_without_the_key_contents_stay_sealed(node: nodes.Tested, house: House) -> None:
    key = find(node.client("audit"))["key"]
    archive = msgspec.structs.replace(house.archive, reader=None)
    told = (node.engine, nodes.KEY, nodes.INSTITUTION, nodes.BOOK, nodes.HOSTS, lambda: None)
    closed = nodes.Tested(node.engine, lambda: make_app(*told, archive=archive), node.people)
    client = closed.client("audit")
    event = client.get(f"{API}/{key}").json()
    assert (event["content"], event["body"], event["subject"]) == ("sealed", {}, "报告.html")
    assert len(event["stands"]["head"]["signatures"]) == 3
    page = client.get(f"/evidence/{key}").text
    assert digest(REPORT) not in page
    proof = client.get(f"{API}/{key}/proof").text
    for what in ("open", "proof"):
        answer = client.post(f"{API}/{key}/{what}", json={"reason": WHY})
        assert (answer.status_code, answer.json()["code"]) == (409, "ledger.sealed_here")
    assert (
        client.post(f"{API}/verify", json={"proof": proof}).json()["event"]["content"] == "sealed"
    )
    refused = client.post(f"{API}/verify", json={"sha256": digest(REPORT), "name": "报告.html"})
    assert (refused.status_code, refused.json()["code"]) == (409, "ledger.sealed_here")
    assert "private" not in client.get("/evidence").text


def test_what_was_erased_still_stands(node: nodes.Tested, house: House) -> None:
    client = node.client("audit")
    item = find(client)
    house.forget(item["position"])
    event = client.get(f"{API}/{item['key']}").json()
    assert (event["content"], event["kind"], event["body"]) == ("erased", "", {})
    assert client.get(f"/evidence/{item['key']}").status_code == 200
    gone = client.post(f"{API}/{item['key']}/open", json={"reason": WHY})
    assert (gone.status_code, gone.json()["code"]) == (404, "ledger.erased")
    assert noted(node) == []
    ask = {"sha256": digest(REPORT), "name": "报告.html"}
    assert client.post(f"{API}/verify", json=ask).json()["outcome"] == "unknown"


def test_what_waits_is_not_proven_yet(node: nodes.Tested, house: House) -> None:
    client = node.client("audit")
    house.record("新.html", "new")
    ask = {"sha256": digest("new"), "name": "新.html"}
    assert client.post(f"{API}/verify", json=ask).json()["outcome"] == "waiting"
    house.seal(publish=False)
    key = find(client, "新.html")["key"]
    assert client.get(f"{API}/{key}").status_code == 409
    assert client.post(f"{API}/verify", json=ask).json()["outcome"] == "waiting"
    assert client.get(API).json()["state"]["unpublished"] > 0
    house.publish()
    assert client.post(f"{API}/verify", json=ask).json()["outcome"] == "same"


def test_what_was_altered_beside_the_log_is_told(node: nodes.Tested, house: House) -> None:
    client = node.client("audit")
    item = find(client)
    with node.engine.begin() as db:
        db.execute(sa.update(tables.documents).values(sha256=digest("forged")))
    ask = {"sha256": digest("forged"), "name": "报告.html"}
    answer = client.post(f"{API}/verify", json=ask)
    assert (answer.status_code, answer.json()["code"]) == (409, "ledger.index_differs")
    with node.engine.begin() as db:
        table = tables.payloads
        db.execute(sa.update(table).where(table.c.key == item["key"]).values(entry=b"{}"))
    answer = client.get(f"{API}/{item['key']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "ledger.payload_differs")
    note = house.archive.folder / "checkpoint"
    note.write_text(note.read_text().replace("\n1", "\n2", 1).replace("=", "A", 1))
    for path in (API, f"{API}/0", "/evidence"):
        assert 400 <= client.get(path).status_code < 500, path


def test_a_node_without_a_ledger_says_how_to_set_one_up(house: House) -> None:
    node = nodes.make(house.engine)
    client = node.client("audit")
    assert "pingyao ledger init" in client.get("/evidence").text
    told = client.get(API).json()["state"]
    assert told["waiting"] > 0
    assert not told["configured"]
    for path in (f"{API}/0", f"{API}/checkpoint", "/evidence/0", "/log/checkpoint", "/log/"):
        assert client.get(path).status_code == 404, path
    assert client.post(f"{API}/verify", json={"sha256": digest("a")}).status_code == 404
    assert client.get("/evidence/verify").status_code == 200


def test_the_log_is_open_to_all_for_reading_alone(
    node: nodes.Tested, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = node.client()
    note = client.get("/log/checkpoint")
    assert note.headers["cache-control"] == "no-cache"
    size = int(note.text.splitlines()[1])
    tile = client.get(f"/log/tile/0/000.p/{size}")
    assert len(tile.content) == 32 * size
    assert "immutable" in tile.headers["cache-control"]
    assert "set-cookie" not in tile.headers
    assert "default-src 'none'" in tile.headers["content-security-policy"]
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/log/checkpoint").status_code in (403, 405), method
    for path in ("policy", "readers", "entries", "%2e%2e/mark", "..%2fmark", "tile/0/001", "", "x"):
        assert client.get(f"/log/{path}").status_code == 404, path
    assert client.get("/log/checkpoint", headers={"host": "evil.example"}).status_code == 403
    # Whoever reads the log shuts nobody out who signs in.
    monkeypatch.setattr(Window, "take", lambda self, key: 9 if self._most == 1200 else 0)
    answer = client.get("/log/checkpoint")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "9")
    assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/sign-in").status_code == 200


def test_a_monitor_of_others_reads_the_log_from_the_node(
    node: nodes.Tested, house: House, tmp_path: Path
) -> None:
    server = uvicorn.Server(uvicorn.Config(node.app, log_config=None, ws="none"))
    with closing(listen("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/log"
        policy = parse_policy((house.archive.folder / POLICY).read_bytes())
        for _ in range(2):
            told = watch(Policy(policy.logs, {}, {}, "none", {ORIGIN: url}), tmp_path / "watch")
            assert not told.alarms
            house.record("more.txt", "more")
            house.seal()
        server.should_exit = True
        thread.join(10)


def test_the_node_opens_what_the_settings_say(
    house: House, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("PINGYAO_KEYSTORE_PASSPHRASE", raising=False)
    monkeypatch.delenv("PINGYAO_LEDGER", raising=False)
    assert open_archive(house.engine).folder is None
    monkeypatch.setenv("PINGYAO_LEDGER", str(house.archive.folder))
    opened = open_archive(house.engine)
    assert opened.reader is None
    assert "保持封存" in capfd.readouterr().err
    monkeypatch.setenv("PINGYAO_KEYSTORE_PASSPHRASE", "a passphrase nobody prints")
    assert open_archive(house.engine, tmp_path / "none.pks").reader is None
    assert "nobody prints" not in "".join(capfd.readouterr())
    monkeypatch.setenv("PINGYAO_LEDGER", str(tmp_path))
    with pytest.raises(NotFound):
        open_archive(house.engine)
    assert house.private.private_bytes_raw().hex() not in repr(house.archive)
    assert repr(house.archive.reader) == f"Reader('{ORIGIN}')"
