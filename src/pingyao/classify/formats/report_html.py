"""The report as one page that stands alone: charts, every column, every reason, offline."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import jinja2

from pingyao.classify.formats.words import (
    COVERAGE,
    SUBJECTS,
    cited,
    is_incremental,
    say,
    say_carried,
    say_drift,
    type_names,
    visible,
)
from pingyao.classify.model import ScanResult, Verdict
from pingyao.classify.rules.summary import hidden, is_candidate, summarise
from pingyao.platform.files import replacing
from pingyao.platform.pages import content_policy, data_island, echarts

_HERE = "\0"
"""Where the data goes: a character that no text of ours has."""
_PARTS = files("pingyao.classify.formats").joinpath("report")


def write_html(result: ScanResult, path: Path) -> None:
    """Writes the page; it asks the network for nothing and shows no data value."""
    css, script, charts = _part("report.css"), _part("report.js"), echarts()
    policy = content_policy(charts, script)
    page = jinja2.Environment(autoescape=False).from_string(_part("report.html.j2"))  # noqa: S701 - our own parts; the data is escaped below
    text = page.render(policy=policy, css=css, echarts=charts, script=script, data=_HERE)
    head, _, rest = text.partition(_HERE)
    with replacing(path) as file:
        file.write(head.encode())
        file.writelines(part.encode() for part in _data(result))
        file.write(rest.encode())


def _part(name: str) -> str:
    return _PARTS.joinpath(name).read_text("utf-8")


def _data(result: ScanResult) -> Iterator[str]:
    """Yields what the page shows as JSON that cannot end its own script element, by tables."""
    summary = summarise(result)
    rules = {(r.pack, r.rule): i for i, (r, _) in enumerate(summary.rules)}
    reasons: dict[tuple[str, str, str], int] = {}
    yield '{"rows":['
    comma = ""
    for table in result.tables:
        if rows := [_row(verdict, rules, reasons) for verdict in table.columns]:
            yield comma + data_island(rows)[1:-1]
            comma = ","
    shown = {
        "about": _about(result),
        "summary": {
            "tables": summary.tables,
            "columns": summary.columns,
            "rows": summary.rows,
            "levels": [*summary.by_level.items()],
            "classes": [(c, n) for c in (3, 2, 1) if (n := summary.by_personal.get(f"C{c}", 0))],
            "personal": summary.personal,
            "review": summary.review,
            "candidates": summary.candidates,
            "hidden": summary.hidden,
            "unread": summary.unread,
            "drifted": summary.drifted,
        },
        "types": type_names(),
        "subjects": SUBJECTS,
        "rules": [(r.text, cited(r), r.citation.verified) for r, _ in summary.rules],
        "reasons": [*reasons],
        "unread": [
            (visible(u.where, 300), u.detail, u.remedy, str(u.rows_read)) for u in result.unread
        ],
    }
    yield "]," + data_island(shown)[1:]


def _about(result: ScanResult) -> dict[str, str]:
    source = visible(result.source, 120)
    when = f"{result.finished_at:%Y-%m-%d %H:%M} UTC"
    packs = " ".join(f"{p.name}@{p.version}" for p in result.packs)
    sample = f" {result.sample_rows}" if result.sample_rows else ""
    carried = [""] * 2
    if is_incremental(result):
        carried = [f" · {say_carried(result.tables, each)}" for each in ("zh", "en")]
    return {
        "zh": f"{source} · {COVERAGE[result.coverage]}{sample} · {when}{carried[0]}",
        "en": f"{source} · {result.coverage}{sample} · {when}{carried[1]}",
        "packs": f"pingyao {result.version} · {packs}",
    }


def _row(
    verdict: Verdict,
    rules: dict[tuple[str, str], int],
    reasons: dict[tuple[str, str, str], int],
) -> tuple[object, ...]:
    """Returns what the page shows of a column; reasons that many columns share are numbered."""
    id_, labels = verdict.id, verdict.labels
    evidence = sorted(verdict.evidence, key=lambda e: -abs(e.weight))[:8]
    detail = {
        "why": [
            reasons.setdefault((e.type, visible(say(e)), visible(say(e, "en"))), len(reasons))
            for e in evidence
        ],
        "guesses": [(g.type, g.probability) for g in verdict.guesses],
        "findings": [(f.type, f.rows, f.of_rows, f.count, f.valid) for f in verdict.findings],
        "hidden": len(hidden(verdict)),
        "drift": [(say_drift(d), say_drift(d, "en")) for d in verdict.drift],
        "rulings": [rules[r.pack, r.rule] for r in verdict.rulings],
    }
    return (
        visible(id_.schema.partition("/")[0] or id_.source, 200),
        visible(id_.table, 300),
        visible(id_.column, 300),
        visible(verdict.comment, 600),
        verdict.type,
        verdict.subject,
        verdict.leaf,
        int(labels.level),
        int(labels.personal),
        verdict.confidence,
        verdict.abstained,
        is_candidate(verdict),
        detail,
    )
