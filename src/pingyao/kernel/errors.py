"""The one tree of errors: named by cause, each with a code, a detail and a remedy."""

from typing import ClassVar


class PingyaoError(Exception):
    """An error a person is meant to read.

    Args:
        code: stable dotted name, e.g. ``scan.wrong_password``; never translated.
        detail: what happened, without secrets.
        remedy: what the reader can do about it.
    """

    title: ClassVar[str] = "错误"
    exit_code: ClassVar[int] = 1
    retriable: ClassVar[bool] = False

    def __init__(self, code: str, detail: str, remedy: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.remedy = remedy


class Invalid(PingyaoError):
    """What was given cannot be what was meant."""

    title = "输入有误"
    exit_code = 2


class Unsupported(PingyaoError):
    """Well formed, but nothing here can do it."""

    title = "不支持"
    exit_code = 2


class NotPermitted(PingyaoError):
    """The caller may not do this."""

    title = "未获授权"
    exit_code = 3


class Conflict(PingyaoError):
    """The state has moved on, or somebody decided otherwise."""

    title = "状态冲突"
    exit_code = 3


class NotYet(PingyaoError):
    """Allowed later: a deadline, an approval or a predecessor is missing."""

    title = "条件未满足"
    exit_code = 3


class NotFound(PingyaoError):
    """Nothing by this name."""

    title = "未找到"
    exit_code = 4


class IntegrityBroken(PingyaoError):
    """Evidence does not verify."""

    title = "完整性校验未通过"
    exit_code = 5


class Unavailable(PingyaoError):
    """The other side does not answer; the same call may succeed later."""

    title = "暂不可用"
    exit_code = 75
    retriable = True
