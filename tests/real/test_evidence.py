"""From a scan to the verdict on its reports, as people type it."""

import hashlib
import os
import re
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest
from python_calamine import CalamineWorkbook

from pingyao.kernel.errors import IntegrityBroken
from pingyao.ledger import evidence
from pingyao.ledger.formats.tlog_policy import parse_policy

PASSPHRASE = "a passphrase of some length"


class Bank:
    """A machine of its own: keystore, database, ledger and the reports of one scan."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {
            **os.environ,
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_STATE_HOME": str(home / "state"),
            "PINGYAO_KEYSTORE_PASSPHRASE": PASSPHRASE,
            "PINGYAO_LEDGER": str(home / "log"),
            "PINGYAO_MEMBER": "示例银行",
            "LC_ALL": "C.UTF-8",
        }

    def run(self, *words: object, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from pingyao.app.cli import main; main()", *map(str, words)],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert PASSPHRASE not in done.stdout + done.stderr
        return done.stdout + done.stderr


def recorded(home: Path) -> Bank:
    """Lays out a bank that has scanned once and recorded the reports."""
    made = Bank(home)
    source = made.home / "t.csv"
    source.write_text("id,sjhm\n" + "".join(f"{i},138{i:08d}\n" for i in range(50)))
    made.run("ledger", "init", made.home / "log", "--origin", "bank.example/evidence")
    told = made.run("scan", source, "--report", made.home / "report", "--record")
    assert "已存证 4 件事项" in told
    return made


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return recorded(tmp_path_factory.mktemp("bank"))


@pytest.mark.parametrize("name", ["result.json", "report.xlsx", "report.html"])
def test_what_was_recorded_is_told_with_who_and_when(bank: Bank, name: str) -> None:
    told = bank.run("verify", bank.home / "report" / name)
    for word in ("未被改动", "示例银行", "t.csv", "bank.example/evidence"):
        assert word in told
    body = msgspec.json.decode(bank.run("verify", bank.home / "report" / name, "--json"))
    assert body["member"] == "示例银行"


def test_a_copy_by_another_name_is_still_the_one(bank: Bank, tmp_path: Path) -> None:
    copy = tmp_path / "给监管的报告.xlsx"
    copy.write_bytes((bank.home / "report" / "report.xlsx").read_bytes())
    assert "未被改动" in bank.run("verify", copy)
    assert "没有存证记录" in bank.run("verify", bank.home / "t.csv", code=4)


def lower_a_number(source: Path, target: Path) -> tuple[str, int]:
    """Copies a workbook with one number changed; returns on which sheet and row."""
    names = CalamineWorkbook.from_path(source).sheet_names
    found: tuple[str, int] | None = None
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.namelist():
            content = old.read(member).decode()
            sheet = re.fullmatch(r"xl/worksheets/sheet(\d+)\.xml", member)
            cell = re.search(r'(<c r="[A-Z]+(\d+)"(?: s="\d+")?><v>)3(</v>)', content)
            if sheet and cell and found is None:
                found = names[int(sheet[1]) - 1], int(cell[2])
                content = content[: cell.start()] + cell[1] + "2" + cell[3] + content[cell.end() :]
            new.writestr(member, content)
    assert found is not None
    return found


def test_a_changed_workbook_is_told_by_sheet_and_row(bank: Bank, tmp_path: Path) -> None:
    changed = tmp_path / "report.xlsx"
    sheet, row = lower_a_number(bank.home / "report" / "report.xlsx", changed)
    told = bank.run("verify", changed, code=5)
    assert f"“{sheet}”第 {row} 行被改动" in told


def test_a_changed_result_is_told_by_its_part(bank: Bank, tmp_path: Path) -> None:
    body = msgspec.json.decode((bank.home / "report" / "result.json").read_bytes())
    name = next(iter(body))
    body[name] = "another"
    changed = tmp_path / "result.json"
    changed.write_bytes(msgspec.json.encode(body))
    told = bank.run("verify", changed, code=5)
    assert f"“{name}”第 1 项被改动" in told


def test_decisions_are_recorded_too_and_the_log_is_whole(bank: Bank) -> None:
    assert "已存证 1 件事项" in bank.run("catalogue", "confirm", "1")
    assert "已存证 0 件事项" in bank.run("ledger", "drain")
    assert "全部相符" in bank.run("ledger", "fsck", bank.home / "log")


def test_with_the_database_forged_the_log_still_tells(bank: Bank, tmp_path: Path) -> None:
    """Somebody points the index of documents at another file's record."""
    forged = tmp_path / "forged.csv"
    forged.write_text("x")
    copy = tmp_path / "c.db"
    with sqlite3.connect(bank.home / "data" / "pingyao" / "pingyao.db") as db:
        db.execute("VACUUM INTO ?", (str(copy),))
    with sqlite3.connect(copy) as db:
        digest = hashlib.sha256(b"x").hexdigest()
        db.execute("UPDATE ledger_document SET sha256 = ? WHERE name = 'report.xlsx'", (digest,))
    told = bank.run("verify", forged, "--db", f"sqlite:///{copy}", code=5)
    assert "索引" in told
    with sqlite3.connect(copy) as db:
        db.execute("UPDATE ledger_payload SET entry = replace(entry, '示例', '别家')")
        db.execute("UPDATE ledger_payload SET entry = CAST(entry AS BLOB)")
    told = bank.run(
        "verify", bank.home / "report" / "report.html", "--db", f"sqlite:///{copy}", code=5
    )
    assert "不是同一条目" in told


