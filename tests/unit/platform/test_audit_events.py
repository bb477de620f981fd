"""What may appear in the audit trail is published, whole and in both languages."""

import re
from pathlib import Path

from pingyao.platform.audit import kinds

ROOT = Path(__file__).resolve().parents[3]
_KIND = r'"((?:node|identity|audit|classify|protect|ledger)(?:\.[a-z_]+){1,2})"'
_SAID = re.compile(
    rf"(?:EvidenceEvent|_event|_own|\bnote|_change)\([^()]*?{_KIND}|RECORDED = {_KIND}"
)


def emitted() -> set[str]:
    found = {"classify.verdict.confirmed", "classify.verdict.corrected"}  # put together there
    for file in (ROOT / "src" / "pingyao").rglob("*.py"):
        for match in _SAID.finditer(file.read_text("utf-8")):
            found.add(match[1] or match[2])
    return {k for k in found if k.count(".") == 2 or k in ("node.founded", "audit.exported")}


def test_every_event_of_the_source_is_published() -> None:
    assert len(emitted()) > 20
    assert not emitted() - set(kinds())
    assert not set(kinds()) - emitted()


def test_the_published_list_is_the_one_the_program_has() -> None:
    page = (ROOT / "docs" / "audit-events.md").read_text("utf-8")
    listed = dict(re.findall(r"^\| `([a-z_.]+)` \| ([^|]+) \|", page, re.M))
    assert set(listed) == set(kinds())
    assert all(listed[k].strip() == w["zh"] for k, w in kinds().items())
