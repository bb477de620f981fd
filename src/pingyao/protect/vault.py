"""The token vault: random tokens that lead back to their values, for those who may and say why.

A value is found again by its HMAC and kept encrypted; both keys come from a data key of the vault
that lies beside it, wrapped by a key of the keystore. Whoever has the database alone has nothing.
"""

import os
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import repeat
from typing import TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from pingyao.kernel.errors import Invalid, NotFound
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.crypto import choose, derive
from pingyao.platform.crypto.keys import Approvals, KeyHolder, Wrapped
from pingyao.platform.crypto.lanes import hmac_many
from pingyao.platform.crypto.ports import NONCE_BYTES, TAG_BYTES
from pingyao.platform.db import explain
from pingyao.protect.rules.cells import text_cells
from pingyao.protect.rules.tokens import ALPHABET

metadata = sa.MetaData()
vaults = sa.Table(
    "protect_vault",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("suite", sa.String(8), nullable=False),
    sa.Column("wrapped", sa.Text, nullable=False),
)
tokens = sa.Table(
    "protect_token",
    metadata,
    sa.Column("vault", sa.String(64), nullable=False),
    sa.Column("lookup", sa.LargeBinary(32), nullable=False),
    sa.Column("token", sa.String(32), primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("vault", "lookup"),
)
Emit = Callable[[sa.Connection, Iterable[EvidenceEvent]], object]
SUITES = {"intl": ("aes-256-gcm", "sha256", 32), "gm": ("sm4-gcm", "sm3", 16)}
_TOKEN_LENGTH = 26  # 130 bits
_LETTERS = ALPHABET.decode()
_BATCH = 500
_T = TypeVar("_T")


class Vault:
    """An open vault.

    Args:
        emit: puts evidence where it will be proved, in the same transaction.
    """

    def __init__(
        self, engine: sa.Engine, name: str, suite: str, data_key: bytes, emit: Emit
    ) -> None:
        self._engine, self.name, self._emit = engine, name, emit
        cipher, self._hashed_by, size = SUITES[suite]
        salt = name.encode()
        self._lookup_key = derive.from_key(data_key, "vault/lookup", salt, 32, self._hashed_by)
        content = derive.from_key(data_key, "vault/content", salt, size, self._hashed_by)
        self._aead = choose.aead(cipher, content)

    def __repr__(self) -> str:
        return f"Vault({self.name!r})"

    def tokenise(self, array: pa.Array, actor: str) -> pa.Array:
        """Replaces values by their tokens, making those that are new; nulls stay.

        Raises:
            Unsupported: the column holds no text.
            Unavailable: the database does not answer; nothing was changed.
        """
        encoded = text_array(array).dictionary_encode()
        values: pa.Array = encoded.dictionary
        cells = text_cells(values)
        rows = np.arange(len(values), dtype=np.int64)
        lookups = [
            m.tobytes()
            for m in hmac_many(self._hashed_by, self._lookup_key, cells.data, cells.offsets, rows)
        ]
        with _explained(), self._engine.begin() as db:
            known = self._known(db, lookups)
            missing = [i for i, lookup in enumerate(lookups) if lookup not in known]
            if missing:
                self._add(db, [(lookups[i], str(values[i])) for i in missing])
                # Somebody else may have been first with some of them.
                known |= self._known(db, [lookups[i] for i in missing])
                event = _event("protect.tokens.made", self.name, actor, {"tokens": len(missing)})
                self._emit(db, [event])
        given = pa.array([known[lookup] for lookup in lookups], pa.string())
        return given.take(encoded.indices)

    def detokenise(self, array: pa.Array, actor: str, reason: str) -> pa.Array:
        """Gives the values back; who asked and why becomes evidence, also when it fails.

        Raises:
            Invalid: no reason.
            NotFound: tokens that are not of this vault; no value is given.
            IntegrityBroken: a stored value was altered.
        """
        if not reason.strip():
            raise Invalid("protect.no_reason", "还原令牌须写明理由", "请以 --reason 写明用途与依据")
        encoded = text_array(array).dictionary_encode()
        asked: list[str] = encoded.dictionary.to_pylist()
        with _explained(), self._engine.begin() as db:
            facts: dict[str, object] = {"tokens": len(asked), "reason": reason}
            self._emit(db, [_event("protect.tokens.resolved", self.name, actor, facts)])
        held: dict[str, str] = {}
        with _explained(), self._engine.connect() as db:
            for some in _batches(asked):
                query = sa.select(tokens.c.token, tokens.c.sealed)
                query = query.where(tokens.c.vault == self.name, tokens.c.token.in_(some))
                for token, sealed in db.execute(query):
                    held[token] = self._open(token, bytes(sealed))
        if unknown := len(asked) - len(held):
            raise NotFound(
                "protect.unknown_tokens",
                f"有 {unknown:,} 个令牌不属于令牌库 {self.name}，未还原任何取值",
                "请核对令牌库名称与所给的列",
            )
        return pa.array([held[token] for token in asked], pa.string()).take(encoded.indices)

    def _known(self, db: sa.Connection, lookups: Sequence[bytes]) -> dict[bytes, str]:
        found: dict[bytes, str] = {}
        for some in _batches(lookups):
            query = sa.select(tokens.c.lookup, tokens.c.token)
            query = query.where(tokens.c.vault == self.name, tokens.c.lookup.in_(some))
            found |= {bytes(lookup): token for lookup, token in db.execute(query)}
        return found

    def _add(self, db: sa.Connection, new: Sequence[tuple[bytes, str]]) -> None:
        insert = sqlite.insert if db.dialect.name == "sqlite" else postgresql.insert
        statement = insert(tokens).on_conflict_do_nothing(index_elements=["vault", "lookup"])
        for some in _batches(new):
            rows: list[dict[str, object]] = []
            for lookup, value in some:
                token = "".join(map(secrets.choice, repeat(_LETTERS, _TOKEN_LENGTH)))
                sealed = self._close(token, value)
                rows.append(
                    {"vault": self.name, "lookup": lookup, "token": token, "sealed": sealed}
                )
            db.execute(statement, rows)

    def _close(self, token: str, value: str) -> bytes:
        text, nonce = value.encode(), os.urandom(NONCE_BYTES)
        out = bytearray(len(text) + TAG_BYTES)
        self._aead.encrypt(nonce, text, token.encode(), memoryview(out))
        return nonce + out

    def _open(self, token: str, sealed: bytes) -> str:
        out = bytearray(len(sealed) + TAG_BYTES)
        text = sealed[NONCE_BYTES:]
        self._aead.decrypt(sealed[:NONCE_BYTES], text, token.encode(), memoryview(out))
        return out[: len(text) - TAG_BYTES].decode()


def open_vault(
    engine: sa.Engine,
    name: str,
    holder: KeyHolder,
    emit: Emit,
    *,
    key: str = "",
    suite: str = "intl",
    approvals: Approvals | None = None,
) -> Vault:
    """Opens a vault; makes it when a key to wrap its data key is named.

    Raises:
        NotFound: no such vault, and no key named to make it; or its key was destroyed.
        NotYet: its key takes two persons.
        Invalid: an unknown suite.
    """
    if suite not in SUITES:
        raise Invalid("protect.bad_suite", "没有此密码套件", f"可用：{'、'.join(SUITES)}")
    bound = b"pingyao/vault/1" + name.encode()
    with _explained(), engine.begin() as db:
        held = db.execute(sa.select(vaults).where(vaults.c.name == name)).one_or_none()
        if held is None:
            if not key:
                raise NotFound(
                    "protect.no_vault",
                    f"没有名为 {name[:64]} 的令牌库",
                    "首次使用请以 --key 指明密钥",
                )
            data_key = os.urandom(32)
            wrapped = msgspec.json.encode(holder.wrap(key, data_key, bound, approvals)).decode()
            db.execute(sa.insert(vaults).values(name=name, suite=suite, wrapped=wrapped))
            return Vault(engine, name, suite, data_key, emit)
    wrapped = msgspec.json.decode(held.wrapped, type=Wrapped)
    return Vault(engine, name, held.suite, holder.unwrap(wrapped, bound, approvals), emit)


def text_array(array: pa.Array) -> pa.Array:
    """Returns a column of plain strings.

    Raises:
        Unsupported: it holds something else.
    """
    text_cells(array[:0])
    return array.cast(pa.string())


@contextmanager
def _explained() -> Generator[None]:
    """Says what a driver's error means, without its text, which may quote data."""
    try:
        yield
    except DBAPIError as error:
        raise explain(error) from None


def _batches(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for i in range(0, len(items), _BATCH):
        yield items[i : i + _BATCH]


def _event(kind: str, subject: str, actor: str, body: dict[str, object]) -> EvidenceEvent:
    return EvidenceEvent(kind, subject, actor, datetime.now(UTC), body)
