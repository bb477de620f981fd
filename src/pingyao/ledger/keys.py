"""The log's own keys, from the keystore: one name, one key of each kind."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from pingyao.kernel.errors import Invalid, NotFound
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
    store: KeyStore, name: str, algorithms: Sequence[Algorithm], origin: str
) -> tuple[VerifierKey, ...]:
    """Makes the keys of a new log; returns them as its verifiers will know them.

    Raises:
        Conflict: the keystore has keys of this name.
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
            store.create(f"{name}.{algorithm}", algorithm.value, purpose=f"ledger {origin}")
            secret = store.get(f"{name}.{algorithm}").secret
            public = open_signer(algorithm, secret).public_key
            made.append(verifier_key(origin, LOG_KINDS[algorithm], public))
    return tuple(made)


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
        NotFound: the keystore has none.
    """
    algorithm = key.type.algorithm
    for info in reversed(store.infos()):
        if info.name == f"{name}.{algorithm}" and info.state != "destroyed":
            signer = open_signer(algorithm, store.get(info.name, info.version).secret)
            if signer.public_key == key.public_key:
                return signer
    raise NotFound(
        "ledger.no_key",
        f"密钥库里没有与 policy 文件所列公钥相符的 {name}.{algorithm}",
        "请以 --key 指明 init 时所用的密钥名，或核对 --keystore 与 policy 文件",
    )


def next_key(
    store: KeyStore, name: str, old: VerifierKey, known: Iterable[VerifierKey]
) -> tuple[VerifierKey, Signer]:
    """Returns the successor of a key: a version that was made and is in no policy yet, or a new one."""
    algorithm = old.type.algorithm
    full = f"{name}.{algorithm}"
    listed = {k.public_key for k in known}
    signer = open_signer(algorithm, store.get(full).secret)
    if signer.public_key in listed:
        store.rotate(full)
        signer = open_signer(algorithm, store.get(full).secret)
    return verifier_key(old.name, old.type, signer.public_key), signer
