"""``pingyao protect`` as a person runs it, and killed in the middle."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

import command
import servers
from approving import approve
from pingyao.app.example.generate import generate
from pingyao.app.migrations import migrate
from pingyao.app.protection import policy
from pingyao.platform.crypto import derive
from pingyao.platform.crypto.derive import Stretch
from pingyao.platform.db import open_engine
from pingyao.protect.formats.plan_json import read_plan, write_plan
from pingyao.protect.model import Content
from pingyao.protect.planning import choose, digest
from pingyao.protect.records import runs
from pingyao.protect.sinks.files import sha256_of

PHRASE = "correct horse battery staple"


def pingyao(*words: object) -> command.Done:
    """Runs a command; the passphrase never shows."""
    said = command.pingyao(*words)
    assert PHRASE not in said.out + said.err
    return said


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bank, a keystore, a ledger and a plan; what is asked of the environment is set."""
    folder = tmp_path_factory.mktemp("protect")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(derive, "stretch", lambda: Stretch(os.urandom(16), 1, 1, 8))
        patch.setenv("PINGYAO_KEYSTORE_PASSPHRASE", PHRASE)
        patch.setenv("PINGYAO_KEYSTORE", str(folder / "keys.pks"))
        patch.setenv("PINGYAO_DATABASE_URL", f"sqlite:///{folder / 'p.db'}")
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        generate(folder / "bank", 300, 7)
        for words in (
            ("keys", "init"),
            ("keys", "create", "protect", "hmac-sha256"),
            ("keys", "create", "gm", "hmac-sm3"),
            ("keys", "create", "wrapping", "aes-256"),
            ("ledger", "init", folder / "ledger", "--origin", "bank.example/e"),
            ("scan", folder / "bank", "--report", folder / "report"),
            (
                "protect",
                "plan",
                folder / "report" / "result.json",
                "--for",
                "testing",
                "--out",
                folder / "plan.xlsx",
            ),
            (
                "protect",
                "plan",
                folder / "report" / "result.json",
                "--for",
                "sharing",
                "--recipient",
                "乙公司",
                "--out",
                folder / "sharing.json",
            ),
        ):
            done = pingyao(*words)
            assert done.code == 0, done.err
        patch.setenv("PINGYAO_LEDGER", str(folder / "ledger"))
        patch.setenv("PINGYAO_KEYSTORE", str(folder / "keys.pks"))
        yield folder


@pytest.fixture(scope="module")
def tested(work: Path) -> Path:
    """The bank protected for testing."""
    target = work / "tested"
    done = pingyao("protect", "run", work / "bank", target, "--plan", work / "plan.xlsx")
    assert done.code == 0, done.err
    assert "已放行" in done.out
    return target


def approved(work: Path, bound: str, source: str, **more: object) -> tuple[str, str]:
    """An approval in the database the commands use, as they are given it."""
    engine = open_engine(f"sqlite:///{work / 'p.db'}", migrate)
    number = approve(engine, bound, source, **more)
    engine.dispose()
    return "--approval", number


def of_plan(work: Path, plan: Path, recipient: str = "乙公司") -> tuple[str, str]:
    rules = policy(())
    bound = f"plan:{digest(choose(read_plan(plan), {}, rules))}"
    return approved(work, bound, "bank", recipient=recipient)


def table(folder: Path, name: str) -> pa.Table:
    return pq.read_table(next(folder.rglob(f"{name}.parquet")))


def test_a_run_leaves_its_record_and_its_evidence(work: Path, tested: Path) -> None:
    record = json.loads((work / "tested-record" / "record.json").read_text())
    assert record["record"]["released"]
    assert record["event"]["kind"] == "protect.run.completed"
    assert "已放行" in (work / "tested-record" / "record.html").read_text()
    assert (work / "tested-record" / "record.xlsx").stat().st_mode & 0o077 == 0
    file = next(tested.rglob("ecif_indv_base.parquet"))
    for each in (file, work / "tested-record" / "record.xlsx"):
        done = pingyao("verify", each)
        assert done.code == 0, done.err
        assert "未被改动" in done.out
    changed = work / "other" / file.name
    changed.parent.mkdir(exist_ok=True)
    changed.write_bytes(file.read_bytes() + b"x")
    assert pingyao("verify", changed).code in (4, 5)
    again = pingyao("protect", "run", work / "bank", tested, "--plan", work / "plan.xlsx")
    assert again.code == 3
    assert "已存在" in again.err


