"""Puts evidence, types and labels into words."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

import msgspec

from pingyao.classify.model import Drift, Evidence, Ruling, ScanResult, TableVerdict, Verdict
from pingyao.classify.rules.difference import Short

SUBJECTS = {
    "person": "个人",
    "organisation": "单位",
    "staff": "员工",
    "system": "系统",
    "none": "—",
}
TIERS = {
    "GENERAL_OTHER": "其他一般数据",
    "GENERAL_SENSITIVE": "敏感数据",
    "IMPORTANT": "重要数据",
    "CORE": "核心数据",
}
SETS = {
    "level": ("级别", "Level"),
    "personal": ("个人信息类别", "Personal class"),
    "tier": ("数据分级", "Tier"),
    "business": ("业务数据", "Business data"),
    "national": ("国家层面", "National tier"),
    "high_sensitivity": ("高敏感性", "High sensitivity"),
    "proposed_important": ("提请认定重要数据", "Proposed as important"),
    "proposed_core": ("提请认定核心数据", "Proposed as core"),
    "suggested": ("建议", "Suggested"),
}
FLAGS = ("high_sensitivity", "proposed_important", "proposed_core", "suggested")
GENERAL = {1: "一般", 2: "重要", 3: "核心"}
BECAUSE = {
    "new": "新表",
    "changed": "数据有变化",
    "columns": "列有变化",
    "unknown": "无法确知有无变化",
    "software": "软件已更新",
}
COVERAGE = {"full": "全量", "sample": "抽样", "metadata": "仅元数据"}


@cache
def _messages() -> dict[str, dict[str, str]]:
    raw = files("pingyao.classify.data").joinpath("messages.json").read_bytes()
    return msgspec.json.decode(raw, type=dict[str, dict[str, str]])


@cache
def type_names() -> dict[str, tuple[str, str]]:
    """Returns every data type's Chinese and English name."""
    raw = files("pingyao.classify.data").joinpath("types.json").read_bytes()
    return {t["id"]: (t["zh"], t["en"]) for t in msgspec.json.decode(raw)["types"]}


def say_short(verdict: Short) -> str:
    """Returns what counts of a verdict in words: 手机号码 3 级 C2 待复核."""
    name, _ = type_names().get(verdict.type, (verdict.type, ""))
    asked = (("重要数据候选", verdict.important), ("待复核", verdict.review))
    parts = (name, f"{verdict.level} 级", verdict.personal, *(w for w, is_so in asked if is_so))
    return " ".join(filter(None, parts))


def say(evidence: Evidence, language: str = "zh") -> str:
    """Returns one piece of evidence as a sentence; an unknown code is shown as it is."""
    text = _messages().get(language, {}).get(evidence.code)
    try:
        return text.format(**evidence.args) if text else f"{evidence.code} {evidence.args}"
    except (KeyError, ValueError, IndexError):
        return f"{evidence.code} {evidence.args}"


def say_drift(drift: Drift, language: str = "zh") -> str:
    """Returns a change in what a column holds as a sentence."""
    words = _messages()[language]
    names = type_names().get(drift.about, (drift.about,) * 2)
    about = words.get(f"about.{drift.about}") or names[0 if language == "zh" else 1]
    begins = drift.code == "drift.found" and not drift.before
    text = words["drift.begins" if begins else drift.code]
    return text.format(about=about, before=drift.before, now=drift.now)


def is_incremental(result: ScanResult) -> bool:
    """Tells whether tables unchanged since an earlier scan were to be carried over."""
    return any(t.carried_from or t.read_because for t in result.tables)


def say_carried(tables: Iterable[TableVerdict], language: str = "zh") -> str:
    """Returns how many tables were carried over, since when, and why the others were read."""
    carried = [t.carried_from for t in tables if t.carried_from]
    reasons = Counter(t.read_because for t in tables if t.read_because)
    parts: list[str] = []
    if language == "en":
        if carried:
            parts.append(f"{len(carried):,} tables carried over, read from {min(carried):%Y-%m-%d}")
        if reasons:
            parts.append(f"{reasons.total():,} read")
        return ", ".join(parts)
    if carried:
        parts.append(f"沿用 {len(carried):,} 张表（最早读于 {min(carried):%Y-%m-%d %H:%M} UTC）")
    if reasons:
        listed = "、".join(f"{BECAUSE[r]} {n:,}" for r, n in reasons.most_common())
        parts.append(f"重读 {reasons.total():,} 张（{listed}）")
    return "，".join(parts)


def why(verdict: Verdict, language: str = "zh") -> str:
    """Returns the evidence that speaks for a verdict, strongest first."""
    names = type_names()
    chosen = sorted(verdict.evidence, key=lambda e: -abs(e.weight))[:6]
    column = 0 if language == "zh" else 1
    return "；".join(
        f"{names.get(e.type, (e.type, e.type))[column]}：{say(e, language)}" for e in chosen
    )


def set_by(ruling: Ruling, language: str = "zh") -> str:
    """Returns what a ruling set or suggests, each label by its name."""
    column = 0 if language == "zh" else 1
    values = TIERS | {"GENERAL": "一般数据"} if language == "zh" else {}
    said: list[str] = []
    for part in ruling.sets.replace(";", " ").split():
        name, _, value = part.partition("=")
        known = SETS.get(name, (name, name))[column]
        plain = name in FLAGS or not value
        said.append(
            known if plain else f"{known} {values.get(value, value.replace('_', ' ').capitalize())}"
        )
    return ("、" if language == "zh" else ", ").join(said)


def cited(ruling: Ruling) -> str:
    """Returns a ruling's source with its state of verification."""
    citation = ruling.citation
    if not citation.standard:
        return "产品默认"
    state = "已核对" if citation.verified else "待核对"
    return f"{citation.standard} {citation.clause}".strip() + f"（{state}）"


def visible(text: str, limit: int = 32_000) -> str:
    """Returns untrusted text with control and direction characters made visible."""
    if text.isprintable():  # nearly all are; a character at a time is only for the others
        return text[:limit]
    shown = "".join(c if c.isprintable() or c in "\n" else f"\\u{ord(c):04x}" for c in text[:limit])
    return shown[:limit]
