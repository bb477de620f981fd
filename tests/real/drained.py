"""Moves events from a database into a log, in small steps; run in a process of its own, to be killed.

``python drained.py DATABASE_URL LOG``: the log is made when it is not there.
"""

import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pingyao.app.migrations import migrate
from pingyao.ledger import draining
from pingyao.ledger.cosigning import open_log, publish
from pingyao.ledger.formats.note import verifier_key
from pingyao.ledger.formats.tlog_policy import format_policy
from pingyao.ledger.model import ED25519, Policy
from pingyao.ledger.store.writer import create_log
from pingyao.platform.crypto.signers import Algorithm, open_signer
from pingyao.platform.db import open_engine

SECRET = bytes(range(32))
ORIGIN = "bank.example/evidence"


def run(url: str, folder: Path) -> None:
    """Drains everything that waits."""
    draining.BATCH = 40
    signer = open_signer(Algorithm.ED25519, SECRET)
    if not folder.exists():
        key = verifier_key(ORIGIN, ED25519, signer.public_key)
        create_log(folder, format_policy(Policy((key,), {}, {}, "none")))
    readers = {"bank": X25519PrivateKey.from_private_bytes(SECRET).public_key()}
    mark = folder.with_name("mark")
    with open_log(folder, [(ED25519, signer)], mark) as (log, cosigning):
        print("open", flush=True)
        draining.drain(open_engine(url, migrate), log.append, "bank", readers)
        publish(log, cosigning)


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))