def test_a_table_of_a_database_is_verified(
    work: Path,
    tmp_path: Path,
    postgresql_server: servers.Server,
    postgresql_database: str,
    run_postgresql: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    url = postgresql_server.url(postgresql_database)
    done = pingyao(
        *("protect", "run", work / "bank", f"{url}?schema=tested"),
        *("--plan", work / "plan.xlsx", "--record", tmp_path / "r"),
    )
    assert done.code == 0, done.err
    verify = ("verify", f"{url}?schema=tested", "--table", "ecif_indv_base")
    done = pingyao(*verify)
    assert done.code == 0, done.err
    assert "ecif_indv_base 就是存证的那一份" in done.out
    run_postgresql(postgresql_database, "create table tested.copied as table tested.ecif_indv_base")
    assert pingyao(*verify[:-1], "copied").code == 0
    run_postgresql(
        postgresql_database,
        "delete from tested.ecif_indv_base where ctid = (select min(ctid) from tested.ecif_indv_base)",
    )
    changed = pingyao(*verify)
    assert changed.code == 5
    assert "不是所存证的那一份" in changed.err
    assert pingyao(*verify[:-1], "nowhere").code == 4


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_what_is_restored_into_a_database_is_verified(
    work: Path,
    tested: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    database = request.getfixturevalue(f"{kind}_database")
    url = request.getfixturevalue(f"{kind}_server").url(database)
    file = next(tested.rglob("ecif_indv_base.parquet"))
    restore = (
        *("protect", "restore", file, url, "--reason", "协查 2026-18"),
        *("--record", work / "tested-record" / "record.json"),
    )
    verify = ("verify", url, "--table", "ecif_indv_base")
    with monkeypatch.context() as patch:
        patch.setattr(
            "pingyao.app.protect.restoring.witness",
            lambda staged: {home: Content(0, "00", "00") for home in staged.tables.values()},
        )
        fewer = pingyao(*restore)
    assert fewer.code == 3
    assert "protect.rows_differ" in fewer.err
    assert pingyao(*verify).code == 4
    done = pingyao(*restore)
    assert done.code == 0, done.err
    done = pingyao(*verify)
    assert done.code == 0, done.err
    assert "ecif_indv_base 就是存证的那一份" in done.out
    last = "where cust_no = (select max(cust_no) from ecif_indv_base)"
    one = (
        f"delete from ecif_indv_base {last}"
        if kind == "postgresql"
        else "delete from ecif_indv_base limit 1"
    )
    request.getfixturevalue(f"run_{kind}")(database, one)
    assert pingyao(*verify).code == 5


def test_what_was_encrypted_is_restored_with_a_reason(
    work: Path, tested: Path, tmp_path: Path
) -> None:
    file = next(tested.rglob("ecif_indv_base.parquet"))
    restore = (
        "protect",
        "restore",
        file,
        tmp_path / "back.parquet",
        "--record",
        work / "tested-record" / "record.json",
    )
    assert pingyao(*restore, "--reason", " ").code == 2
    wrong = pingyao(*restore, "--reason", "核对", "--key", "gm")
    assert wrong.code == 3
    assert "protect.wrong_key" in wrong.err
    assert "protect@1" in wrong.err
    assert pingyao(*restore, "--reason", "核对", "--columns", "cust_nm").code == 2
    assert pingyao(*restore, "--reason", "核对", "--origin", "elsewhere").code == 4
    assert not (tmp_path / "back.parquet").exists()
    done = pingyao(*restore, "--reason", "协查 2026-17")
    assert done.code == 0, done.err
    with sqlite3.connect(work / "bank" / "ecif.db") as db:
        wanted = db.execute("select cust_no, id_no, mobile_no from ecif_indv_base").fetchall()
    db.close()
    back = pq.read_table(tmp_path / "back.parquet")
    given = [back[n].to_pylist() for n in ("cust_no", "id_no", "mobile_no")]
    # What had no form of its own, N/A and the like, became a token and has no way back.
    for restored, before in zip(zip(*given, strict=True), wanted, strict=True):
        for one, other in zip(restored, before, strict=True):
            assert one == other or (not any(c.isdigit() for c in other) and len(one) == 20)
    assert sum(r == w for r, w in zip(zip(*given, strict=True), wanted, strict=True)) > 250
    assert "已改用假名，不能还原" in done.out
    protected = pq.read_table(file)
    assert protected["cust_no"].to_pylist() != given[0]
    assert "核对" not in done.out


def test_another_key_gives_another_world(work: Path, tested: Path, tmp_path: Path) -> None:
    done = pingyao(
        *("protect", "run", work / "bank", tmp_path / "gm"),
        *("--plan", work / "plan.xlsx", "--key", "gm"),
    )
    assert done.code == 0, done.err
    one, other = (
        set(table(f, "ecif_indv_base")["cust_no"].to_pylist()) for f in (tested, tmp_path / "gm")
    )
    assert not one & other
    said = (tmp_path / "gm-record" / "record.json").read_text()
    assert '"suite": "gm"' in said


def test_a_plan_with_a_recipient_marks_amounts_for_them(work: Path, tmp_path: Path) -> None:
    plan = read_plan(work / "sharing.json")
    assert plan.recipient == "乙公司"
    marked = {
        (c.field.place.table, c.field.place.column) for c in plan.choices if "mark" in c.params
    }
    assert marked
    assert "watermark" not in {c.control for c in plan.conditions}
    done = pingyao(
        *("protect", "run", work / "bank", tmp_path / "out"),
        *("--plan", work / "sharing.json"),
        *of_plan(work, work / "sharing.json"),
    )
    assert done.code == 0, done.err
    (tmp_path / "names.txt").write_text("甲公司\n乙公司\n丙公司\n")
    named = {name for name, _ in marked}
    name = max(named, key=lambda n: table(tmp_path / "out", n).num_rows)
    column = next(c for t, c in marked if t == name)
    leaked = tmp_path / "leaked.parquet"
    pq.write_table(table(tmp_path / "out", name), leaked)
    trace = (
        "protect",
        "trace",
        leaked,
        "--recipients",
        tmp_path / "names.txt",
        "--columns",
        column,
    )
    found = pingyao(*trace)
    assert found.code == 0, found.err
    assert "乙公司" in found.out
    assert pingyao(*trace, "--key", "gm").code == 4
    record = json.loads((tmp_path / "out-record" / "record.json").read_text())["record"]
    assert record["recipient"] == record["scope"] == "乙公司"


def test_a_vault_leads_back_and_only_it(work: Path, tmp_path: Path) -> None:
    plan = read_plan(work / "sharing.json")
    place = next(c.field.place for c in plan.choices if c.technique == "fpe")
    choices = tuple(
        msgspec.structs.replace(c, technique="vault", params={"vault": "乙公司"})
        if c.field.place == place
        else c
        for c in plan.choices
    )
    write_plan(msgspec.structs.replace(plan, choices=choices), tmp_path / "plan.json")
    run = (
        "protect",
        "run",
        work / "bank",
        tmp_path / "out",
        "--plan",
        tmp_path / "plan.json",
        *of_plan(work, tmp_path / "plan.json"),
    )
    refused = pingyao(*run)
    assert refused.code == 4
    assert "protect.no_vault" in refused.err
    assert not (tmp_path / "out").exists()
    done = pingyao(*run, "--vault-key", "wrapping")
    assert done.code == 0, done.err
    file = next((tmp_path / "out").rglob(f"{place.table}.parquet"))
    restore = (
        *("protect", "restore", file, tmp_path / "back.csv", "--reason", "协查"),
        *("--record", tmp_path / "out-record" / "record.json"),
        *("--columns", place.column),
    )
    refused = pingyao(*restore)
    assert refused.code == 3
    assert "approval.missing" in refused.err
    bound = f"file:{sha256_of(file)}"
    done = pingyao(*restore, *approved(work, bound, "bank"))
    assert done.code == 0, done.err
    tokens = set(pq.read_table(file)[place.column].to_pylist())
    assert not any(t in (tmp_path / "back.csv").read_text() for t in tokens if t)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("none", "protect.no_key"),
        ("wrapping", "protect.key_kind"),
        ("protect@9", "keys."),
        ("protect@x", "protect.bad_option"),
    ],
)
def test_a_bad_key_is_refused(work: Path, tmp_path: Path, key: str, code: str) -> None:
    run = ("protect", "run", work / "bank", tmp_path / "out", "--plan", work / "plan.xlsx")
    refused = pingyao(*run, "--key", key)
    assert refused.code in (2, 4)
    assert code in refused.err
    assert list(tmp_path.iterdir()) == []


