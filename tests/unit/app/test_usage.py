"""A command line that cannot be meant is told in Chinese, with the way out and exit code 2."""

import pytest

from pingyao.app.cli import main


@pytest.mark.parametrize(
    ("words", "told", "way"),
    [
        (["scan"], "缺少 SOURCE", "pingyao scan --help"),
        (["scan", "x", "--limt", "3"], "没有选项 --limt", "pingyao scan --help"),
        (["scann", "x"], "没有命令 scann，是不是 scan", "pingyao --help"),
        (["ledger", "verfy", "x"], "没有命令 verfy，是不是 verify", "pingyao ledger --help"),
        (["ledger", "verify", "a", "b", "c"], "多出 2 个参数", "pingyao ledger verify --help"),
        (["protect", "plan", "x", "--for", "me"], "可选：testing、display", "plan --help"),
        (["node", "init"], "缺少 --institution", "pingyao node init --help"),
    ],
)
def test_what_is_wrong_and_where_to_look(
    words: list[str], told: str, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    out, err = capsys.readouterr()
    assert end.value.code == 2
    assert told in err
    assert way in err
    assert not out


def test_a_value_stays_out_of_what_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["scan", "x", "--max-rows-per-second", "secret=words"])
    assert "--max-rows-per-second 的取值不对" in (err := capsys.readouterr().err)
    assert "secret" not in err
