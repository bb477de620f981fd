"""Logs for tests: a key, a folder, a mark, and entries that tell themselves apart."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pingyao.ledger.formats.note import verifier_key
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.model import (
    ED25519,
    ML_DSA_44_COSIGNATURE,
    SM2,
    Policy,
    SignatureType,
)
from pingyao.ledger.store.writer import Log, create_log
from pingyao.platform.crypto.signers import Signer, open_signer

ORIGIN = "bank.example/log"
SECRET = bytes(range(1, 33))
KINDS = (ED25519, ML_DSA_44_COSIGNATURE, SM2)


def signers(kinds: Sequence[SignatureType] = (ED25519,)) -> list[tuple[SignatureType, Signer]]:
    return [(kind, open_signer(kind.algorithm, SECRET)) for kind in kinds]


def policy(kinds: Sequence[SignatureType] = (ED25519,)) -> Policy:
    keys = tuple(verifier_key(ORIGIN, kind, s.public_key) for kind, s in signers(kinds))
    return Policy(keys, {}, {}, "none")


def new_log(folder: Path, kinds: Sequence[SignatureType] = (ED25519,), **options: object) -> Log:
    create_log(folder, format_policy(policy(kinds)))
    return open_log(folder, kinds, **options)


def open_log(
    folder: Path,
    kinds: Sequence[SignatureType] = (ED25519,),
    *,
    mark: Path | None = None,
    heads: Sequence[str] = (),
    clock: Callable[[], float] = lambda: 1_700_000_000.0,
) -> Log:
    its = mark or folder.with_name(folder.name + "-mark")
    return Log(folder, signers(kinds), mark=its, heads=heads, clock=clock)


def entries(first: int, count: int) -> list[bytes]:
    return [b'{"n":%d,"pad":"%s"}' % (i, b"x" * (i % 97)) for i in range(first, first + count)]


def publish(log: Log) -> str:
    _, note = log.sign()
    log.publish(note)
    return note
