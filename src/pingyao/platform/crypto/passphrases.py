"""Passphrases from where they are kept: a variable, a file, or typed in unseen."""

import getpass
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pingyao.kernel.errors import Invalid

KEYSTORE = "PINGYAO_KEYSTORE_PASSPHRASE"
LEAST_LENGTH = 12
_MOST_BYTES = 4096


def passphrase(
    variable: str = KEYSTORE,
    prompt: str = "密钥库口令",
    *,
    twice: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> str:
    """Returns a passphrase, from ``VARIABLE``, the file ``VARIABLE_FILE`` names, or the terminal.

    Args:
        twice: typed twice, because it is new.

    Raises:
        Invalid: there is none, or the file cannot be read.
    """
    if variable in environment:
        return _some(environment[variable], variable)
    if path := environment.get(f"{variable}_FILE"):
        return from_file(Path(path))
    if not sys.stdin.isatty():
        raise Invalid(
            "keys.no_passphrase",
            f"没有给出{prompt}",
            f"请设置 {variable}_FILE 指向口令文件，或在终端中运行",
        )
    given = getpass.getpass(f"{prompt}：")
    if twice and getpass.getpass(f"再输一次{prompt}：") != given:
        raise Invalid("keys.passphrases_differ", "两次输入不一致", "请重新运行")
    return _some(given, prompt)


def from_file(path: Path) -> str:
    """Returns the first line of a file.

    Raises:
        Invalid: it cannot be read, is too long or says nothing.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError):
        raise Invalid(
            "keys.passphrase_file", f"口令文件 {path.name} 无法读取", "请核对路径、权限与编码"
        ) from None
    if len(content) > _MOST_BYTES:
        raise Invalid("keys.passphrase_file", f"口令文件 {path.name} 过长", "请核对所指的文件")
    return _some(text.splitlines()[0] if text else "", path.name)


def _some(given: str, where: str) -> str:
    if not given:
        raise Invalid("keys.no_passphrase", f"{where} 是空的", "请给出口令")
    return given


def strong_enough(given: str) -> None:
    """Refuses a new passphrase that is short or of one character.

    Raises:
        Invalid: it is.
    """
    if len(given) < LEAST_LENGTH or len(set(given)) < LEAST_LENGTH // 2:
        raise Invalid(
            "keys.weak_passphrase",
            f"口令至少 {LEAST_LENGTH} 个字符，且不能只是少数字符的重复",
            "请换一个更长的口令，例如几个不相干的词",
        )
