"""An institution with a log of its own, witnessed, and the key that reads what it seals."""

import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pingyao.ledger import draining, evidence, payloads
from pingyao.ledger.desk import Archive, Reader
from pingyao.ledger.formats.note import format_line, parse_note, sign
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.model import ED25519, Group, Policy
from pingyao.ledger.store.writer import Log, create_log
from witnessed import LOG, LOG_KEY, ORIGIN, cosigner, key_of


class House:
    """Its database is given; log and documents are in a folder."""

    def __init__(self, engine: sa.Engine, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.engine, self.folder = engine, folder
        self.witnesses = [cosigner(n) for n in range(2)]
        keys = {w.name.split(".")[0]: key_of(w) for w in self.witnesses}
        policy = Policy((LOG_KEY,), keys, {"both": Group(2, tuple(keys))}, "both")
        create_log(folder / "log", format_policy(policy))
        self.log = Log(folder / "log", [(ED25519, LOG)], mark=folder / "mark")
        self.private = X25519PrivateKey.generate()
        self.archive = Archive(engine, folder / "log", Reader(ORIGIN, self.private))

    def __enter__(self) -> "House":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.log.close()

    def record(self, name: str, content: str, about: dict[str, str] | None = None) -> str:
        """Records a document; returns its key."""
        path = self.folder / name
        path.write_text(content, "utf-8")
        with self.engine.begin() as db:
            return evidence.record(db, path, "officer1", datetime.now(UTC), about or {})

    def seal(self, *, publish: bool = True) -> int:
        """Moves what waits into the log."""
        readers = {ORIGIN: self.private.public_key()}
        moved = draining.drain(self.engine, self.log.append, "示例银行", readers)
        if publish:
            self.publish()
        return moved

    def publish(self) -> None:
        """Has both witnesses cosign the head."""
        _, note = self.log.sign()
        text, at = parse_note(note).text, int(time.time())
        for each in self.witnesses:
            note += format_line(sign(text, each.name, each.type, each.signer, at))
        self.log.publish(note)

    def forget(self, position: int) -> None:
        """Erases the content of an event."""
        with self.engine.begin() as db:
            payloads.erase(db, payloads.find_at(db, position).key)
