"""``pingyao lifecycle`` as persons run it: three of them, a file, a plan and an assessment."""

import json
import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from python_calamine import CalamineWorkbook

PINGYAO = Path(sys.executable).with_name("pingyao")
PHRASES = {
    "张三": "first of three persons",
    "李四": "second of three persons",
    "王五": "third of three persons",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lifecycle")
    (folder / "bank").mkdir()
    rows = "\n".join(f"张{i},1380013{i:04d},2010-01-{i % 28 + 1:02d}" for i in range(200))
    (folder / "bank" / "客户.csv").write_text(f"客户姓名,手机号码,开户日期\n{rows}\n", "utf-8")
    for name, phrase in PHRASES.items():
        (folder / f"{name}.phrase").write_text(phrase)
    return folder


def run(folder: Path, *words: object, who: str = "", code: int = 0) -> str:
    environment = os.environ | {
        "PYTHONUTF8": "1",
        "PINGYAO_DATABASE_URL": f"sqlite:///{folder / 'c.db'}",
        "PINGYAO_KEYSTORE": str(folder / f"{who}.pks"),
        "PINGYAO_KEYSTORE_PASSPHRASE_FILE": str(folder / f"{who}.phrase"),
    }
    hand = (
        ("--as", who, "--key", "签名")
        if who and words[0] == "lifecycle" and "register" not in words
        else ()
    )
    done = subprocess.run(
        [PINGYAO, *map(str, words), *hand],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not any(p in done.stdout + done.stderr for p in PHRASES.values())
    return done.stdout + done.stderr


def test_three_persons_and_a_file(folder: Path) -> None:
    run(folder, "scan", "bank", "--record", "--report", "report")
    for name, kind in zip(PHRASES, ("ed25519", "sm2", "ed25519"), strict=True):
        run(folder, "keys", "init", who=name)
        run(folder, "keys", "create", "签名", kind, who=name)
        roles = (
            ("--role", "业务部门负责人")
            if name == "李四"
            else ("--role", "数据安全管理员", "--role", "个人信息保护负责人")
        )
        run(folder, "lifecycle", "person", "register", name, "--key", "签名", *roles, who=name)

    said = run(folder, "lifecycle", "retention", "due", "--out", "due.xlsx")
    assert "起算日未登记" in said
    assert CalamineWorkbook.from_path(str(folder / "due.xlsx")).sheet_names == [
        "说明",
        "各表",
        "留存规则",
    ]
    asking = ("lifecycle", "destroy", "request", "bank", "bank/客户.csv", "--reason", "期满")
    assert "不得删除" in run(folder, *asking, who="张三", code=3)
    run(
        folder,
        "lifecycle",
        "retention",
        "start",
        "bank",
        "--on",
        "2010-02-01",
        "--reason",
        "均已销户",
    )
    assert "到期应删" in run(folder, "lifecycle", "retention", "due")
    report = run(folder, "lifecycle", "assess", "run", "bank", "--report", "assessed")
    assert "0 项有变化" in report

    case = re.search(r"DS-[0-9A-F-]+", run(folder, *asking, who="张三"))[0]
    run(folder, "lifecycle", "destroy", "carry-out", case, who="张三", code=3)
    run(folder, "lifecycle", "destroy", "approve", case, who="张三", code=3)
    run(folder, "lifecycle", "destroy", "approve", case, who="李四")
    run(folder, "lifecycle", "destroy", "approve", case, who="李四", code=3)
    assert (folder / "bank" / "客户.csv").exists()
    run(folder, "lifecycle", "destroy", "approve", case, who="王五")
    run(folder, "lifecycle", "destroy", "certificate", case, "out", code=3)
    run(folder, "lifecycle", "destroy", "carry-out", case, who="张三")
    assert not (folder / "bank" / "客户.csv").exists()
    run(folder, "lifecycle", "destroy", "verify", case, who="张三", code=3)
    run(folder, "lifecycle", "destroy", "verify", case, who="王五")
    run(folder, "lifecycle", "destroy", "certificate", case, "out")
    assert "签名全部有效" in run(folder, "lifecycle", "check", f"out/{case}.json")
    forged = (folder / "out" / f"{case}.json").read_text().replace("期满", "误删")
    (folder / "forged.json").write_text(forged)
    run(folder, "lifecycle", "check", "forged.json", code=5)

    run(folder, "lifecycle", "assess", "run", "bank", "--report", "assessed")
    made = json.loads((folder / "assessed" / "assessment.json").read_text())
    marks = {a["control"]["id"]: a["mark"] for a in made["answers"]}
    assert marks["del.verify"] == "符合"
    assert marks["ope.response"] == "待答"
    run(
        folder,
        "lifecycle",
        "assess",
        "read",
        "assessed/assessment.xlsx",
        "--system",
        "bank",
        code=2,
    )
    run(folder, "lifecycle", "assess", "run", "nobody", "--report", "x", code=4)
    an_export(folder)


def an_export(folder: Path) -> None:
    """The same persons let data out, by a plan."""
    run(folder, "protect", "plan", "report/result.json", "--for", "sharing", "--out", "plan.json")
    asking = (
        "lifecycle",
        "export",
        "request",
        "--recipient",
        "甲行",
        "--reason",
        "联合分析",
        "--rows",
        200,
    )
    run(folder, *asking, "--until", "2999-01-01", "--plan", "plan.json", who="张三", code=2)
    run(folder, *asking, "--until", "明天", "--plan", "plan.json", who="张三", code=2)
    said = run(folder, *asking, "--until", date.today(), "--plan", "plan.json", who="张三")  # noqa: DTZ011 - the day as the command sees it
    case = re.search(r"EX-[0-9A-F-]+", said)[0]
    assert "plan:" in said
    approving = ("lifecycle", "export", "approve", case, "--role")
    run(folder, *approving, "业务部门负责人", who="王五", code=3)
    run(folder, *approving, "业务部门负责人", who="李四")
    run(folder, *approving, "数据安全管理员", who="李四", code=3)
    assert "签名全部有效" in run(folder, "lifecycle", "show", case)
    assert case in run(folder, "lifecycle", "cases", "--kind", "export")
