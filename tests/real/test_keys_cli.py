"""The commands ``pingyao keys``, and those of ``pingyao protect`` that use its keys, as a person runs them."""

import json
import os
from pathlib import Path

import pytest

import command
from pingyao.platform.crypto import derive
from pingyao.platform.crypto.derive import Stretch

FILES = {"seal", "open", "verify", "rewrap", "tokenise", "detokenise"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "phrase").write_text("correct horse battery staple\n")
    (tmp_path / "zhang").write_text("first of two persons\n")
    (tmp_path / "li").write_text("second of two persons\n")
    monkeypatch.setattr(derive, "stretch", lambda: Stretch(os.urandom(16), 1, 1, 8))
    monkeypatch.setenv("PINGYAO_KEYSTORE", str(tmp_path / "keys.pks"))
    monkeypatch.setenv("PINGYAO_KEYSTORE_PASSPHRASE_FILE", str(tmp_path / "phrase"))
    monkeypatch.setenv("PINGYAO_DATABASE_URL", f"sqlite:///{tmp_path / 'c.db'}")
    monkeypatch.chdir(tmp_path)

    def words(*arguments: str, code: int = 0, given: str = "") -> str:
        area = "protect" if arguments[0] in FILES else "keys"
        done = command.pingyao(area, *arguments, given=given)
        assert done.code == code, done.err
        for secret in ("correct horse", "of two persons"):
            assert secret not in done.out + done.err
        return done.out if code == 0 else done.err

    return words


def test_from_a_new_keystore_to_a_destroyed_key(run, tmp_path: Path) -> None:
    assert "不是经认证的密码模块" in run("init")
    run("create", "台账", "sm4", "--purpose", "贷款台账")
    (tmp_path / "clear").write_bytes(b"x" * 3_000_000)
    said = json.loads(run("seal", "clear", "sealed", "--to", "台账", "--suite", "gm", "--json"))
    assert said["length"] == 3_000_000
    run("verify", "sealed", "--root", said["root"])
    run("verify", "sealed", "--root", "00" * 32, code=5)
    run("verify", "sealed", "--root", "not hexadecimal", code=2)
    run("rotate", "台账")
    run("rewrap", "sealed")
    run("destroy", "台账", "1", "--reason", "已轮换")
    run("open", "sealed", "back")
    assert (tmp_path / "back").read_bytes() == b"x" * 3_000_000
    run("open", "sealed", "back", code=3)
    states = [(k["version"], k["state"]) for k in json.loads(run("list", "--json"))]
    assert states == [(1, "destroyed"), (2, "active")]
    assert "已轮换" in run("history")
    run("destroy", "台账", "2", "--reason", "到期")
    assert "keys.destroyed" in run("open", "sealed", "again", code=4)
    assert not (tmp_path / "again").exists()


def test_two_persons(run, tmp_path: Path) -> None:
    run("init")
    run("create", "both", "aes-256", "--custodian", "张=zhang", "--custodian", "李=li")
    (tmp_path / "clear").write_bytes(b"x")
    seal = ("seal", "clear", "sealed", "--to", "both")
    run(*seal, code=3)
    run(*seal, "--approve", "张=zhang", code=3)
    run(*seal, "--approve", "张=zhang", "--approve", "李=zhang", code=3)
    run(*seal, "--approve", "张=zhang", "--approve", "李=li")
    assert "双人启用" in run("history")


def test_tokens_there_and_back(run) -> None:
    run("init")
    run("create", "k", "sm4")
    values = "13800138000\n张三\n13800138000\n"
    made = run("tokenise", "客户", "--key", "k", "--suite", "gm", given=values)
    assert len(set(made.splitlines())) == 2
    assert run("detokenise", "客户", "--reason", "核对", given=made) == values
    run("detokenise", "客户", "--reason", " ", given=made, code=2)
    run("detokenise", "客户", "--reason", "核对", given="0" * 32 + "\n", code=4)


def test_the_wrong_passphrase_and_none(run, tmp_path: Path) -> None:
    run("init")
    (tmp_path / "phrase").write_text("another long enough phrase\n")
    assert "keys.wrong_passphrase" in run("list", code=3)
    (tmp_path / "phrase").unlink()
    run("list", code=2)


def test_providers_are_shown(run) -> None:
    said = json.loads(run("providers", "--json"))
    assert "cryptography" in said["providers"]
    assert {c["algorithm"] for c in said["choices"]} >= {"sm4-gcm", "sm3", "aes-256-gcm"}
