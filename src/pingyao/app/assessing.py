"""``pingyao lifecycle assess``: a system assessed by evidence and by what persons state."""

import getpass
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import msgspec
import sqlalchemy as sa
from cyclopts import App, Parameter

from pingyao.app.evidence import record_documents, settle
from pingyao.app.opening import Db, open_catalogue
from pingyao.app.retaining import dues
from pingyao.app.signing import Own, open_keys, rules_in_force
from pingyao.classify import store as catalogue
from pingyao.kernel.errors import IntegrityBroken, Invalid, NotFound
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger.tables import payloads
from pingyao.platform import outbox
from pingyao.platform.files import write_atomically
from pingyao.platform.settings import load_settings
from pingyao.platform.term import print_table, safe
from pingyao.protect import store
from pingyao.protect.assessment_model import Assessment
from pingyao.protect.formats import sealing
from pingyao.protect.formats.assessment_html import write_page
from pingyao.protect.formats.assessment_xlsx import read_answers, write_assessment
from pingyao.protect.formats.record import read_document
from pingyao.protect.lifecycle_model import Case, Destruction
from pingyao.protect.lifecycle_packs import Rules
from pingyao.protect.rules import assessment as assessing
from pingyao.protect.rules.cases import check_signatures, state
from pingyao.protect.sinks.files import sha256_of

assess = App(name="assess", help="JR/T 0223 生命周期评估：由证据与人作答")


@assess.command
def run(
    system: str,
    /,
    *,
    report: Annotated[Path, Parameter(help="报告目录：assessment.html、.xlsx、.json")],
    record: Annotated[
        tuple[Path, ...], Parameter(help="保护记录 record.json，作为证据；可重复给出")
    ] = (),
    sealed: Annotated[tuple[Path, ...], Parameter(help="加密文件，作为证据；可重复给出")] = (),
    keystore: Annotated[Path | None, Parameter(help="密钥库，作为密钥轮换的证据")] = None,
    policy: Own = (),
    db: Db = None,
    json: Annotated[bool, Parameter(help="以 JSON 输出到标准输出", negative="")] = False,
) -> None:
    """评估一个系统：SYSTEM 是目录中的数据源。有证据的由证据作答，其余待人填写工作簿。"""
    rules, engine, at = rules_in_force(policy), open_catalogue(db), datetime.now(UTC)
    with engine.connect() as connection:
        facts, level, personal = _facts(connection, rules, system, at, record, sealed, keystore)
        said = store.read_statements(connection, system)
        before = store.last_assessment(connection, system)
    answers = tuple(
        assessing.answer(c, facts, said.get(c.id), rules.statement_days)
        for c in assessing.applying(rules.controls, level, personal)
    )
    scores, total = assessing.scored(answers, rules.marks, rules.strengths)
    program = f"pingyao {version('pingyao')}"
    made = Assessment(
        system, level, personal, at, getpass.getuser(), program, rules.packs, answers, scores, total
    )
    changed = assessing.changes(before, made)
    report.mkdir(parents=True, exist_ok=True)
    paths = [report / f"assessment.{form}" for form in ("html", "xlsx", "json")]
    write_page(made, before, changed, paths[0])
    write_assessment(made, changed, paths[1])
    write_atomically(paths[2], msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
    counts = {m: sum(a.mark == m for a in answers) for m in assessing.MARKS}
    with store.explained(), engine.begin() as connection:
        store.add_assessment(connection, made)
        body: dict[str, object] = {"level": level, "packs": list(rules.packs), "marks": counts}
        event = EvidenceEvent("protect.assessment.made", system, made.actor, at, body)
        outbox.emit(connection, [event])
    record_documents(engine, paths[:1], {"system": system})
    settle(engine)
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(made) + b"\n")
        return
    _show(made, len(changed))
    print(f"报告：{paths[0]}；待填：{paths[1]}")


@assess.command
def read(
    workbook: Path,
    /,
    *,
    system: Annotated[str, Parameter(help="目录中的数据源")],
    policy: Own = (),
    db: Db = None,
) -> None:
    """读入填写过的工作簿：逐行校验，有一行不合即全部不读入。"""
    rules, engine, at = rules_in_force(policy), open_catalogue(db), datetime.now(UTC)
    given = read_answers(workbook, rules.controls, getpass.getuser(), at)
    if not given:
        raise Invalid("assess.nothing", f"{workbook.name} 没有填写任何答复", "请填写黄色四列")
    with store.explained(), engine.begin() as connection:
        if not catalogue.read_entries(connection, system):
            raise _unknown(system)
        store.add_statements(connection, system, given)
        body: dict[str, object] = {
            "answers": {s.control: s.mark for s in given},
            "persons": sorted({s.person for s in given}),
            "sha256": sha256(msgspec.json.encode(given)).hexdigest(),
        }
        event = EvidenceEvent("protect.assessment.stated", system, getpass.getuser(), at, body)
        outbox.emit(connection, [event])
    settle(engine)
    print(f"已读入 {len(given)} 项答复；请再运行 assess run")


