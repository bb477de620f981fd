"""``pingyao protect`` as a person runs it, and killed in the middle."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pingyao.app.cli import app
from pingyao.app.example.generate import generate
from pingyao.kernel.errors import PingyaoError


def pingyao(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from pingyao.app.cli import main; main()", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONUTF8": "1", **environment},
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("protect")
    generate(folder / "bank", 1_000, 7)
    assert pingyao("protect", "new-key", folder / "key").returncode == 0
    assert pingyao("scan", folder / "bank", "--report", folder / "report").returncode == 0
    done = pingyao(
        *("protect", "plan", folder / "report" / "result.json", "--for", "testing"),
        *("--out", folder / "plan.xlsx"),
    )
    assert done.returncode == 0, done.stderr
    assert "开发测试" in done.stdout
    return folder


def test_plan_run_and_proof(work: Path, tmp_path: Path) -> None:
    done = pingyao(
        *("protect", "run", work / "bank", tmp_path / "out", "--plan", work / "plan.xlsx"),
        *("--key-file", work / "key"),
    )
    assert done.returncode == 0, done.stderr
    assert "已放行" in done.stdout
    record = json.loads((tmp_path / "out-record" / "record.json").read_text())
    assert record["record"]["released"]
    assert record["event"]["kind"] == "protect.run.completed"
    assert "已放行" in (tmp_path / "out-record" / "record.html").read_text()
    secret = (work / "key").read_text().strip()
    for path in (tmp_path / "out-record").iterdir():
        assert secret.encode() not in path.read_bytes()
    assert (tmp_path / "out-record" / "record.xlsx").stat().st_mode & 0o077 == 0
    again = pingyao(
        *("protect", "run", work / "bank", tmp_path / "out", "--plan", work / "plan.xlsx"),
        *("--key-file", work / "key"),
    )
    assert again.returncode == 3
    assert "已存在" in again.stderr


def test_another_key_gives_another_world(work: Path, tmp_path: Path) -> None:
    assert pingyao("protect", "new-key", tmp_path / "other").returncode == 0
    made: list[set[object]] = []
    for name, key in (("a", work / "key"), ("b", tmp_path / "other")):
        done = pingyao(
            *("protect", "run", work / "bank", tmp_path / name, "--plan", work / "plan.xlsx"),
            PINGYAO_PROTECT_KEY_FILE=str(key),
        )
        assert done.returncode == 0, done.stderr
        table = pq.read_table(next((tmp_path / name).rglob("ecif_indv_base.parquet")))
        made.append(set(table["cust_no"].to_pylist()))
    assert not made[0] & made[1]


@pytest.mark.parametrize(
    ("content", "mode", "code"),
    [
        (None, 0o600, "protect.no_key"),
        ("", 0o600, "protect.bad_key"),
        ("ab" * 31, 0o600, "protect.bad_key"),
        ("zz" * 32, 0o600, "protect.bad_key"),
        ("ab" * 32, 0o640, "protect.key_exposed"),
        ("ab" * 32, 0o604, "protect.key_exposed"),
    ],
)
def test_a_bad_key_is_refused(
    work: Path, tmp_path: Path, content: str | None, mode: int, code: str
) -> None:
    key = tmp_path / "key"
    if content is not None:
        key.write_text(content)
        key.chmod(mode)
    run = ("protect", "run", work / "bank", tmp_path / "out", "--plan", work / "plan.xlsx")
    with pytest.raises(PingyaoError) as refusal:
        app([*map(str, run), "--key-file", str(key)])
    assert refusal.value.code == code
    assert not content or content not in refusal.value.detail + refusal.value.remedy
    assert not (tmp_path / "out").exists()


def test_a_key_is_never_overwritten(work: Path) -> None:
    before = (work / "key").read_bytes()
    done = pingyao("protect", "new-key", work / "key")
    assert done.returncode == 3
    assert (work / "key").read_bytes() == before
    assert (work / "key").stat().st_mode & 0o777 == 0o600


def test_killed_in_the_middle_the_target_is_not_there(work: Path, tmp_path: Path) -> None:
    """Whenever it is killed: the target is complete, or it does not exist."""
    words = (
        *("protect", "run", work / "bank", tmp_path / "out", "--plan", work / "plan.xlsx"),
        *("--key-file", work / "key"),
    )
    command = [sys.executable, "-c", "from pingyao.app.cli import main; main()", *map(str, words)]
    killed_writing = 0
    for _ in range(4):
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
    table = ("--table", "ecif_indv_base", "--qi", "gender,birth_dt", "--sensitive", "occupation")
    done = pingyao("protect", "risk", work / "bank", *table, "--population", "100000", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["anonymity"]["k"] == 1
    target = tmp_path / "anonymous.parquet"
    done = pingyao("protect", "anonymise", work / "bank", target, *table, "--k", "10", "--l", "2")
    assert done.returncode == 0, done.stderr
    assert pq.read_schema(target).names == ["gender", "birth_dt", "occupation"]
    done = pingyao("protect", "risk", target, "--qi", "gender,birth_dt", "--json")
    assert json.loads(done.stdout)["anonymity"]["k"] >= 10


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("plan", "nowhere.db", "--for", "testing"), "scan.no_such_source"),
        (("plan", "{bank}", "--for", "testing", "--out", "x.pdf"), "protect.bad_option"),
        (("plan", "nothing", "--catalogue", "--for", "testing"), "protect.not_catalogued"),
        (("risk", "{bank}", "--qi", "gender"), "protect.which_table"),
        (("risk", "{bank}", "--table", "ecif_indv_base", "--qi", "nope"), "protect.no_such_column"),
        (("risk", "{bank}", "--table", "ecif_indv_base", "--qi", "gender,gender"), "protect.bad_option"),
        (("anonymise", "{bank}", "x.parquet", "--qi", "a", "--k", "1"), "protect.bad_option"),
        (("anonymise", "{bank}", "x.parquet", "--qi", "a", "--l", "2"), "protect.bad_option"),
        (("controls", "--stage", "storage", "--level", "9"), "protect.bad_option"),
        (("run", "{bank}", "x.xlsx", "--plan", "{plan}", "--key-file", "{key}"), "protect.unknown_target"),
        (("run", "{bank}", "x", "--plan", "{key}", "--key-file", "{key}"), "plan.unreadable"),
    ],
)  # fmt: skip
def test_mistakes_are_said(
    work: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: str,
) -> None:
    filled = [
        w.format(bank=work / "bank", plan=work / "plan.xlsx", key=work / "key") for w in words
    ]
    monkeypatch.setenv("PINGYAO_DATABASE_URL", f"sqlite:///{tmp_path / 'c.db'}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PingyaoError) as refusal:
        app(["protect", *filled])
    assert refusal.value.code == code
    assert refusal.value.remedy
    assert refusal.value.exit_code in (2, 3, 4)


def test_controls_are_listed_with_their_sources() -> None:
    done = pingyao("protect", "controls", "--stage", "sharing", "--level", "4", "--class", "c3")
    assert done.returncode == 0
    assert "禁止" in done.stdout
    assert "待核对" in done.stdout
