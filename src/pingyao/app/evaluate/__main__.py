"""``python -m pingyao.app.evaluate SHARED REPORT``: measures and writes the report."""

import sys
from pathlib import Path

from pingyao.app.evaluate.columns import measure
from pingyao.app.evaluate.others import bank_values, finance_texts, secrets, start_up
from pingyao.app.evaluate.report import report
from pingyao.classify.knowledge import load_knowledge

if len(sys.argv) != 3:
    sys.exit("usage: python -m pingyao.app.evaluate SHARED REPORT")
shared, target = Path(sys.argv[1]), Path(sys.argv[2])
knowledge = load_knowledge()
sections = [secrets(knowledge), finance_texts(shared, knowledge), bank_values(knowledge)]
text = report(measure(shared, knowledge), [s for s in sections if s is not None], start_up())
target.write_text(text, "utf-8")
sys.stdout.write(text)
