"""A peer on one Parquet file: prints rows, CPU seconds, columns told right.

Runs in the peers' environment and imports nothing of ours but the table's truth.
"""

import json
import sys
import time
import warnings
from collections import Counter

import pyarrow.parquet as pq

from benchmarks.truth import TRUTH

warnings.simplefilter("ignore")


def dataprofiler(path: str) -> dict[str, float]:
    """Profiles all rows with the label model, and takes its label of each column."""
    import dataprofiler as dp

    frame = pq.read_table(path).to_pandas()
    options = dp.ProfilerOptions()
    options.set({"*.is_enabled": True})
    before = time.process_time()
    profile = dp.Profiler(frame, samples_per_update=len(frame), options=options)
    report = profile.report(report_options={"output_format": "compact"})
    spent = time.process_time() - before
    labels = {c["column_name"]: c.get("data_label") or "" for c in report["data_stats"]}
    right = sum(TRUTH[name].dataprofiler in label.split("|") for name, label in labels.items())
    return {"rows": len(frame), "cpu": spent, "right": right}


def presidio(path: str) -> dict[str, float]:
    """Analyses every cell with the predefined pattern recognisers; a column is what most are."""
    from presidio_analyzer import RecognizerRegistry
    from presidio_analyzer.nlp_engine import NlpArtifacts

    table = pq.read_table(path).slice(0, 2_000)
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    patterns = [r for r in registry.recognizers if hasattr(r, "patterns")]
    nothing = NlpArtifacts([], [], [], [], None, "en")
    right = 0
    before = time.process_time()
    for name in table.schema.names:
        seen: Counter[str] = Counter()
        for cell in table.column(name).to_pylist():
            text = str(cell)
            hits = [
                h for r in patterns for h in r.analyze(text, r.supported_entities, nothing) or []
            ]
            if hits:
                seen[max(hits, key=lambda hit: hit.score).entity_type] += 1
        most = seen.most_common(1)
        told = most[0][0] if most and most[0][1] * 2 > table.num_rows else ""
        right += told == TRUTH[name].presidio
    return {"rows": table.num_rows, "cpu": time.process_time() - before, "right": right}


print(json.dumps({"dataprofiler": dataprofiler, "presidio": presidio}[sys.argv[1]](sys.argv[2])))