def test_killed_in_the_middle_the_target_is_not_there(work: Path, tmp_path: Path) -> None:
    """Whenever it is killed: the target is complete, or it does not exist."""
    words = (*("protect", "run", work / "bank", tmp_path / "out", "--plan", work / "plan.xlsx"),)
    command = [sys.executable, "-c", "from pingyao.app.cli import main; main()", *map(str, words)]
    killed_writing = 0
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            staged = [p for s in tmp_path.glob(".pingyao-*") for p in s.rglob("*.parquet")]
            if len(staged) > 3 + 5 * killed_writing:
                break
            time.sleep(0.002)
        killed_writing += process.poll() is None
        process.kill()
        process.wait()
        assert not (tmp_path / "out").exists() or process.returncode == 0
        if (tmp_path / "out").exists():
            break
        for left in tmp_path.glob(".pingyao-*"):
            shutil.rmtree(left)
    assert killed_writing


def test_risk_and_anonymise(work: Path, tmp_path: Path) -> None:
    one = ("--table", "ecif_indv_base", "--qi", "gender,birth_dt", "--sensitive", "occupation")
    done = pingyao("protect", "risk", work / "bank", *one, "--population", "100000", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["anonymity"]["k"] == 1
    target = tmp_path / "anonymous.parquet"
    make = ("protect", "anonymise", work / "bank", target, *one, "--k", "10", "--l", "2")
    refused = pingyao(*make, "--for", "testing", "--keep", "id_no")
    assert refused.code == 3
    assert "ecif_indv_base.id_no" in refused.err
    assert list(tmp_path.iterdir()) == []
    done = pingyao(*make, "--for", "testing")
    assert done.code == 0, done.err
    assert pq.read_schema(target).names == ["gender", "birth_dt", "occupation"]
    assert pingyao("verify", target).code == 0
    done = pingyao("protect", "risk", target, "--qi", "gender,birth_dt", "--json")
    assert json.loads(done.out)["anonymity"]["k"] >= 10


def test_a_copy_is_marked_only_if_it_may_leave(work: Path, tested: Path, tmp_path: Path) -> None:
    mark = ("--for", "testing", "--recipient", "丁", "--columns", "acct_bal")
    raw = pingyao(
        *("protect", "watermark", work / "bank", tmp_path / "m.parquet"),
        *("--table", "dep_acct", *mark),
    )
    assert raw.code == 3
    assert "protect.residual" in raw.err
    assert list(tmp_path.iterdir()) == []
    file = next(tested.rglob("dep_acct.parquet"))
    record = work / "tested-record" / "record.json"
    done = pingyao(
        *("protect", "watermark", file, tmp_path / "m.parquet", *mark), *("--record", record)
    )
    assert done.code == 0, done.err
    other = next(tested.rglob("ecif_indv_base.parquet"))
    odd = tmp_path / "odd.parquet"
    odd.write_bytes(other.read_bytes() + b" ")
    refused = pingyao(
        *("protect", "watermark", odd, tmp_path / "n.parquet", *mark), *("--record", record)
    )
    assert refused.code == 3
    assert "protect.other_record" in refused.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("plan", "nowhere.db", "--for", "testing"), "scan.no_such_source"),
        (("plan", "{bank}", "--for", "testing", "--out", "x.pdf"), "protect.bad_option"),
        (("plan", "nothing", "--catalogue", "--for", "testing"), "protect.not_catalogued"),
        (("risk", "{bank}", "--qi", "gender"), "protect.which_table"),
        (("risk", "{bank}", "--table", "ecif_indv_base", "--qi", "nope"), "protect.no_such_column"),
        (
            ("risk", "{bank}", "--table", "ecif_indv_base", "--qi", "gender,gender"),
            "protect.bad_option",
        ),
        (
            ("anonymise", "{bank}", "x.parquet", "--for", "testing", "--qi", "a", "--k", "1"),
            "protect.bad_option",
        ),
        (
            ("anonymise", "{bank}", "x.parquet", "--for", "testing", "--qi", "a", "--l", "2"),
            "protect.bad_option",
        ),
        (("controls", "--stage", "storage", "--level", "9"), "protect.bad_option"),
        (("run", "{bank}", "x.xlsx", "--plan", "{plan}"), "protect.unknown_target"),
        (("run", "{bank}", "x", "--plan", "{keys}"), "plan.unreadable"),
        (("restore", "{bank}", "x", "--record", "{plan}", "--reason", "y"), "protect.not_record"),
        (("run", "{bank}", "x", "--plan", "{plan}", "--scope", "s" * 101), "protect.bad_option"),
        (
            ("anonymise", "{bank}", "x.xlsx", "--for", "testing", "--qi", "a"),
            "protect.unknown_target",
        ),
    ],
)
def test_mistakes_are_said(
    work: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: str,
) -> None:
    filled = [
        w.format(bank=work / "bank", plan=work / "plan.xlsx", keys=work / "keys.pks") for w in words
    ]
    monkeypatch.chdir(tmp_path)
    refused = pingyao("protect", *filled)
    assert refused.code in (2, 3, 4)
    assert code in refused.err
    assert list(tmp_path.iterdir()) == []


