"""A new pack or memory changes what nobody decided, without reading any source again."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from pingyao.classify import catalogue, learning, store
from pingyao.classify.catalogue import Decision
from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.model import ScanResult
from pingyao.classify.packs import load_book
from pingyao.classify.service import scan
from pingyao.classify.sources.open import open_source
from pingyao.kernel.errors import Conflict

KNOWLEDGE = load_knowledge()
BOOK = load_book()
OWN = """{
 "pack": "own", "version": "1", "source": "本行数据分级实施细则", "confidence": 0.9, "verified": true,
 "rules": [{"id": "own.mobile", "stage": "raise", "when": {"type": ["mobile"]}, "sets": {"level": 4},
   "text": "本行规定手机号码不低于 4 级",
   "citation": {"standard": "本行数据分级实施细则", "clause": "第八条", "confidence": 0.9, "verified": true}}]
}"""


@pytest.fixture
def result(tmp_path: Path) -> ScanResult:
    path = tmp_path / "core.db"
    db = sqlite3.connect(path)
    for i in range(8):
        db.execute(f"create table khxx_{i} (sjhm text, kh_bdbz text, bz text)")
        rows = [(f"138{n:08d}", f"Z{n % 90}", f"请回电13900000{n:03d}") for n in range(300)]
        db.executemany(f"insert into khxx_{i} values (?, ?, ?)", rows)
    db.commit()
    db.close()
    source = open_source(str(path))
    try:
        return scan(source, KNOWLEDGE)
    finally:
        source.close()


def entries(engine: sa.Engine, column: str) -> list[store.Entry]:
    with engine.connect() as db:
        return [e for e in store.read_entries(db) if e.verdict.id.column == column]


def test_by_the_same_packs_nothing_changes(catalogue_engine: sa.Engine, result: ScanResult) -> None:
    catalogue.record(catalogue_engine, result, "机器")
    before = [e.verdict for c in ("sjhm", "kh_bdbz", "bz") for e in entries(catalogue_engine, c)]
    assert catalogue.reevaluate(catalogue_engine, KNOWLEDGE, "机器") == ()
    after = [e.verdict for c in ("sjhm", "kh_bdbz", "bz") for e in entries(catalogue_engine, c)]
    assert after == before


def test_a_new_pack_changes_what_nobody_decided(
    catalogue_engine: sa.Engine, result: ScanResult, tmp_path: Path
) -> None:
    catalogue.record(catalogue_engine, result, "机器")
    kept = entries(catalogue_engine, "sjhm")[0]
    catalogue.decide(catalogue_engine, [Decision(kept.id, kept.version)], BOOK, "李")
    own = tmp_path / "own.json"
    own.write_text(OWN, "utf-8")
    knowledge = load_knowledge([own])
    dry = catalogue.reevaluate(catalogue_engine, knowledge, "机器", keep=False)
    assert entries(catalogue_engine, "sjhm")[1].verdict.labels.level == 3
    done = catalogue.reevaluate(catalogue_engine, knowledge, "机器")
    assert done == dry
    words = sorted(c.what for c in done if c.id.column == "sjhm")
    assert words == ["changed"] * 7 + ["differs"]
    levels = [int(e.verdict.labels.level) for e in entries(catalogue_engine, "sjhm")]
    assert levels == [3, *[4] * 7]
    with catalogue_engine.connect() as db:
        past = store.read_history(db, entries(catalogue_engine, "sjhm")[1].id)
    assert (past[-1]["act"], "own@1" in past[-1]["reason"]) == ("reevaluate", True)


def test_a_preview_changes_nothing(catalogue_engine: sa.Engine, result: ScanResult) -> None:
    assert {c.what for c in catalogue.preview(catalogue_engine, result)} == {"added"}
    assert entries(catalogue_engine, "sjhm") == []


def correct_all_but_the_last(engine: sa.Engine) -> None:
    chosen = entries(engine, "kh_bdbz")[:-1]
    decisions = [
        Decision(e.id, e.version, "系标的合同编号", type="contract_or_loan_no") for e in chosen
    ]
    catalogue.decide(engine, decisions, BOOK, "李")


def test_corrections_are_learnt_and_used(catalogue_engine: sa.Engine, result: ScanResult) -> None:
    catalogue.record(catalogue_engine, result, "机器")
    last = entries(catalogue_engine, "kh_bdbz")[-1]
    assert last.verdict.type != "contract_or_loan_no"
    correct_all_but_the_last(catalogue_engine)
    figures = learning.learn(catalogue_engine, KNOWLEDGE, "李", switch_on=True)
    assert figures.right_after == 7
    knowledge = learning.remembering(catalogue_engine, KNOWLEDGE)
    assert knowledge.packs[-1].name == "memory"
    catalogue.reevaluate(catalogue_engine, knowledge, "机器")
    verdict = entries(catalogue_engine, "kh_bdbz")[-1].verdict
    assert verdict.type == "contract_or_loan_no"
    assert any(e.code == "memory.learnt" for e in verdict.evidence)
    learning.forget(catalogue_engine, "李")
    assert learning.remembering(catalogue_engine, KNOWLEDGE).recall is None


def test_what_is_not_shown_to_help_stays_off(
    catalogue_engine: sa.Engine, result: ScanResult
) -> None:
    catalogue.record(catalogue_engine, result, "机器")
    chosen = entries(catalogue_engine, "sjhm")
    catalogue.decide(catalogue_engine, [Decision(e.id, e.version) for e in chosen], BOOK, "李")
    assert not learning.learn(catalogue_engine, KNOWLEDGE, "李", switch_on=False).helps
    with pytest.raises(Conflict) as told:
        learning.learn(catalogue_engine, KNOWLEDGE, "李", switch_on=True)
    assert told.value.code == "learning.not_shown_to_help"
    assert learning.remembering(catalogue_engine, KNOWLEDGE).recall is None


def test_with_nothing_decided_there_is_nothing_to_learn(catalogue_engine: sa.Engine) -> None:
    with pytest.raises(Conflict):
        learning.learn(catalogue_engine, KNOWLEDGE, "李", switch_on=True)
