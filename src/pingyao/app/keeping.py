"""Wires keys, token vaults, records and evidence into the protect room."""

import getpass
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from pingyao.app.opening import open_catalogue, open_holder, open_store, persons
from pingyao.kernel.errors import Invalid, NotFound, Unavailable, Unsupported
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform import outbox
from pingyao.platform.crypto import derive
from pingyao.platform.crypto.keys import Approvals, Key, KeyHolder
from pingyao.platform.crypto.keystore import KeyStore
from pingyao.platform.db import explain
from pingyao.protect import records, vault
from pingyao.protect.approvals import consume_approval, require_approval
from pingyao.protect.model import Content, Made, Staged, Suite, Use
from pingyao.protect.ports import Vault

if TYPE_CHECKING:  # loaded when something is recorded
    from pingyao.ledger.formats.documents import Document

_SUITES: Mapping[str, tuple[Suite, str]] = {
    "hmac-sha256": ("intl", "sha256"),
    "hmac-sm3": ("gm", "sm3"),
}


class StoredKeys:
    """A key of the keystore, from which those of scopes and uses are derived; its kind says how.

    Args:
        held: the keystore it is of.
    """

    def __init__(self, key: Key, held: KeyStore | None = None) -> None:
        self.held = held
        if key.info.kind not in _SUITES:
            raise Unsupported(
                "protect.key_kind",
                f"密钥 {key.info.name} 属 {key.info.kind}，不能用于保护数据",
                f"请改用 {' 或 '.join(_SUITES)} 密钥",
            )
        self.suite: Suite
        self.suite, self._hashed_by = _SUITES[key.info.kind]
        self.name, self.version, self._secret = key.info.name, key.info.version, key.secret

    def derive(self, use: str, length: int = 32) -> bytes:
        """Derives by HKDF."""
        return derive.from_key(self._secret, use, length=length, hashed_by=self._hashed_by)


def open_keys(named: str, file: Path | None, approve: tuple[str, ...]) -> StoredKeys:
    """Opens a key of the keystore: ``name``, or ``name@version`` for one that was rotated.

    Raises:
        NotFound: there is no such key.
        Unsupported: it is of a kind that does not serve.
    """
    name, _, number = named.partition("@")
    if number and not number.isdecimal():
        raise Invalid("protect.bad_option", "--key 写作 名称 或 名称@版本", "请改正后再试")
    held = open_store(file)
    if not any(i.name == name for i in held.infos()):
        raise NotFound(
            "protect.no_key",
            f"密钥库中没有密钥 {name[:64]}",
            f"请执行 pingyao keys create {name[:64]} hmac-sha256（国密用 hmac-sm3），并备份密钥库",
        )
    key = held.get(name, int(number) if number else None, persons(approve))
    return StoredKeys(key, held)


class BoundVault:
    """A token vault with who asks, and why."""

    def __init__(self, opened: vault.Vault, reason: str) -> None:
        self._opened, self._reason = opened, reason

    def tokenise(self, array: pa.Array) -> pa.Array:
        """See `pingyao.protect.ports.Vault`."""
        return self._opened.tokenise(array, getpass.getuser())

    def detokenise(self, array: pa.Array) -> pa.Array:
        """See `pingyao.protect.ports.Vault`."""
        return self._opened.detokenise(array, getpass.getuser(), self._reason)


def vaults(
    engine: sa.Engine,
    file: Path | None,
    keys: StoredKeys,
    key: str,
    approve: tuple[str, ...],
    reason: str = "",
) -> Callable[[str], Vault]:
    """Returns what opens a vault by its name, each of them once.

    Args:
        keys: of the run, whose keystore holds the vault's key as well.
        key: wraps the data key of a vault that is made now.
        reason: why values are asked for.
    """
    opened: dict[str, Vault] = {}
    holder: list[KeyHolder] = []

    def open_(name: str) -> Vault:
        if name not in opened:
            if not holder:
                holder.append(open_holder(file, keys.held))
            opened[name] = BoundVault(
                open_vault(engine, name, holder[0], key, "", persons(approve)), reason
            )
        return opened[name]

    return open_


def open_vault(
    engine: sa.Engine,
    name: str,
    holder: KeyHolder,
    key: str,
    suite: str,
    approvals: Approvals | None,
) -> vault.Vault:
    """Opens a vault, or makes it under a key."""
    return vault.open_vault(
        engine, name, holder, outbox.emit, key=key, suite=suite or "intl", approvals=approvals
    )


class Recorder:
    """Keeps records in the database and hands their evidence on, each in one transaction."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    @contextmanager
    def __call__(
        self,
        event: EvidenceEvent,
        record: bytes,
        staged: Staged | None = None,
        use: Use | None = None,
    ) -> Generator[None]:
        """See `pingyao.protect.ports.Book`."""
        from pingyao.ledger import evidence
        from pingyao.ledger.formats.documents import read_document

        # Read before the transaction: nobody else can write while it lasts.
        documents = [read_document(Path(f)) for f in staged.files] if staged else []
        documents += [_rows(m) for m in staged.made if m.sm3] if staged else []
        about = {
            k: str(event.body[k]) for k in ("source", "purpose", "recipient") if event.body.get(k)
        }
        done = False
        try:
            with self.engine.begin() as db:
                if use is not None:
                    consume_approval(db, use, event.actor)
                records.keep(db, event, record)
                for each in documents:
                    evidence.keep(db, each, event.actor, event.occurred_at, about)
                yield
                done = True
        except DBAPIError as error:
            if done and staged is not None:
                raise Unavailable(
                    "protect.unrecorded",
                    f"目标 {event.subject[:80]} 已写出，但记录未能保存，没有存证",
                    "请移走该目标，检查目录数据库所在磁盘后重做",
                ) from None
            raise explain(error) from None

    def require(self, use: Use | None) -> Use | None:
        """Refuses at once what an approval does not cover; it is used up with the release."""
        if use is not None:
            require_approval(self.engine, use)
        return use

    def settle(self, files: tuple[Path, ...] = (), about: Mapping[str, str] = {}) -> None:
        """Records the reports written after a release, and moves what waits into the ledger."""
        from pingyao.app.evidence import record_documents, settle

        if files:
            record_documents(self.engine, files, dict(about))
        settle(self.engine)


def _rows(made: Made) -> "Document":
    return table_document(made.table, Content(made.rows, made.sha256, made.sm3))


def table_document(name: str, content: Content) -> "Document":
    """Returns the rows of a table as a document is recorded: its size is how many there are."""
    from pingyao.ledger.formats.documents import Document, Part

    whole = Part("", "row", max(1, content.rows), content.rows, bytes.fromhex(content.sha256[:16]))
    return Document(name, content.sha256, content.sm3, content.rows, "", (whole,))


def open_recorder(url: str | None) -> Recorder:
    """Opens the database for records."""
    return Recorder(open_catalogue(url))
