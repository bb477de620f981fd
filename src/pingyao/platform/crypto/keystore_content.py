"""What a keystore holds: versions of keys, and what was done with them."""

import getpass
from datetime import UTC, datetime

import msgspec

from pingyao.kernel.errors import NotFound
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.crypto import release
from pingyao.platform.crypto.keys import Approvals, KeyInfo
from pingyao.platform.crypto.release import Release


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """One version of a key; a destroyed one has neither secret nor release."""

    info: KeyInfo
    secret: bytes | None = None
    release: Release | None = None


class Content(msgspec.Struct, forbid_unknown_fields=True):
    """All there is in it; ``history`` only ever grows."""

    entries: list[Entry] = []
    history: list[EvidenceEvent] = []


def persons(custodians: Approvals | None) -> tuple[str, ...]:
    """Returns the names of those who hold a part of a key."""
    return tuple(sorted(release.person(name) for name in custodians or ()))


def entry(info: KeyInfo, secret: bytes, custodians: Approvals | None) -> Entry:
    """Returns a version of a key, its secret parted among its custodians where there are any."""
    if custodians is None:
        return Entry(info, secret)
    return Entry(info, release=release.close(secret, custodians, context(info)))


def context(info: KeyInfo) -> bytes:
    """Returns what a two-person secret is bound to."""
    return msgspec.json.encode(("pingyao/two-person", info.name, info.version))


def find(content: Content, name: str, version: int | None) -> Entry:
    """Returns the active version of a key, or one asked for, that was not destroyed.

    Raises:
        NotFound: there is none.
    """
    found = [e for e in content.entries if e.info.name == name]
    if not found:
        raise NotFound(
            "keys.unknown", f"没有名为 {name[:64]} 的密钥", "pingyao keys list 可查看全部"
        )
    for entry in found:
        if (version is None and entry.info.state == "active") or entry.info.version == version:
            if entry.info.state == "destroyed":
                break
            return entry
    raise NotFound(
        "keys.destroyed",
        f"密钥 {name} {'没有可用的版本' if version is None else f'的版本 {version} 不存在或已销毁'}",
        "由它加密的数据无法再打开；如属误销毁，只能从销毁前的密钥库备份恢复",
    )


def note(content: Content, kind: str, info: KeyInfo, **facts: object) -> None:
    """Adds to the history what was done with a key."""
    content.history.append(
        event(kind, info.name, {"version": info.version, "kind": info.kind, **facts})
    )


def event(kind: str, subject: str, facts: dict[str, object]) -> EvidenceEvent:
    """Returns what the history says of an act of whoever runs the program."""
    return EvidenceEvent(kind, subject, getpass.getuser(), now(), facts)


def now() -> datetime:
    """Returns the time, in UTC."""
    return datetime.now(UTC)
