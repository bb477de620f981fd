"""The token vault on SQLite and PostgreSQL: tokens lead back, only with a reason, never in clear."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
import sqlalchemy as sa

from pingyao.kernel.errors import (
    IntegrityBroken,
    Invalid,
    NotFound,
    Unavailable,
    Unsupported,
)
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.crypto import derive
from pingyao.platform.crypto.derive import Stretch
from pingyao.platform.crypto.keystore import KeyStore, create_keystore
from pingyao.platform.outbox import emit, outbox
from pingyao.protect import vault as vaults
from pingyao.protect.vault import Vault, open_vault

VALUES = ["13800138000", None, "张三", "13800138000", ""]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyStore:
    monkeypatch.setattr(derive, "stretch", lambda: Stretch(os.urandom(16), 1, 1, 8))
    store = create_keystore(tmp_path / "keys.pks", "correct horse battery staple")
    store.create("k", "aes-256")
    store.create("g", "sm4")
    return store


@pytest.fixture
def engine(catalogue_engine: sa.Engine) -> sa.Engine:
    return catalogue_engine


Opened = Callable[..., Vault]


@pytest.fixture
def opened(engine: sa.Engine, store: KeyStore) -> Opened:
    def vault(name: str = "客户", key: str = "k", suite: str = "intl") -> Vault:
        return open_vault(engine, name, store, emit, key=key, suite=suite)

    return vault


def events(engine: sa.Engine) -> list[EvidenceEvent]:
    with engine.connect() as db:
        rows = db.execute(sa.select(outbox.c.event).order_by(outbox.c.id)).scalars().all()
    return [msgspec.json.decode(row, type=EvidenceEvent) for row in rows]


@pytest.mark.parametrize(("key", "suite"), [("k", "intl"), ("g", "gm")])
def test_tokens_lead_back(engine: sa.Engine, opened: Opened, key: str, suite: str) -> None:
    column = pa.array(VALUES)
    made = opened(key=key, suite=suite).tokenise(column, "甲")
    assert made.is_null().to_pylist() == [v is None for v in VALUES]
    assert made[0] == made[3]
    assert len({*made.to_pylist()}) == 4
    again = opened(key="")
    assert again.tokenise(column, "甲").equals(made)
    assert again.detokenise(made, "乙", "司法协助 2026-17").equals(column)
    assert [(e.kind, e.actor, e.body) for e in events(engine)] == [
        ("protect.tokens.made", "甲", {"tokens": 3}),
        ("protect.tokens.resolved", "乙", {"tokens": 3, "reason": "司法协助 2026-17"}),
    ]


def test_the_database_alone_tells_nothing(engine: sa.Engine, opened: Opened) -> None:
    opened().tokenise(pa.array(VALUES), "甲")
    with engine.connect() as db:
        held = str([db.execute(sa.select(t)).all() for t in (vaults.tokens, vaults.vaults, outbox)])
    assert "13800138000" not in held
    assert "张三" not in held
    assert VALUES[0].encode().hex() not in held


def test_many_values_over_several_batches(opened: Opened) -> None:
    column = pa.array([f"value {i % 2500}" for i in range(5000)])
    made = opened().tokenise(column, "甲")
    assert len(set(made.to_pylist())) == 2500
    assert opened().detokenise(made, "乙", "核对").equals(column)
    assert opened().tokenise(column[100:200], "甲").equals(made[100:200])


@pytest.mark.parametrize("reason", ["", "  ", "\n"])
def test_no_reason_no_value(engine: sa.Engine, opened: Opened, reason: str) -> None:
    made = opened().tokenise(pa.array(["a"]), "甲")
    with pytest.raises(Invalid):
        opened().detokenise(made, "乙", reason)


def test_unknown_tokens_give_nothing_and_leave_evidence(engine: sa.Engine, opened: Opened) -> None:
    mine = opened("一").tokenise(pa.array(["a"]), "甲")
    other = opened("二").tokenise(pa.array(["a"]), "甲")
    assert mine != other
    with pytest.raises(NotFound, match="1 个"):
        opened("一").detokenise(pa.concat_arrays([mine, other]), "乙", "核对")
    assert events(engine)[-1].kind == "protect.tokens.resolved"


def test_a_value_moved_to_another_token_is_noticed(engine: sa.Engine, opened: Opened) -> None:
    made = opened().tokenise(pa.array(["a", "b"]), "甲").to_pylist()
    with engine.begin() as db:
        query = sa.select(vaults.tokens.c.sealed).where(vaults.tokens.c.token == made[0])
        sealed = db.execute(query).scalar_one()
        statement = sa.update(vaults.tokens).where(vaults.tokens.c.token == made[1])
        db.execute(statement.values(sealed=sealed))
    with pytest.raises(IntegrityBroken):
        opened().detokenise(pa.array(made[1:]), "乙", "核对")


def test_no_vault_no_key_and_a_destroyed_one(
    engine: sa.Engine, opened: Opened, store: KeyStore
) -> None:
    with pytest.raises(NotFound):
        opened(key="")
    with pytest.raises(Invalid):
        opened(suite="rot13")
    with pytest.raises(NotFound):
        opened(key="nobody")
    made = opened().tokenise(pa.array(["a"]), "甲")
    store.destroy("k", 1, reason="销毁")
    with pytest.raises(NotFound) as told:
        opened(key="").detokenise(made, "乙", "核对")
    assert told.value.code == "keys.destroyed"


def test_rotating_the_wrapping_key_keeps_the_tokens(opened: Opened, store: KeyStore) -> None:
    made = opened().tokenise(pa.array(["a"]), "甲")
    store.rotate("k")
    assert opened().tokenise(pa.array(["a"]), "甲").equals(made)


def test_two_at_once_give_one_token_to_one_value(opened: Opened, monkeypatch) -> None:
    """The other one adds the same values between our look and our insert."""
    first, second = opened(), opened()
    column = pa.array(["a", "b"])
    theirs: list[pa.Array] = []
    add = first._add

    def late(db: sa.Connection, new) -> None:
        if db.dialect.name == "postgresql" and not theirs:  # SQLite has one writer at a time
            theirs.append(second.tokenise(column, "乙"))
        add(db, new)

    monkeypatch.setattr(first, "_add", late)
    mine = first.tokenise(column, "甲")
    for other in theirs:
        assert mine.equals(other)
    assert second.tokenise(column, "乙").equals(mine)


def test_numbers_are_refused(opened: Opened) -> None:
    with pytest.raises(Unsupported):
        opened().tokenise(pa.array([1]), "甲")


def test_a_database_that_fails_leaves_nothing_half_done(
    engine: sa.Engine, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = opened()

    def fail(db: sa.Connection, _: object) -> None:
        raise sa.exc.OperationalError("insert", {"value": "13800138000"}, Exception("gone"))

    monkeypatch.setattr(vault, "_emit", fail)
    with pytest.raises(Unavailable) as told:
        vault.tokenise(pa.array(VALUES), "甲")
    assert "13800138000" not in told.value.detail
    with engine.connect() as db:
        assert db.execute(sa.select(sa.func.count()).select_from(vaults.tokens)).scalar() == 0
