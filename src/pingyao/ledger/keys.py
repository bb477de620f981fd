"""The log's own keys: one name, one key of each kind, in the keystore or in a device behind PKCS#11."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pingyao.kernel.errors import Conflict, Invalid, NotFound
from pingyao.ledger.formats.note import verifier_key
from pingyao.ledger.model import (
    ED25519,
    ML_DSA_44_COSIGNATURE,
    SM2,
    Policy,
    SignatureType,
    VerifierKey,
)
from pingyao.platform.crypto.keystore import KeyStore, create_keystore, default_path, open_keystore
from pingyao.platform.crypto.passphrases import passphrase
from pingyao.platform.crypto.signers import Algorithm, Signer, open_signer
from pingyao.platform.crypto.token_signers import create_signer, signers

if TYPE_CHECKING:  # a device is opened by who has one
    from pingyao.platform.crypto.hsm import Hsm

# What a log signs its heads with. Witnesses and the tools of others want Ed25519; the rest is beside it.
LOG_KINDS = {k.algorithm: k for k in (ED25519, ML_DSA_44_COSIGNATURE, SM2)}
OwnKeys = Sequence[tuple[SignatureType, Signer]]


def open_store(path: Path | None, *, create: bool = False) -> KeyStore:
    """Opens the keystore, or makes it where there is none and it may be made."""
    where = path or default_path()
    if create and not where.exists():
        return create_keystore(where, passphrase(twice=True))
    return open_keystore(where, passphrase())


def make_keys(
    store: KeyStore,
    name: str,
    algorithms: Sequence[Algorithm],
    origin: str,
    device: Collection[Algorithm] = (),
) -> tuple[VerifierKey, ...]:
    """Makes the keys of a new log; returns them as its verifiers will know them.

    Args:
        device: those to be made in the device that is configured, and not in the keystore.

    Raises:
        Conflict: the keystore or the device has keys of this name.
        Unsupported: the device knows no such keys.
        Invalid: the origin cannot be one, or Ed25519 is missing.
    """
    if Algorithm.ED25519 not in algorithms:
        raise Invalid(
            "ledger.needs_ed25519", "账本须有一把 Ed25519 密钥", "其他算法与它并用，请一并给出"
        )
    made: list[VerifierKey] = []
    for algorithm in LOG_KINDS:
        if algorithm in algorithms:
            # The origin is tried before a key is made that nothing could use.
            verifier_key(origin, ED25519, bytes(32))
            full = f"{name}.{algorithm}"
            public = make_key(
                store, full, algorithm, f"ledger {origin}", device=algorithm in device
            )
            made.append(verifier_key(origin, LOG_KINDS[algorithm], public))
    return tuple(made)


def make_key(
    store: KeyStore, name: str, algorithm: Algorithm, purpose: str, *, device: bool = False
) -> bytes:
    """Makes a signing key in the keystore, or in the device that is configured; returns its public half.

    Raises:
        Conflict: there is one of this name.
        Unsupported: the device knows no such keys.
    """
    if not device:
        store.create(name, algorithm.value, purpose=purpose)
        return open_signer(algorithm, store.get(name).secret).public_key
    with closing(_writable_device()) as token:
        if signers(token, name, algorithm):
            raise Conflict("keys.exists", f"设备中已有密钥 {name[:64]}", "请换一个名称，或轮换它")
        return create_signer(token, name, algorithm).public_key


def _writable_device() -> "Hsm":
    from pingyao.platform.crypto.hsm import open_configured

    token = open_configured(writable=True)
    if token is None:
        raise Invalid(
            "ledger.no_device",
            "没有指明 PKCS#11 设备",
            "请设置 PINGYAO_PKCS11_LIBRARY 与 PINGYAO_PKCS11_TOKEN",
        )
    return token


@cache
def _open_device() -> "Hsm | None":
    """Opens the device, where one is configured, once: its keys sign until the program ends."""
    from pingyao.platform.crypto.hsm import open_configured

    return open_configured()


def _on_device(name: str, algorithm: Algorithm) -> list[Signer]:
    token = _open_device()
    return [] if token is None else signers(token, name, algorithm)


def own_keys(store: KeyStore, name: str, policy: Policy) -> OwnKeys:
    """Returns the signers of a log: those its policy lists; of a key that is being rotated, both.

    Raises:
        NotFound: the keystore has none of this name.
    """
    own = [k for k in policy.logs if k.name == policy.logs[0].name]
    return [(k.type, signer_of(store, name, k)) for k in own]


def signer_of(store: KeyStore, name: str, key: VerifierKey) -> Signer:
    """Returns the version of a key that has this public half.

    Raises:
        NotFound: neither the keystore nor the device has one.
    """
    algorithm = key.type.algorithm
    for info in reversed(store.infos()):
        if info.name == f"{name}.{algorithm}" and info.state != "destroyed":
            signer = open_signer(algorithm, store.get(info.name, info.version).secret)
            if signer.public_key == key.public_key:
                return signer
    for signer in _on_device(f"{name}.{algorithm}", algorithm):
        if signer.public_key == key.public_key:
            return signer
    raise NotFound(
        "ledger.no_key",
        f"密钥库与设备里没有与 policy 文件所列公钥相符的 {name}.{algorithm}",
        "请以 --key 指明 init 时所用的密钥名，或核对 --keystore 与 policy 文件",
    )


def next_key(
    store: KeyStore, name: str, old: VerifierKey, known: Iterable[VerifierKey]
) -> tuple[VerifierKey, Signer]:
    """Returns the successor of a key: a version that was made and is in no policy yet, or a new one."""
    algorithm = old.type.algorithm
    full = f"{name}.{algorithm}"
    listed = {k.public_key for k in known}
    if held := _on_device(full, algorithm):
        if held[-1].public_key in listed:
            with closing(_writable_device()) as token:
                create_signer(token, full, algorithm)
            held = _on_device(full, algorithm)
        return verifier_key(old.name, old.type, held[-1].public_key), held[-1]
    signer = open_signer(algorithm, store.get(full).secret)
    if signer.public_key in listed:
        store.rotate(full)
        signer = open_signer(algorithm, store.get(full).secret)
    return verifier_key(old.name, old.type, signer.public_key), signer
