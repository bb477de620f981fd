"""The assessment as one page that stands alone: scores, every control, the change since last time."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import jinja2

from pingyao.platform.files import write_atomically
from pingyao.platform.pages import content_policy, data_island, echarts
from pingyao.protect.assessment_model import Answer, Assessment, Change
from pingyao.protect.formats.sheets import cited
from pingyao.protect.rules.assessment import CHAPTERS, MARKS

_PARTS = files("pingyao.protect.formats").joinpath("assessment")


def write_page(
    assessment: Assessment, before: Assessment | None, changed: Sequence[Change], path: Path
) -> None:
    """Writes the page; it asks the network for nothing."""
    css, script, charts = _part("assessment.css"), _part("assessment.js"), echarts()
    page = jinja2.Environment(autoescape=False).from_string(_part("assessment.html.j2"))  # noqa: S701 - our own parts; the data is escaped below
    text = page.render(
        policy=content_policy(charts, script),
        css=css,
        echarts=charts,
        script=script,
        data=data_island(_data(assessment, before, changed)),
    )
    write_atomically(path, text.encode("utf-8"))


def _part(name: str) -> str:
    return _PARTS.joinpath(name).read_text("utf-8")


def _data(
    assessment: Assessment, before: Assessment | None, changed: Sequence[Change]
) -> Mapping[str, object]:
    then = {s.chapter: s.score for s in before.scores} if before else {}
    moved = {c.control: c.before for c in changed}
    shown = f"{assessment.level} 级" + (f" · C{assessment.personal}" if assessment.personal else "")
    last = f" · 上次 {before.at.astimezone():%Y-%m-%d}" if before else ""
    return {
        "about": f"{assessment.system} · 最高 {shown} · "
        f"{assessment.at.astimezone():%Y-%m-%d %H:%M}{last}",
        "packs": f"{assessment.program} · {' '.join(assessment.packs)}",
        "total": assessment.total,
        "before": before.total if before else None,
        "marks": [(m, sum(a.mark == m for a in assessment.answers)) for m in MARKS],
        "by": {
            "evidence": sum(a.by == "evidence" for a in assessment.answers),
            "person": sum(a.by == "person" for a in assessment.answers),
        },
        "contradicted": sum(a.contradicted for a in assessment.answers),
        "changed": len(changed),
        "stages": [
            (
                CHAPTERS[s.chapter],
                s.score,
                then.get(s.chapter),
                s.answered,
                s.of,
                [s.marks.get(m, 0) for m in MARKS],
            )
            for s in assessment.scores
        ],
        "rows": [_row(a, moved.get(a.control.id, "")) for a in assessment.answers],
    }


def _row(answer: Answer, before: str) -> tuple[object, ...]:
    control, found, said = answer.control, answer.found, answer.statement
    return (
        control.id,
        CHAPTERS[control.chapter],
        control.text,
        control.strength,
        cited(control.citation),
        control.citation.verified,
        answer.mark,
        before,
        {"evidence": "证据", "person": "人", "": ""}[answer.by],
        (found.text, found.links) if found else None,
        (said.mark, said.reason, said.evidence, said.person, f"{said.at:%Y-%m-%d}")
        if said
        else None,
        answer.contradicted,
        answer.stale,
    )