def _facts(
    db: sa.Connection,
    rules: Rules,
    system: str,
    at: datetime,
    records: Sequence[Path],
    sealed: Sequence[Path],
    keystore: Path | None,
) -> tuple[assessing.Facts, int, int]:
    entries = [e for e in catalogue.read_entries(db, system) if not e.gone]
    if not entries:
        raise _unknown(system)
    scans = catalogue.scans.c
    last = db.execute(sa.select(sa.func.max(scans.finished_at)).where(scans.source == system))
    scanned = last.scalar()
    due = dues(db, rules, date.today(), system)  # noqa: DTZ011 - the institution's own day
    cases = store.read_cases(db, source=system)
    for case in cases:
        check_signatures(case)
    ends = [c for c in cases if isinstance(c.body, Destruction)]
    outs = [c for c in cases if not isinstance(c.body, Destruction)]
    keys = None
    if keystore is not None:
        infos = [i for i in open_keys(keystore).infos() if i.state == "active"]
        keys = tuple(assessing.KeyFact(i.name, i.version, i.created_at) for i in infos)
    facts = assessing.Facts(
        at=at,
        columns=len(entries),
        unsure=sum(e.verdict.abstained and not e.locked for e in entries),
        confirmed=sum(e.locked for e in entries),
        scanned_at=datetime.fromisoformat(scanned) if scanned else None,
        runs=tuple(_run(path, system) for path in records),
        keys=keys,
        sealed=tuple(f"{p.name} 树根 {sealing.verify(p).root.hex()}" for p in sealed) or None,
        events=_events(db),
        overdue=tuple(d.holding.table for d in due if d.status == "due"),
        undated=tuple(d.holding.table for d in due if d.status == "no_start"),
        destroyed=_in(ends, "verified"),
        unverified=_in(ends, "done", "started"),
        exports=tuple(c.id for c in outs),
        used=_in(outs, "used"),
    )
    level = max(int(e.verdict.labels.level) for e in entries)
    return facts, level, max(int(e.verdict.labels.personal) for e in entries)


def _in(cases: Sequence[Case], *states: str) -> tuple[str, ...]:
    return tuple(c.id for c in cases if state(c) in states)


def _events(db: sa.Connection) -> tuple[int, int] | None:
    """Returns how many events the ledger holds and how many wait; None without a ledger."""
    if not load_settings().ledger:
        return None
    held = sa.select(sa.func.count()).select_from(payloads).where(payloads.c.position.is_not(None))
    return db.execute(held).scalar_one(), outbox.count_waiting(db)


def _run(path: Path, system: str) -> assessing.Run:
    """Reads a protection record as evidence; it must be of this system and agree with its event."""
    document = read_document(path)
    record, event = document.record, document.event
    if record.source != system:
        raise Invalid(
            "assess.other_system",
            f"{path.name} 是 {record.source[:60]} 的记录，不是 {system[:60]} 的",
            "请只给出该系统的记录",
        )
    digest = sha256(msgspec.json.encode(record, order="deterministic")).hexdigest()
    if record.released and (event is None or event.body.get("record_sha256") != digest):
        raise IntegrityBroken(
            "assess.altered_record",
            f"{path.name} 与其存证事件不符",
            "记录可能被改动；请从原处重新取得",
        )
    link = f"{path.parent.name}/{path.name} SHA-256 {sha256_of(path)}"
    return assessing.Run(link, record.purpose, record.finished_at, record.released)


def _show(made: Assessment, changed: int) -> None:
    told, of = sum(s.answered for s in made.scores), sum(s.of for s in made.scores)
    total = "—" if made.total is None else f"{made.total:.0%}"
    print(
        f"{safe(made.system)} 最高 {made.level} 级：得分 {total}，已答 {told} / 适用 {of} 项，{changed} 项有变化"
    )
    print_table(
        ("环节", "得分", "已答", "符合", "部分", "不符合", "不适用", "待答"),
        [
            (
                assessing.CHAPTERS[s.chapter],
                "—" if s.score is None else f"{s.score:.0%}",
                f"{s.answered}/{s.of}",
                *(str(s.marks.get(m, 0)) for m in assessing.MARKS),
            )
            for s in made.scores
        ],
    )


def _unknown(system: str) -> NotFound:
    return NotFound(
        "assess.unknown_system", f"目录中没有数据源 {system[:80]}", "请先 scan --record"
    )
