"""What may appear in the audit trail is published, whole and in both languages."""

import re
from pathlib import Path

from pingyao.platform.audit import kinds
from pingyao.protect.lifecycle_model import Destruction, Export
from pingyao.protect.rules import cases

ROOT = Path(__file__).resolve().parents[3]
_KIND = r'"((?:node|identity|audit|classify|ledger|members)(?:\.[a-z_]+){1,2})"'
_SAID = re.compile(
    rf"(?:EvidenceEvent|_event|\bevent|_own|\bnote|_change|\b_open)\([^()]*?{_KIND}|RECORDED = {_KIND}"
)
# In the protect room only events have names of three parts: errors have two.
_PROTECT = re.compile(r'"(protect\.[a-z_]+\.[a-z_]+)"')
# Put together where they happen.
_COMPOSED = {
    *("classify.verdict.confirmed", "classify.verdict.corrected", "keys.destroyed"),
    *(
        f"protect.{act}.{how}"
        for act in ("anonymise", "watermark")
        for how in ("completed", "refused")
    ),
    "protect.restore.completed",
    *(
        f"protect.{act}.failed"
        for act in ("run", "restore", "anonymise", "watermark", "seal", "mask")
    ),
    *("members.keys.made", "members.keys.rotated"),
    *(f"protect.destruction.{act}" for _, act in cases.NEXT[Destruction]),
    *(f"protect.export.{act}" for _, act in cases.NEXT[Export]),
    *("protect.destruction.requested", "protect.export.requested"),
}


_SHORT = ("node.founded", "node.backed_up", "node.restored", "audit.exported", "audit.purged")


def emitted() -> set[str]:
    found = set[str]()
    for file in (ROOT / "src" / "pingyao").rglob("*.py"):
        text = file.read_text("utf-8")
        found |= {m[1] or m[2] for m in _SAID.finditer(text)} | {*_PROTECT.findall(text)}
    whole = {k for k in found if k.count(".") == 2 or k in _SHORT}
    return whole | _COMPOSED


def test_every_event_of_the_source_is_published() -> None:
    assert len(emitted()) > 20
    assert not emitted() - set(kinds())
    assert not set(kinds()) - emitted()


def test_the_published_list_is_the_one_the_program_has() -> None:
    page = (ROOT / "docs" / "audit-events.md").read_text("utf-8")
    listed = dict(re.findall(r"^\| `([a-z_.]+)` \| ([^|]+) \|", page, re.M))
    assert set(listed) == set(kinds())
    assert all(listed[k].strip() == w["zh"] for k, w in kinds().items())
