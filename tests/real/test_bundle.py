"""The offline bundle: built here, installed and run where there is no network at all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONUTF8": "1"}
    return subprocess.run(
        [*map(str, words)], capture_output=True, text=True, timeout=500, env=environment
    )


def offline() -> list[str]:
    """What runs a command without network, as far as this machine lets us."""
    words = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    able = (
        shutil.which("unshare")
        and not subprocess.run([*words, "true"], capture_output=True).returncode
    )
    return words if able else []


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("bundle")
    done = run("sh", ROOT / "deploy" / "bundle.sh", target)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("no package index to build a bundle from")
    assert done.returncode == 0, done.stderr
    archive = Path(done.stdout.strip())
    assert run("tar", "-C", target, "-xf", archive).returncode == 0
    return target / archive.name.removesuffix(".tar")


def test_it_installs_and_scans_without_network(bundle: Path, tmp_path: Path) -> None:
    done = run(*offline(), "sh", bundle / "install.sh", tmp_path / "home")
    assert done.returncode == 0, done.stderr
    data = tmp_path / "kh.csv"
    data.write_text("khmc,zjhm\n王建国,110101199003071233\n", "utf-8")
    done = run(*offline(), tmp_path / "home" / "bin" / "pingyao", "scan", data)
    assert done.returncode == 0, done.stderr
    assert "C2 2" in done.stdout


def test_a_changed_file_is_not_installed(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy, symlinks=True)
    with (copy / "install.sh").open("a") as script:
        script.write("# changed\n")
    done = run("sh", copy / "install.sh", tmp_path / "home")
    assert done.returncode == 1
    assert "damaged or was changed" in done.stderr
    assert not (tmp_path / "home").exists()


def test_an_architecture_without_wheels_is_refused(tmp_path: Path) -> None:
    done = run("sh", ROOT / "deploy" / "bundle.sh", tmp_path, "riscv64")
    assert done.returncode == 2
    assert "choose x86_64 or aarch64" in done.stderr
