"""What a measurement says, and how a measured process is run."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table: what was measured, how to measure it again, the target, the figure."""

    what: str
    command: str
    target: str
    measured: str


def measured(module: str, *arguments: str, python: str = sys.executable) -> dict[str, float]:
    """Runs ``python -m module arguments`` and returns the JSON object it prints last.

    A process of its own, so that its memory and CPU time are its own.
    """
    done = subprocess.run(  # noqa: S603 - our own modules
        [python, "-m", module, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def peak() -> float:
    """Returns the most memory this process held so far, in MB.

    Not the kernel's ``ru_maxrss``: that begins with what the parent held when it started us.
    """
    held = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    return int(held[1]) / 1024 if held else float("nan")
