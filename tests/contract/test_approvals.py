"""What leaves under an approval: the thing approved, once, named in its evidence; or nothing at all."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from approving import approve, request
from cases import person
from pingyao.app.keeping import Recorder, StoredKeys
from pingyao.app.protection import Rescan, SourceReading, inventory_of, policy
from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.service import scan
from pingyao.classify.sources.open import open_source
from pingyao.kernel.errors import Conflict, NotPermitted, PingyaoError
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.crypto.keys import Key, KeyInfo
from pingyao.platform.outbox import waiting
from pingyao.protect import acting
from pingyao.protect.model import Place, Plan, Record
from pingyao.protect.planning import choose, digest, make_plan
from pingyao.protect.ports import Vault
from pingyao.protect.records import runs
from pingyao.protect.rules.cases import state
from pingyao.protect.rules.policy import Policy
from pingyao.protect.service import Refused, Run, run
from pingyao.protect.sinks.open import open_sink

KEYS = StoredKeys(
    Key(KeyInfo("protect", 1, "hmac-sha256", "", datetime.now(UTC)), bytes(range(32)))
)


def no_vault(name: str) -> Vault:
    raise AssertionError(name)


@pytest.fixture(scope="module")
def rules() -> Policy:
    return policy(())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clients") / "clients.parquet"
    rows = range(50)
    table = {
        "客户姓名": [f"张{'伟芳娜敏静'[n % 5]}{'一二三四五'[n // 10]}" for n in rows],
        "手机号码": [f"138{n * 7919 % 10**8:08d}" for n in rows],
        "币种": ["CNY"] * 50,
        "账户余额": [f"{n * 371 % 9973}.{n:02d}" for n in rows],
    }
    pq.write_table(pa.table(table), path)
    return path


@pytest.fixture(scope="module")
def plan(source: Path, rules: Policy) -> Plan:
    seen = inventory_of(scan(open_source(str(source)), load_knowledge()))
    assert max(f.level for a in seen.assets for f in a.fields) >= 3
    return make_plan(seen, "sharing", rules, "甲行")


@pytest.fixture
def start(
    catalogue_engine: sa.Engine, source: Path, plan: Plan, rules: Policy, tmp_path: Path
) -> Callable[..., Record]:
    def start(number: str, target: str = "out.parquet", **more: object) -> Record:
        opened = open_source(str(source))
        reading = SourceReading(opened)
        job = Run(
            plan=plan,
            policy=rules,
            reading=reading,
            sink=open_sink(str(tmp_path / target), "parquet"),
            scanner=Rescan(load_knowledge(), reading),
            keys=KEYS,
            vault=no_vault,
            book=Recorder(catalogue_engine),
            scope="甲行",
            actor="tester",
            approval=number,
            name=opened.name,
        )
        return run(msgspec.structs.replace(job, **more))[0]

    return start


def bound(plan: Plan) -> str:
    return f"plan:{digest(plan)}"


def released(engine: sa.Engine) -> list[EvidenceEvent]:
    with engine.connect() as db:
        events = [msgspec.json.decode(w.event, type=EvidenceEvent) for w in waiting(db, 1_000)]
    return [e for e in events if e.kind in ("protect.run.completed", "protect.export.use")]


def test_a_run_names_its_approval_and_uses_it_up(
    catalogue_engine: sa.Engine, plan: Plan, start: Callable[..., Record], tmp_path: Path
) -> None:
    number = approve(catalogue_engine, bound(plan), "clients.parquet")
    record = start(number)
    assert record.approval == number
    assert record.asked_by == ("protect-product@2026.1/approval.leaves",)
    assert "approval" not in {c.control for c in record.conditions}
    used, completed = released(catalogue_engine)
    assert used.body["rows"] == 50
    assert completed.body["approval"] == number
    assert completed.body["asked_by"] == list(record.asked_by)
    assert state(acting.find(catalogue_engine, number)) == "used"
    with pytest.raises(Conflict, match="使用过"):
        start(number, "again.parquet")
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".parquet"] == ["out.parquet"]
    assert len(released(catalogue_engine)) == 2


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"bound": "plan:" + "0" * 64}, "approval.other_data"),
        ({"source": "elsewhere"}, "approval.other_data"),
        ({"bound": "table:/clients"}, "approval.other_data"),
        ({"purpose": "entrusting"}, "approval.other_purpose"),
        ({"recipient": "乙行"}, "approval.other_recipient"),
        ({"rows": 49}, "approval.too_much"),
    ],
)
def test_an_approval_of_something_else_lets_nothing_out(
    catalogue_engine: sa.Engine,
    plan: Plan,
    start: Callable[..., Record],
    tmp_path: Path,
    more: dict[str, object],
    code: str,
) -> None:
    number = approve(catalogue_engine, **{"bound": bound(plan), "source": "clients.parquet"} | more)
    with pytest.raises(NotPermitted) as refusal:
        start(number)
    assert refusal.value.code == code
    assert refusal.value.remedy
    assert state(acting.find(catalogue_engine, number)) == "approved"
    assert not released(catalogue_engine)
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("number", ["", "EX-20260101-00000000", "pending", "revoked", "refused"])
def test_without_an_approval_in_force_nothing_goes_out(
    catalogue_engine: sa.Engine,
    plan: Plan,
    start: Callable[..., Record],
    tmp_path: Path,
    number: str,
) -> None:
    if number in ("pending", "refused"):
        wanted = number
        number, hands = request(catalogue_engine, bound(plan), "clients.parquet")
        if wanted == "refused":
            acting.act(catalogue_engine, number, hands[0], "refuse", {"reason": "过宽"})
    elif number == "revoked":
        number = approve(catalogue_engine, bound(plan), "clients.parquet")
        other = person("撤销人")
        acting.register(catalogue_engine, other, (), "登记人")
        acting.act(catalogue_engine, number, other, "revoke", {"reason": "情况有变"})
    with pytest.raises(PingyaoError) as refusal:
        start(number)
    assert refusal.value.remedy
    assert refusal.value.code in (
        "approval.missing",
        "lifecycle.no_case",
        "approval.pending",
        "approval.void",
    )
    assert not released(catalogue_engine)
    assert not (tmp_path / "out.parquet").exists()
    with catalogue_engine.connect() as db:
        assert not db.execute(sa.select(runs)).all()


def test_what_is_not_released_uses_nothing_up(
    catalogue_engine: sa.Engine,
    plan: Plan,
    rules: Policy,
    start: Callable[..., Record],
    tmp_path: Path,
) -> None:
    number = approve(catalogue_engine, bound(plan), "clients.parquet")
    with pytest.raises(Conflict):  # somebody takes the target's place meanwhile
        start(number, ready=lambda: (tmp_path / "out.parquet").write_bytes(b"mine"))
    (tmp_path / "out.parquet").unlink()
    choices = tuple(
        msgspec.structs.replace(
            c,
            field=msgspec.structs.replace(
                c.field, type="other", level=3, personal=0, sure=True, guesses=(), found=()
            ),
            technique="keep",
            params={},
        )
        if c.field.place.column == "手机号码"
        else c
        for c in plan.choices
    )
    blind = msgspec.structs.replace(plan, choices=choices)
    another = approve(catalogue_engine, bound(choose(blind, {}, rules)), "clients.parquet")
    with pytest.raises(Refused) as refused:
        start(another, plan=blind)
    assert refused.value.record.approval == another
    for one in (number, another):
        assert state(acting.find(catalogue_engine, one)) == "approved"
    assert start(number).released


# --- the policy decides whether there has to be one ----------------------------------------------

OWN = {"pack": "our-bank", "version": "1", "source": "本行制度"}
TESTING = {
    "id": "own.testing",
    "stages": ["testing"],
    "act": "require",
    "controls": ["senior_approval"],
    "strength": "应",
    "text": "进测试环境须审批",
    "citation": {"standard": "本行制度", "clause": "1"},
}


def own(tmp_path: Path, **rows: object) -> Policy:
    path = tmp_path / "own.json"
    path.write_bytes(msgspec.json.encode(OWN | rows))
    return policy((path,))


def test_an_institution_asks_for_more_or_less(
    source: Path, plan: Plan, start: Callable[..., Record], tmp_path: Path
) -> None:
    lax = own(tmp_path, disable=["approval.leaves"])
    record = start("", policy=lax)
    assert (record.approval, record.asked_by) == ("", ())
    assert "our-bank@1" in lax.packs
    seen = inventory_of(scan(open_source(str(source)), load_knowledge()))
    strict = own(tmp_path, rules=[TESTING])
    testing = make_plan(seen, "testing", strict)
    assert start("", "tested.parquet", plan=testing, policy=policy(())).asked_by == ()
    with pytest.raises(NotPermitted) as refusal:
        start("", "strict.parquet", plan=testing, policy=strict)
    assert refusal.value.code == "approval.missing"
    assert "本行制度" in refusal.value.detail


def test_columns_that_stay_behind_ask_for_nothing(
    plan: Plan, rules: Policy, start: Callable[..., Record]
) -> None:
    high = [c.field.place for c in plan.choices if c.field.level >= 3]
    wanted: dict[Place, tuple[str, None]] = dict.fromkeys(high, ("withhold", None))
    less = choose(plan, wanted, rules)
    assert {c.technique for c in less.choices} > {"withhold"}
    assert start("", plan=less).asked_by == ()
