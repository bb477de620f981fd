"""How far a keystore had come when it was last seen here, kept apart from its file.

An old copy put back in the file's place would bring destroyed keys back, and encrypt with versions
that were rotated away. What was done with the keys only ever grows: the mark holds how much there was,
and a digest of it.
"""

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from pingyao.kernel.errors import IntegrityBroken
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.files import state_home, write_atomically


class _Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    count: int
    digest: str


def check(store: Path, history: Sequence[EvidenceEvent]) -> None:
    """Refuses a keystore that has gone back, or is not the one that stood here; else notes how far it is.

    Where the mark cannot be written, the keystore is used all the same, unguarded.

    Raises:
        IntegrityBroken: something that was done is missing from its history.
    """
    mark, path = None, _path(store)
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        mark = msgspec.json.decode(path.read_bytes(), type=_Mark)
    if mark is not None and _digest(history[: mark.count]) != mark.digest:
        raise IntegrityBroken(
            "keys.rolled_back",
            f"密钥库 {store.name} 比本机上次所见的旧，或不是同一个：已轮换、销毁的密钥可能重现",
            "请换回最新的备份；确知无误时，以 pingyao keys accept 说明理由后使用",
        )
    if mark is None or mark.count < len(history):
        note(store, history)


def note(store: Path, history: Sequence[EvidenceEvent]) -> None:
    """Notes how far a keystore has come, whatever was noted before."""
    path = _path(store)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, msgspec.json.encode(_Mark(len(history), _digest(history))))
    except OSError:
        return


def forget(store: Path) -> None:
    """Lets go of what was seen at a place: whoever takes a keystore away, or puts another there, says so."""
    with contextlib.suppress(OSError):
        _path(store).unlink(missing_ok=True)


def _path(store: Path) -> Path:
    name = hashlib.sha256(str(store.resolve()).encode()).hexdigest()[:24]
    return state_home() / "keystores" / name


def _digest(history: Sequence[EvidenceEvent]) -> str:
    return hashlib.sha256(msgspec.msgpack.encode(list(history))).hexdigest()
