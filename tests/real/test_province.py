"""A province on this machine: up, broken in the midst, up again, members at the command line, down."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import urllib3

from pingyao.platform import processes

COMMAND = [sys.executable, "-c", "from pingyao.app.cli import main; main()"]
PASSWORD = "Correct-Horse-7"
CENTRE, BANK = "12140000MB0BBBBB00", "91140000MA0DDDDD3J"


def pingyao(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
    )


def state(folder: Path) -> dict[str, dict[str, object]]:
    return msgspec.json.decode((folder / "province.json").read_bytes())["nodes"]


def running(folder: Path) -> list[processes.Process]:
    held = [msgspec.convert(n["process"], processes.Process) for n in state(folder).values()]
    return [p for p in held if processes.runs(p)]


@pytest.fixture(scope="module")
def province(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("province") / "p"
    started = time.monotonic()
    made = pingyao("province", "up", str(folder))
    assert made.returncode == 0, made.stderr
    assert time.monotonic() - started < 60
    yield folder
    left = running(folder)
    assert pingyao("province", "down", str(folder), "--yes").returncode == 0
    assert not any(processes.runs(p) for p in left)
    assert not folder.exists()


def ready(folder: Path, site: str, role: str) -> dict[str, str]:
    """Signs in once and sets the password; returns what the commands are to be given."""
    once = (folder / site / "passwords" / f"{role}.txt").read_text().strip()
    base = f"http://127.0.0.1:{state(folder)[site]['port']}/api/v1/session"
    pool = urllib3.PoolManager(retries=False)
    answer = pool.request("POST", base, json={"name": role, "password": once})
    if answer.status == 201:
        said = answer.json()
        headers = {
            "x-csrf-token": said["csrf"],
            "cookie": answer.headers["set-cookie"].partition(";")[0],
        }
        new = {"current": once, "new": PASSWORD}
        assert pool.request("PUT", f"{base}/password", json=new, headers=headers).status == 200
    return {"PINGYAO_PASSWORD": PASSWORD}


def members(folder: Path, site: str, role: str, *words: str) -> subprocess.CompletedProcess[str]:
    home = folder / site
    where = ("--db", f"sqlite:///{home / 'pingyao.db'}", "--key", str(home / "node.key"))
    return pingyao("members", *words, "--as", role, *where, **ready(folder, site, role))


def test_five_nodes_know_each_other(province: Path) -> None:
    shown = pingyao("province", "status", str(province))
    assert shown.stdout.count("http://127.0.0.1:") == 5
    assert len(running(province)) == 5
    listed = members(province, "centre", "audit", "list", "--json")
    view = msgspec.json.decode(listed.stdout)
    found = {m["profile"]["uscc"]: (m["state"], m["suite"]) for m in view["members"]}
    assert len(found) == 4
    assert found[BANK] == ("active", "national")
    assert {s for s, _ in found.values()} == {"active"}
    assert (province / "bank1" / "members.pks").stat().st_mode & 0o077 == 0
    assert (province / "bank1" / "passwords" / "system.txt").stat().st_mode & 0o077 == 0


def test_members_at_the_command_line(province: Path) -> None:
    ping = members(province, "bank3", "security", "ping", CENTRE)
    assert (ping.returncode, "national" in ping.stdout) == (0, True), ping.stderr
    assert members(province, "bank3", "system", "rotate").returncode == 3
    rotated = members(province, "bank3", "security", "rotate")
    assert (rotated.returncode, "已收下" in rotated.stdout) == (0, True), rotated.stderr
    assert members(province, "bank3", "security", "ping", CENTRE).returncode == 0
    again = members(province, "centre", "system", "invite", BANK, "示例第三银行")
    assert "members.is_member" in again.stderr


def test_banks_deal_with_each_other_by_the_roster(province: Path) -> None:
    national, international = "91140000MA0EEEEE4X", "91140000MA0BBBBB1U"
    for site, other in (("bank1", BANK), ("bank3", international), ("bank3", national)):
        asked = members(province, site, "security", "ping", other)
        assert asked.returncode == 0, asked.stderr
    held = members(province, "bank4", "audit", "keys", "--json")
    [old] = [
        k["id"]
        for k in msgspec.json.decode(held.stdout)
        if (k["suite"], k["use"]) == ("national", "sign")
    ]
    revoked = members(province, "bank4", "security", "revoke-key", old[:12], "--why", "介质遗失")
    assert (revoked.returncode, "已收下" in revoked.stdout) == (0, True), revoked.stderr
    fetched = members(province, "bank1", "system", "fetch")
    assert (fetched.returncode, "SHA-256" in fetched.stdout) == (0, True), fetched.stderr
    assert members(province, "bank4", "security", "ping", international).returncode == 0
    theirs = members(province, "bank1", "audit", "keys", national).stdout
    assert "已吊销" in next(line for line in theirs.splitlines() if line.startswith(old))
    found = members(province, "bank1", "audit", "list", "--words", "第四", "--state", "active")
    assert (national in found.stdout, BANK in found.stdout) == (True, False)


def test_a_broken_up_is_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    with subprocess.Popen(
        [*COMMAND, "province", "up", str(folder)], stderr=subprocess.PIPE, text=True
    ) as first:
        assert first.stderr is not None
        for line in first.stderr:
            if "示例第一银行 已加入" in line:
                break
        first.kill()
    (folder / "bank4.new").mkdir()  # what a broken making leaves behind
    before = running(folder)
    assert len(before) == 5
    os.kill(before[-1].pid, signal.SIGKILL)
    made = pingyao("province", "up", str(folder))
    assert made.returncode == 0, made.stderr
    assert made.stderr.count("已加入") == 4
    after = running(folder)
    assert len(after) == 5
    assert len({p.pid for p in before} & {p.pid for p in after}) == 4
    assert pingyao("province", "down", str(folder)).returncode != 0  # nobody to ask
    assert len(running(folder)) == 5
    assert pingyao("province", "down", str(folder), "--keep").returncode == 0
    assert not running(folder)
    assert (folder / "bank4" / "pingyao.db").exists()
    assert pingyao("province", "down", str(folder), "--yes").returncode == 0
    assert not any(processes.runs(p) for p in after)
    assert not folder.exists()
    again = pingyao("province", "up", str(folder))  # where another one stood
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("已加入") == 4
    assert pingyao("province", "down", str(folder), "--yes").returncode == 0


def test_a_stranger_process_is_never_touched(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        known = processes.remember(child.pid)
        other = msgspec.structs.replace(known, started=known.started - 1)
        assert not processes.stop(other)
        assert not processes.stop(msgspec.structs.replace(known, boot="another"))
        assert processes.runs(known)
        assert processes.stop(known)
        assert not processes.stop(known)
    finally:
        child.kill()
        child.wait()


def test_folders_that_are_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    assert "province.not_empty" in pingyao("province", "up", str(tmp_path)).stderr
    assert "province.none" in pingyao("province", "down", str(tmp_path), "--yes").stderr
    assert (tmp_path / "mine.txt").exists()
    assert pingyao("province", "up", str(tmp_path / "n"), "--port", "80").returncode != 0
