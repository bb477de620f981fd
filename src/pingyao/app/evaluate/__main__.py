"""``python -m pingyao.app.evaluate SHARED REPORT``: measures and writes the report."""

import sys
from pathlib import Path

from pingyao.app.evaluate.columns import measure
from pingyao.app.evaluate.report import report
from pingyao.classify.knowledge import load_knowledge

if len(sys.argv) != 3:
    sys.exit("usage: python -m pingyao.app.evaluate SHARED REPORT")
text = report(measure(Path(sys.argv[1]), load_knowledge()))
Path(sys.argv[2]).write_text(text, "utf-8")
sys.stdout.write(text)
