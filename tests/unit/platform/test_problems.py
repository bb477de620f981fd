"""Errors as the console words them: each in both languages, by its code."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pingyao
from pingyao.classify.sources import failures
from pingyao.kernel import errors
from pingyao.kernel.errors import PingyaoError, Unavailable
from pingyao.platform.web.problems import _words, problem_of, said

_CODE = re.compile(r"[a-z]+(\.[a-z0-9_]+)+")
_QUOTED = re.compile(r'"([a-z]+(?:\.[a-z0-9_]+)+)"')
_KINDS = {kind.__name__ for kind in vars(errors).values() if isinstance(kind, type)}
_RAISE = _KINDS | {"failure", "_bad", "Unread"}
# What a node's console runs: its pages, the process that scans, and every source that may be scanned.
_LOADED = """
import pkgutil, sys
from importlib import import_module
import pingyao.app.exploring, pingyao.app.running, pingyao.app.web
from pingyao.classify import sources
for each in pkgutil.iter_modules(sources.__path__):
    import_module(f"{sources.__name__}.{each.name}")
print(*(m.__file__ for n, m in sys.modules.items() if n.startswith("pingyao.") and m.__file__), sep="\\n")
"""


def _codes(path: Path) -> Iterator[object]:
    """Yields the codes that a module raises errors with."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in _RAISE:
            given = [a.value for a in node.args[:2] if isinstance(a, ast.Constant)]
            yield from (text for text in given if _CODE.fullmatch(str(text)))


@pytest.fixture(scope="module")
def codes() -> set[str]:
    loaded = subprocess.run(
        [sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True
    ).stdout.split()
    return {code for path in loaded for code in _codes(Path(path))} | {*failures.CAUSES}


def test_every_error_a_console_can_show_has_english(codes: set[str]) -> None:
    assert len(codes) > 300
    assert {"scan.unreachable", "scan.odd_rows", "identity.refused", "db.locked"} <= codes
    lacking = [c for c in sorted(codes) if said(c, "中文", "", "en")[0] == "中文"]
    assert not lacking, "give them an English text in platform/web/problems.json"


def test_no_english_is_left_of_an_error_that_is_gone() -> None:
    sources = Path(pingyao.__file__).parent.rglob("*.py")
    found = {code for path in sources for code in _QUOTED.findall(path.read_text())}
    # Two families are put together of their parts.
    whole = re.compile(r"http\.\d+|ledger\.proof\.\w+|ledger\.\w+\.malformed|internal\.unforeseen")
    assert not [c for c in _words()["en"] if "." in c and c not in found and not whole.fullmatch(c)]


def test_an_error_is_told_in_the_language_of_the_reader() -> None:
    error = Unavailable("scan.unreachable", "连接不上 a，或连接中断。", "请检查网络")
    assert problem_of(error, "zh").detail == "连接不上 a，或连接中断。"
    english = problem_of(error, "en")
    assert english.detail.startswith("The database could not be reached")
    assert (english.status, english.title) == (503, "Not available now")
    assert said("no.such_code", "某事", "某法", "en") == ("某事", "某法")
    assert problem_of(PingyaoError("no.such_code", "某事"), "en").status == 500


def test_what_nobody_foresaw_tells_its_kind_alone() -> None:
    for language in ("zh", "en"):
        problem = problem_of(ValueError("110101199003071233"), language)
        assert "1101" not in f"{problem}"
        assert problem.remedy
