"""The counts and names kept beside the catalogue are what counting anew would give, whatever happened."""

import random
from collections.abc import Callable

import msgspec
import pytest
import sqlalchemy as sa

import nodes
from pingyao.classify import catalogue, store, tally, views
from pingyao.classify.catalogue import Decision
from pingyao.classify.model import ScanResult
from pingyao.classify.packs import load_book
from pingyao.kernel.labels import Labels, Level, PersonalClass

BOOK = load_book()


def scanned(source: str, names: list[str], chance: random.Random) -> ScanResult:
    result = nodes.scan(*names)
    (table,) = result.tables
    columns = tuple(
        msgspec.structs.replace(
            v,
            id=msgspec.structs.replace(v.id, source=source),
            abstained=chance.random() < 0.5,
            labels=Labels(
                level=chance.choice([Level.L1, Level.L3]),
                personal=chance.choice([PersonalClass.NONE, PersonalClass.C2]),
            ),
        )
        for v in table.columns
    )
    tables = (msgspec.structs.replace(table, columns=columns),)
    return msgspec.structs.replace(result, source=source, tables=tables)


def kept(db: sa.Connection) -> tuple[set[tuple[object, ...]], set[tuple[object, ...]], set[object]]:
    counts = {tuple(row) for row in db.execute(sa.select(tally.tallies)) if row.columns}
    systems = {tuple(row) for row in db.execute(sa.select(tally.systems))}
    return counts, systems, {tuple(row) for row in db.execute(sa.select(tally.names))}


@pytest.mark.parametrize("seed", range(4))
def test_kept_as_counted(catalogue_engine: sa.Engine, seed: int) -> None:
    engine, chance = catalogue_engine, random.Random(seed)

    def record() -> None:
        names = chance.sample(["Phone", "name", "addr", "amt", "客户号"], chance.randrange(1, 5))
        catalogue.record(engine, scanned(chance.choice("ab"), names, chance), "机器")

    def some(*, locked: bool) -> list[store.Entry]:
        with engine.connect() as db:
            found = [e for e in store.read_entries(db) if e.locked == locked and not e.gone]
        return chance.sample(found, min(len(found), chance.randrange(1, 3)))

    def confirm() -> None:
        chosen = [Decision(e.id, e.version) for e in some(locked=False)]
        if chosen:
            catalogue.decide(engine, chosen, BOOK, "人")

    def correct() -> None:
        chosen = [Decision(e.id, e.version, "据实", level=4) for e in some(locked=False)]
        if chosen:
            catalogue.decide(engine, chosen, BOOK, "人")

    def unlock() -> None:
        for entry in some(locked=True):
            catalogue.unlock(engine, entry.id, entry.version, "再看", "人")

    acts: list[Callable[[], None]] = [record, record, confirm, correct, unlock]
    for _ in range(25):
        chance.choice(acts)()
        with engine.begin() as db:
            before = kept(db)
            tally.recount(db)
            for source in "ab":
                tally.rename(db, source)
            assert kept(db) == before


def test_a_change_that_is_refused_moves_no_count(catalogue_engine: sa.Engine) -> None:
    from pingyao.kernel.errors import Conflict

    chance = random.Random(1)
    catalogue.record(catalogue_engine, scanned("a", ["x", "y"], chance), "机器")
    with catalogue_engine.connect() as db:
        before = kept(db)
        first, second = store.read_entries(db)
    stale = [Decision(first.id, first.version), Decision(second.id, second.version + 1)]
    with pytest.raises(Conflict):
        catalogue.decide(catalogue_engine, stale, BOOK, "人")
    with catalogue_engine.connect() as db:
        assert kept(db) == before


@pytest.mark.parametrize(
    ("words", "found"), [("PHONE", 1), ("客户", 1), ("=ACCT", 3), ("%", 0), ("_", 0), ("none", 0)]
)
def test_names_are_found_by_any_part_of_them(
    catalogue_engine: sa.Engine, words: str, found: int
) -> None:
    chance = random.Random(2)
    catalogue.record(catalogue_engine, scanned("a", ["Phone", "客户号", "amt"], chance), "机器")
    with catalogue_engine.connect() as db:
        wanted = views.Filter(words=words)
        assert views.count_columns(db, wanted) == found
        assert len(views.read_columns(db, wanted, 0, 9)) == found
