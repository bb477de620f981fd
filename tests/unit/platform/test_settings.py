"""Settings come from the file, then the environment; what is not understood is refused."""

from pathlib import Path

import pytest

from pingyao.kernel.errors import Invalid
from pingyao.platform.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "DATABASE_URL", "PACKS", "LANGUAGE"):
        monkeypatch.delenv(f"PINGYAO_{name}", raising=False)


def test_nothing_set_is_the_default() -> None:
    assert load_settings() == Settings()


def test_the_environment_goes_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pingyao.toml"
    path.write_text('database_url = "sqlite:///a.db"\npacks = ["x.json", "y"]\nlanguage = "en"\n')
    monkeypatch.setenv("PINGYAO_CONFIG", str(path))
    assert load_settings() == Settings("sqlite:///a.db", ("x.json", "y"), "en")
    monkeypatch.setenv("PINGYAO_PACKS", "own.json:more")
    monkeypatch.setenv("PINGYAO_LANGUAGE", "zh")
    assert load_settings() == Settings("sqlite:///a.db", ("own.json", "more"), "zh")


@pytest.mark.parametrize(
    "content",
    [b"databse_url = 'x'", b"packs = 'x'", b"language = 'fr'", b"[", b"\xff\xfe", b"language = 1"],
)
def test_what_is_not_understood_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    path = tmp_path / "pingyao.toml"
    path.write_bytes(content)
    monkeypatch.setenv("PINGYAO_CONFIG", str(path))
    with pytest.raises(Invalid):
        load_settings()


def test_a_missing_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINGYAO_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(Invalid) as told:
        load_settings()
    assert "none.toml" in told.value.detail
