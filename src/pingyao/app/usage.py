"""Commands that cannot be meant, told as every other error is: what is wrong, and what to do."""

import difflib
from collections.abc import Iterable

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)
from cyclopts.exceptions import UnknownCommandError

from pingyao.kernel.errors import Invalid


def misused(error: CycloptsError) -> Invalid:
    """Returns what to tell of a command line that fits no command.

    Values stay out of it: they may be what was not to be shown.
    """
    chain = " ".join(("pingyao", *(error.command_chain or ())))
    return Invalid("cli.usage", _what(error), f"用法见 {chain} --help")


def _what(error: CycloptsError) -> str:
    name = error.argument.name if error.argument is not None else ""
    match error:
        case MissingArgumentError():
            return f"缺少 {name}"
        case UnknownOptionError():
            option = (error.token.keyword or error.token.value).partition("=")[0]
            known = [n for a in error.argument_collection for n in a.names]
            return f"没有选项 {option}" + _like(option, known)
        case UnknownCommandError() if error.unused_tokens:
            known = [*error.app] if error.app is not None else []
            return f"没有命令 {error.unused_tokens[0]}" + _like(error.unused_tokens[0], known)
        case CoercionError():
            kind = error.target_type
            choices = "、".join(getattr(kind, "__args__", ())) if _is_choice(kind) else ""
            return f"{name} 的取值不对" + (f"，可选：{choices}" if choices else "")
        case RepeatArgumentError():
            return f"{name} 只能给出一次"
        case UnusedCliTokensError():
            return f"多出 {len(error.unused_tokens or ())} 个参数"
        case ValidationError():
            return f"{name} 的取值不合要求"
        case _:
            return "命令行写法不对"


def _is_choice(kind: object) -> bool:
    return all(isinstance(each, str) for each in getattr(kind, "__args__", (0,)))


def _like(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), 1)
    return f"，是不是 {near[0]}" if near else ""
