"""The software keystore: named secrets in one file, encrypted under a passphrase.

One file, not the database: it is kept, copied and guarded apart from the data it protects. It is no
certified cryptographic module; one that is stands behind the same port (`hsm`).
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from pingyao.kernel.errors import (
    Conflict,
    IntegrityBroken,
    Invalid,
    NotPermitted,
)
from pingyao.kernel.event import EvidenceEvent
from pingyao.platform.crypto import choose, derive, keyfile, keymark, keys, passphrases, release
from pingyao.platform.crypto.derive import Stretch
from pingyao.platform.crypto.keys import Approvals, Key, KeyInfo, Wrapped
from pingyao.platform.crypto.keystore_content import (
    Content,
    context,
    entry,
    event,
    find,
    note,
    now,
    persons,
)
from pingyao.platform.crypto.ports import KEY_BYTES
from pingyao.platform.files import write_atomically

_NAME = re.compile(r"[\w][\w.\-]{0,63}")
_T = TypeVar("_T")


def default_path() -> Path:
    """Returns where a user's keystore is, unless told otherwise."""
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return home / "pingyao" / "keys.pks"


def create_keystore(
    path: Path, passphrase: str, *, cipher: str = "aes-256-gcm", stretch: Stretch | None = None
) -> "KeyStore":
    """Makes an empty keystore.

    Raises:
        Conflict: there is one already.
        Invalid: the passphrase is weak, or the directory cannot be written.
    """
    passphrases.strong_enough(passphrase)
    how = stretch or derive.stretch()
    key = derive.from_passphrase(passphrase, how, KEY_BYTES[cipher][-1])
    with keyfile.changing(path, new=True):
        if path.exists():
            raise Conflict("keys.exists", f"{path.name} 已存在", "请另指定一个文件，或打开它")
        _kept(path, Content(), key, how, cipher)
    return KeyStore(path, key, how, cipher)


def open_keystore(path: Path, passphrase: str) -> "KeyStore":
    """Opens a keystore.

    Raises:
        NotFound: there is no such file.
        NotPermitted: the passphrase is wrong, or the file was altered; the two look alike.
        Invalid: the file is readable by others, or is no keystore.
        IntegrityBroken: it has gone back behind what was seen of it here.
    """
    store = _keyed(path, passphrase)
    store.infos()
    return store


def accept_keystore(path: Path, passphrase: str, reason: str) -> "KeyStore":
    """Opens a keystore that has gone back, and takes it for the right one from now on.

    Raises:
        Invalid: no reason is given; else as `open_keystore`.
    """
    if not reason.strip():
        raise Invalid("keys.no_reason", "没有写明理由", "请以 --reason 说明为何使用这份密钥库")
    store = _keyed(path, passphrase)
    store.accept(reason.strip()[:500])
    return store


def _keyed(path: Path, passphrase: str) -> "KeyStore":
    envelope = keyfile.read(path)
    key = derive.from_passphrase(passphrase, envelope.stretch, KEY_BYTES[envelope.cipher][-1])
    return KeyStore(path, key, envelope.stretch, envelope.cipher)


