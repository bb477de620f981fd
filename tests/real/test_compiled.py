"""A second start compiles nothing: the kernels come from the cache of the first."""

import subprocess
import sys

_SECOND = """
import pyarrow as pa
from pingyao.classify.rules import values
from pingyao.classify.rules.values import numbers, scan
values.profile(pa.array(["x", None]))
values.profile(pa.array([1.5]))
for kernel in (scan.scan, numbers.floating):
    assert kernel.stats.cache_hits and not kernel.stats.cache_misses, kernel.stats
"""


def test_kernels_are_kept_for_the_next_start() -> None:
    for check in (False, True):
        done = subprocess.run([sys.executable, "-c", _SECOND], capture_output=True, text=True)
        if check:
            assert done.returncode == 0, done.stderr
