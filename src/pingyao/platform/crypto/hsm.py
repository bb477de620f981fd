"""Keys in a device behind PKCS#11: a cryptographic machine, a card, a UKey. They never leave it.

The device wraps data keys with AES-256-GCM. SM4 has no number of its own in PKCS#11; vendors give
theirs, which are not known here. Who may use the device, and how many persons it takes, is the
device's own affair.

Cites: OASIS PKCS#11 v2.40, 5.8 and the AES-GCM mechanism.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pingyao.kernel.errors import (
    Conflict,
    Invalid,
    NotFound,
    NotPermitted,
    Unavailable,
    Unsupported,
)
from pingyao.platform.crypto.keys import Approvals, Wrapped, bound
from pingyao.platform.crypto.plain import bad_tag
from pingyao.platform.crypto.ports import NONCE_BYTES, TAG_BYTES

_CIPHER = "aes-256-gcm"
_VERSION_BYTES = 4


class Hsm:
    """An open session with a token; close it when done.

    Attributes:
        session: as the adapter gives it.
    """

    def __init__(self, session: Any) -> None:
        self.session = session

    def close(self) -> None:
        """Ends the session."""
        self.session.close()

    def create(self, name: str) -> int:
        """Makes an AES-256 key that the device will not give away; returns its version, 1.

        Raises:
            Conflict: the name is taken.
        """
        with explained():
            if self._versions(name):
                raise Conflict("keys.exists", f"设备中已有密钥 {name}", "请换一个名称，或轮换它")
            return self._generate(name, 1)

    def rotate(self, name: str) -> int:
        """Makes a new version, which wraps from now on; returns it.

        Raises:
            NotFound: no such key.
        """
        with explained():
            return self._generate(name, max(self._found(name)) + 1)

    def destroy(self, name: str, version: int) -> None:
        """Has the device destroy a version.

        Raises:
            NotFound: no such version.
        """
        with explained():
            self._found(name, version)[version].destroy()

    def versions(self, name: str) -> list[int]:
        """Returns the versions of a key that the device holds."""
        with explained():
            return sorted(self._versions(name))

    def wrap(
        self, name: str, data_key: bytes, context: bytes, approvals: Approvals | None = None
    ) -> Wrapped:
        """See `keys.KeyHolder`."""
        with explained():
            held = self._found(name)
            version, nonce = max(held), os.urandom(NONCE_BYTES)
            how = _gcm(nonce, bound(name, version, context))
            sealed: bytes = held[version].encrypt(data_key, **how)
        return Wrapped(name, version, _CIPHER, nonce, sealed)

    def unwrap(self, wrapped: Wrapped, context: bytes, approvals: Approvals | None = None) -> bytes:
        """See `keys.KeyHolder`."""
        from pkcs11.exceptions import DeviceError, DeviceRemoved, PKCS11Error, SessionHandleInvalid

        if wrapped.cipher != _CIPHER or len(wrapped.nonce) != NONCE_BYTES:
            raise bad_tag()
        with explained():
            key = self._found(wrapped.key, wrapped.version)[wrapped.version]
            how = _gcm(wrapped.nonce, bound(wrapped.key, wrapped.version, context))
            try:
                return key.decrypt(wrapped.sealed, **how)
            except (DeviceError, DeviceRemoved, SessionHandleInvalid):
                raise
            except PKCS11Error:  # devices differ in what they answer to a wrong tag
                raise bad_tag() from None

    def _versions(self, name: str) -> dict[int, Any]:
        from pkcs11 import Attribute, ObjectClass

        wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: name}
        return {int.from_bytes(k.id, "big"): k for k in self.session.get_objects(wanted)}

    def _found(self, name: str, version: int | None = None) -> dict[int, Any]:
        held = self._versions(name)
        if not held or (version is not None and version not in held):
            which = "" if version is None else f"的版本 {version}"
            raise NotFound(
                "keys.unknown",
                f"设备中没有密钥 {name}{which}",
                "请核对设备与名称；已销毁的密钥无法恢复",
            )
        return held

    def _generate(self, name: str, version: int) -> int:
        from pkcs11 import Attribute, KeyType

        self.session.generate_key(
            KeyType.AES,
            256,
            label=name,
            id=version.to_bytes(_VERSION_BYTES, "big"),
            store=True,
            template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
        )
        return version


def open_hsm(library: Path, token: str, pin: str, *, writable: bool = False) -> Hsm:
    """Opens a token of a device.

    Args:
        library: the vendor's PKCS#11 library.
        token: its label.
        writable: to make and destroy keys.

    Raises:
        Unsupported: the adapter is not installed, or the library is no PKCS#11.
        NotFound: no such token.
        NotPermitted: the PIN is wrong or locked.
        Unavailable: the device does not answer.
    """
    try:
        import pkcs11
    except ImportError:
        raise Unsupported("keys.no_pkcs11", "未安装 PKCS#11 适配", "请安装 pingyao[hsm]") from None
    with explained():
        try:
            found = pkcs11.lib(str(library))
        except (RuntimeError, OSError):
            raise Unsupported(
                "keys.no_pkcs11", f"{library.name} 不是可用的 PKCS#11 库", "请向设备厂商索取"
            ) from None
        held = found.get_token(token_label=token)
        try:
            return Hsm(held.open(user_pin=pin, rw=writable))
        except pkcs11.UserAlreadyLoggedIn:  # all sessions of a program share one login
            return Hsm(held.open(rw=writable))


def open_configured(*, writable: bool = False) -> Hsm | None:
    """Opens the token that ``PINGYAO_PKCS11_LIBRARY`` and ``PINGYAO_PKCS11_TOKEN`` name; None where none is."""
    from pingyao.platform.crypto.passphrases import passphrase

    library = os.environ.get("PINGYAO_PKCS11_LIBRARY")
    if not library:
        return None
    token = os.environ.get("PINGYAO_PKCS11_TOKEN", "")
    pin = passphrase("PINGYAO_PKCS11_PIN", "设备口令")
    return open_hsm(Path(library), token, pin, writable=writable)


def _gcm(nonce: bytes, aad: bytes) -> dict[str, Any]:
    from pkcs11 import GCMParams, Mechanism

    params = GCMParams(nonce, aad, TAG_BYTES * 8)
    return {"mechanism": Mechanism.AES_GCM, "mechanism_param": params}


@contextmanager
def explained() -> Generator[None]:
    """Says what a device's error means."""
    from pkcs11 import exceptions as errors

    try:
        yield
    except (errors.NoSuchToken, errors.TokenNotPresent):
        raise NotFound("keys.no_token", "没有找到该设备", "请核对设备标签与连接") from None
    except (errors.PinIncorrect, errors.PinInvalid, errors.PinLenRange):
        raise NotPermitted("keys.wrong_pin", "设备口令有误", "请核对；多次输错设备会锁定") from None
    except errors.PinLocked:
        raise NotPermitted("keys.pin_locked", "设备已锁定", "请由设备管理员解锁") from None
    except errors.SessionReadOnly:
        raise Invalid(
            "keys.read_only", "设备以只读方式打开", "生成、轮换与销毁须以可写方式打开"
        ) from None
    except errors.PKCS11Error as error:
        raise Unavailable(
            "keys.device", f"设备未完成操作（{type(error).__name__}）", "请检查设备后重试"
        ) from None
