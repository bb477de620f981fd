"""Passwords are held against the policy; one-time passwords meet it."""

import pytest

from pingyao.kernel.errors import Invalid
from pingyao.platform.identity import passwords


@pytest.mark.parametrize(
    "password",
    [
        "",
        "Short-1",
        "alllowercaseletters",
        "Zhang.San-2026",
        "Aaaaaaaaaaaa1-",
        "Password-2026!",
        "x1-" * 50,
    ],
)
def test_weak_passwords_are_refused(password: str) -> None:
    with pytest.raises(Invalid, match="口令不合要求"):
        passwords.check(password, "zhang.san")


def test_good_ones_pass() -> None:
    passwords.check("Correct-Horse-7", "zhang.san")
    passwords.check("平遥票号-Rishengchang1823", "zhang.san")
    for made in {passwords.make() for _ in range(50)}:
        passwords.check(made, "zhang.san")
        assert not set(made) & set("0O1lI")


def test_kept_with_argon2id_and_matched() -> None:
    kept = passwords.digest("Correct-Horse-7")
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert passwords.matches(kept, "Correct-Horse-7")
    assert not passwords.matches(kept, "correct-horse-7")
    assert not passwords.matches("", "Correct-Horse-7")
    assert not passwords.matches("rubbish", "Correct-Horse-7")
