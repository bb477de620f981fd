"""The command line without a process for each command: what a person types, and what is said."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest

from pingyao.app.cli import main


class Done(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


def pingyao(*words: object, given: str = "") -> Done:
    """Runs a command as its process would, without starting one."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "stdin", io.StringIO(given))
        try:
            main([*map(str, words)])
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    out.flush()
    said = Done(code, out.buffer.getvalue().decode(), err.getvalue())
    assert "Traceback" not in said.err
    return said
