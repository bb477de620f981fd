"""Scans with a journal kept very often; run in a process of its own, to be killed.

``python killed.py SOURCE JOURNAL RESULT``: writes the result, without times, once complete.
"""

import sys
from pathlib import Path

import msgspec

from pingyao.classify.journal import FileJournal
from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.service import scan
from pingyao.classify.sources.open import open_source

source = open_source(sys.argv[1])
with FileJournal(Path(sys.argv[2]), resume=True, every=0.01) as journal:
    result = scan(source, load_knowledge(), journal=journal)
told = msgspec.structs.replace(result, started_at=result.finished_at)
body = msgspec.to_builtins(told)
del body["started_at"], body["finished_at"]
Path(sys.argv[3]).write_bytes(msgspec.json.encode(body))
