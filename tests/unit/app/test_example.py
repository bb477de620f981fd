"""The example bank: the same from the same seed, its codes valid, its truth complete."""

import hashlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from pingyao.app.example import values
from pingyao.app.example.generate import Truth, generate, read_plan
from pingyao.app.example.kinds import KINDS
from pingyao.classify.model import Table
from pingyao.classify.rules.values import profile
from pingyao.classify.sources.open import open_path


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Truth]]:
    folder = tmp_path_factory.mktemp("bank") / "b"
    return folder, generate(folder, 500, 3)


def prints(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_the_same_seed_gives_the_same_bytes(bank: tuple[Path, list[Truth]], tmp_path: Path) -> None:
    again = tmp_path / "b"
    assert generate(again, 500, 3) == bank[1]
    assert prints(again) == prints(bank[0])


def test_another_seed_gives_another_bank(bank: tuple[Path, list[Truth]], tmp_path: Path) -> None:
    other = tmp_path / "b"
    generate(other, 500, 4)
    assert prints(other) != prints(bank[0])


def test_every_column_has_its_truth_and_the_other_way_round(
    bank: tuple[Path, list[Truth]],
) -> None:
    folder, truths = bank
    source = open_path(folder)
    found = {
        (t.schema, t.name, c.name)
        for t in source.tables()
        if isinstance(t, Table)
        for c in t.columns
    }
    assert found == {(t.source, t.table, t.column) for t in truths}


def test_systems_come_in_the_forms_they_are_planned_in(bank: tuple[Path, list[Truth]]) -> None:
    folder, _ = bank
    assert (folder / "ebank" / "eb_user.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert "客户姓名" in (folder / "loan" / "逾期催收记录.csv").read_bytes().decode("gb18030")
    sql = sqlite3.connect(folder / "ecif.db").execute("select sql from sqlite_master").fetchone()
    assert "-- 客户编号" in sql[0]


def test_identifiers_pass_their_checks_as_often_as_promised() -> None:
    rng = np.random.default_rng(5)
    cards = profile(values.cards(rng, 5000)).counts
    assert cards["card_ok"] == 5000
    assert profile(values.credit_codes(rng, 5000)).counts["uscc_ok"] == 5000
    assert profile(values.org_codes(rng, 5000)).counts["org_ok"] == 5000
    ids = profile(values.id_cards(rng, 5000)).counts
    assert ids["id"] == 5000
    assert 0.96 < ids["id_ok"] / 5000 < 0.995


def test_hidden_identifiers_stand_in_few_remarks(bank: tuple[Path, list[Truth]]) -> None:
    rng = np.random.default_rng(5)
    found = profile(KINDS["remark"].make(rng, 50_000, 0)).spans
    assert set(found) == {"mobile", "id_card_no", "bank_card_no"}
    assert 100 < sum(s.rows for s in found.values()) < 350


def test_no_address_can_reach_anybody() -> None:
    rng = np.random.default_rng(5)
    for cell in KINDS["email"].make(rng, 2000, 0).to_pylist():
        assert cell.rpartition("@")[2].split(".")[-2] == "example"


def test_the_plan_knows_only_kinds_there_are() -> None:
    plan = read_plan()
    assert {c.kind for t in plan for c in t.columns} <= KINDS.keys()
    assert len({t.system for t in plan}) == 8
