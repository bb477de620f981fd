"""This node's own keys: the public halves in the database, the secrets in a keystore beside the node's key.

The keystore's passphrase is derived from the node's key, 256 random bits, so that a node starts without
anybody typing; both files are kept apart from the database. A device that signs and opens envelopes takes
the place of `Ring` by offering its methods.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, get_args, runtime_checkable

import sqlalchemy as sa

from pingyao.kernel.errors import NotFound
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.crypto import derive, envelopes
from pingyao.platform.crypto.derive import Stretch
from pingyao.platform.crypto.keystore import KeyStore, create_keystore, open_keystore
from pingyao.platform.crypto.signers import Signer, open_signer
from pingyao.platform.crypto.suites import SUITES, Suite, key_id, public_half, suite_of
from pingyao.platform.members import store
from pingyao.platform.members.model import OwnKey, Use
from pingyao.platform.outbox import emit

LIFETIME = 2 * 365 * 86_400
OVERLAP = 30 * 86_400
_USES: tuple[Use, ...] = get_args(Use)


@runtime_checkable
class Ring(Protocol):
    """Secrets of this node, wherever they lie."""

    def signer(self, key: OwnKey) -> Signer:
        """Returns what signs with a key."""
        ...

    def open(self, key: OwnKey, sealed: bytes, context: bytes) -> bytes:
        """Opens an envelope closed for a key."""
        ...

    def mac(self, text: bytes) -> bytes:
        """Returns 32 bytes only this node can make of a text."""
        ...

    def make(self, suite: Suite, use: Use, generation: int) -> bytes:
        """Makes the key of a generation, or finds it made already; returns its public half."""
        ...


KEYS = "members.pks"
"""The keystore beside the node's key."""


class StoreRing:
    """Keys in a software keystore.

    Args:
        node_key: the file of the node's key.
        key: what is in it.
    """

    def __init__(self, node_key: Path, key: bytes) -> None:
        self.path = node_key.with_name(KEYS)
        self._passphrase = derive.from_key(key, "members/keystore").hex()
        self._mac = derive.from_key(key, "members/mac")
        self._signers: dict[str, Signer] = {}
        self._held: KeyStore | None = None

    def signer(self, key: OwnKey) -> Signer:
        """See `Ring`."""
        found = self._signers.get(key.id)
        if found is None:
            found = open_signer(suite_of(key.suite).signature, self._secret(key))
            self._signers[key.id] = found
        return found

    def open(self, key: OwnKey, sealed: bytes, context: bytes) -> bytes:
        """See `Ring`."""
        return envelopes.open_sealed(suite_of(key.suite), self._secret(key), sealed, context)

    def mac(self, text: bytes) -> bytes:
        """See `Ring`."""
        return derive.mac(self._mac, text)

    def make(self, suite: Suite, use: Use, generation: int) -> bytes:
        """See `Ring`."""
        name, kind, keystore = _name(suite.name, use), _kind(suite, use), self._store()
        if not any(i.name == name for i in keystore.infos()):
            keystore.create(name, kind, purpose="members")
        # A rotation that was broken off has made the version already.
        while keystore.get(name).info.version < generation:
            keystore.rotate(name)
        return public_half(kind, keystore.get(name, generation).secret)

    def _store(self) -> KeyStore:
        if self._held is None:
            if self.path.exists():
                self._held = open_keystore(self.path, self._passphrase)
            else:  # nothing is gained by stretching 256 random bits
                how = Stretch(os.urandom(16), iterations=1, lanes=1, memory_kib=64)
                self._held = create_keystore(self.path, self._passphrase, stretch=how)
        return self._held

    def _secret(self, key: OwnKey) -> bytes:
        secret = self._store().get(_name(key.suite, key.use), key.generation).secret
        if public_half(key.kind, secret) != key.public:
            raise NotFound(
                "members.other_keys",
                f"密钥库 {self.path.name} 与数据库不是同一个节点的",
                "请恢复与此数据库一同备份的密钥库",
            )
        return secret


def ensure(engine: sa.Engine, ring: Ring, actor: str) -> None:
    """Makes the first generation of keys where there is none."""
    with engine.connect() as db:
        if store.read_own_keys(db):
            return
    add_generation(engine, ring, actor, "members.keys.made", 1)


def add_generation(
    engine: sa.Engine, ring: Ring, actor: str, kind: str, generation: int
) -> list[OwnKey]:
    """Makes keys of both suites for both uses; those before stay good for the overlap."""
    at = datetime.now(UTC)
    now = int(at.timestamp())
    made: list[OwnKey] = []
    for suite in SUITES.values():
        for use in _USES:
            held = _kind(suite, use)
            public = ring.make(suite, use, generation)
            named = key_id(held, public)
            made.append(
                OwnKey(named, suite.name, use, held, public, generation, now, now + LIFETIME)
            )
    t = store.own_keys.c
    with engine.begin() as db:
        ending = sa.update(store.own_keys).where(t.not_after > now + OVERLAP)
        db.execute(ending.values(not_after=now + OVERLAP))
        for each in made:
            values = {f: getattr(each, f) for f in OwnKey.__struct_fields__}
            db.execute(sa.insert(store.own_keys).values(**values))
        body: dict[str, object] = {"generation": generation, "keys": [k.id for k in made]}
        emit(db, [EvidenceEvent(kind, "", actor, at, body)])
    return made


def pick(
    keys: list[OwnKey],
    suite: str,
    use: Use,
    generation: int,
    now: int,
    *,
    even_revoked: bool = False,
) -> OwnKey:
    """Returns the key of a generation; one we have revoked only to tell of its successor.

    Raises:
        NotFound: there is none, or it has expired or was revoked.
    """
    for key in keys:
        named = (key.suite, key.use, key.generation) == (suite, use, generation)
        if named and (key.holds(now) or (even_revoked and now < key.not_after)):
            return key
    raise NotFound(
        "members.no_own_key",
        "本节点没有可用的成员密钥，或对方所知的那把已到期、已吊销",
        "请运行 pingyao members rotate 告知对方新密钥；已到期的须重新受邀加入",
    )


def newest(keys: list[OwnKey]) -> int:
    """Returns the newest generation, 0 where there is none."""
    return max((k.generation for k in keys), default=0)


def _name(suite: str, use: Use) -> str:
    return f"members.{suite}.{use}"


def _kind(suite: Suite, use: Use) -> str:
    return suite.signature.value if use == "sign" else suite.sealing