class KeyStore:
    """An open keystore; every change is on disk when its call returns."""

    def __init__(self, path: Path, key: bytes, stretch: Stretch, cipher: str) -> None:
        self.path = path
        self._key, self._stretch, self._cipher = key, stretch, cipher

    def __repr__(self) -> str:
        return f"KeyStore({self.path.name!r})"

    def infos(self) -> list[KeyInfo]:
        """Returns what is known of every version of every key."""
        return [e.info for e in self._load().entries]

    def accept(self, reason: str) -> None:
        """Takes what is in the file for the newest there is; the reason goes into its history."""
        with keyfile.changing(self.path):
            body = self._unsealed()
            body.history.append(event("keys.accepted", self.path.name, {"reason": reason}))
            self._keep(body)

    def history(self) -> list[EvidenceEvent]:
        """Returns what was done with the keys, oldest first."""
        return self._load().history

    def create(
        self,
        name: str,
        kind: str,
        *,
        purpose: str = "",
        secret: bytes | None = None,
        custodians: Approvals | None = None,
    ) -> KeyInfo:
        """Makes a key, or takes in a secret made elsewhere.

        Args:
            name: letters, digits, ``_ . -``.
            kind: one of `keys.KINDS`; with ``secret`` also ``opaque``.
            custodians: passphrases by person, any two of whom it will take to use the key.

        Raises:
            Conflict: the name is taken.
            Invalid: a bad name, or custodians that will not do.
        """
        if not _NAME.fullmatch(name):
            raise Invalid(
                "keys.bad_name",
                f"密钥名称“{name[:20]}”写法有误",
                "用字母、数字、汉字与 _ . -，至多 64 字",
            )
        if kind != "opaque" or secret is None:
            fresh = keys.generate(kind)
            if secret is not None and len(secret) != len(fresh):
                raise Invalid(
                    "keys.bad_secret", f"{kind} 的密钥应为 {len(fresh)} 字节", "请核对所导入的密钥"
                )
            secret = secret or fresh
        info = KeyInfo(name, 1, kind, purpose, now(), persons=persons(custodians))
        made = entry(info, secret, custodians)

        def change(body: Content) -> KeyInfo:
            if any(e.info.name == name for e in body.entries):
                raise Conflict("keys.exists", f"已有名为 {name} 的密钥", "请换一个名称，或轮换它")
            body.entries.append(made)
            note(body, "keys.created", info, purpose=purpose)
            return info

        return self._change(change)

    def get(self, name: str, version: int | None = None, approvals: Approvals | None = None) -> Key:
        """Returns a key: the active version, or one asked for.

        Raises:
            NotFound: no such key, or it was destroyed.
            NotYet: it takes two persons, and they have not approved.
            NotPermitted: an approval does not hold.
        """
        held = find(self._load(), name, version)
        if held.release is None:
            return Key(held.info, held.secret or b"")
        secret = release.open_(held.release, approvals, context(held.info))
        approved_by = sorted(approvals or {})
        self._change(lambda body: note(body, "keys.released", held.info, approved_by=approved_by))
        return Key(held.info, secret)

    def rotate(self, name: str, custodians: Approvals | None = None) -> KeyInfo:
        """Makes a new version the active one; the one before still opens what it closed.

        Raises:
            NotFound: no such key.
            Invalid: a two-person key without its custodians.
        """
        before = find(self._load(), name, None).info
        if before.persons and custodians is None:
            raise Invalid("keys.custodians", "双人密钥轮换时须重新由保管人设定口令", "请给出保管人")
        info = KeyInfo(
            name,
            before.version + 1,
            before.kind,
            before.purpose,
            now(),
            persons=persons(custodians),
        )
        made = entry(info, keys.generate(before.kind), custodians)

        def change(body: Content) -> KeyInfo:
            if any(e.info.name == name and e.info.version >= info.version for e in body.entries):
                raise Conflict("keys.moved_on", f"密钥 {name} 刚被他人轮换", "请重新查看后再试")
            for each in body.entries:
                if each.info.name == name and each.info.state == "active":
                    each.info = msgspec.structs.replace(each.info, state="retired")
            body.entries.append(made)
            note(body, "keys.rotated", info)
            return info

        return self._change(change)

    def destroy(self, name: str, version: int, *, reason: str) -> KeyInfo:
        """Destroys a version's secret; what it closed can never be opened again.

        What is known of the key stays, with the reason. Copies of the file made before are out of
        reach: they must be destroyed as well.

        Raises:
            NotFound: no such version, or destroyed already.
        """

        def change(body: Content) -> KeyInfo:
            held = find(body, name, version)
            held.secret = held.release = None
            held.info = msgspec.structs.replace(held.info, state="destroyed")
            note(body, "keys.destroyed", held.info, reason=reason)
            return held.info

        return self._change(change)

    def wrap(
        self, name: str, data_key: bytes, context: bytes, approvals: Approvals | None = None
    ) -> Wrapped:
        """See `keys.KeyHolder`."""
        return keys.wrap_with(self.get(name, approvals=approvals), data_key, context)

    def unwrap(self, wrapped: Wrapped, context: bytes, approvals: Approvals | None = None) -> bytes:
        """See `keys.KeyHolder`."""
        key = self.get(wrapped.key, wrapped.version, approvals)
        return keys.unwrap_with(key, wrapped, context)

    def change_passphrase(self, new: str) -> None:
        """Puts the store under another passphrase.

        Raises:
            Invalid: the new one is weak.
        """
        passphrases.strong_enough(new)
        how = msgspec.structs.replace(self._stretch, salt=os.urandom(len(self._stretch.salt)))
        key = derive.from_passphrase(new, how, KEY_BYTES[self._cipher][-1])
        with keyfile.changing(self.path):
            body = self._load()
            body.history.append(event("keys.passphrase_changed", self.path.name, {}))
            _kept(self.path, body, key, how, self._cipher)
        self._key, self._stretch = key, how

    def _load(self) -> Content:
        body = self._unsealed()
        keymark.check(self.path, body.history)
        return body

    def _unsealed(self) -> Content:
        envelope = keyfile.read(self.path)
        if envelope.stretch != self._stretch:
            raise Conflict("keys.moved_on", "密钥库口令已被更换", "请以新口令重新打开")
        try:
            plain = choose.unseal(
                self._cipher, self._key, envelope.nonce, envelope.sealed, keyfile.aad(envelope)
            )
            return msgspec.msgpack.decode(plain, type=Content)
        except IntegrityBroken:
            raise NotPermitted(
                "keys.wrong_passphrase",
                f"密钥库 {self.path.name} 打不开：口令有误，或文件被改动",
                "请核对口令；如口令无误，请从备份恢复该文件",
            ) from None

    def _change(self, change: Callable[[Content], _T]) -> _T:
        """Applies a change to the newest content, under a lock; all of it or nothing is kept."""
        with keyfile.changing(self.path):
            body = self._load()
            result = change(body)
            self._keep(body)
        return result

    def _keep(self, body: Content) -> None:
        _kept(self.path, body, self._key, self._stretch, self._cipher)


def _kept(path: Path, body: Content, key: bytes, stretch: Stretch, cipher: str) -> None:
    write_atomically(path, keyfile.close(body, key, stretch, cipher))
    keymark.note(path, body.history)
