"""Passwords: what is good enough, how they are kept, how one-time passwords are made."""

import secrets
import string
from functools import cache
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from pingyao.kernel.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LEAST, MOST = 12, 128
# Each takes 64 MiB for its time: more at once would let strangers exhaust the memory.
_AT_ONCE = BoundedSemaphore(4)
_PATIENCE = 10.0
_READABLE = "".join(set(string.ascii_letters + string.digits) - set("0O1lI"))
_COMMON = ("password", "qwerty", "admin", "pingyao", "123456", "abc123", "welcome", "letmein")


def check(password: str, name: str) -> None:
    """Holds a new password against the policy.

    Raises:
        Invalid: says what it lacks.

    Cites: GB/T 22239-2019, 8.1.4.1（复杂度要求；具体长度与类别数为产品默认）.
    """
    lacks = ""
    classes = [
        any(c.islower() for c in password),
        any(c.isupper() for c in password),
        any(c.isdigit() for c in password),
        any(not c.isalnum() for c in password),
    ]
    bare = password.casefold()
    if not LEAST <= len(password) <= MOST:
        lacks = f"长度须为 {LEAST} 至 {MOST} 个字符"
    elif sum(classes) < 3:
        lacks = "须含大写字母、小写字母、数字、符号中的三类"
    elif name and name.casefold() in bare:
        lacks = "不能包含账号名"
    elif len(set(password)) < 6 or any(bare.count(word) for word in _COMMON):
        lacks = "过于常见或重复"
    if lacks:
        raise Invalid("identity.weak_password", f"口令不合要求：{lacks}", "请另设一个口令")


def make() -> str:
    """Returns a one-time password that can be read aloud and meets the policy (about 93 bits)."""
    while True:
        made = "-".join("".join(secrets.choice(_READABLE) for _ in range(4)) for _ in range(4))
        if any(map(str.isdigit, made)) and any(map(str.isupper, made)) and made.upper() != made:
            return made


def digest(password: str) -> str:
    """Returns what is kept of a password: Argon2id with the parameters of RFC 9106, 4."""
    with _Turn():
        return _hasher().hash(password)


def matches(kept: str, password: str) -> bool:
    """Tells whether a password is the one kept; takes as long where there is none."""
    from argon2.exceptions import InvalidHashError, VerificationError

    with _Turn():
        try:
            return _hasher().verify(kept or _nobody(), password[: MOST * 4]) and bool(kept)
        except (VerificationError, InvalidHashError):
            return False


class _Turn:
    """One of the few at once, or a refusal to wait any longer."""

    def __enter__(self) -> None:
        if not _AT_ONCE.acquire(timeout=_PATIENCE):
            raise Unavailable("identity.busy", "登录的人太多", "请稍后重试")

    def __exit__(self, *_: object) -> None:
        _AT_ONCE.release()


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobody() -> str:
    return _hasher().hash(secrets.token_hex(16))
