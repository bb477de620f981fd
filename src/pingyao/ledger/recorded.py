"""Documents that were recorded: found again by what they are, or by name, with their marks."""

import hashlib
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from pingyao.ledger.formats.documents import Document, Part
from pingyao.ledger.tables import documents, payloads

_PARTS = msgspec.msgpack.Decoder(tuple[Part, ...])


def indexed(db: sa.Connection) -> dict[str, tuple[str, str, str]]:
    """Returns what the index of documents says of each: SHA-256, name, and the hash of its marks."""
    return {
        row.key: (row.sha256, row.name, hashlib.sha256(bytes(row.parts)).hexdigest())
        for row in db.execute(sa.select(documents))
    }


def add_document(db: sa.Connection, key: str, document: Document) -> None:
    """Keeps the marks of a document recorded under a key."""
    db.execute(
        sa.insert(documents).values(
            key=key,
            sha256=document.sha256,
            name=document.name,
            parts=msgspec.msgpack.encode(document.parts),
        )
    )


def same_documents(db: sa.Connection, sha256: str) -> list[str]:
    """Returns the keys under which exactly this document was recorded, oldest first."""
    query = sa.select(documents.c.key).where(documents.c.sha256 == sha256)
    return _in_order(db, query)


def like_documents(db: sa.Connection, name: str) -> list[str]:
    """Returns the keys under which documents of this name were recorded, oldest first."""
    return _in_order(db, sa.select(documents.c.key).where(documents.c.name == name))


def parts_of(db: sa.Connection, key: str) -> tuple[bytes, tuple[Part, ...]]:
    """Returns the marks of a recorded document, as kept and as read."""
    query = sa.select(documents.c.parts).where(documents.c.key == key)
    kept = bytes(db.execute(query).scalar_one())
    return kept, _PARTS.decode(kept)


def _in_order(db: sa.Connection, keys: sa.Select[tuple[str]]) -> list[str]:
    """Sorts keys by when they were sealed; those still waiting come last."""
    found: Sequence[str] = db.execute(keys).scalars().all()
    query = sa.select(payloads.c.key, payloads.c.id).where(payloads.c.key.in_(found))
    order: dict[str, int] = {row.key: row.id for row in db.execute(query)}
    return sorted(found, key=lambda key: order.get(key, 1 << 62))
