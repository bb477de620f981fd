"""Passwords: what is good enough, how they are kept, how one-time passwords are made."""

import contextlib
import os
import secrets
import string
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import BoundedSemaphore, get_native_id
from typing import TYPE_CHECKING, TypeVar

from pingyao.kernel.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_T = TypeVar("_T")
LEAST, MOST = 12, 128
# Each takes 64 MiB, and every core for a tenth of a second: more at once would let strangers exhaust
# the memory, and would keep everybody who is signed in waiting.
_AT_ONCE = max(1, (os.cpu_count() or 1) // 2)
_MOST_WAITING = 200
_PATIENCE = 20.0
_NICER = 5
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
    return _in_turn(lambda: _hasher().hash(password))


def matches(kept: str, password: str) -> bool:
    """Tells whether a password is the one kept; takes as long where there is none."""
    from argon2.exceptions import InvalidHashError, VerificationError

    def look() -> bool:
        try:
            return _hasher().verify(kept or _nobody(), password[: MOST * 4]) and bool(kept)
        except (VerificationError, InvalidHashError):
            return False

    return _in_turn(look)


def _in_turn(work: Callable[[], _T]) -> _T:
    """Does the work when its turn comes.

    Raises:
        Unavailable: too many wait, or it took too long.
    """
    if not _WAITING.acquire(blocking=False):
        raise _busy()
    try:
        task = _workers().submit(work)
        try:
            return task.result(_PATIENCE)
        except TimeoutError:
            task.cancel()
            raise _busy() from None
    finally:
        _WAITING.release()


def _busy() -> Unavailable:
    return Unavailable("identity.busy", "登录的人太多", "请稍后重试")


_WAITING = BoundedSemaphore(_MOST_WAITING)


@cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_AT_ONCE, "passwords", initializer=_give_way)


def _give_way() -> None:
    """Lets pages go before passwords: on Linux every thread has a priority of its own."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICER)


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobody() -> str:
    return _hasher().hash(secrets.token_hex(16))
