"""The command as a person runs it: output, exit codes, what is never printed."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest


def pingyao(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-c", "from pingyao.app.cli import main; main()", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONUTF8": "1", **environment},
    )


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "bank.db"
    db = sqlite3.connect(path)
    db.execute("create table khxx (khh text, xm text, sjhm text, jymm text)")
    db.execute('create table "=1+1|<b>\x1b[31m" (a text)')
    db.executemany(
        "insert into khxx values (?, ?, ?, ?)",
        [(f"{i:010d}", "王建国", f"138{i:08d}", f"{i:064x}") for i in range(500)],
    )
    db.commit()
    db.close()
    return path


def test_a_database_is_summed_up(bank: Path) -> None:
    done = pingyao("scan", str(bank))
    assert done.returncode == 0, done.stderr
    assert "2 张表，5 列，全量，读取 500 行" in done.stdout
    assert "C3 1" in done.stdout
    assert "\x1b[31m" not in done.stdout


def test_json_is_all_there_is_on_stdout(bank: Path) -> None:
    done = pingyao("scan", str(bank), "--json")
    result = json.loads(done.stdout)["result"]
    types = {c["id"]["column"]: c["type"] for t in result["tables"] for c in t["columns"]}
    assert types["sjhm"] == "mobile"
    assert types["jymm"] == "password_or_secret"
    assert "王建国" not in done.stdout


def test_metadata_only_says_so(bank: Path) -> None:
    done = pingyao("scan", str(bank), "--metadata-only", "--json")
    result = json.loads(done.stdout)["result"]
    assert result["coverage"] == "metadata"
    assert all(t["rows_read"] == 0 for t in result["tables"])


def test_a_report_is_written_for_its_owner_only(bank: Path, tmp_path: Path) -> None:
    assert pingyao("scan", str(bank), "--report", str(tmp_path / "r")).returncode == 0
    written = tmp_path / "r" / "result.json"
    assert written.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("limit", "code"), [("C3", 1), ("c2", 1), ("L4", 1), ("L5", 0)])
def test_a_pipeline_can_fail_on_what_is_found(bank: Path, limit: str, code: int) -> None:
    assert pingyao("scan", str(bank), "--fail-on", limit).returncode == code


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["scan", "no-such-file.db"], 4, "scan.no_such_source"),
        (["scan", "gopher://x"], 2, "scan.unknown_scheme"),
        (["scan", "{bank}", "--fail-on", "C9"], 2, "scan.bad_option"),
        (["scan", "{bank}", "--sample", "0"], 2, "scan.bad_option"),
        (["scan", "{bank}", "--incremental"], 2, "scan.bad_option"),
        (["scan", "{bank}", "--incremental", "--record", "--metadata-only"], 2, "scan.bad_option"),
        (["scan", "{bank}", "--pack", "none.json"], 2, "pack.unreadable"),
        (["scan", "postgresql://u:s3cret@127.0.0.1:1/x"], 75, "scan.unreachable"),
        (["scan", "mysql://u:s3cret@127.0.0.1:1/x"], 75, "scan.unreachable"),
    ],
)
def test_refusals_have_a_code_and_a_remedy(
    bank: Path, words: list[str], code: int, says: str
) -> None:
    done = pingyao(*[w.replace("{bank}", str(bank)) for w in words])
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "处理办法" in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pingyao.app.cli import app\n"
            "try: app(['--help'])\nexcept SystemExit: pass\n"
            "print([m for m in ('pyarrow', 'numpy', 'numba', 'duckdb', 'sqlalchemy')"
            " if m in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().endswith("[]")


def test_an_unreadable_state_folder_only_costs_resuming(bank: Path) -> None:
    done = pingyao("scan", str(bank), XDG_STATE_HOME="/proc/none")
    assert done.returncode == 0
    assert "不可写" in done.stderr


def test_resuming_what_was_never_begun_says_so(bank: Path, tmp_path: Path) -> None:
    done = pingyao("scan", str(bank), "--resume", XDG_STATE_HOME=str(tmp_path))
    assert done.returncode == 0
    assert "从头开始" in done.stderr
    assert not [*(tmp_path / "pingyao" / "scans").iterdir()]


@pytest.mark.parametrize(
    "words",
    [("--max-rows-per-second", "0"), ("--quiet-hours", "8点"), ("--quiet-hours", "08:00-08:00")],
)
def test_a_pace_that_is_none_is_refused(bank: Path, words: tuple[str, str]) -> None:
    done = pingyao("scan", str(bank), *words)
    assert done.returncode != 0
    assert "处理办法" in done.stderr


def test_scan_and_record_in_one_go(bank: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'c.db'}"
    assert "新增 5" in pingyao("scan", str(bank), "--record", PINGYAO_DATABASE_URL=url).stdout
    again = pingyao("scan", str(bank), "--record", PINGYAO_DATABASE_URL=url)
    assert "与目录的差异：无" in again.stdout


def test_a_broken_document_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "notes.docx").write_bytes(b"no document at all")
    (tmp_path / "plain.csv").write_text("客户号,手机号码\n1,13800138000\n", "utf-8")
    done = pingyao("scan", str(tmp_path), "--json")
    result = json.loads(done.stdout)["result"]
    assert done.returncode == 0, done.stderr
    assert [u["code"] for u in result["unread"]] == ["scan.damaged"]
    assert {t["table"]["name"]: t["rows_read"] for t in result["tables"]}["plain"] == 1


def test_reports_that_cannot_be_written_are_told_before_the_scan(
    bank: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    done = pingyao("scan", str(bank), "--report", str(tmp_path / "file" / "report"))
    assert done.returncode == 75
    assert "report.not_written" in done.stderr
    assert "处理办法" in done.stderr
    assert done.stdout == ""


def test_definitions_are_said_to_be_metadata_only(tmp_path: Path) -> None:
    path = tmp_path / "ebank.sql"
    path.write_text("create table u (login_pwd varchar(64) comment '登录密码');", "utf-8")
    done = pingyao("scan", str(path), "--fail-on", "C3")
    assert done.returncode == 1
    assert "1 张表，1 列，仅元数据，读取 0 行" in done.stdout


@pytest.mark.parametrize("source", ["", " "])
def test_no_source_is_no_folder(source: str) -> None:
    done = pingyao("scan", source)
    assert done.returncode == 4
    assert "scan.no_such_source" in done.stderr


def test_a_type_is_corrected_by_its_chinese_name_and_a_wrong_one_is_answered_with_near_ones(
    bank: Path, tmp_path: Path
) -> None:
    db = f"sqlite:///{tmp_path / 'catalogue.db'}"
    assert pingyao("scan", str(bank), "--record", "--db", db).returncode == 0
    done = pingyao("catalogue", "correct", "1", "--type", "合同", "--reason", "核对", "--db", db)
    assert done.returncode == 2
    assert "contract_or_loan_no" in done.stderr
    words = ("--type", "手机号码", "--reason", "与业务核对", "--db", db)
    done = pingyao("catalogue", "correct", "1", *words)
    assert done.returncode == 0, done.stderr
    assert "1：手机号码 3 级" in done.stdout


def test_an_incremental_scan_reads_what_changed_and_tells_what_drifted(
    bank: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bank.db"
    path.write_bytes(bank.read_bytes())
    catalogue = {"PINGYAO_DATABASE_URL": f"sqlite:///{tmp_path / 'c.db'}"}
    whole = json.loads(pingyao("scan", str(path), "--record", "--json", **catalogue).stdout)
    again = pingyao("scan", str(path), "--record", "--incremental", **catalogue)
    assert "沿用 2 张表" in again.stdout
    assert "与目录的差异：无" in again.stdout
    done = pingyao("scan", str(path), "--record", "--incremental", "--json", **catalogue)
    tables = json.loads(done.stdout)["result"]["tables"]
    assert all(t.pop("carried_from") for t in tables)
    assert [t | {"carried_from": None} for t in tables] == whole["result"]["tables"]
    with sqlite3.connect(path) as db:
        db.execute("update khxx set sjhm = '138****' || substr(sjhm, 8)")
    db.close()
    done = pingyao("scan", str(path), "--record", "--incremental", **catalogue)
    assert "重读 2 张（数据有变化 2）" in done.stdout
    assert "取值漂移 khxx/sjhm：" in done.stdout
    assert "已屏蔽的取值占比由 0.0% 变为 100.0%" in done.stdout
    assert "138" not in done.stdout
