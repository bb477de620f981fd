"""A run of a plan against every kind of target: complete and clean, or as if nothing had been."""

import sqlite3
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from pingyao.app.example.generate import generate
from pingyao.app.keeping import Recorder, StoredKeys
from pingyao.app.migrations import migrate
from pingyao.app.protection import Rescan, SourceReading, content, inventory_of, policy
from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.service import scan
from pingyao.classify.sources.open import open_source
from pingyao.kernel.errors import (
    Conflict,
    IntegrityBroken,
    Invalid,
    NotPermitted,
    NotYet,
    PingyaoError,
    Unavailable,
)
from pingyao.platform.crypto.keys import Key, KeyInfo
from pingyao.platform.db import open_engine
from pingyao.platform.outbox import waiting
from pingyao.protect import records as kept_records
from pingyao.protect.model import Asset, Choice, Content, Inventory, Place, Plan, Purpose, Staged
from pingyao.protect.planning import make_plan
from pingyao.protect.ports import Reading, Vault
from pingyao.protect.rules.policy import Policy
from pingyao.protect.service import Refused, Run, run
from pingyao.protect.sinks.open import open_sink

KEYS = StoredKeys(
    Key(KeyInfo("protect", 1, "hmac-sha256", "", datetime.now(UTC)), bytes(range(32)))
)


@contextmanager
def unkept(*_: object) -> Generator[None]:
    """A book for runs whose evidence is looked at elsewhere."""
    yield


@pytest.fixture
def records(tmp_path_factory: pytest.TempPathFactory) -> sa.Engine:
    """A database in which records are kept."""
    return open_engine(f"sqlite:///{tmp_path_factory.mktemp('records') / 'p.db'}", migrate)


@pytest.fixture(scope="module")
def rules() -> Policy:
    return policy(())


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "bank"
    generate(folder, 300, 7)
    return folder


@pytest.fixture(scope="module")
def plans(bank: Path, rules: Policy) -> dict[Purpose, Plan]:
    source = open_source(str(bank))
    seen = inventory_of(scan(source, load_knowledge()))
    return {p: make_plan(seen, p, rules) for p in ("testing", "sharing", "modelling", "display")}


def no_vault(name: str) -> Vault:
    raise AssertionError(name)


def job(
    source: Path, target: str, plan: Plan, rules: Policy, form: str = "parquet", **more: object
) -> Run:
    reading = SourceReading(open_source(str(source)))
    made = Run(
        plan=plan,
        policy=rules,
        reading=reading,
        sink=open_sink(target, form),
        scanner=Rescan(load_knowledge(), reading),
        keys=KEYS,
        vault=no_vault,
        book=unkept,
        scope="internal",
        actor="tester",
    )
    return msgspec.structs.replace(made, **more)


def column(target: Path, table: str, name: str) -> list[object]:
    return pq.read_table(next(target.rglob(f"{table}.parquet")))[name].to_pylist()


def test_joins_survive_across_tables_and_sources(
    bank: Path, plans: dict[Purpose, Plan], rules: Policy, tmp_path: Path
) -> None:
    """Equal before, equal after; different before, different after: under one key, in any file."""
    target = tmp_path / "out"
    record, event = run(job(bank, str(target), plans["testing"], rules))
    assert record.released
    assert not record.residuals
    assert event.kind == "protect.run.completed"
    places = [
        ("core.db", "dep_acct", "cust_no"),
        ("ecif.db", "ecif_indv_base", "cust_no"),
        ("ebank", "eb_user", "cust_no"),
        ("card", "card_info", "cust_no"),
    ]
    before, after = [], []
    source = SourceReading(open_source(str(bank)))
    tables = {(s, t) for s, t, _ in source.columns()}
    for system, table, name in places:
        (schema,) = [s for s, t in tables if t == table and s.startswith(system)]
        for batch in source.batches(Asset(schema, table, ())):
            before += batch.column(name).to_pylist()
        after += column(target, table, name)
    pairs = dict(zip(before, after, strict=True))
    assert all(pairs[b] == a for b, a in zip(before, after, strict=True))
    assert len(set(pairs.values())) == len(pairs)
    assert not set(before) & set(after)
    rows = sum(m.rows for m in record.made)
    assert rows == sum(pq.read_metadata(p).num_rows for p in target.rglob("*.parquet"))


def test_scopes_cannot_be_joined(
    bank: Path, plans: dict[Purpose, Plan], rules: Policy, tmp_path: Path
) -> None:
    tokens: list[set[object]] = []
    for scope in ("甲", "乙"):
        target = tmp_path / scope
        run(job(bank, str(target), plans["sharing"], rules, scope=scope, approval="EX-1"))
        tokens.append(set(column(target, "card_info", "cust_no")))
    assert not tokens[0] & tokens[1]