def test_without_a_ledger_events_wait_and_are_moved_later(bank: Bank, tmp_path: Path) -> None:
    other = Bank(tmp_path)
    source = tmp_path / "t.csv"
    source.write_text("id\n1\n")
    told = other.run("scan", source, "--report", tmp_path / "r", "--record")
    assert "已记录，尚未存证" in told
    other.run("ledger", "init", tmp_path / "log", "--origin", "bank.example/other")
    assert "已存证 4 件事项" in other.run("ledger", "drain")
    assert "未被改动" in other.run("verify", tmp_path / "r" / "report.html")


def test_a_pack_is_checked_by_somebody_with_nothing_else(bank: Bank, tmp_path: Path) -> None:
    report = bank.home / "report" / "report.xlsx"
    number = msgspec.json.decode(bank.run("verify", report, "--json"))["key"]
    bank.run("ledger", "pack", number, "--out", tmp_path / "pack")
    assert (tmp_path / "pack" / "存证证明.pdf").read_bytes().startswith(b"%PDF")
    court = Bank(tmp_path / "court")
    trust = ["--policy", tmp_path / "pack" / "信任策略.policy"]
    proof = tmp_path / "pack" / "证明.tlog-proof"
    assert "示例银行" in court.run("verify", report, "--proof", proof, *trust)
    court.run("verify", bank.home / "t.csv", "--proof", proof, *trust, code=5)
    whole = proof.read_bytes()
    (tmp_path / "bad").write_bytes(whole[:99] + bytes([whole[99] ^ 1]) + whole[100:])
    court.run("verify", report, "--proof", tmp_path / "bad", *trust, code=5)
    policy = parse_policy((tmp_path / "pack" / "信任策略.policy").read_bytes())
    assert evidence.read_proof(whole, policy) is not None
    for at in range(len(whole)):
        for flip in (1, 0x80):
            with pytest.raises(IntegrityBroken):
                evidence.read_proof(
                    whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :], policy
                )
    bank.run("ledger", "pack", number, "--out", tmp_path / "pack", code=3)


def test_what_was_erased_is_proved_no_more_and_read_by_nobody(tmp_path: Path) -> None:
    bank = recorded(tmp_path)
    report = bank.home / "report" / "report.html"
    number = msgspec.json.decode(bank.run("verify", report, "--json"))["key"]
    bank.run("ledger", "erase", number, "--reason", "  ", code=2)
    assert "无法恢复" in bank.run("ledger", "erase", number, "--reason", "保存期满")
    bank.run("verify", report, code=4)
    bank.run("ledger", "erase", number, "--reason", "保存期满", code=4)
    assert "全部相符" in bank.run("ledger", "fsck", bank.home / "log")


def test_a_regulator_with_an_sm2_key_reads_what_is_sealed_from_then_on(tmp_path: Path) -> None:
    bank = recorded(tmp_path)
    store = tmp_path / "regulator.pks"
    mine = ("--keystore", store, "--key", "reader")
    as_regulator = ("--reader", "regulator.example", *mine)
    line = bank.run("ledger", "reader", "regulator.example", "--algorithm", "sm2", *mine)
    assert line == bank.run("ledger", "reader", "regulator.example", "--algorithm", "sm2", *mine)
    for name in ("", "a b", "#a", "x" * 65):
        bank.run("ledger", "reader", name, *mine, code=2)
    before = bank.home / "report" / "result.json"
    bank.run("verify", before, *as_regulator, code=3)  # it was sealed before he was named
    with (bank.home / "log" / "readers").open("a") as readers:
        readers.write(line)
    bank.run("scan", bank.home / "t.csv", "--report", bank.home / "next", "--record")
    after = bank.home / "next" / "result.json"
    assert "未被改动" in bank.run("verify", after, *as_regulator)
    assert "未被改动" in bank.run("verify", after)
    bank.run("verify", after, "--reader", "regulator.example", code=3)  # with the bank's key
    bank.run("verify", after, "--keystore", store, "--key", "another", code=4)
    assert "全部相符" in bank.run("ledger", "fsck", bank.home / "log", "--rows")