def test_controls_are_listed_with_their_sources() -> None:
    done = pingyao("protect", "controls", "--stage", "sharing", "--level", "4", "--class", "c3")
    assert done.code == 0
    assert "禁止" in done.out
    assert "待核对" in done.out


# --- what goes out without a plan takes an approval as well --------------------------------------


def records(work: Path, kind: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Targets and records of what was done, the oldest first."""
    engine = open_engine(f"sqlite:///{work / 'p.db'}", migrate)
    with engine.connect() as db:
        found = db.execute(sa.select(runs).order_by(runs.c.at)).all()
    engine.dispose()
    return [(r.target, json.loads(r.record)) for r in found if not kind or r.kind == kind]


def kept(work: Path, number: str) -> list[str]:
    """The acts that were recorded under an approval."""
    return [r["act"] for _, r in records(work) if r.get("approval") == number]


def facts(work: Path, kind: str, target: str) -> list[dict[str, Any]]:
    """The records of a kind about a target."""
    return [r for at, r in records(work, kind) if at == target]


SENT = {"document": (), "seal": ("--to", "wrapping")}


@pytest.mark.parametrize("act", list(SENT))
def test_a_file_leaves_under_an_approval(work: Path, tmp_path: Path, act: str) -> None:
    given = tmp_path / "memo.txt"
    given.write_text("回电 13812345678")
    words = ("protect", act, given, tmp_path / "out.txt", *SENT[act])
    leaving = (*words, "--for", "sharing", "--recipient", "甲行")
    wrong = approved(work, "file:" + "0" * 64, "bank")
    elsewhere = approved(work, f"file:{sha256_of(given)}", "bank", purpose="entrusting")
    to_another = approved(work, f"file:{sha256_of(given)}", "bank", recipient="乙行")
    for more, code in (
        ((), "approval.missing"),
        (wrong, "approval.other_data"),
        (elsewhere, "approval.other_purpose"),
        (to_another, "approval.other_recipient"),
        (("--approval", "EX-1"), "lifecycle.no_case"),
    ):
        refused = pingyao(*leaving, *more)
        assert refused.code in (3, 4)
        assert code in refused.err
        assert list(tmp_path.iterdir()) == [given]
    good = approved(work, f"file:{sha256_of(given)}", "bank")
    for more in (good, ("--recipient", "甲行")):
        refused = pingyao(*words, *more)
        assert refused.code in (1, 2)
        assert list(tmp_path.iterdir()) == [given]
    done = pingyao(*leaving, *good)
    assert done.code == 0, done.err
    assert len(kept(work, good[1])) == 1
    assert pingyao("verify", tmp_path / "out.txt").code == 0
    again = pingyao(
        *("protect", act, given, tmp_path / "b.txt", *SENT[act]), *("--for", "sharing"), *good
    )
    assert "approval.used" in again.err
    assert not (tmp_path / "b.txt").exists()


def test_what_is_sealed_to_be_kept_needs_no_approval(work: Path, tmp_path: Path) -> None:
    given = tmp_path / "memo.txt"
    given.write_text("回电 13812345678")
    done = pingyao("protect", "seal", given, tmp_path / "kept", "--to", "wrapping")
    assert done.code == 0, done.err
    assert "留存自用" in done.err
    assert b"13812345678" not in (tmp_path / "kept").read_bytes()
    (sealed,) = facts(work, "protect.file.sealed", "kept")
    assert (sealed["purpose"], sealed["facts"]["kept_inside"]) == ("", True)
    # To whom one gives the key, one names.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINGYAO_KEYSTORE", str(work / "elsewhere.pks"))
        assert pingyao("keys", "init").code == 0
        assert pingyao("keys", "create", "wrapping", "aes-256").code == 0
        closed = pingyao("protect", "open", tmp_path / "kept", tmp_path / "back.txt")
    assert closed.code in (4, 5)
    assert not (tmp_path / "back.txt").exists()


@pytest.mark.parametrize("purpose", ["", "sharing", "entrusting", "disclosure", "modelling"])
def test_a_document_says_what_it_is_for(work: Path, tmp_path: Path, purpose: str) -> None:
    """Nobody graded it: it counts as of the highest level, and what comes out is in the clear."""
    given = tmp_path / "memo.txt"
    given.write_text("张三，回电 13812345678")
    refused = pingyao(
        "protect", "document", given, tmp_path / "out.txt", *(("--for", purpose) if purpose else ())
    )
    assert refused.code == (3 if purpose else 2)
    assert ("approval.missing" if purpose else "缺少 --for") in refused.err
    assert list(tmp_path.iterdir()) == [given]


@pytest.mark.parametrize("purpose", ["testing", "display"])
def test_a_document_for_within_needs_no_approval(work: Path, tmp_path: Path, purpose: str) -> None:
    given = tmp_path / "memo.txt"
    given.write_text("回电 13812345678")
    done = pingyao("protect", "document", given, tmp_path / f"{purpose}.txt", "--for", purpose)
    assert done.code == 0, done.err
    assert "13812345678" not in (tmp_path / f"{purpose}.txt").read_text()
    (masked,) = facts(work, "protect.document.masked", f"{purpose}.txt")
    assert masked["purpose"] == purpose


def test_a_table_leaves_under_an_approval(work: Path, tmp_path: Path) -> None:
    one = ("--table", "ecif_indv_base", "--qi", "gender,birth_dt")
    make = (
        "protect",
        "anonymise",
        work / "bank",
        tmp_path / "a.parquet",
        *one,
        "--k",
        "10",
        "--for",
        "sharing",
        "--recipient",
        "甲行",
    )
    refused = pingyao(*make)
    assert refused.code == 3
    assert "approval.missing" in refused.err
    assert list(tmp_path.iterdir()) == []
    engine = open_engine(f"sqlite:///{work / 'p.db'}", migrate)
    few = approved(work, "table:ecif.db/ecif_indv_base", "bank", rows=3)
    engine.dispose()
    refused = pingyao(*make, *few)
    assert "approval.too_much" in refused.err
    assert list(tmp_path.iterdir()) == []
    good = approved(work, "table:ecif.db/ecif_indv_base", "bank")
    done = pingyao(*make, *good)
    assert done.code == 0, done.err
    assert kept(work, good[1]) == ["anonymise"]


def test_private_statistics_leave_their_evidence(work: Path, tmp_path: Path) -> None:
    pytest.importorskip("opendp")
    ask = (
        "protect",
        "statistics",
        work / "bank",
        "--table",
        "dep_acct",
        "--epsilon",
        "0.5",
        "--person",
        "cust_no",
        "--most",
        "2",
        "--ledger",
        tmp_path / "budget.json",
        "--budget",
        "1",
    )
    assert pingyao(*ask).code
    assert not (tmp_path / "budget.json").exists()
    done = pingyao(*ask, "--for", "display")
    assert done.code == 0, done.err
    refused = pingyao(*ask, "--for", "disclosure")
    assert "approval.missing" in refused.err
    assert json.loads((tmp_path / "budget.json").read_text())["entries"][1:] == []
    good = approved(work, "table:core.db/dep_acct", "bank", purpose="disclosure", rows=1)
    assert pingyao(*ask, "--for", "disclosure", *good).code == 0
    spent = pingyao(*ask, "--for", "display")
    assert "protect.budget_spent" in spent.err
    found = [r for _, r in records(work, "protect.statistics.answered")]
    assert [(f["facts"]["spent"], f["facts"]["budget"], f["approval"]) for f in found] == [
        (0.5, 1.0, ""),
        (1.0, 1.0, good[1]),
    ]
    assert found[0]["facts"]["question"] == "count"