def test_nothing_forbidden_is_shared(
    bank: Path, plans: dict[Purpose, Plan], rules: Policy, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    record, _ = run(job(bank, str(target), plans["sharing"], rules, approval="EX-1"))
    names = set(pq.read_schema(next(target.rglob("card_info.parquet"))).names)
    assert not names & {"cvv2", "pin_block", "expire_dt"}
    assert (
        not list(target.rglob("eb_sms.parquet"))
        or "sms_code" not in pq.read_schema(next(target.rglob("eb_sms.parquet"))).names
    )
    c3 = [d for d in record.done if d.personal_before == 3]
    assert c3
    assert {d.technique for d in c3} == {"withhold"}
    assert {c.control for c in record.conditions} >= {"contract", "watermark", "impact_assessment"}


@pytest.mark.parametrize("purpose", ["display", "modelling"])
def test_other_purposes_are_released_as_proposed(
    bank: Path, plans: dict[Purpose, Plan], rules: Policy, tmp_path: Path, purpose: Purpose
) -> None:
    record, _ = run(job(bank, str(tmp_path / "out"), plans[purpose], rules))
    assert record.released
    for done in record.done:
        if done.technique in ("mask", "pseudonym", "redact"):
            assert done.unchanged == 0


def test_grades_fall_only_by_a_rule(
    bank: Path, plans: dict[Purpose, Plan], rules: Policy, tmp_path: Path
) -> None:
    record, _ = run(job(bank, str(tmp_path / "out"), plans["testing"], rules))
    for done in record.done:
        lower = (done.level, done.personal) != (done.level_before, done.personal_before)
        assert lower == bool(done.regraded_by)
        if done.technique == "keep":
            assert not lower


@pytest.mark.parametrize("form", ["csv", "db"])
def test_other_files_hold_the_same(
    bank: Path, plans: dict[Purpose, Plan], rules: Policy, tmp_path: Path, form: str
) -> None:
    run(job(bank, str(tmp_path / "out"), plans["testing"], rules))
    wanted = column(tmp_path / "out", "ecif_indv_base", "cust_no")
    if form == "csv":
        target = tmp_path / "csv"
        run(job(bank, str(target), plans["testing"], rules, "csv"))
        path = next(target.rglob("ecif_indv_base.csv"))
        assert pa_csv.read_csv(path)["cust_no"].to_pylist() == wanted
    else:
        target = tmp_path / "out.db"
        run(job(bank, str(target), plans["testing"], rules))
        with sqlite3.connect(target) as db:
            rows = db.execute('select cust_no from "ecif.db.ecif_indv_base"').fetchall()
        assert [r for (r,) in rows] == wanted
        db.close()
    assert not list(tmp_path.glob(".pingyao-*"))


def test_postgresql_holds_the_same(
    bank: Path,
    plans: dict[Purpose, Plan],
    rules: Policy,
    tmp_path: Path,
    postgresql_server: object,
    postgresql_database: str,
    run_postgresql: Callable[..., None],
) -> None:
    import psycopg

    url = f"{postgresql_server.url(postgresql_database)}?schema=masked"
    record, _ = run(job(bank, url, plans["testing"], rules))
    run(job(bank, str(tmp_path / "out"), plans["testing"], rules))
    assert "@" not in record.target
    with psycopg.connect(postgresql_server.url(postgresql_database)) as db:
        rows = db.execute("select cust_no from masked.ecif_indv_base").fetchall()
        assert [r for (r,) in rows] == column(tmp_path / "out", "ecif_indv_base", "cust_no")
        schemas = db.execute("select nspname from pg_namespace where nspname ~ 'staging'")
        assert schemas.fetchall() == []
    with pytest.raises(Conflict) as refusal:
        run(job(bank, url, plans["testing"], rules))
    assert refusal.value.code == "protect.target_exists"
    with psycopg.connect(postgresql_server.url(postgresql_database)) as db:
        schemas = db.execute("select nspname from pg_namespace where nspname ~ 'staging'")
        assert schemas.fetchall() == []


def test_mariadb_holds_the_same(
    bank: Path,
    plans: dict[Purpose, Plan],
    rules: Policy,
    tmp_path: Path,
    mariadb_server: object,
    mariadb_database: str,
) -> None:
    url = mariadb_server.url(mariadb_database)
    record, _ = run(job(bank, url, plans["testing"], rules))
    assert "@" not in record.target
    run(job(bank, str(tmp_path / "out"), plans["testing"], rules))
    reading = SourceReading(open_source(url))
    there = {t: s for s, t, _ in reading.columns()}
    assert len(there) == len(record.made)
    asset = Asset(there["ecif_indv_base"], "ecif_indv_base", ())
    got = [v for b in reading.batches(asset) for v in b.column("cust_no").to_pylist()]
    assert sorted(got) == sorted(column(tmp_path / "out", "ecif_indv_base", "cust_no"))
    with pytest.raises(Conflict) as refusal:
        run(job(bank, url, plans["testing"], rules))
    assert refusal.value.code == "protect.target_exists"
    assert {t for _, t, _ in reading.columns()} == set(there)


# --- refused, broken, changed: the target is untouched ------------------------------------------


class Bent:
    """A source whose batches something happens to."""

    def __init__(
        self, reading: Reading, bend: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
    ) -> None:
        self._reading, self._bend = reading, bend

    def columns(self) -> Iterator[tuple[str, str, Sequence[str]]]:
        return self._reading.columns()

    def types(self, schema: str, table: str) -> Mapping[str, str]:
        return self._reading.types(schema, table)

    def batches(self, asset: Asset) -> Iterator[pa.RecordBatch]:
        return self._bend(self._reading.batches(asset))


def drift(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch
        arrays = [pa.nulls(batch.num_rows, pa.int64()), *batch.columns[1:]]
        yield pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def cut(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield next(batches)
    raise IntegrityBroken("scan.damaged", "文件只有一半", "请重新取得")


def full(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield next(batches)
    raise OSError(28, "No space left on device")


def stop(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield next(batches)
    raise KeyboardInterrupt


@pytest.mark.parametrize("target", ["out", "out.db"])
@pytest.mark.parametrize(
    ("bend", "error", "code"),
    [
        (drift, Conflict, "protect.type_drift"),
        (cut, IntegrityBroken, "scan.damaged"),
        (full, (Unavailable, OSError), "protect.write_failed"),
        (stop, KeyboardInterrupt, ""),
    ],
)
def test_what_goes_wrong_on_the_way_leaves_nothing(
    bank: Path,
    plans: dict[Purpose, Plan],
    rules: Policy,
    tmp_path: Path,
    target: str,
    bend: Callable[..., Iterator[pa.RecordBatch]],
    error: type[BaseException],
    code: str,
) -> None:
    reading = SourceReading(open_source(str(bank)))
    with pytest.raises(error) as failure:
        run(job(bank, str(tmp_path / target), plans["testing"], rules, reading=Bent(reading, bend)))
    if code and isinstance(failure.value, PingyaoError):
        assert failure.value.code == code
        assert failure.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said(
    bank: Path, plans: dict[Purpose, Plan], rules: Policy, tmp_path: Path
) -> None:
    """/dev/full is a disk without room."""
    from pingyao.protect.sinks.files import full_disk_said

    with (
        pytest.raises(Unavailable) as failure,
        full_disk_said("x"),
        open("/dev/full", "wb") as file,
    ):
        file.write(b"1" * 100_000)
    assert failure.value.code == "protect.write_failed"
    assert failure.value.retriable


def test_release_is_refused_while_something_forbidden_remains(
    bank: Path, plans: dict[Purpose, Plan], rules: Policy, tmp_path: Path
) -> None:
    """Even if the policy was bent to let an ID pass as masked, the proof finds it in the cells."""

    bent = msgspec.structs.replace(
        rules,
        masks=dict(rules.masks)
        | {"id_card_no": msgspec.structs.replace(rules.masks[""], find="^(.*)$", into=r"\1")},
    )
    target = tmp_path / "out"
    with pytest.raises(Refused) as refusal:
        run(job(bank, str(target), plans["display"], bent))
    codes = {r.code for r in refusal.value.record.residuals}
    assert codes == {"residual.unchanged", "residual.identifier"}
    assert not refusal.value.record.released
    assert list(tmp_path.iterdir()) == []


def test_text_with_an_identifier_that_the_plan_did_not_know_is_refused(
    bank: Path, plans: dict[Purpose, Plan], rules: Policy, tmp_path: Path
) -> None:
    place = next(
        c.field.place for c in plans["testing"].choices if c.field.place.column == "opp_name"
    )
    blind = msgspec.structs.replace(
        plans["testing"],
        choices=tuple(
            _as_other(c) if c.field.place == place else c for c in plans["testing"].choices
        ),
    )

    def slip(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if "opp_name" in batch.schema.names:
                said = pa.array(["请联系13812345678"] * batch.num_rows)
                batch = batch.set_column(batch.schema.names.index("opp_name"), "opp_name", said)
            yield batch

    reading = SourceReading(open_source(str(bank)))
    bent = job(
        *(bank, str(tmp_path / "out"), blind, rules),
        reading=Bent(reading, slip),
        scanner=Rescan(load_knowledge(), reading),
    )
    with pytest.raises(Refused) as refusal:
        run(bent)
    assert {r.place for r in refusal.value.record.residuals} == {place}
    assert "13812345678" not in str(refusal.value.record)


def _as_other(choice: Choice) -> Choice:
    field = msgspec.structs.replace(
        choice.field, type="other", level=1, personal=0, sure=True, guesses=(), found=()
    )
    return msgspec.structs.replace(choice, field=field, technique="keep", params={})


def test_a_source_that_changed_since_the_plan_is_refused(
    bank: Path, plans: dict[Purpose, Plan], rules: Policy, tmp_path: Path
) -> None:
    plan = plans["testing"]
    fewer = msgspec.structs.replace(plan, choices=plan.choices[1:])
    with pytest.raises(Conflict) as refusal:
        run(job(bank, str(tmp_path / "out"), fewer, rules))
    assert refusal.value.code == "protect.columns_changed"
    moved = msgspec.structs.replace(plan.choices[0].field, place=Place("", "gone", "c"))
    more = msgspec.structs.replace(
        plan, choices=(*plan.choices, msgspec.structs.replace(plan.choices[0], field=moved))
    )
    with pytest.raises(Conflict) as refusal:
        run(job(bank, str(tmp_path / "out"), more, rules))
    assert refusal.value.code == "protect.table_gone"
    assert list(tmp_path.iterdir()) == []


def test_a_type_that_changed_since_the_plan_is_refused(
    bank: Path, plans: dict[Purpose, Plan], rules: Policy, tmp_path: Path
) -> None:
    plan = plans["testing"]
    typed = next(n for n, c in enumerate(plan.choices) if c.field.declared_type)
    was = plan.choices[typed]
    field = msgspec.structs.replace(was.field, declared_type=was.field.declared_type + " other")
    choices = [*plan.choices]
    choices[typed] = msgspec.structs.replace(was, field=field)
    old = msgspec.structs.replace(plan, choices=tuple(choices))
    with pytest.raises(Conflict, match="改变类型") as refusal:
        run(job(bank, str(tmp_path / "out"), old, rules))
    assert refusal.value.code == "protect.columns_changed"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out", "out.db", "out.parquet", "out.csv"])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(Conflict) as refusal:
        open_sink(str(tmp_path / name), "parquet")
    assert refusal.value.code == "protect.target_exists"
    assert (tmp_path / name).read_bytes() == b"mine"
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("oracle://h/db", "protect.unknown_target"),
        ("x.xlsx", "protect.unknown_target"),
        ("no/such/folder/out", "protect.no_folder"),
        ("postgresql://h", "protect.bad_target"),
        ("postgresql://h/db?surprise=1", "protect.bad_target"),
        ("postgresql://u@127.0.0.1:1/db", "protect.write_failed"),
    ],
)
def test_other_targets_are_refused(spec: str, code: str) -> None:
    with pytest.raises(PingyaoError) as refusal:
        open_sink(spec, "parquet")
    assert refusal.value.code == code
    assert refusal.value.remedy


# --- evidence: with the record, or not at all --------------------------------------------------


def kept(records: sa.Engine) -> tuple[list[str], list[str]]:
    """Returns the kinds of the records kept, and of the events that wait."""
    with records.connect() as db:
        rows = db.execute(sa.select(kept_records.runs.c.kind, kept_records.runs.c.record)).all()
        events = [msgspec.json.decode(w.event) for w in waiting(db, 10_000)]
    assert all(msgspec.json.decode(record) for _, record in rows)
    return [kind for kind, _ in rows], [e["kind"] for e in events]


def test_a_run_is_kept_with_every_file_it_made(
    bank: Path, plans: dict[Purpose, Plan], rules: Policy, tmp_path: Path, records: sa.Engine
) -> None:
    run(job(bank, str(tmp_path / "out"), plans["testing"], rules, book=Recorder(records)))
    runs, events = kept(records)
    assert runs == ["protect.run.completed"]
    assert events.count("protect.run.completed") == 1
    files = list((tmp_path / "out").rglob("*.parquet"))
    assert events.count("ledger.document.recorded") == len(files)


def test_a_refusal_is_kept_as_well(
    bank: Path, plans: dict[Purpose, Plan], rules: Policy, tmp_path: Path, records: sa.Engine
) -> None:
    whole = msgspec.structs.replace(rules.masks[""], find="^(.*)$", into=r"\1")
    bent = msgspec.structs.replace(rules, masks=dict(rules.masks) | {"id_card_no": whole})
    with pytest.raises(Refused):
        run(job(bank, str(tmp_path / "out"), plans["display"], bent, book=Recorder(records)))
    assert kept(records) == (["protect.run.refused"], ["protect.run.refused"])


def test_a_release_that_fails_leaves_no_evidence_of_one(
    bank: Path, plans: dict[Purpose, Plan], rules: Policy, tmp_path: Path, records: sa.Engine
) -> None:
    """Somebody takes the target's place while the run is on."""

    def take() -> None:
        (tmp_path / "out").mkdir()

    made = job(
        bank, str(tmp_path / "out"), plans["testing"], rules, book=Recorder(records), ready=take
    )
    with pytest.raises(Conflict):
        run(made)
    assert kept(records) == (["protect.run.failed"], ["protect.run.failed"])
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (Unavailable("x.gone", "…", "…"), "x.gone"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (MemoryError(), "MemoryError"),
        (NotPermitted("x.no", "…", "…"), None),
        (Invalid("x.odd", "…", "…"), None),
        (NotYet("x.soon", "…", "…"), None),
    ],
)
def test_a_fault_leaves_evidence_and_a_mistake_none(
    bank: Path,
    plans: dict[Purpose, Plan],
    rules: Policy,
    tmp_path: Path,
    records: sa.Engine,
    error: BaseException,
    failure: str | None,
) -> None:
    def fall() -> None:
        raise error

    with pytest.raises(type(error)):
        run(
            job(
                bank,
                str(tmp_path / "out"),
                plans["testing"],
                rules,
                book=Recorder(records),
                ready=fall,
            )
        )
    with records.connect() as db:
        events = [msgspec.json.decode(w.event) for w in waiting(db, 10_000)]
    assert [e["body"]["failure"] for e in events] == ([failure] if failure else [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_the_rows_of_a_database_are_recorded(
    bank: Path,
    plans: dict[Purpose, Plan],
    rules: Policy,
    records: sa.Engine,
    request: pytest.FixtureRequest,
    kind: str,
) -> None:
    """Whoever reads the table again finds the digest recorded, until a cell is touched."""
    database = request.getfixturevalue(f"{kind}_database")
    url = request.getfixturevalue(f"{kind}_server").url(database)
    record, event = run(job(bank, url, plans["testing"], rules, book=Recorder(records)))
    assert all(m.sha256 and m.sm3 for m in record.made)
    assert len(event.body["tables"]) == len(record.made)
    assert kept(records)[1].count("ledger.document.recorded") == len(record.made)
    made = next(m for m in record.made if m.table == "ecif_indv_base")
    _, found = content(url, "ecif_indv_base")
    assert (found.rows, found.sha256, found.sm3) == (made.rows, made.sha256, made.sm3)
    one = "update ecif_indv_base set cust_no = cust_no || 'x' where cust_no = (select max(cust_no) from ecif_indv_base)"
    if kind == "mariadb":
        one = "update ecif_indv_base set cust_no = concat(cust_no, 'x') limit 1"
    request.getfixturevalue(f"run_{kind}")(database, one)
    assert content(url, "ecif_indv_base")[1].sha256 != made.sha256


def test_rows_that_do_not_arrive_stop_the_release(
    bank: Path, plans: dict[Purpose, Plan], rules: Policy, tmp_path: Path
) -> None:
    def fewer(staged: Staged) -> Inventory:
        seen = scanned(staged)
        at = (staged.made[0].schema, staged.made[0].table)
        return msgspec.structs.replace(seen, contents={at: Content(1, "00", "00")})

    made = job(bank, str(tmp_path / "out.db"), plans["testing"], rules)
    scanned = made.scanner
    with pytest.raises(Conflict) as refusal:
        run(msgspec.structs.replace(made, scanner=fewer))
    assert refusal.value.code == "protect.rows_differ"
    assert list(tmp_path.iterdir()) == []


def test_without_a_record_nothing_is_released(
    bank: Path, plans: dict[Purpose, Plan], rules: Policy, tmp_path: Path, records: sa.Engine
) -> None:
    with records.begin() as db:
        db.execute(sa.text("drop table protect_run"))
    with pytest.raises(PingyaoError) as failure:
        run(job(bank, str(tmp_path / "out"), plans["testing"], rules, book=Recorder(records)))
    assert failure.value.code.startswith("db.")
    assert list(tmp_path.iterdir()) == []
